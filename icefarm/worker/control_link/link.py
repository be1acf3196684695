"""The worker's side of its session with control: hello, heartbeats, reports, and what control orders.

Control may be away, restarted, or forget; so important messages are repeated until acknowledged: the hello when
control does not know this worker, and the latest report of each board.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import from_wire, passes_over_unknown, to_wire
from icefarm.bus import Bus
from icefarm.contract import (
    Assignment,
    DeviceStatus,
    PoolRecord,
    WorkerHello,
    control_worker_procedure,
    worker_prefix,
)
from icefarm.errors import IcefarmError, NotAuthorized, TimedOut
from icefarm.text.counts import counted
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.archive.spool import Batch, Spool
from icefarm.worker.board.pool import BoardPool
from icefarm.worker.board.registry import BoardRegistry
from icefarm.worker.control_link.alive import AliveFile
from icefarm.worker.control_link.board_calls import EvaluationLists
from icefarm.worker.control_link.boards import BoardRegistrations, Reports
from icefarm.worker.control_link.kind_offer import KindOffer
from icefarm.worker.control_link.rpc import ControlProcedures
from icefarm.worker.control_link.settling import Settling
from icefarm.worker.control_link.shutdown import Departure, WorkerProcess
from icefarm.worker.reservation.counters import BoardCounters

__all__ = ["ControlLink", "WorkerIdentity"]

#: Seconds between heartbeats unless control sets another interval, and for the answer to one.
HEARTBEAT = 5.0
HEARTBEAT_LIMIT = 10.0
#: Seconds for the answer to a hello; control asks its database.
HELLO_LIMIT = 15.0
#: Seconds for control to store a batch of measurements.
ARCHIVE_LIMIT = 60.0
#: Heartbeats between reports that have only new counters.
COUNTER_BEATS = 3


@frozen
class WorkerIdentity:
    """The worker's identity."""

    name: str
    instance: str
    host: str
    version: str


@passes_over_unknown
@frozen
class HelloReply:
    """Control's answer to a hello."""

    assignments: dict[str, Assignment]
    heartbeat_s: float
    draining: bool = False
    #: Control keeps measurements in the archive.
    archive: bool = False
    #: Control takes reports in lists.
    lists: bool = False
    #: The clients that share boards; the assignments have the farm's own reservations of these.
    shares: dict[str, list[Assignment]] = Factory(dict)


@define(eq=False)
class _ControlSession:
    """One session at the router."""

    bus: Bus
    registrations: BoardRegistrations
    over: bool = False
    #: Control has answered a hello of this session.
    greeted: bool = False
    interval: float = HEARTBEAT
    beats: int = 0
    timer: Any = None


@frozen
class _RowsToControl:
    """Gives control rows for the archive, in one session."""

    _session: _ControlSession

    async def send_rows(self, batch: Batch, spool: Spool) -> None:
        told = {"rows": batch.rows, "waiting": spool.waiting, "lost": spool.dropped}
        procedure = control_worker_procedure("archive")
        await self._session.bus.call(procedure, (), told, timeout=ARCHIVE_LIMIT)


