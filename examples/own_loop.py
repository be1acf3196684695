"""An evolution loop of your own, in 60 lines; docs/evolution.md goes through it.

icefarm up --model landscape --speed instant &
python examples/own_loop.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from icefarm.bitstream import pack_asc
from icefarm.client import Farm

CIRCUIT = Path(__file__).parent / "circuits" / "square_8khz.asc"
#: What the circuit is to reach, hertz, and how long a board counts, seconds.
TARGET, WINDOW = 52_000, 0.1
BOARDS, CHILDREN, PARENTS, FLIPS = 4, 400, 8, 12
#: Where an .asc has the truth tables of a logic tile: in its 16 rows, these columns.
TABLE = range(36, 44)

Lines = list[str]


def mutated(parent: Lines, random: Random) -> Lines:
    """Return a copy with some bits of its truth tables flipped."""
    child, tiles = list(parent), [number for number, line in enumerate(parent) if line.startswith(".logic_tile")]
    for _ in range(FLIPS):
        row, column = random.choice(tiles) + 1 + random.randrange(16), random.choice(TABLE)
        bits = child[row]
        child[row] = bits[:column] + "10"[int(bits[column])] + bits[column + 1 :]
    return child


def evolve(farm_class: type[Any] = Farm, children: int = CHILDREN, seed: int = 1) -> list[float]:
    """Let circuits evolve; return the smallest error so far after each measurement, hertz."""
    random, born = Random(seed), list[Lines]()
    population, history = [(float("inf"), CIRCUIT.read_text().splitlines())], list[float]()

    def candidates() -> Iterator[bytes]:
        for _ in range(children):  # asked for the next one whenever a board is free
            born.append(mutated(random.choice(population)[1], random))
            yield pack_asc("\n".join(born[-1]) + "\n")

    with farm_class(name="own-loop", experiment="own-loop") as farm, farm.reserve(BOARDS, window=WINDOW) as boards:
        for result in boards.evaluate(candidates(), depth=1, total=children):
            if result.ok:
                error = abs(result.value / WINDOW - TARGET)
                population.append((error, born[result.placement["index"]]))
                population[:] = sorted(population, key=lambda each: each[0])[:PARENTS]
            history.append(population[0][0])
    return history


if __name__ == "__main__":
    print("\n".join(f"after {10 * n + 10:3}: {error:8.0f} Hz off" for n, error in enumerate(evolve()[9::10])))
