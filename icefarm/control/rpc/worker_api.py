"""The procedures ``icefarm.v1.control.worker.*`` that workers call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from attrs import Factory, define
from twisted.logger import Logger, LogLevel

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import (
    BoardReading,
    DeviceReport,
    DeviceStatus,
    ReservationRecord,
    Role,
    WorkerHello,
    to_wire,
    valid_name,
)
from icefarm.control.archive.intake import Intake
from icefarm.control.inventory.agreement import CountAgreement
from icefarm.control.inventory.board_reports import BoardReports
from icefarm.control.inventory.bounds import MOST_BOARDS, bounded_hello, bounded_report
from icefarm.control.inventory.inventory import Inventory
from icefarm.control.scheduling.placement import MAX_BOARDS
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import BoardOwners
from icefarm.control.telemetry.events import KindEvent, WorkerIntroduced, WorkerLogged
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.telemetry.rates import Rates
from icefarm.control.telemetry.topics import OWN_EVENTS
from icefarm.errors import IcefarmError, InvalidArgument, NotYours, ReservationEnded, Unavailable
from icefarm.text.counts import counted
from icefarm.text.one_line import one_line, one_line_or_none

__all__ = ["WorkerProcedures"]

#: Maximum characters of a worker's log line; the rest is cut off.
MAX_LINE = 2000
#: The same of an id.
LONGEST_ID = 100
#: Lines that a worker, with its boards, may log in so many seconds; more are dropped.
LINES, LINES_PERIOD = 100, 5.0
_LEVELS = {level.name: level for level in LogLevel.iterconstants()}


def _check_hello(hello: WorkerHello, name: str) -> None:
    if hello.name != name:
        raise InvalidArgument(f"the hello is that of {hello.name!r}, the session that of {name!r}")
    if len(hello.devices) > MAX_BOARDS:
        raise InvalidArgument(f"a worker has at most {MAX_BOARDS} boards, not {len(hello.devices)}")
    for serial, times in Counter(report.serial for report in hello.devices).items():
        _check_serial(serial)
        if times > 1:
            raise InvalidArgument(f"the hello names board {serial} {times} times")


def _present(hello: WorkerHello) -> int:
    return sum(report.status is not DeviceStatus.OFFLINE for report in hello.devices)


def _check_serial(serial: str) -> None:
    if not valid_name(serial):
        raise InvalidArgument(f"{serial!a:.120} is not a serial: 1 to 100 printable characters, no blanks at the ends")


@define(eq=False)
class WorkerProcedures:
    """The procedures for workers.  A worker reports only its own boards."""

    store: Store
    sessions: Sessions
    inventory: Inventory
    board_reports: BoardReports
    publisher: Publisher
    rates: Rates
    owners: BoardOwners
    clock: Clock
    #: None where nothing is archived.
    intake: Intake | None = None
    #: Lines of each worker.
    _lines: dict[str, RateLimit] = Factory(dict)
    _agreement: CountAgreement = Factory(CountAgreement)
    _log: Logger = Factory(Logger)

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        methods = (self.hello, self.report, self.reports, self.heartbeat, self.log, self.event, self.archive)
        return {method.__name__: (method, (Role.WORKER,)) for method in methods}

    async def hello(self, caller: Caller, hello: WorkerHello) -> dict[str, Any]:
        """Register a worker; returns the reservations that its boards must serve: boards not named serve none."""
        _check_hello(hello, caller.authid)
        hello = bounded_hello(hello)
        new = [report.serial for report in hello.devices if self.owners.worker_of(report.serial) is None]
        if new and len(self.owners) + len(new) > MOST_BOARDS:
            raise InvalidArgument(
                f"the farm knows {len(self.owners)} boards and has room for {MOST_BOARDS}; an operator can forget some "
                "with `icefarm delete` and `icefarm workers delete`"
            )
        self.sessions.heard(caller, hello.instance)
        self.sessions.greet(caller)
        try:
            orders = await self.inventory.hello(hello)
            self.sessions.welcome(caller)
            self.publisher.publish(WorkerIntroduced(hello))
            self._agreement.greeted(hello.name, _present(hello), await self._note_seen(hello.name))
        finally:
            self.sessions.greeted(hello.name)
        return {
            "assignments": {serial: to_wire(assignment) for serial, assignment in orders.assignments.items()},
            "shares": {serial: [to_wire(each) for each in shares] for serial, shares in orders.shares.items()},
            "heartbeat_s": HEARTBEAT,
            "draining": orders.draining,
            "archive": self.intake is not None,
            "lists": True,
        }

    async def report(self, caller: Caller, report: DeviceReport) -> None:
        """Record a board's report."""
        bounded = bounded_report(report)
        await self.sessions.check_welcome(caller)
        refused = await self.board_reports.report(caller.authid, [bounded])
        for error in refused.values():
            raise error

    async def reports(self, caller: Caller, reports: list[DeviceReport]) -> dict[str, Any]:
        """Record the reports of many boards; ``refused`` in the answer says why some are not recorded, by serial."""
        if len(reports) > MAX_BOARDS:
            raise InvalidArgument(f"reports has {len(reports)} of them; at most {MAX_BOARDS} at once")
        bounded = [bounded_report(report) for report in reports]
        await self.sessions.check_welcome(caller)
        refused = await self.board_reports.report(caller.authid, bounded)
        return {"refused": {serial: str(error) for serial, error in refused.items()}}

    async def heartbeat(
        self,
        caller: Caller,
        instance: str,
        readings: list[BoardReading] | None = None,
        present: int | None = None,
    ) -> dict[str, Any]:
        """Note that the worker is alive, and its boards' counters; the answer ``known`` False asks it to say hello.

        ``present`` is how many of its boards are not offline. If the database has fewer, the hello corrects that.
        """
        self.sessions.heard(caller, instance)
        known = self.sessions.is_welcome(caller)
        if known:
            own = [each for each in readings or [] if self.owners.worker_of(each.serial) == caller.authid]
            self.rates.take(caller.authid, own)
            known = self._agreement.beats(caller.authid, present, await self._note_seen(caller.authid))
        return {"known": known}

    async def log(
        self,
        caller: Caller,
        level: str,
        message: str,
        serial: str | None = None,
        reservation: str | None = None,
        evaluation: str | None = None,
    ) -> None:
        """Show a line of the worker's log in control's log, and on displays if it is not about one evaluation."""
        left_out = self._lines.setdefault(caller.authid, RateLimit(LINES, LINES_PERIOD)).admit(self.clock.seconds())
        if left_out is None:
            return
        if left_out:
            self._log.warn("{worker}: {lines} left out", worker=caller.authid, lines=counted(left_out, "line"))
        if level not in _LEVELS:
            raise InvalidArgument(f"level must be one of {', '.join(_LEVELS)}, not {level!a:.80}")
        if serial is not None:
            _check_serial(serial)
        # A line stays one line, whatever a worker sends.
        line = one_line(message, MAX_LINE)
        about = f"{caller.authid}, board {serial}" if serial is not None else caller.authid
        ids = {"reservation": reservation, "evaluation": evaluation}
        bounded = {name: one_line_or_none(id, LONGEST_ID) for name, id in ids.items()}
        of = {"worker": caller.authid, "serial": serial, "session": caller.session, **bounded}
        self._log.emit(_LEVELS[level], "{about}: {line}", about=about, line=line, **of)
        if evaluation is not None:
            return
        self.publisher.publish(WorkerLogged(self.clock.seconds(), caller.authid, level, line, serial))

    async def event(self, caller: Caller, serial: str, reservation: str, name: str, fields: dict[str, Any]) -> None:
        """Pass an event of a device kind on to the client that holds the board."""
        if name in OWN_EVENTS or not valid_name(name):
            raise InvalidArgument(f"an event of a device kind cannot be called {name!a:.80}")
        record = await self._active_reservation(reservation)
        if record.serial != serial or record.worker != caller.authid:
            raise NotYours(f"reservation {reservation!a:.80} is none of board {serial!a:.80} of {caller.authid}")
        own = {"event": name, "serial": serial, "reservation": reservation}
        self.publisher.publish(KindEvent(record.client, {**fields, **own}))

    async def archive(self, caller: Caller, rows: bytes, waiting: int = 0, lost: int = 0) -> dict[str, Any]:
        """Store rows of measurements, one on each line; once this returns, the worker forgets them.

        ``waiting`` is how many bytes its spool has, these rows included, and ``lost`` how many rows it has lost.
        """
        if self.intake is None:
            raise Unavailable("this farm keeps no archive")
        return {"new": await self.intake.take(caller.authid, rows, max(0, waiting), max(0, lost))}

    async def _active_reservation(self, id: str) -> ReservationRecord:
        record = await self.store.reservation(id)
        if record is None or record.ended_at is not None:
            raise ReservationEnded()
        return record

    async def _note_seen(self, worker: str) -> int | None:
        """Return how many boards of the worker are present by the database; None where that is away."""
        try:
            return await self.store.worker_seen(worker)
        except IcefarmError as error:
            # Answer a heartbeat even if the database is away.
            self._log.debug("{worker} is alive, but not noted so: {error}", worker=worker, error=error)
            return None
