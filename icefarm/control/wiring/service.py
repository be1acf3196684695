"""Control: puts its parts together and keeps them at the farm's routers.

It holds no state that it can't recover: sessions come from the routers, boards from their workers' hellos, the rest
from the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from icefarm.bus import Bus, Caller, Handler
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, outcomes
from icefarm.contract import AUTHENTICATOR, AUTHORIZER, BOARDS, DeviceRecord, WorkerRecord, control_procedure
from icefarm.control.archive.interface import Archive
from icefarm.control.rpc.elsewhere import BoardsElsewhere
from icefarm.control.sessions.liveness import ROUTER_PATIENCE
from icefarm.control.sessions.presence import sessions_by_role
from icefarm.control.sessions.revocation import RevocationWatch
from icefarm.control.sessions.routers import ONLY
from icefarm.control.sessions.sign_in.authenticator import Authenticator
from icefarm.control.sessions.sign_in.authorizer import ROUTER_ROLE, RegistrationAuthorizer
from icefarm.control.sessions.sign_in.credentials_check import CredentialsCheck, IssuerTokens
from icefarm.control.sessions.sign_in.issuer_keys import IssuerKeys
from icefarm.control.sessions.sign_in.operator_token import FILE_NAME, ensure_operator_token
from icefarm.control.storage.history import History
from icefarm.control.storage.interface import Store
from icefarm.control.storage.shared import ACCESS_TABLES
from icefarm.control.telemetry.events import AccessChanged, RouterJoined, SignInAnswered
from icefarm.control.telemetry.metrics import FarmSnapshot, RouterSnapshot
from icefarm.control.wiring.assembly import assemble
from icefarm.control.wiring.procedures import handlers
from icefarm.control.wiring.settings import ControlSettings
from icefarm.errors import Busy, IcefarmError, NotAuthorized
from icefarm.oidc.web_client import WebClient

__all__ = ["Control", "ControlSettings"]

#: Procedures registered concurrently.
AT_ONCE = 32


class Control(Service):
    """Control as a service.  Its `joined` and `refused` are for a `Link`."""

    log = Logger()

    def __init__(
        self,
        clock: Clock,
        store: Store,
        history: History,
        settings: ControlSettings,
        web: WebClient | None = None,
        archive: Archive | None = None,
    ) -> None:
        """``web`` asks the issuer, if the settings name one; ``archive`` keeps measurements, if anything does."""
        self.clock, self.store, self.settings = clock, store, settings
        #: Why there is no session, by router, as it was logged last.
        self._refusals: dict[str, str] = {}
        #: Routers that have admitted control.
        self._were_in: set[str] = set()
        #: Routers that control has joined.
        self._joined: set[str] = set()
        #: Learns the state of the farm after control has had the time to join all routers; once at a time (`_turn`).
        self._learning: Any = None
        self._turn = DeferredLock()
        self.parts = assemble(clock, store, history, settings, archive if settings.archive else None)
        self.sessions = self.parts.sessions
        self.issued = _issued(settings, store, clock, web)
        self.credentials = CredentialsCheck(store, self.issued)
        self.authenticator = Authenticator(settings.sign_in, self.credentials, self.sessions, clock, self.parts.audit)
        self.authorizer = RegistrationAuthorizer(self.parts.owners, clock)
        self.revocation = RevocationWatch(store, self.sessions, self.parts.publisher, clock)
        self._tasks = Tasks()
        self._procedures = handlers(self.parts, store, clock, settings, self.credentials)

    @property
    def bus(self) -> Bus | None:
        """The session at the first router that is in reach; None while none is."""
        buses = self.parts.routers.buses
        return next((buses[router] for router in self.settings.routers if router in buses), None)

    async def joined(self, bus: Bus, replace: bool = True, router: str = ONLY) -> None:
        """Start working in a new session at a router.  Raises if that fails; the link then tries another session.

        ``replace``: take the procedures over from an earlier session, this control's own or a dead leader's.
        """
        bus.on_lost(partial(self._lost, bus, router))
        self._were_in.add(router)
        self.parts.routers.buses[router] = bus
        await self.sessions.attach(bus, router)
        await self.parts.topics.audiences[router].attach(bus)
        registered = await outcomes(
            [
                partial(bus.register, procedure, _at(router, handler), replace=replace)
                for procedure, handler in self._procedures.items()
            ],
            AT_ONCE,
        )
        for registration in registered:
            if isinstance(registration, IcefarmError):
                raise registration
        if len(self.settings.routers) > 1:
            # One router by itself says that nobody offers a procedure.
            boards = BoardsElsewhere(self.parts.owners, self.parts.routers)
            await bus.register(BOARDS, _at(router, boards.answer), prefix=True, replace=replace)
        await bus.register(AUTHORIZER, self.authorizer.authorize, replace=replace)
        # Last: everything is in place before the first sign-in.
        await bus.register(AUTHENTICATOR, _at(router, self._sign_in), replace=replace)
        self._refusals.pop(router, None)
        self.parts.publisher.publish(RouterJoined(router))
        self.parts.recorder.start()
        self.revocation.start()
        if self.issued is not None:
            self.issued.keys.start()
        self.parts.audit.start()
        self.parts.calibration.start()
        if self.parts.archive is not None:
            self.parts.archive.start()
        self.log.info("control is at the router{name}", name=_named(router))
        self._joined.add(router)
        self._plan_learning()

    def refused(self, error: IcefarmError, router: str = ONLY) -> bool:
        """Log why there is no session, once for each reason, and return whether to keep trying.

        Control keeps trying forever, unless the router refused it and has never admitted it: a person must fix that.
        """
        if isinstance(error, NotAuthorized) and router not in self._were_in:
            return False
        if str(error) != self._refusals.get(router):
            self._refusals[router] = str(error)
            self.log.warn("no session at the router{name} yet, retrying: {error}", name=_named(router), error=error)
        return True

    def stopService(self) -> None:
        """Cancel pending work.  Boards stay with their clients, for the next control."""
        Service.stopService(self)
        self._stop_learning()
        self.parts.stop()
        self.revocation.stop()
        if self.issued is not None:
            self.issued.keys.stop()
        self._tasks.stop()

    async def overview(self) -> tuple[list[WorkerRecord], list[DeviceRecord]]:
        """Return the store's workers and boards.  Raises `Busy`."""
        # Not a shared read: health means that the database answers now.
        return await self.store.workers(), await self.store.devices()

    def is_connected(self) -> bool:
        """Tell whether control is at a router."""
        return self.bus is not None

    def lost_routers(self) -> list[str]:
        """Return the URLs of those of several routers that are out of reach."""
        return [router for router in self.settings.routers if router and router not in self.parts.routers.buses]

    async def metrics_page(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text format, and its media type."""
        routers, queue = self._routers(), self.parts.queue.records()
        try:
            workers, devices = await self.overview()
        except IcefarmError:
            return self.parts.metrics.text(FarmSnapshot(routers, database=False))
        return self.parts.metrics.text(FarmSnapshot(routers, True, workers, devices, queue))

    def _routers(self) -> list[RouterSnapshot]:
        """Return the routers; of one that is out of reach, nobody knows the sessions."""
        buses, state = self.parts.routers.buses, self.sessions.state
        return [
            RouterSnapshot(router, router in buses, sessions_by_role(state, router) if router in buses else {})
            for router in self.settings.routers
        ]

    async def perform(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out one of control's procedures for a caller without a session.  Raises what it does."""
        procedure = control_procedure(name)
        return await self._procedures[procedure](caller, procedure, (), arguments)

    async def prepare(self) -> None:
        """Do what comes before the first sign-in.  Raises `Busy`."""
        await self.ensure_token()
        # While the database is away, nobody gets boards; a later look learns them.
        with suppress(Busy):
            await self.revocation.learn_limits()

    def table_changed(self, table: str) -> None:
        """Follow a change that another process may have made, such as ``icefarm accounts import``."""
        if not self._were_in:
            # Nobody is served yet, and the database may have an earlier schema still.
            return
        if table in RevocationWatch.TABLES:
            self.revocation.look()
        elif table in ACCESS_TABLES:
            self.parts.publisher.publish(AccessChanged())

    def missed_changes(self) -> None:
        """Follow what may have been changed while a connection to the database was away."""
        for table in (*RevocationWatch.TABLES, *ACCESS_TABLES):
            self.table_changed(table)

    async def ensure_token(self) -> None:
        """Ensure the operator's token in the data directory, if there is one.  Raises `Busy`."""
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
        """Authenticate a sign-in, and count it by the requested role."""
        role, outcome = "unknown", "accepted"
        try:
            if caller.role != ROUTER_ROLE:
                raise NotAuthorized("only the router asks that")
            answer = await self.authenticator.authenticate(caller, procedure, args, fields)
            role = answer["role"]
        except IcefarmError as error:
            outcome = error.name
            raise
        else:
            return answer
        finally:
            self.parts.publisher.publish(SignInAnswered(role, outcome))

    def _lost(self, bus: Bus, router: str, reason: str) -> None:
        buses = self.parts.routers.buses
        if buses.get(router) is not bus:
            return
        self.log.warn("control has lost the router{name}: {reason}", name=_named(router), reason=reason)
        del buses[router]
        self._joined.discard(router)
        self.sessions.detach(router)
        self.parts.topics.audiences[router].detach()
        self.parts.dispatcher.lose(router)

    def _plan_learning(self) -> None:
        """Learn the state of the farm: at once if all routers are joined, else after there was time to join them.

        What is at a router that is not joined yet would count as lost.
        """
        self._stop_learning()
        if self._joined == set(self.settings.routers):
            self._start_learning()
        else:
            self._learning = self.clock.callLater(ROUTER_PATIENCE, self._start_learning)

    def _start_learning(self) -> None:
        self._learning = None
        self._tasks.persist(self.clock, "the state of the farm is learnt", self._learn_in_turn)

    async def _learn_in_turn(self) -> None:
        await self._turn.acquire()
        try:
            await self._learn()
        finally:
            self._turn.release()

    def _stop_learning(self) -> None:
        if self._learning is not None:
            self._learning.cancel()
            self._learning = None

    async def _learn(self) -> None:
        """Take over from the previous control: absent clients and boards, expiry."""
        await self.ensure_token()
        self.parts.owners.learn(await self.store.devices())
        await self.parts.inventory.look()
        await self.parts.shares.learn()
        await self.parts.queue.restore()
        await self.parts.absent_clients.look()
        self.parts.expiry.poke()
        self.parts.booking_keeper.poke()


def _at(router: str, handler: Handler) -> Handler:
    """Return what handles the calls that come in at a router."""
    return handler if router == ONLY else partial(_said_where, router, handler)


async def _said_where(
    router: str, handler: Handler, caller: Caller, procedure: str, args: Sequence[Any], fields: Mapping[str, Any]
) -> Any:
    """Hand a call to its handler, and say at which router it came in."""
    return await handler(evolve(caller, router=router), procedure, args, fields)


def _named(router: str) -> str:
    return f" {router}" if router else ""


def _issued(settings: ControlSettings, store: Store, clock: Clock, web: WebClient | None) -> IssuerTokens | None:
    if settings.oidc is None or web is None:
        return None
    return IssuerTokens(settings.oidc, IssuerKeys(settings.oidc.issuer, web, clock), store)
