"""The procedures ``icefarm.v1.control.*`` for displays: the farm's history."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import asdict, define

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import Role, to_wire
from icefarm.control.sessions.audit import AuditLog
from icefarm.control.storage.history import columns
from icefarm.control.storage.shared import Shared
from icefarm.control.telemetry.events import (
    BoardsChanged,
    BoardsDeleted,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
    WorkerLogged,
)
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.telemetry.recorder import INTERVAL, KEPT, HistoryRecorder
from icefarm.errors import InvalidArgument

__all__ = ["WatchProcedures", "journal_lines"]

#: Maximum points of a plot: about as many as a screen shows.
POINTS = 720
#: Maximum changes, reservations and log lines in the journal, each.
LINES = 300
#: What changes the journal.
_IN_JOURNAL = (
    BoardsChanged, BoardsDeleted, WorkerLogged,
    ReservationsStarted, ReservationsExtended, ReservationsShortened, ReservationsEnded,
)  # fmt: skip
#: Entries of the audit log in one answer at most.
ENTRIES = 5000


@define(eq=False)
class WatchProcedures:
    """The procedures for all who may watch the farm."""

    recorder: HistoryRecorder
    audit_log: AuditLog
    clock: Clock
    lines: Shared[dict[str, Any]]

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        methods = (self.history, self.device_history, self.journal)
        for_all = {method.__name__: (method, (Role.CLIENT, Role.OPERATOR)) for method in methods}
        return {**for_all, "audit": (self.audit, (Role.OPERATOR,))}

    async def history(self, _: Caller, seconds: float = 3600.0) -> dict[str, Any]:
        """Return the farm's figures over the last ``seconds``, at most a day, as a list for each figure."""
        if not 0 < seconds <= KEPT:
            raise InvalidArgument(f"seconds must be above 0 and at most {KEPT:g}, not {seconds:g}")
        await self.recorder.write()
        step = max(INTERVAL, seconds / POINTS)
        now = self.clock.seconds()
        samples = await self.recorder.history.samples(now - seconds, step)
        return {"step": step, "until": now, **columns(samples)}

    async def device_history(self, _: Caller, serial: str) -> dict[str, Any]:
        """Return a board's last day: states, samples by the minute, lines of its worker's log."""
        await self.recorder.write()
        now = self.clock.seconds()
        past = await self.recorder.history.board(serial, now - KEPT)
        figures = ("time", "rate", "load_ms", "window_ms", "temperature_c", "failures", "retries")
        return {
            "since": now - KEPT,
            "time": now,
            "states": [to_wire(state) for state in past.states],
            "samples": {name: [getattr(sample, name) for sample in past.samples] for name in figures},
            "log": [to_wire(line) for line in past.log],
        }

    async def journal(self, _: Caller) -> dict[str, Any]:
        """Return recent events: changes of boards, reservations, lines of workers' logs."""
        return await self.lines.get()

    async def audit(
        self,
        _: Caller,
        seconds: float = 86400.0,
        account: str | None = None,
        action: str | None = None,
        limit: int = LINES,
    ) -> list[dict[str, Any]]:
        """Return the audit log of the last ``seconds``: the last ``limit`` entries, the oldest first."""
        if not 0 < seconds <= self.audit_log.days * 86400.0:
            raise InvalidArgument(f"seconds must be above 0 and at most {self.audit_log.days:g} days, not {seconds:g}")
        if not 0 < limit <= ENTRIES:
            raise InvalidArgument(f"limit must be 1 to {ENTRIES}, not {limit}")
        await self.audit_log.write()
        since = self.clock.seconds() - seconds
        entries = await self.audit_log.store.audit(since, account=account, action=action, limit=limit)
        return [asdict(entry) for entry in entries]


def journal_lines(recorder: HistoryRecorder, publisher: Publisher, clock: Clock) -> Shared[dict[str, Any]]:
    """Return the shared read of the journal; nobody may change its answer."""

    async def read() -> dict[str, Any]:
        await recorder.write()
        journal = await recorder.history.journal(clock.seconds() - KEPT, LINES)
        return {
            "states": [to_wire(state) for state in journal.states],
            "reservations": [to_wire(record) for record in journal.reservations],
            "log": [to_wire(line) for line in journal.log],
        }

    return Shared(clock, publisher, _IN_JOURNAL, read)
