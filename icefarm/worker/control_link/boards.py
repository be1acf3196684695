"""This worker's boards, as control has them: their procedures at the router, their reports, and what they say.

Control decides whether the worker may offer procedures: it must have the board by the inventory, so a board that is new
is offered once control has taken it in.  A board whose procedures nobody can call is reported as offline.

Of each board the latest report is sent, in order, and again until control acknowledges it.  A lone report is sent at
once; boards that change while it is on its way, or within `PAUSE`, are reported together.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import Factory, define, evolve
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import to_wire
from icefarm.bus import Bus, Registration
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import failures
from icefarm.contract import BoardHealth, DeviceReport, DeviceStatus, control_worker_procedure
from icefarm.errors import IcefarmError, LinkLost
from icefarm.worker.board.context import Observer
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.control_link.board_calls import BoardProcedures, EvaluationLists
from icefarm.worker.control_link.settling import Settling
from icefarm.worker.control_link.shutdown import Departure

__all__ = ["BoardRegistrations", "Reports"]

REPORT, REPORTS = control_worker_procedure("report"), control_worker_procedure("reports")
#: Seconds for the answer to reports; control asks its database.
REPORT_LIMIT = 15.0
#: Seconds between two calls with reports, and boards of one: a message of 200 kB.
PAUSE = 0.02
AT_ONCE = 500
#: Concurrent calls to a control that takes one report at a time.
SINGLY_AT_ONCE = 64
#: Seconds for a log line or an event.
WORD_LIMIT = 10.0
#: Pending log lines and events; more are dropped.
WORDS = 200

Counters = tuple[int, int, int, BoardHealth]
#: Fields whose change alone is not reported at once.
_counters: Callable[[DeviceReport], Counters] = attrgetter("evaluations", "failures", "retries", "health")


@define(eq=False)
class Reports(Observer):
    """What control is to know of the boards: their unacknowledged reports, their log lines and events."""

    _clock: Clock
    #: Looks at each change whether the worker can leave.
    _departure: Departure
    #: Boards whose report has changed, by serial.
    _unsent: dict[str, ManagedBoard] = Factory(dict)
    #: Boards whose report did not arrive, or was refused: it is sent again when the board changes, or with `send_all`.
    _failed: dict[str, ManagedBoard] = Factory(dict)
    #: Each board's counters in its last report.
    _counted: dict[str, Counters] = Factory(dict)
    #: Those of the present session, and, once control has answered its hello and takes reports, the same again.
    _registrations: BoardRegistrations | None = None
    _session: BoardRegistrations | None = None
    #: The session in which reports are on their way, or were within `PAUSE`.
    _sending: BoardRegistrations | None = None
    _words: int = 0
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def joined(self, session: BoardRegistrations) -> None:
        """A session has begun; control takes no reports in it yet."""
        self._registrations, self._session = session, None

    def attach(self, session: BoardRegistrations) -> None:
        """Control takes reports in this session."""
        self._session = session

    def detach(self) -> None:
        """The session has ended."""
        self._registrations = self._session = None

    # ---------------------------------------------------------- what happens to boards (see `context.Observer`)

    def added(self, board: ManagedBoard) -> None:
        # Its first report makes it known to control, and then it is offered.
        self.changed(board)

    def removed(self, board: ManagedBoard) -> None:
        self._unsent.pop(board.serial, None)
        self._failed.pop(board.serial, None)
        self._counted.pop(board.serial, None)
        if self._registrations is not None:
            self._start(self._registrations.withdraw(board.serial))

    def changed(self, board: ManagedBoard) -> None:
        """A board's report has changed: send it, or keep it until control takes reports."""
        if self._departure.allowed:
            self._departure.look()
        self._failed.pop(board.serial, None)
        self._unsent[board.serial] = board
        self._begin()

    def noted(self, board: ManagedBoard, level: str, message: str) -> None:
        self._say("log", {"level": level, "message": message, "serial": board.serial})

    def evaluation_failed(self, board: ManagedBoard, reservation: str, evaluation: str, message: str) -> None:
        about = {"serial": board.serial, "reservation": reservation, "evaluation": evaluation}
        self._say("log", {"level": "info", "message": message, **about})

    def emitted(self, board: ManagedBoard, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        told = {"serial": board.serial, "reservation": reservation, "name": event, "fields": dict(fields)}
        self._say("event", told)

    def _say(self, name: str, arguments: dict[str, Any]) -> None:
        """Send control a message that is not worth a retry."""
        if self._session is not None and self._words < WORDS:
            self._words += 1
            self._start(self._said(self._session.bus, name, arguments))

    async def _said(self, bus: Bus, name: str, arguments: dict[str, Any]) -> None:
        try:
            await bus.call(control_worker_procedure(name), (), arguments, timeout=WORD_LIMIT)
        finally:
            self._words -= 1

    # ------------------------------------------------------------------------------------------------ reports

    def told(self, reports: Iterable[DeviceReport]) -> None:
        """A hello contained all reports; later changes are not in it."""
        self._unsent.clear()
        self._failed.clear()
        for report in reports:
            self._counted[report.serial] = _counters(report)

    def find_counters(self, boards: Iterable[ManagedBoard]) -> None:
        """Add the boards whose counters alone have changed."""
        for board in boards:
            if self._counted.get(board.serial) != _counters(board.report()):
                self._unsent[board.serial] = board

    def send_all(self) -> None:
        """Send what is unsent."""
        self._unsent = {**self._failed, **self._unsent}
        self._failed = {}
        self._begin()

    def _begin(self) -> None:
        session = self._session
        if session is not None and self._unsent and self._sending is not session:
            self._sending = session
            self._start(self._send(session))

    async def _send(self, session: BoardRegistrations) -> None:
        """Report the boards that have changed.

        There is one such call at a time: reports of a board arrive in order, and changes meanwhile become one report.
        """
        began = self._clock.seconds()
        boards = dict(sorted(self._unsent.items())[:AT_ONCE])
        reports = [session.shown(board.report()) for board in boards.values()]
        for report in reports:
            del self._unsent[report.serial]
            self._counted[report.serial] = _counters(report)
        refused: Iterable[str] = boards
        try:
            refused = await session.report(reports)
        finally:
            self._keep(boards[serial] for serial in refused)
            left = max(0.0, began + PAUSE - self._clock.seconds())
            self._clock.callLater(left, self._go_on, session)
        taken = [board for serial, board in boards.items() if serial in self._counted and serial not in refused]
        await session.offer(taken, known=True)

    def _keep(self, boards: Iterable[ManagedBoard]) -> None:
        """Keep boards whose report control does not have, except those that were forgotten or have changed again."""
        for board in boards:
            if board.serial in self._counted and board.serial not in self._unsent:
                self._failed[board.serial] = board

    def _go_on(self, session: BoardRegistrations) -> None:
        if self._sending is session:
            self._sending = None
            self._begin()

    def _start(self, telling: Coroutine[Deferred[Any], Any, None]) -> None:
        Deferred.fromCoroutine(telling).addErrback(self._fault)

    def _fault(self, failure: Failure) -> None:
        """Ignore errors that a lost session or an absent control explains; the next hello makes up for them."""
        if failure.check(CancelledError, IcefarmError) is None:
            self._log.failure("a message to control failed", failure)


@define(eq=False)
class BoardRegistrations:
    """Registers, and knows what is not registered."""

    bus: Bus
    _settling: Settling
    _reports: Reports
    #: What clients evaluate in lists.
    _lists: EvaluationLists
    #: Whether control takes reports in lists; one of an earlier version does not.
    takes_lists: bool = False
    #: By serial, also those that are still being registered.
    offered: dict[str, Deferred[Registration | None]] = Factory(dict)
    #: Why boards that control knows cannot be called.
    refused: dict[str, str] = Factory(dict)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    async def offer(self, boards: Iterable[ManagedBoard], *, known: bool) -> None:
        """Register the procedures of the boards that have none; ``known``: control has taken these boards in."""
        missing = [board for board in boards if board.serial not in self.offered]
        offers = [Deferred.fromCoroutine(self._offer(board, known)) for board in missing]
        await gatherResults(offers, consumeErrors=True)

    async def withdraw(self, serial: str) -> None:
        """Unregister the procedures of a board that is no longer here."""
        self.refused.pop(serial, None)
        self._lists.doors.pop(serial, None)
        registering = self.offered.pop(serial, None)
        registration = None if registering is None else await registering
        if registration is not None:
            await registration.end()

    async def report(self, reports: Sequence[DeviceReport]) -> Collection[str]:
        """Report boards; returns the serials of those whose report is refused."""
        if not self.takes_lists:
            return await failures({each.serial: partial(self._report_one, each) for each in reports}, SINGLY_AT_ONCE)
        told = {"reports": [to_wire(report) for report in reports]}
        answer = await self.bus.call(REPORTS, (), told, timeout=REPORT_LIMIT)
        refused: Mapping[str, str] = answer["refused"]
        for serial, why in refused.items():
            self._log.debug("control refuses the report of board {serial}: {why}", serial=serial, why=why)
        return refused

    async def _report_one(self, report: DeviceReport) -> None:
        await self.bus.call(REPORT, (), {"report": to_wire(report)}, timeout=REPORT_LIMIT)

    def shown(self, report: DeviceReport) -> DeviceReport:
        """Return what to report of a board: one that nobody can call is offline."""
        why = self.refused.get(report.serial)
        if why is None or report.status in (DeviceStatus.OFFLINE, DeviceStatus.BROKEN):
            return report
        return evolve(report, status=DeviceStatus.OFFLINE, reason=f"nobody can call it: {why}")

    async def _offer(self, board: ManagedBoard, known: bool) -> None:
        serial, procedures = board.serial, BoardProcedures.of(board, self._settling, self._lists)
        registering: Deferred[Registration | None] = Deferred()
        self.offered[serial] = registering
        registration = None
        try:
            registration = await self.bus.register(procedures.prefix, procedures.handle, prefix=True, replace=True)
        except IcefarmError as error:
            self.offered.pop(serial, None)
            # Errors of a lost session do not matter: the next one offers all boards again.
            if known and serial not in self.refused and not isinstance(error, LinkLost):
                self.refused[serial] = str(error)
                self._log.warn("nobody can call board {serial}: {why}", serial=serial, why=error)
                self._reports.changed(board)
        else:
            if serial in self.offered:
                self._lists.doors[serial] = procedures
            if self.refused.pop(serial, None) is not None:
                self._reports.changed(board)
        finally:
            registering.callback(registration)
