"""Ends the reservations and requests of clients that stay away."""

from __future__ import annotations

from functools import partial

from attrs import Factory, define

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.control.reservations.calls import UnansweredCalls
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.termination import Termination
from icefarm.control.sessions.events import ClientMissing, Granted, StillMissing
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import ClientBack, ClientGone, Event

__all__ = ["AbsentClients"]


@define(eq=False)
class AbsentClients:
    """Ends a client's reservations when it stays away too long.  `icefarm.control.sessions.liveness` decides when."""

    store: Store
    sessions: Sessions
    queue: WaitingQueue
    unanswered: UnansweredCalls
    termination: Termination
    clock: Clock
    #: Seconds that a client may be away, unless a reservation set another time.
    grace: float
    _tasks: Tasks = Factory(Tasks)

    def heard(self, event: Event) -> None:
        """Act on a client that came back, or has been away too long."""
        match event:
            case ClientBack(name):
                self.unanswered.client_is_back(name)
            case ClientGone(name, since):
                self._tasks.persist(self.clock, f"client {name} is gone", partial(self._end, name, since))

    async def look(self) -> None:
        """Expect the clients that hold or await something, after control itself was away.  Raises `Busy`."""
        active = await self.store.active()
        for record in active:
            if record.grace is not None:
                self.sessions.tell(Granted(record.client, record.grace))
        for client in {*(record.client for record in active), *self.queue.clients()}:
            self.sessions.tell(ClientMissing(client))

    def stop(self) -> None:
        """Cancel pending work."""
        self._tasks.stop()

    async def _end(self, client: str, since: float) -> None:
        """End a client's reservations whose time to be away is over, and schedule the others."""
        if self.sessions.state.client_is_here(client):
            return
        self.queue.forget(client)
        self.unanswered.forget(client)
        graces = {
            record.id: self.grace if record.grace is None else record.grace
            for record in await self.store.active(client=client)
        }
        away = self.clock.seconds() - since
        self.termination.schedule_end([id for id, grace in graces.items() if grace <= away], "its client is gone")
        longer = [grace for grace in graces.values() if grace > away]
        if longer:
            self.sessions.tell(StillMissing(client, since, min(longer)))
