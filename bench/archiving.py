"""What the archive costs: the same evaluations with it and without it, in turns, on one farm of instant boards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from statistics import median

from attrs import frozen

from bench.accounts import Party, accounts_of, parties
from bench.farm import running_farm
from bench.files import CircuitFiles
from icefarm.client import Boards, Farm

__all__ = ["ArchiveFigures", "Turn", "measure_archive"]

#: Boards of the farm, and how many evaluations come before those that count.
BOARDS = 4
WARM_UP = 1000
#: Seconds after a turn for what was measured to arrive in the archive, and for its run to be closed; their CPU counts.
ARRIVAL = 3.0


@frozen
class Turn:
    """Evaluations, archived or not."""

    evaluations: int
    #: Milliseconds of CPU per evaluation, by party.
    cpu_ms: Mapping[Party, float]

    @property
    def cpu(self) -> float:
        """Milliseconds of CPU per evaluation of all parties but the simulation of the boards."""
        return sum(value for party, value in self.cpu_ms.items() if party != "boards")


@frozen
class ArchiveFigures:
    """Of one farm: turns with the archive and without it, each beside the one before."""

    boards: int
    archived: Sequence[Turn]
    plain: Sequence[Turn]

    @property
    def differences(self) -> Sequence[float]:
        """The milliseconds of CPU per evaluation by which neighbouring turns differ, sorted."""
        return sorted(with_it.cpu - without.cpu for with_it, without in zip(self.archived, self.plain, strict=True))

    @property
    def cost(self) -> float:
        """Milliseconds of CPU that the archive costs an evaluation: the median difference of neighbouring turns."""
        return median(self.differences)

    def cost_of(self, party: Party) -> float:
        """Return the part of the cost that one party bears."""
        pairs = zip(self.archived, self.plain, strict=True)
        return median(with_it.cpu_ms.get(party, 0.0) - without.cpu_ms.get(party, 0.0) for with_it, without in pairs)


def measure_archive(circuits: CircuitFiles, pairs: int, evaluations: int, say: Callable[[str], None]) -> ArchiveFigures:
    """Start a farm, take pairs of turns of so many evaluations, stop it.  Raises the error of one that fails."""
    with running_farm(BOARDS, "instant", say) as process, Farm(process.url, name="bench") as farm:
        paths = cycle(map(str, circuits.paths))
        with farm.reserve(BOARDS) as boards:
            # Control opens its connection for the archive with the first batch.
            _evaluate(boards, paths, WARM_UP, archive=True)
            time.sleep(ARRIVAL)
            turns: dict[bool, list[Turn]] = {True: [], False: []}
            for each in range(2 * pairs):
                # Each pair in the other order: what becomes faster or slower meanwhile cancels out.
                archive = each % 4 in (0, 3)
                turns[archive].append(_turn(process.pid, boards, paths, evaluations, archive=archive))
        return ArchiveFigures(BOARDS, turns[True], turns[False])


def _turn(farm: int, boards: Boards, paths: Iterator[str], evaluations: int, *, archive: bool) -> Turn:
    members = parties(farm)
    before = accounts_of(members)
    _evaluate(boards, paths, evaluations, archive=archive)
    time.sleep(ARRIVAL)
    used = accounts_of(members).cpu_since(before)
    return Turn(evaluations, {party: cpu / evaluations * 1000 for party, cpu in used.items()})


def _evaluate(boards: Boards, paths: Iterator[str], evaluations: int, *, archive: bool) -> None:
    some = (next(paths) for _ in range(evaluations))
    for result in boards.evaluate(some, archive=archive, experiment="bench"):
        if result.error is not None:
            raise result.error
