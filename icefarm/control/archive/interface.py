"""Pure: no I/O, no clock.  What the archive can be asked; its records.

`icefarm.control.archive.postgres.PostgresArchive` implements it over PostgreSQL, and
`icefarm.testing.memory.archive.MemoryArchive` in memory.  Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Protocol

from attrs import Factory, frozen

from icefarm.contract import ExperimentBoard, ExperimentFigures
from icefarm.control.archive.rows import ArchiveRow

__all__ = ["Archive", "Experiment", "ExperimentKey", "ExperimentQuery", "Partition", "ResultQuery", "Stored"]

#: An account, and the name of an experiment in it.
ExperimentKey = tuple[str, str]


@frozen
class Experiment:
    """An experiment as it is stored."""

    id: int
    account: str
    name: str
    total: int | None
    shared: bool
    created_at: float
    active_at: float
    done: int = 0
    failed: int = 0
    boards: int = 0
    first_at: float | None = None
    last_at: float | None = None

    @property
    def key(self) -> ExperimentKey:
        return self.account, self.name


@frozen
class Stored:
    """What became of a batch."""

    #: Rows that are new, by experiment.
    new: Mapping[ExperimentKey, int] = Factory(dict)
    #: Rows that were there already, or have a successor.
    known: int = 0
    #: Rows of reservations that are not the worker's.
    foreign: int = 0


@frozen
class ExperimentQuery:
    """Which experiments; None: all."""

    account: str | None = None
    name: str | None = None
    #: Those of this account, and those that are shared; of all accounts if None.
    reader: str | None = None
    #: Only those of the reader.
    private: bool = False
    #: Active before this time, for the next page; since that time.
    before: float | None = None
    since: float | None = None
    limit: int = 1000


@frozen
class ResultQuery:
    """Which results of an experiment; None: all."""

    #: Results that arrived after this one (`seq`).
    after: int = 0
    limit: int = 1000
    serials: Sequence[str] | None = None
    #: By the time when they ended: from the first, before the second.
    since: float | None = None
    until: float | None = None
    #: Only failures, or only values.
    failed: bool | None = None
    kind: str | None = None
    sha256: Sequence[str] | None = None


@frozen
class Partition:
    """One day of the archive."""

    day: date
    bytes: int


class Archive(Protocol):
    """Stores and returns measurements.  Every call raises `Busy` if the database stays away."""

    async def store(self, worker: str, rows: Sequence[ArchiveRow]) -> Stored:
        """Store the rows of a worker, all of them or none; those that are there already are left alone."""

    async def experiments(self, query: ExperimentQuery) -> list[Experiment]:
        """Return experiments, the last active one first."""

    async def boards(self, id: int) -> list[ExperimentBoard]:
        """Return what each board did for an experiment, by serial."""

    async def failures(self, id: int) -> dict[str, int]:
        """Return how many evaluations of an experiment failed, by the name of the error."""

    async def results(self, id: int, query: ResultQuery) -> list[tuple[Any, ...]]:
        """Return results in the order of their arrival, with the fields of `icefarm.contract.RESULT_FIELDS`."""

    async def figures(self, id: int, after: int, limit: int) -> list[ExperimentFigures]:
        """Return reported figures in order, after that id."""

    async def log(self, key: ExperimentKey, figures: Mapping[str, float], time: float) -> None:
        """Keep figures of an experiment, which is made if it is new."""

    async def announce(self, key: ExperimentKey, total: int | None, shared: bool | None) -> None:
        """Note what the owner says of an experiment, which is made if it is new; None leaves a field as it is."""

    async def partitions(self) -> list[Partition]:
        """Return the days that are stored, the oldest first."""

    async def prepare(self, days: Sequence[date]) -> None:
        """Make partitions for these days, where they are missing."""

    async def export(self, day: date, directory: str) -> str:
        """Write a day as a file of compressed CSV, and return its path.  Raises `InvalidArgument` if that fails."""

    async def drop(self, day: date) -> None:
        """Delete a day, and experiments of which nothing is left."""

    async def forget_figures(self, before: float) -> None:
        """Delete figures that were reported before that time."""