@define(eq=False)
class ControlLink:
    """Keeps control informed, and assigns boards as control wants."""

    identity: WorkerIdentity
    _clock: Any
    _boards: BoardRegistry
    _offer: KindOffer
    _departure: Departure
    _process: WorkerProcess
    _archive: Recorder
    #: None where all boards are always there.
    _pool: BoardPool | None = None
    _alive: AliveFile = Factory(AliveFile)
    _control: ControlProcedures = Factory(
        lambda self: ControlProcedures(self._clock, self._boards, self._departure, self._pool), takes_self=True
    )
    _settling: Settling = Factory(lambda self: Settling(self._clock), takes_self=True)
    _session: _ControlSession | None = None
    #: Hears what happens to the boards.
    reports: Reports = Factory(lambda self: Reports(self._clock, self._departure), takes_self=True)
    _readings: BoardCounters = Factory(BoardCounters)
    _trouble: str | None = None
    _was_in: bool = False
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    # ---------------------------------------------------------------------------------------------- the session

    async def joined(self, bus: Bus) -> None:
        """Begin a session (for `Link`)."""
        lists = EvaluationLists(self._clock, session=bus.session, recorder=self._archive)
        registrations = BoardRegistrations(bus, self._settling, self.reports, lists)
        session = self._session = _ControlSession(bus, registrations)
        self.reports.joined(registrations)
        bus.on_lost(partial(self._lost, session))
        self._was_in = True
        await bus.register(worker_prefix(bus.authid), self._control.handle, prefix=True, replace=True)
        # Boards that control knows as this worker's are served at once; the others after the hello.
        await registrations.offer(self._boards, known=False)
        self._log.info("connected to the router as worker {name}", name=bus.authid)
        await self._greet(session)
        self._beat_later(session)

    def refused(self, error: IcefarmError) -> bool:
        """A sign-in was refused, or nobody answered (for `Link`): keep trying, but log each reason once.

        A worker that was never admitted exits: it is useless, and a person must fix that.
        """
        if isinstance(error, NotAuthorized) and not self._was_in:
            self._process.failed(Failure(error))
            return False
        if error.message != self._trouble:
            self._trouble = error.message
            self._log.warn("no connection to the farm yet: {why}", why=error.message)
        return True

    def _lost(self, session: _ControlSession, reason: str) -> None:
        session.over = True
        if session.timer is not None and session.timer.active():
            session.timer.cancel()
        if self._session is session:
            self._session = None
            self.reports.detach()
            self._archive.sender.detach()
            self._log.warn("the connection to the router ended: {reason}", reason=reason)

    async def _greet(self, session: _ControlSession) -> None:
        """Say hello, and carry out control's answer; if that fails, retry with the next heartbeat."""
        self._control.hello_sent()
        reports = [session.registrations.shown(board.report()) for board in self._boards]
        self.reports.told(reports)
        self._readings.forget()
        me = self.identity
        # The farm may have put the name into the account of the worker's token.
        pool = None if self._pool is None else PoolRecord(self._pool.least, self._pool.most, self._pool.model)
        hello = WorkerHello(
            session.bus.authid, me.instance, me.host, me.version, self._offer.records(), reports, pool, True, lists=True
        )
        try:
            answer = await self._call(session, "hello", HELLO_LIMIT, hello=to_wire(hello))
        except IcefarmError as error:
            self.refused(error)
            return
        orders = from_wire(answer, HelloReply, "control's answer to the hello")
        self._trouble = None
        self._alive.touch()
        session.greeted = True
        session.registrations.takes_lists = orders.lists
        if self._session is session:
            self.reports.attach(session.registrations)
        session.interval = orders.heartbeat_s
        self._control.draining = orders.draining
        self._archive.on = orders.archive
        if orders.archive:
            self._archive.sender.attach(_RowsToControl(session))
        else:
            self._archive.sender.detach()
        self._control.converge(orders.assignments, orders.shares)
        self._settling.done()
        await session.registrations.offer(self._boards, known=True)
        self.reports.send_all()
        self._log.info("known to control, with {boards}", boards=counted(len(reports), "board"))

    def _beat_later(self, session: _ControlSession) -> None:
        if not session.over:
            session.timer = self._clock.callLater(session.interval, self._start_beat, session)

    async def _beat(self, session: _ControlSession) -> None:
        readings = self._readings.news(board.reading() for board in self._boards)
        present = sum(board.report().status is not DeviceStatus.OFFLINE for board in self._boards)
        told = [to_wire(reading) for reading in readings]
        beat = {"instance": self.identity.instance, "readings": told, "present": present}
        try:
            answer = await self._call(session, "heartbeat", HEARTBEAT_LIMIT, **beat)
        except TimedOut:
            session.bus.drop("control did not answer a heartbeat")
            return
        except IcefarmError as error:
            self.refused(error)
        else:
            session.beats += 1
            self._readings.told(readings)
            if not answer.get("known") or not session.greeted:
                await self._greet(session)
            else:
                self._alive.touch()
                await session.registrations.offer(self._boards, known=True)
            if session.beats % COUNTER_BEATS == 0:
                self.reports.find_counters(self._boards)
            self.reports.send_all()
        self._beat_later(session)

    # -------------------------------------------------------------------------------------------- small things

    async def _call(self, session: _ControlSession, name: str, limit: float, /, **arguments: Any) -> Any:
        return await session.bus.call(control_worker_procedure(name), (), arguments, timeout=limit)

    def _start_beat(self, session: _ControlSession) -> None:
        Deferred.fromCoroutine(self._beat(session)).addErrback(self._fault)

    def _fault(self, failure: Failure) -> None:
        """Ignore errors that a lost session or an absent control explains; the next hello makes up for them."""
        if failure.check(CancelledError, IcefarmError) is None:
            self._log.failure("a heartbeat failed", failure)
