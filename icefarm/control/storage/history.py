"""Pure: no I/O, no clock.  The farm's history: its records, and the interface of its storage.

`icefarm.control.storage.postgres.history.PostgresHistory` implements it over PostgreSQL, and
`icefarm.testing.memory.history.MemoryHistory` in memory.  Times are seconds since the epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from attrs import Factory, define, frozen

from icefarm.contract import DeviceStatus, ReservationRecord

__all__ = [
    "BoardPast",
    "BoardSample",
    "FarmSample",
    "History",
    "HistoryBatch",
    "Journal",
    "LogLine",
    "StateChange",
    "columns",
]


@frozen
class FarmSample:
    """The farm at one moment, or the averages over a period."""

    time: float
    states: Mapping[str, float]
    rate: float
    failing: float
    waiting: float
    longest_wait: float


@frozen
class BoardSample:
    """A board's minute; see `icefarm.control.telemetry.counting.BoardRates`."""

    serial: str
    time: float
    rate: float
    load_ms: float | None
    window_ms: float | None
    temperature_c: float | None
    failures: int
    retries: int


@frozen
class StateChange:
    """A board's state from ``time`` on."""

    serial: str
    time: float
    worker: str
    status: str
    reason: str | None
    client: str | None


@frozen
class LogLine:
    """A worker's log line."""

    time: float
    worker: str
    serial: str | None
    level: str
    message: str


@define
class HistoryBatch:
    """Records to store in one transaction."""

    samples: list[FarmSample] = Factory(list)
    boards: list[BoardSample] = Factory(list)
    states: list[StateChange] = Factory(list)
    log: list[LogLine] = Factory(list)

    def __bool__(self) -> bool:
        return bool(self.samples or self.boards or self.states or self.log)


@frozen
class BoardPast:
    """One board's history, each list by time.  The first state may be earlier than the requested time."""

    states: list[StateChange]
    samples: list[BoardSample]
    log: list[LogLine]


@frozen
class Journal:
    """Recent events in the whole farm, each list by time."""

    states: list[StateChange]
    reservations: list[ReservationRecord]
    log: list[LogLine]


class History(Protocol):
    """Stores the farm's history.  Every call raises `Busy` if the database stays away."""

    async def keep(self, batch: HistoryBatch) -> None:
        """Store all of this, or nothing."""

    async def samples(self, since: float, step: float) -> list[FarmSample]:
        """Return the farm since then, one sample for each ``step`` seconds that have any."""

    async def board(self, serial: str, since: float) -> BoardPast:
        """Return a board's history since then."""

    async def journal(self, since: float, limit: int) -> Journal:
        """Return events since then, at most the last ``limit`` of each."""

    async def forget(self, before: float) -> None:
        """Delete older records."""


def columns(samples: Sequence[FarmSample]) -> dict[str, Any]:
    """Return samples as one list for each figure, for plots."""
    return {
        "time": [round(sample.time, 1) for sample in samples],
        "states": {
            status.value: [round(sample.states.get(status.value, 0), 2) for sample in samples]
            for status in DeviceStatus
        },
        "rate": [round(sample.rate, 3) for sample in samples],
        "failures": [round(sample.failing, 4) for sample in samples],
        "waiting": [round(sample.waiting, 2) for sample in samples],
        "longest_wait": [round(sample.longest_wait, 1) for sample in samples],
    }
