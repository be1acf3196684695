"""This worker's boards, as control has them: their procedures at the router, and their reports.

Control decides whether the worker may offer procedures: it must have the board by the inventory, so a board that is new
is offered once control has taken it in.  A board whose procedures nobody can call is reported as offline.

Of each board the latest report is sent, in order, and again until control acknowledges it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from operator import attrgetter
from typing import Any

from attrs import Factory, define, evolve
from twisted.internet.defer import CancelledError, Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import to_wire
from icefarm.bus import Bus, Registration
from icefarm.contract import BoardHealth, DeviceReport, DeviceStatus, control_worker_procedure
from icefarm.errors import IcefarmError, LinkLost
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.control_link.evaluation_lists import EvaluationLists
from icefarm.worker.control_link.rpc import BoardProcedures, Settling

__all__ = ["BoardRegistrations", "Reports"]

REPORT = control_worker_procedure("report")
#: Seconds for the answer to a report; control asks its database.
REPORT_LIMIT = 15.0

Counters = tuple[int, int, int, BoardHealth]
#: What of a report is not worth one by itself.
_counters: Callable[[DeviceReport], Counters] = attrgetter("evaluations", "failures", "retries", "health")


@define(eq=False)
class Reports:
    """The unacknowledged reports."""

    #: Boards whose report has changed, by serial.
    _unsent: dict[str, ManagedBoard] = Factory(dict)
    _sending: set[str] = Factory(set)
    #: Each board's counters in its last report.
    _counted: dict[str, Counters] = Factory(dict)
    #: Those of the session in which control has answered a hello, and takes reports.
    _session: BoardRegistrations | None = None
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def attach(self, session: BoardRegistrations) -> None:
        """Control takes reports in this session."""
        self._session = session

    def detach(self) -> None:
        """The session has ended."""
        self._session = None

    def changed(self, board: ManagedBoard) -> None:
        """A board's report has changed: send it, or keep it until control takes reports."""
        self._unsent[board.serial] = board
        if self._session is not None and board.serial not in self._sending:
            self._start(self._send(board, self._session))

    def forget(self, serial: str) -> None:
        """A board was forgotten."""
        self._unsent.pop(serial, None)
        self._counted.pop(serial, None)

    def told(self, reports: Iterable[DeviceReport]) -> None:
        """A hello contained all reports; later changes are not in it."""
        self._unsent.clear()
        for report in reports:
            self._counted[report.serial] = _counters(report)

    def find_counters(self, boards: Iterable[ManagedBoard]) -> None:
        """Add the boards whose counters alone have changed."""
        for board in boards:
            if self._counted.get(board.serial) != _counters(board.report()):
                self._unsent[board.serial] = board

    def send_all(self) -> None:
        """Send what is unsent."""
        for _, board in sorted(self._unsent.items()):
            self.changed(board)

    async def _send(self, board: ManagedBoard, session: BoardRegistrations) -> None:
        """Report a board until control has its latest state.

        Each board has at most one report in progress: reports arrive in order, and changes meanwhile become one
        report.  If sending fails, the report stays unsent and the error is raised.
        """
        serial = board.serial
        self._sending.add(serial)
        try:
            while serial in self._unsent:
                board = self._unsent.pop(serial)
                report = board.report()
                self._counted[serial] = _counters(report)
                if serial in session.refused:
                    report = session.shown(report)
                try:
                    await session.bus.call(REPORT, (), {"report": to_wire(report)}, timeout=REPORT_LIMIT)
                except BaseException:
                    if serial in self._counted:
                        self._unsent.setdefault(serial, board)
                    raise
                if serial in self._counted and serial not in session.offered:
                    self._start(session.offer([board], known=True))
        finally:
            self._sending.discard(serial)

    def _start(self, operation: Coroutine[Deferred[Any], Any, Any]) -> None:
        Deferred.fromCoroutine(operation).addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        """Ignore errors that a lost session or an absent control explains; the next hello makes up for them."""
        if failure.check(CancelledError, IcefarmError) is None:
            self._log.failure("a report to control failed", failure)


@define(eq=False)
class BoardRegistrations:
    """Registers, and knows what is not registered."""

    bus: Bus
    _settling: Settling
    _reports: Reports
    #: What clients evaluate in lists.
    _lists: EvaluationLists
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
        """Take back the procedures of a board that is not here any more."""
        self.refused.pop(serial, None)
        self._lists.doors.pop(serial, None)
        registering = self.offered.pop(serial, None)
        registration = None if registering is None else await registering
        if registration is not None:
            await registration.end()

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
            # Of a session that is lost there is nothing to say: the next one offers all boards again.
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
