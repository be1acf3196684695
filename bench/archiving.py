"""What the archive costs, in turns with it and without it.

Two ways, which see different things:

- `measure_rows` feeds rows into the archive without boards (`bench.feeder`).  Nothing else happens on that farm, so the
  figure is exact to a few microseconds.  It has all that a row costs from the moment when a board's answer is there:
  making it, the spool, sending, the router, control, PostgreSQL with its checkpoints and the upkeep of its tables, and
  the run's manifest.  It leaves out what clients do.
- `measure_archive` takes the difference of whole evaluations.  That has everything, and is a small difference between
  large sums: it needs many turns.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from math import sqrt
from pathlib import Path
from statistics import mean, stdev

from attrs import frozen

from bench.accounts import Accounts, Party, accounts_of, parties
from bench.farm import running_farm
from bench.feeder import FedFarm, Feed, fed_farm
from bench.files import CircuitFiles
from icefarm.client import Boards, Farm

__all__ = ["ArchiveFigures", "Turn", "measure_archive", "measure_rows"]

#: Boards of the farm, and how many evaluations come before those that count.
BOARDS = 4
WARM_UP = 1000
#: Seconds after a turn for what was measured to arrive in the archive, and for its run to be closed; their CPU counts.
ARRIVAL = 4.0
#: Student's t for 95 %, by the number of pairs less one, up to 30; for more it is near to 2.
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10,
      2.09, 2.09, 2.08, 2.07, 2.07, 2.06, 2.06, 2.06, 2.05, 2.05, 2.05, 2.04)  # fmt: skip
#: Names that connections to PostgreSQL have, and what the parties' lines call them.
_WRITER = "icefarm-archive"
_OWN = "icefarm-bench"
#: What autovacuum does at such times; off meanwhile, so that none of it falls into a turn without rows.
_TABLES = """
    SELECT string_agg(name, ', ')
      FROM (SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'measurement'::regclass
             UNION ALL
            SELECT unnest(ARRAY['measurement_retry', 'experiment', 'experiment_board', 'experiment_step', 'run'])) t
