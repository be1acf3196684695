"""Control: puts its parts together and keeps them at the router.

It keeps nothing that it can't learn again: sessions from the router, boards from their workers' hellos, the rest from
the store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from twisted.application.service import Service
from twisted.logger import Logger

from icefarm.bus import Bus, Caller
from icefarm.clock import Clock
from icefarm.contract import AUTHENTICATOR, DeviceRecord, WorkerRecord, control_procedure
from icefarm.control.assembly import assemble, handlers
from icefarm.control.sessions.authenticator import Authenticator
from icefarm.control.sessions.operator_token import FILE_NAME, ensure_operator_token
from icefarm.control.sessions.revocation import RevocationWatch
from icefarm.control.settings import ControlSettings
from icefarm.control.storage.history import History
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import RouterJoined, SignInAnswered
from icefarm.control.telemetry.metrics import FarmSnapshot
from icefarm.deferreds import Tasks, outcomes
from icefarm.errors import IcefarmError, NotAuthorized

__all__ = ["Control", "ControlSettings"]

#: Procedures that are registered at once.
AT_ONCE = 32


class Control(Service):
    """The service that reserves, counts, lets in and tells.  Its `joined` and `refused` are for a `Link`."""

    log = Logger()

    def __init__(self, clock: Clock, store: Store, history: History, settings: ControlSettings) -> None:
        self.clock, self.store, self.settings = clock, store, settings
        #: The session at the router; None while there is none.
        self.bus: Bus | None = None
        self._refusal = ""
        self._was_in = False
        self.parts = assemble(clock, store, history, settings)
        self.sessions, self.metrics = self.parts.sessions, self.parts.metrics
        self.authenticator = Authenticator(settings.sign_in, store, self.sessions, clock)
        self.revocation = RevocationWatch(store, self.sessions, clock)
        self._tasks = Tasks()
        self._procedures = handlers(self.parts, store, clock, settings)

    async def joined(self, bus: Bus) -> None:
        """Take up work in a new session at the router.  Raises where that fails; another session is then tried."""
        bus.on_lost(partial(self._lost, bus))
        self._was_in = True
        self._use(bus)
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
        self.parts.publisher.publish(RouterJoined())
        self.parts.recorder.start()
        self.revocation.start()
        self.log.info("control is at the router")
        self._tasks.persist(self.clock, "the state of the farm is learnt", self._learn)

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
        self.parts.stop()
        self.revocation.stop()
        self._tasks.stop()

    async def overview(self) -> tuple[list[WorkerRecord], list[DeviceRecord]]:
        """Return workers and boards as the store has them.  Raises `Busy`."""
        return await self.store.workers(), await self.store.devices()

    async def scene(self) -> FarmSnapshot:
        """Return what there is now, for the metrics."""
        connected, queue = self.bus is not None, self.parts.queue.records()
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
            self.parts.publisher.publish(SignInAnswered(role, outcome))

    def _use(self, bus: Bus | None) -> None:
        self.bus = self.parts.topics.bus = self.parts.worker_client.bus = bus

    def _lost(self, bus: Bus, reason: str) -> None:
        if self.bus is bus:
            self.log.warn("control has lost the router: {reason}", reason=reason)
            self._use(None)
            self.sessions.detach()
            self.parts.dispatcher.close()

    async def _learn(self) -> None:
        """See what was left by whoever was control before: who is missing, what expires."""
        await self.ensure_token()
        await self.parts.inventory.look()
        await self.parts.queue.restore()
        await self.parts.absent_clients.look()
        self.parts.expiry.poke()
