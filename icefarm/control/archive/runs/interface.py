"""Pure: no I/O, no clock.  What the store of runs can be asked; its records.

`icefarm.control.archive.runs.postgres.PostgresRuns` implements it over PostgreSQL, and
`icefarm.testing.memory.runs.MemoryRuns` in memory.  Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from attrs import frozen

from icefarm.contract import RunReport

__all__ = ["CIRCUIT_BYTES", "Closed", "Progress", "Run", "RunFilter", "RunStore"]

#: Bytes of the circuits that are kept for an account, in their LZ4 form, unless the operator says otherwise.
CIRCUIT_BYTES = 200e6


@frozen
class Run:
    """A run as it is stored."""

    id: int
    #: Whose it is, and the name of its experiment.
    account: str
    experiment: str
    number: str
    client: str
    told: RunReport
    begun_at: float
    ended_at: float | None
    closed_at: float | None
    manifest_id: str | None
    results: int
    failed: int
    boards: int
    last_seq: int | None
    dropped_at: float | None


@frozen
class RunFilter:
    """Which runs; None: all."""

    #: Of the experiment with this id.
    experiment: int | None = None
    #: Whose id, or number, begins so.
    prefix: str | None = None
    #: Those of this account, and those of shared experiments; of all accounts if None.
    reader: str | None = None
    #: Only those of the reader.
    private: bool = False
    #: Older than the one with this id.
    before: int | None = None
    limit: int = 100


@frozen
class Progress:
    """The part of a run that is in the archive."""

    results: int
    failures: int
    #: All rows: an evaluation can have several.
    rows: int
    #: There is a row of an attempt after the first.
    retried: bool
    #: An evaluation that took several attempts has a row of an earlier one.
    superseded: bool
    #: The last of its rows that has arrived (`seq`); None without any.
    last_seq: int | None


@frozen
class Closed:
    """What is stored when a run is closed."""

    manifest_id: str
    manifest: bytes
    results: int
    failed: int
    boards: int
    last_seq: int
    #: When its first and its last evaluation ended.
    first: float
    last: float


class RunStore(Protocol):
    """Stores and returns runs.  Every call raises `Busy` if the database stays away."""

    async def report(self, client: str, reports: Sequence[RunReport], names: Sequence[str]) -> None:
        """Record a client's reports on its runs; ``names`` are those of their experiments, made if they are new.

        A report of a run that is closed changes nothing.
        """

    async def runs(self, query: RunFilter) -> list[Run]:
        """Return runs, the newest first."""

    async def manifest(self, id: int) -> bytes | None:
        """Return the manifest of a run; None if it has none yet."""

    async def open(self) -> list[Run]:
        """Return runs that are not closed, up to a thousand: the oldest of each account, then the next ones."""

    async def over_at(self, run: Run) -> float | None:
        """Return when the last of a run's reservations ended; None if one has not.

        One that is no longer known has ended long ago.
        """

    async def progress(self, run: Run) -> Progress:
        """Return how far a run is."""

    async def rows(self, run: Run, after: str, limit: int) -> list[dict[str, Any]]:
        """Return a run's results after that evaluation's id, in the order of the ids, with `RESULT_FIELDS`.

        Each evaluation has one: its value, else its last failure.
        """

    async def close(self, id: int, closed: Closed) -> None:
        """Close a run: it never changes again."""

    async def keep_circuit(self, account: str, number: str, sha256: str) -> bool:
        """Note that a run has a circuit, and return whether it is kept already."""

    async def add_circuit(self, account: str, sha256: str, length: int, block: bytes, most: int) -> bool:
        """Keep a circuit; returns False if the account's would then take more than ``most`` bytes."""

    async def circuit(self, run: Run, sha256: str) -> tuple[int, bytes] | None:
        """Return the length and the LZ4 block of a circuit that was kept with a run."""

    async def forget(self, id: int) -> None:
        """Delete a run of which nothing was archived."""