"""


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

    #: What was measured, in words.
    what: str
    archived: Sequence[Turn]
    plain: Sequence[Turn]

    @property
    def differences(self) -> Sequence[float]:
        """The milliseconds of CPU per evaluation by which neighbouring turns differ, sorted."""
        return sorted(with_it.cpu - without.cpu for with_it, without in zip(self.archived, self.plain, strict=True))

    @property
    def cost(self) -> float:
        """Milliseconds of CPU that the archive costs an evaluation: the mean difference of neighbouring turns."""
        return mean(self.differences)

    @property
    def margin(self) -> float:
        """How far the true mean may be from `cost`, with a confidence of 95 %, for differences of normal form."""
        pairs = len(self.differences)
        if pairs == 1:
            return float("inf")
        return _T[min(pairs - 1, len(_T)) - 1] * stdev(self.differences) / sqrt(pairs)

    @property
    def parties(self) -> Sequence[Party]:
        """Those that bear parts of the cost, the dearest first."""
        found = {party for turn in (*self.archived, *self.plain) for party in turn.cpu_ms} - {"boards"}
        return sorted(found, key=self.cost_of, reverse=True)

    def cost_of(self, party: Party) -> float:
        """Return the part of the cost that one party bears; the parts of all add up to it."""
        pairs = zip(self.archived, self.plain, strict=True)
        return mean(with_it.cpu_ms.get(party, 0.0) - without.cpu_ms.get(party, 0.0) for with_it, without in pairs)


def _in_pairs(pairs: int, turn: Callable[[bool], Turn]) -> dict[bool, list[Turn]]:
    turns: dict[bool, list[Turn]] = {True: [], False: []}
    for each in range(2 * pairs):
        # Each pair in the other order: what becomes faster or slower meanwhile cancels out.
        archive = each % 4 in (0, 3)
        turns[archive].append(turn(archive))
    return turns


# -------------------------------------------------------------------------------- rows without boards


def measure_rows(
    directory: Path, pairs: int, rate: float, seconds: float, say: Callable[[str], None]
) -> ArchiveFigures:
    """Start a farm, take pairs of turns of so many seconds with so many rows a second, stop it.

    Raises RuntimeError if a row did not arrive.
    """
    with fed_farm(directory, say) as farm:
        with farm.connection.cursor() as cursor:
            cursor.execute("ALTER SYSTEM SET autovacuum = off")
            cursor.execute("SELECT pg_reload_conf()")
        for kept in (True, False):
            # Connections are made, and plans of statements.
            _fed(farm, Feed(rate), seconds / 4, kept=kept)
        turns = _in_pairs(pairs, lambda kept: _fed(farm, Feed(rate), seconds, kept=kept))
        if farm.lost:
            raise RuntimeError(f"{farm.lost} rows were lost")
    return ArchiveFigures(f"{rate:g} rows/s in runs of {seconds:g} s", turns[True], turns[False])


def _fed(farm: FedFarm, feed: Feed, seconds: float, *, kept: bool) -> Turn:
    before = _accounts(farm)
    farm.feed(feed, seconds, kept=kept)
    time.sleep(ARRIVAL)
    with farm.connection.cursor() as cursor:
        # What is still in memory is written, as a later checkpoint would.
        cursor.execute("CHECKPOINT")
        cursor.execute(_TABLES)
        cursor.execute(f"VACUUM (ANALYZE) {cursor.fetchone()[0]}")
    used = _accounts(farm).cpu_since(before)
    # Every turn has as much of it, and its noise is larger than that of all else.
    used["worker"] -= feed.beside
    if kept and (arrived := farm.arrived(feed)) != feed.fed:
        raise RuntimeError(f"{feed.fed} rows were fed, and {arrived} arrived")
    return Turn(feed.fed, {party: cpu / feed.fed * 1000 for party, cpu in used.items()})


def _accounts(farm: FedFarm) -> Accounts:
    """Look at all processes; those of PostgreSQL by what they are for."""
    members = parties(farm.process.pid)
    # This process is the worker here.  The farm's own has nothing to do, and nor has its board.
    members["worker"] += members.pop("client")
    connections = farm.connections()
    for pid in members.pop("PostgreSQL"):
        members.setdefault(_purpose(connections.get(pid)), []).append(pid)
    return accounts_of(members)


def _purpose(connection: str | None) -> Party:
    """Return what a process of PostgreSQL is for.

    Other connections are not told from processes without any: what one has used counts for the first process once it
    has ended.
    """
    names = {_WRITER: "the archive's connection", _OWN: "upkeep of tables"}
    return f"PostgreSQL: {names.get(connection or '', 'all else')}"


# ---------------------------------------------------------------------------------- whole evaluations


def measure_archive(circuits: CircuitFiles, pairs: int, evaluations: int, say: Callable[[str], None]) -> ArchiveFigures:
    """Start a farm, take pairs of turns of so many evaluations, stop it.  Raises the error of one that fails."""
    with running_farm(BOARDS, "instant", say) as process, Farm(process.url, name="bench") as farm:
        paths = cycle(map(str, circuits.paths))
        with farm.reserve(BOARDS) as boards:
            # Control opens its connection for the archive with the first batch.
            _evaluate(boards, paths, WARM_UP, archive=True)
            time.sleep(ARRIVAL)
            turns = _in_pairs(pairs, lambda kept: _turn(process.pid, boards, paths, evaluations, archive=kept))
        return ArchiveFigures(f"{BOARDS} instant boards, {evaluations} evaluations a turn", turns[True], turns[False])


def _turn(farm: int, boards: Boards, paths: Iterator[str], evaluations: int, *, archive: bool) -> Turn:
    before = accounts_of(parties(farm))
    _evaluate(boards, paths, evaluations, archive=archive)
    time.sleep(ARRIVAL)
    used = accounts_of(parties(farm)).cpu_since(before)
    return Turn(evaluations, {party: cpu / evaluations * 1000 for party, cpu in used.items()})


def _evaluate(boards: Boards, paths: Iterator[str], evaluations: int, *, archive: bool) -> None:
    some = (next(paths) for _ in range(evaluations))
    for result in boards.evaluate(some, archive=archive, experiment="bench"):
        if result.error is not None:
            raise result.error
