"""Control: puts its parts together and keeps them at the router.

It keeps nothing that it can't learn again: sessions from the router, boards from their workers' hellos, the rest from
the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from attrs import field, frozen
from twisted.application.service import Service
from twisted.logger import Logger

from icefarm.bus import Bus, Caller, Handler
from icefarm.clock import Clock
from icefarm.contract import (
    AUTHENTICATOR,
    BoardReading,
    DeviceRecord,
    WorkerRecord,
    control_procedure,
    control_worker_procedure,
)
from icefarm.control.inventory.drain import DrainMonitor
from icefarm.control.inventory.inventory import Inventory
from icefarm.control.inventory.reconciler import Reconciler
from icefarm.control.reservations.allocator import Allocator
from icefarm.control.reservations.expiry import ExpiryTimer
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.termination import Termination
from icefarm.control.rpc.client_api import ClientProcedures
from icefarm.control.rpc.dispatcher import RpcDispatcher
from icefarm.control.rpc.history_api import WatchProcedures
from icefarm.control.rpc.worker_api import WorkerProcedures
from icefarm.control.sessions.authenticator import Authenticator, SignInPolicy
from icefarm.control.sessions.events import (
    ClientBack,
    ClientGone,
    ClientMissing,
    DeviceGone,
    Effect,
    Granted,
    Kill,
    SessionEnded,
    StillMissing,
    WorkerLost,
)
from icefarm.control.sessions.liveness import Presence
from icefarm.control.sessions.operator_token import FILE_NAME, ensure_operator_token
from icefarm.control.sessions.revocation import RevocationWatch
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.history import History
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.metrics import FarmSnapshot, Metrics
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.telemetry.rates import Rates
from icefarm.control.telemetry.recorder import HistoryRecorder
from icefarm.control.worker_client import WorkerClient
from icefarm.deferreds import outcomes
from icefarm.errors import IcefarmError, NotAuthorized

__all__ = ["Control", "ControlSettings"]

#: Procedures that are registered at once.
AT_ONCE = 32


@frozen
class ControlSettings:
    """What an operator decides."""

    sign_in: SignInPolicy = SignInPolicy.OPEN
    #: Seconds that a client, or a board that was unplugged, may be away before its reservations end.
    grace: float = 30.0
    #: Seconds that a reservation lasts where its client does not say.
    reservation: float = 3600.0
    #: Where the operator's token is kept; None for a farm whose tokens are all made by hand.
    data_directory: Path | None = field(default=None)
    #: Seconds that a worker may be away before the reservations of its boards end, as long as their client is there.
    worker_grace: float = 600.0


class Control(Service):
    """The service that reserves, counts, lets in and tells.  Its `joined` and `refused` are for a `Link`."""

    log = Logger()

    def __init__(self, clock: Clock, store: Store, history: History, settings: ControlSettings) -> None:
        self.clock, self.store, self.settings = clock, store, settings
        #: The session at the router; None while there is none.
        self.bus: Bus | None = None
        self._refusal = ""
        self._was_in = False
        self.announcements = Publisher()
        self.orders = WorkerClient(clock)
        self.sessions = Sessions(clock, self._carry_out, Presence(settings.grace, settings.worker_grace))
        self.door = RpcDispatcher(self.sessions)
        self.endings = Termination(store, self.orders, self.announcements, clock)
        self.line = WaitingQueue(
            store,
            self.announcements,
            clock,
            lambda *late: self.reserving.abandon(*late),
            lambda client: self.sessions.state.client_is_here(client),
        )
        self.reserving = Allocator(store, self.line, self.orders, self.endings, self.announcements, self.sessions)
        self.agenda = ExpiryTimer(store, self.endings, self.announcements, clock, self.reserving.unconfirmed)
        self.convergence = Reconciler(store, self.orders, self.endings, self.reserving, self.announcements)
        self.departures = DrainMonitor(store, self.orders, clock)
        self.inventory = Inventory(
            store,
            self.sessions,
            self.orders,
            self.endings,
            self.convergence,
            self.departures,
            self.announcements,
            clock,
            self.line.poke,
        )
        self.authenticator = Authenticator(settings.sign_in, store, self.sessions, clock)
        self.revocation = RevocationWatch(store, self.sessions, clock)
        self.metrics = Metrics(clock)
        self.readings = Rates(clock, self.announcements, self._board_did, self.metrics.hello)
        self.chronicle = HistoryRecorder(history, store, self.readings, self.line.records, clock)
        self.announcements.listeners += [self.readings.heard, self.chronicle.heard, self.metrics.heard]
        self.endings.changed += [self.agenda.poke, self.line.poke, self.departures.poke]
        self._procedures = self._handlers(clock)

    def _handlers(self, clock: Clock) -> dict[str, Handler]:
        """Return the handler of every procedure by its URI."""
        for_clients = ClientProcedures(
            self.store,
            self.sessions,
            self.reserving,
            self.endings,
            self.inventory,
            self.orders,
            self.readings,
            self.settings.reservation,
            self.settings.grace,
        )
        for_workers = WorkerProcedures(
            self.store, self.sessions, self.inventory, self.orders, self.announcements, self.readings, clock
        )
        for_watchers = WatchProcedures(self.chronicle, clock)
        handlers = {}
        for name, (method, roles) in {**for_clients.table(), **for_watchers.table()}.items():
            handlers[control_procedure(name)] = self.door.handler(method, *roles)
        for name, (method, roles) in for_workers.table().items():
            handlers[control_worker_procedure(name)] = self.door.handler(method, *roles)
        return handlers

    async def joined(self, bus: Bus) -> None:
        """Take up work in a new session at the router.  Raises where that fails; another session is then tried."""
        bus.on_lost(partial(self._lost, bus))
        self._was_in = True
        self.bus = self.announcements.bus = self.orders.bus = bus
        await self.sessions.attach(bus)
        registered = await outcomes(
            [
                partial(bus.register, procedure, handler, replace=True)
                for procedure, handler in self._procedures.items()
            ],
            AT_ONCE,
        )
        for registration in registered:
            if isinstance(registration, IcefarmError):
                raise registration
        # Last: whoever signs in finds everything in its place.
        await bus.register(AUTHENTICATOR, self._sign_in, replace=True)
        self._refusal = ""
        self.metrics.joined()
        self.chronicle.start()
        self.revocation.start()
        self.log.info("control is at the router")
        self.inventory.persist("the state of the farm is learnt", self._learn)

    def refused(self, error: IcefarmError) -> bool:
        """Note why there is no session, once for each reason, and say whether to try on.

        Control tries for ever, unless the router has refused it and never let it in: that is for a person to see to.
        """
        if isinstance(error, NotAuthorized) and not self._was_in:
            return False
        if str(error) != self._refusal:
            self._refusal = str(error)
            self.log.warn("no session at the router yet, trying on: {error}", error=error)
        return True

    def stopService(self) -> None:
        """Give up what is under way.  Boards stay with their clients: another control carries on."""
        Service.stopService(self)
        # First: whose call ends now has not given up.
        self.sessions.detach()
        self.door.close()
        parts = (
            *(self.chronicle, self.agenda, self.line, self.convergence, self.departures),
            *(self.inventory, self.endings, self.revocation),
        )
        for part in parts:
            part.stop()

    async def overview(self) -> tuple[list[WorkerRecord], list[DeviceRecord]]:
        """Return workers and boards as the store has them.  Raises `Busy`."""
        return await self.store.workers(), await self.store.devices()

    async def scene(self) -> FarmSnapshot:
        """Return what there is now, for the metrics."""
        connected, queue = self.bus is not None, self.line.records()
        try:
            workers, devices = await self.overview()
        except IcefarmError:
            return FarmSnapshot(connected, database=False)
        return FarmSnapshot(connected, True, workers, devices, queue)

    async def perform(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out one of control's procedures for a caller whom the router does not know.  Raises what it does."""
        procedure = control_procedure(name)
        return await self._procedures[procedure](caller, procedure, (), arguments)

    async def ensure_token(self) -> None:
        """See to it that the operator's token is in the data directory, where there is one.  Raises `Busy`."""
        directory = self.settings.data_directory
        if directory is None:
            return
        try:
            if await ensure_operator_token(directory, self.store):
                self.log.info("made the operator's token: {path}", path=str(directory / FILE_NAME))
        except (OSError, UnicodeError) as error:
            self.log.error(
                "the operator's token cannot be kept in {path}: {error}", path=str(directory / FILE_NAME), error=error
            )

    async def _sign_in(
        self, caller: Caller, procedure: str, args: Sequence[Any], fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Let somebody in, and count it by the role that was asked for."""
        role, outcome = "unknown", "accepted"
        try:
            answer = await self.authenticator.authenticate(caller, procedure, args, fields)
            role = answer["role"]
        except IcefarmError as error:
            outcome = error.name
            raise
        else:
            return answer
        finally:
            self.metrics.signed_in(role, outcome)

    def _board_did(self, done: BoardReading) -> None:
        self.metrics.done(done)
        self.chronicle.done(done)

    def _lost(self, bus: Bus, reason: str) -> None:
        if self.bus is bus:
            self.log.warn("control has lost the router: {reason}", reason=reason)
            self.bus = self.announcements.bus = self.orders.bus = None
            self.sessions.detach()
            self.door.close()

    async def _learn(self) -> None:
        """See what was left by whoever was control before: who is missing, what expires."""
        await self.ensure_token()
        await self.inventory.look()
        await self.line.restore()
        active = await self.store.active()
        for record in active:
            if record.grace is not None:
                self.sessions.tell(Granted(record.client, record.grace))
        for client in {*(record.client for record in active), *self.line.clients()}:
            self.sessions.tell(ClientMissing(client))
        self.agenda.poke()

    def _carry_out(self, effect: Effect) -> None:
        persist = self.inventory.persist
        match effect:
            case SessionEnded(number):
                self.door.session_ended(number)
            case WorkerLost(name):
                persist(f"worker {name} is lost", partial(self.inventory.lost, name, "its worker is not connected"))
            case ClientBack(name):
                self.reserving.client_is_back(name)
            case ClientGone(name, since):
                persist(f"client {name} is gone", partial(self._end_of_absent, name, since))
            case DeviceGone(serial):
                persist(f"board {serial} is gone", partial(self.inventory.give_up, serial))
            case Kill():
                raise AssertionError("sessions are killed where they are known")

    async def _end_of_absent(self, client: str, since: float) -> None:
        """A client is away: end those of its reservations that last no longer without it."""
        if self.sessions.state.client_is_here(client):
            return
        self.line.forget(client)
        self.reserving.forget(client)
        graces = {
            record.id: self.settings.grace if record.grace is None else record.grace
            for record in await self.store.active(client=client)
        }
        away = self.clock.seconds() - since
        self.endings.schedule_end([id for id, grace in graces.items() if grace <= away], "its client is gone")
        longer = [grace for grace in graces.values() if grace > away]
        if longer:
            self.sessions.tell(StillMissing(client, since, min(longer)))
