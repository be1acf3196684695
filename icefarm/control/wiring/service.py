"""Control: puts its parts together and keeps them at the router.

It holds no state that it can't recover: sessions come from the router, boards from their workers' hellos, the rest
from the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

from icefarm.bus import Bus, Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, outcomes
from icefarm.contract import AUTHENTICATOR, AUTHORIZER, DeviceRecord, WorkerRecord, control_procedure
from icefarm.control.archive.interface import Archive
from icefarm.control.sessions.revocation import RevocationWatch
from icefarm.control.sessions.sign_in.authenticator import Authenticator
from icefarm.control.sessions.sign_in.authorizer import ROUTER_ROLE, RegistrationAuthorizer
from icefarm.control.sessions.sign_in.credentials_check import CredentialsCheck, IssuerTokens
from icefarm.control.sessions.sign_in.issuer_keys import IssuerKeys
from icefarm.control.sessions.sign_in.operator_token import FILE_NAME, ensure_operator_token
from icefarm.control.storage.history import History
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import RouterJoined, SignInAnswered
from icefarm.control.telemetry.metrics import FarmSnapshot
from icefarm.control.wiring.assembly import assemble, handlers
from icefarm.control.wiring.settings import ControlSettings
from icefarm.errors import IcefarmError, NotAuthorized
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
        #: The session at the router; None while there is none.
        self.bus: Bus | None = None
        self._refusal = ""
        self._was_in = False
        self.parts = assemble(clock, store, history, settings, archive if settings.archive else None)
        self.sessions = self.parts.sessions
        self.issued = _issued(settings, store, clock, web)
        self.credentials = CredentialsCheck(store, self.issued)
        self.authenticator = Authenticator(settings.sign_in, self.credentials, self.sessions, clock, self.parts.audit)
        self.authorizer = RegistrationAuthorizer(self.parts.owners, clock)
        self.revocation = RevocationWatch(store, self.sessions, clock)
        self._tasks = Tasks()
        self._procedures = handlers(self.parts, store, clock, settings, self.credentials)

    async def joined(self, bus: Bus, replace: bool = True) -> None:
        """Start working in a new session at the router.  Raises if that fails; the link then tries another session.

        ``replace``: take the procedures over from an earlier session, this control's own or a dead leader's.
        """
        bus.on_lost(partial(self._lost, bus))
        self._was_in = True
        self._use(bus)
        await self.sessions.attach(bus)
        await self.parts.topics.audience.attach(bus)
        registered = await outcomes(
            [
                partial(bus.register, procedure, handler, replace=replace)
                for procedure, handler in self._procedures.items()
            ],
            AT_ONCE,
        )
        for registration in registered:
            if isinstance(registration, IcefarmError):
                raise registration
        await bus.register(AUTHORIZER, self.authorizer.authorize, replace=replace)
        # Last: everything is in place before the first sign-in.
        await bus.register(AUTHENTICATOR, self._sign_in, replace=replace)
        self._refusal = ""
        self.parts.publisher.publish(RouterJoined())
        self.parts.recorder.start()
        self.revocation.start()
        if self.issued is not None:
            self.issued.keys.start()
        self.parts.audit.start()
        self.parts.calibration.start()
        if self.parts.archive is not None:
            self.parts.archive.start()
        self.log.info("control is at the router")
        self._tasks.persist(self.clock, "the state of the farm is learnt", self._learn)

    def refused(self, error: IcefarmError) -> bool:
        """Log why there is no session, once for each reason, and return whether to keep trying.

        Control keeps trying forever, unless the router refused it and has never admitted it: a person must fix that.
        """
        if isinstance(error, NotAuthorized) and not self._was_in:
            return False
        if str(error) != self._refusal:
            self._refusal = str(error)
            self.log.warn("no session at the router yet, retrying: {error}", error=error)
        return True

    def stopService(self) -> None:
        """Cancel pending work.  Boards stay with their clients, for the next control."""
        Service.stopService(self)
        self.parts.stop()
        self.revocation.stop()
        if self.issued is not None:
            self.issued.keys.stop()
        self._tasks.stop()

    async def overview(self) -> tuple[list[WorkerRecord], list[DeviceRecord]]:
        """Return the store's workers and boards.  Raises `Busy`."""
        # Not what is shared: health is whether the database answers now.
        return await self.store.workers(), await self.store.devices()

    def is_connected(self) -> bool:
        """Tell whether control is at the router."""
        return self.bus is not None

    async def metrics_page(self) -> tuple[bytes, str]:
        """Return the metrics in Prometheus' text format, and its media type."""
        connected, queue = self.is_connected(), self.parts.queue.records()
        try:
            workers, devices = await self.overview()
        except IcefarmError:
            return self.parts.metrics.text(FarmSnapshot(connected, database=False))
        return self.parts.metrics.text(FarmSnapshot(connected, True, workers, devices, queue))

    async def perform(self, caller: Caller, name: str, arguments: Mapping[str, Any]) -> Any:
        """Carry out one of control's procedures for a caller without a session.  Raises what it does."""
        procedure = control_procedure(name)
        return await self._procedures[procedure](caller, procedure, (), arguments)

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

    def _use(self, bus: Bus | None) -> None:
        self.bus = self.parts.topics.bus = self.parts.worker_client.bus = bus

    def _lost(self, bus: Bus, reason: str) -> None:
        if self.bus is bus:
            self.log.warn("control has lost the router: {reason}", reason=reason)
            self._use(None)
            self.sessions.detach()
            self.parts.topics.audience.detach()
            self.parts.dispatcher.close()

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


def _issued(settings: ControlSettings, store: Store, clock: Clock, web: WebClient | None) -> IssuerTokens | None:
    if settings.oidc is None or web is None:
        return None
    return IssuerTokens(settings.oidc, IssuerKeys(settings.oidc.issuer, web, clock), store)
