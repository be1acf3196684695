"""Pure: no I/O, no clock.  What the archive can be asked; its records.

`icefarm.control.archive.postgres.PostgresArchive` implements it over PostgreSQL, and
`icefarm.testing.memory.archive.MemoryArchive` in memory.  Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from enum import StrEnum
from typing import Any, Protocol

from attrs import Factory, frozen

from icefarm.contract import ExperimentBoard, ExperimentFigures, ExperimentPart, FailureRecord
from icefarm.control.archive.rows import NO_ROWS, ArchiveRows, OwnedRows
from icefarm.control.archive.runs.interface import RunStore
from icefarm.control.archive.usage import HeldTime, Measured, UsageQuery

__all__ = [
    "Archive",
    "ExperimentFilter",
    "ExperimentKey",
    "Extract",
    "FileForm",
    "KnownQuery",
    "Partition",
    "ResultQuery",
    "Series",
    "SeriesPoint",
    "SeriesQuery",
    "Stored",
    "StoredExperiment",
]

#: An account, and the name of an experiment in it.
ExperimentKey = tuple[str, str]


@frozen
class StoredExperiment:
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
    """The outcome of a batch."""

    #: Rows that are new, by experiment.
    new: Mapping[ExperimentKey, int] = Factory(dict)
    #: Rows that were there already, or have a successor.
    known: int = 0
    #: Rows of reservations that are not the worker's.
    foreign: int = 0
    #: The rows that are not foreign, new or known: the newest of each evaluation.
    rows: OwnedRows = NO_ROWS


@frozen
class ExperimentFilter:
    """Which experiments; None: all."""

    account: str | None = None
    name: str | None = None
    #: Those of this account, and those that are shared; of all accounts if None.
    reader: str | None = None
    #: Only those of the reader.
    private: bool = False
    #: After one with this time of its last activity, and this id, for the next page; several may have the same time.
    before: tuple[float, int] | None = None
    #: Active since that time.
    since: float | None = None
    limit: int = 1000


@frozen
class ResultQuery:
    """Which results of an experiment; None: all."""

    #: Results that arrived after this one (`seq`).
    after: int = 0
    limit: int = 1000
    #: A page ends where its values have so many bytes, whatever its limit; it has at least one result.
    size: int = 1 << 20
    serials: Sequence[str] | None = None
    #: By the time when they ended: from the first, before the second.
    since: float | None = None
    until: float | None = None
    #: Only failures, or only values.
    failed: bool | None = None
    kind: str | None = None
    sha256: Sequence[str] | None = None


class FileForm(StrEnum):
    """How results are written into a file."""

    CSV = "csv"
    JSON_LINES = "jsonl"


@frozen
class Extract:
    """Results as a part of a file: lines, without one that names the fields."""

    data: bytes
    rows: int
    #: The last result (`seq`); that after which the page begins, if it is empty.
    last: int
    #: There may be more.
    more: bool


@frozen
class KnownQuery:
    """Which values of an experiment are known already: of these circuits, measured with exactly these options."""

    kind: str
    options: Mapping[str, Any]
    sha256: Sequence[str]
    #: The newest value of each of these boards; None: the newest one of any board.
    serials: Sequence[str] | None = None
    #: Values after those of this circuit and board, in their order; a page ends where it has so many bytes.
    after: tuple[str, str] = ("", "")
    bytes: int = 1 << 20


@frozen
class SeriesQuery:
    """Which results of an experiment are summed up over time; None: all."""

    #: Seconds of a step: of all boards together, and of each board, which is a multiple of the first.
    step: float
    board_step: float
    #: Results that arrived after this one (`seq`).
    after: int = 0
    serials: Sequence[str] | None = None
    #: By the time when they ended: from the first, before the second.
    since: float | None = None
    until: float | None = None


@frozen
class SeriesPoint:
    """The results that ended within a step.  Steps begin at multiples of their length since the epoch."""

    #: None: of all boards.
    serial: str | None
    #: When the step begins.
    time: float
    done: int
    failed: int
    #: Values that are numbers: how many, their sum, the least and the largest; None without any.
    numbers: int
    sum: float | None
    least: float | None
    most: float | None


@frozen
class Series:
    """Results over time."""

    #: The last result that it knows (`seq`).
    last: int
    #: All boards first, then board by board; in the order of time.
    points: Sequence[SeriesPoint]
    #: Seconds of its steps, which are longer than those that were asked for where there are very many results.
    step: float
    board_step: float


@frozen
class Partition:
    """One day of the archive."""

    day: date
    bytes: int


class Archive(Protocol):
    """Stores and returns measurements.  Every call raises `Busy` if the database stays away."""

    @property
    def runs(self) -> RunStore:
        """The runs over them."""

    async def store(self, worker: str, rows: ArchiveRows) -> Stored:
        """Store the rows of a worker, all of them or none; those that are there already are left alone."""

    async def keep(self, worker: str, rows: OwnedRows) -> None:
        """Store rows of the farm's own, which no client's reservation is behind; their experiments are shared."""

    async def experiments(self, query: ExperimentFilter) -> list[StoredExperiment]:
        """Return experiments, the most recently active first."""

    async def boards(self, id: int) -> list[ExperimentBoard]:
        """Return what each board did for an experiment, by serial."""

    async def recent_failures(self, account: str | None, seconds: float, limit: int) -> list[FailureRecord]:
        """Return the evaluations that failed in the last ``seconds``, of an account or of all; the newest first."""

    async def failures(self, id: int) -> dict[str, int]:
        """Return how many evaluations of an experiment failed, by the name of the error."""

    async def results(self, id: int, query: ResultQuery) -> tuple[list[tuple[Any, ...]], bool]:
        """Return results in the order of their arrival, with the fields of `icefarm.contract.RESULT_FIELDS`.

        And whether there may be more.
        """

    async def extract(self, id: int, query: ResultQuery, form: FileForm) -> Extract:
        """Return the same results as a part of a file; options, labels and values are JSON in CSV."""

    async def known(self, id: int, query: KnownQuery) -> tuple[list[tuple[Any, ...]], bool]:
        """Return values of an experiment in the order of circuits and boards, as `results`; and whether there are more.

        What is too long for the archive is not there, and so not known.
        """

    async def series(self, id: int, query: SeriesQuery) -> Series:
        """Return the results of an experiment summed up over time."""

    async def of_board(self, serial: str, query: ExperimentFilter) -> list[ExperimentPart]:
        """Return what a board did for the experiments that `query.reader` may read, the last one first."""

    async def usage(self, query: UsageQuery) -> tuple[list[HeldTime], list[Measured]]:
        """Return what was reserved, by account and board, and what was measured, by experiment and board.

        Measurements count by whole days (UTC) that have a result in the time.
        """

    async def figures(self, id: int, after: int, limit: int) -> list[ExperimentFigures]:
        """Return reported figures in order, after that id."""

    async def log(self, key: ExperimentKey, figures: Mapping[str, float], time: float) -> None:
        """Keep figures of an experiment, which is made if it is new."""

    async def announce(self, key: ExperimentKey, total: int | None, shared: bool | None) -> None:
        """Record the owner's settings of an experiment, which is made if it is new; None leaves a field unchanged."""

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
