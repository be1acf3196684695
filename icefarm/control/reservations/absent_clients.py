"""What becomes of the reservations and requests of clients that are away."""

from __future__ import annotations

from functools import partial

from attrs import Factory, define

from icefarm.clock import Clock
from icefarm.control.reservations.calls import UnansweredCalls
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.termination import Termination
from icefarm.control.sessions.events import ClientMissing, Granted, StillMissing
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import ClientBack, ClientGone, Event
from icefarm.deferreds import Tasks

__all__ = ["AbsentClients"]


@define(eq=False)
class AbsentClients:
    """Ends what a client has when it stays away for too long.  `icefarm.control.sessions.liveness` says when."""

    store: Store
    sessions: Sessions
    queue: WaitingQueue
    unanswered: UnansweredCalls
    termination: Termination
    clock: Clock
    #: Seconds that a client may be away, unless it asked for another time with a reservation.
    grace: float
    _tasks: Tasks = Factory(Tasks)

    def heard(self, event: Event) -> None:
        """A client has come back, or has been away for as long as it may."""
        match event:
            case ClientBack(name):
                self.unanswered.client_is_back(name)
            case ClientGone(name, since):
                self._tasks.persist(self.clock, f"client {name} is gone", partial(self._end, name, since))

    async def look(self) -> None:
        """Expect the clients that have or await something, after control was away itself.  Raises `Busy`."""
        active = await self.store.active()
        for record in active:
            if record.grace is not None:
                self.sessions.tell(Granted(record.client, record.grace))
        for client in {*(record.client for record in active), *self.queue.clients()}:
            self.sessions.tell(ClientMissing(client))

    def stop(self) -> None:
        """Give up what is under way."""
        self._tasks.stop()

    async def _end(self, client: str, since: float) -> None:
        """End those of a client's reservations that do not outlast its absence, and wait for the others' time."""
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
