"""Climb towards a frequency: a stream of variants of a circuit, each measured on whichever board is free.

    icefarm up --speed instant &
    python examples/any_board.py examples/circuits/square_2khz.asc 5000

It mutates the circuit's truth tables and keeps what comes nearer. The point is the shape: a generator of bitstreams
goes in, results come out as boards finish, and the generator can make use of them at once.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

from icefarm.bitstream import pack_asc
from icefarm.client import Farm

BOARDS = 4
EVALUATIONS = 200
#: Seconds to count for.
WINDOW = 0.1
#: Bits to flip in a variant.
FLIPS = 20
#: Where the truth table of logic cell n is in its tile of an .asc: rows 2n and 2n + 1, these columns; the two columns
#: after them configure carry and flip-flop, and are left alone (Project IceStorm, "iCE40 Logic Tile").
COLUMNS = range(36, 44)


def mutated(lines: list[str], tiles: list[int], chance: random.Random) -> list[str]:
    """Return the lines of an .asc with some truth-table bits of its logic tiles flipped."""
    changed = list(lines)
    for _ in range(FLIPS):
        index = chance.choice(tiles) + 1 + chance.randrange(16)
        column = chance.choice(COLUMNS)
        line = changed[index]
        changed[index] = line[:column] + ("1" if line[column] == "0" else "0") + line[column + 1 :]
    return changed


def main(path: str, target: float) -> None:
    """Search, and print each improvement."""
    chance = random.Random(1)
    best = Path(path).read_text().splitlines()
    tiles = [number for number, line in enumerate(best) if line.startswith(".logic_tile")]
    variants: dict[int, list[str]] = {}
    smallest = float("inf")

    def candidates() -> Iterator[bytes]:
        for _ in range(EVALUATIONS):
            lines = mutated(best, tiles, chance)
            bitstream = pack_asc("\n".join(lines) + "\n")
            variants[id(bitstream)] = lines
            yield bitstream

    with Farm(name="any-board") as farm, farm.reserve(BOARDS, window=WINDOW, wait=True) as boards:
        for number, result in enumerate(boards.evaluate(candidates(), depth=2), start=1):
            lines = variants.pop(id(result.source))
            if not result.ok:
                print(f"{number:4} {result.serial} {result.error}")
                continue
            error = abs(result.value / WINDOW - target)
            if error < smallest:
                best, smallest = lines, error
                print(f"{number:4} {result.serial} {result.value / WINDOW:9.0f} Hz, {error:.0f} Hz from the target")


main(sys.argv[1], float(sys.argv[2]))
