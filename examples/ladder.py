"""Measure the same circuits on one rung of the ladder after the other: invented, simulated, real.

    python ladder.py landscape circuits/*.bin
    python ladder.py simulated circuits/*.bin
    python ladder.py real circuits/*.bin

Only the selector changes.  See docs/choosing-boards.md.
"""

from __future__ import annotations

import sys

from icefarm.client import Farm


def main(where: str, circuits: list[str]) -> None:
    with Farm() as farm, farm.reserve(2, where=where, wait=True, timeout=600) as boards:
        for result in boards.evaluate(circuits, labels={"rung": where}):
            origin = result.measurement.origin if result.ok else result.error
            print(result.serial, origin, result.value, sep="\t")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
