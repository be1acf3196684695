"""What boards cost that simulate their circuit: many different small circuits, each new once, and then known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from statistics import median

from attrs import frozen

from bench.accounts import accounts_of, parties
from bench.farm import running_farm
from bench.instant import Effort, Stretch, run_stretch
from bench.variants import variant
from icefarm.bitstream import from_file
from icefarm.client import Farm

__all__ = ["VARIANTS", "SimulatedFigures", "measure_simulated", "write_variants"]

#: Different circuits. Each is new to the farm in one stretch.
VARIANTS = 6000
_ROOT = Path(__file__).parents[1]
#: Circuits of 10 to 50 cells that count, divide and shift; `bench.variants` changes them.
_KNOWN = (
    *(_ROOT / "examples" / "circuits" / f"{name}.bin" for name in ("square_2khz", "square_8khz", "square_32khz")),
    *(
        _ROOT / "tests" / "circuits" / f"{name}.bin"
        for name in ("divider_hf48", "divider_hf24", "divider_pin", "carry_9", "counter_12", "decade", "lfsr")
    ),
)


@frozen
class SimulatedFigures:
    """Of one farm of instant boards that simulate what they are given."""

    boards: int
    #: Each circuit for the first time, and all of them again.
    new: Sequence[Stretch]
    known: Sequence[Stretch]

    @property
    def new_rate(self) -> float:
        """Evaluations a second of new circuits."""
        return median(each.rate for each in self.new)

    @property
    def known_rate(self) -> float:
        """Evaluations a second of circuits that were simulated before."""
        return median(each.rate for each in self.known)


def write_variants(directory: Path, count: int) -> Sequence[Path]:
    """Write so many different small circuits into a directory, those of one origin spread evenly."""
    directory.mkdir(exist_ok=True)
    known = [from_file(path) for path in _KNOWN]
    paths = []
    for number in range(count):
        path = directory / f"{number:05}.bin"
        path.write_bytes(variant(known[number % len(known)], number).data)
        paths.append(path)
    return paths


def measure_simulated(
    boards: int, paths: Sequence[Path], effort: Effort, say: Callable[[str], None]
) -> SimulatedFigures:
    """Start a farm of so many boards that simulate, measure it, stop it. Raises the error of a failure."""
    files = list(map(str, paths))
    share = len(files) // effort.repeats
    with running_farm(boards, "instant", say, model="simulated") as process, Farm(process.url, name="bench") as farm:
        members = parties(process.pid)
        with farm.reserve(boards) as reserved:

            def stretch(which: Sequence[str], again: bool) -> Stretch:
                taken = cycle(which) if again else iter(which)
                return run_stretch(reserved, taken, effort.seconds, lambda: accounts_of(members), process.url)

            new = [stretch(files[turn * share : (turn + 1) * share], again=False) for turn in range(effort.repeats)]
            # Of the new circuits some may not have been reached in time.
            seen = files[: min(each.evaluations for each in new)]
            known = [stretch(seen, again=True) for _ in range(effort.repeats)]
    return SimulatedFigures(boards, new, known)
