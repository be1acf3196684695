"""Tells workers to leave that an operator asked to, as soon as none of their boards is reserved."""

from __future__ import annotations

from functools import partial

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import AGAIN, Coalesced, Tasks
from icefarm.contract import WorkerRecord
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import Event, ReservationsEnded, WorkerChanged
from icefarm.control.worker_client import WorkerClient
from icefarm.errors import Busy, IcefarmError, TimedOut

__all__ = ["DrainMonitor"]


@define(eq=False)
class DrainMonitor:
    """Knows which workers must leave; the store knows it too, and repeats it at each hello."""

    store: Store
    worker_client: WorkerClient
    clock: Clock
    #: Workers that must leave, and were not yet told to.
    _leaving: set[str] = Factory(set)
    #: One check for each of these workers: one that does not answer holds up no other.
    _looks: dict[str, Coalesced] = Factory(dict)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def stop(self) -> None:
        """Cancel pending work."""
        self._tasks.stop()

    def heard(self, event: Event) -> None:
        """Check whether a worker may leave now."""
        match event:
            case WorkerChanged(worker):
                self._note(worker)
            case ReservationsEnded():
                self._look_at_all()

    def _note(self, worker: WorkerRecord) -> None:
        if worker.leaving and worker.status == "online":
            self._leaving.add(worker.name)
            self._look_at(worker.name)
        else:
            self._leaving.discard(worker.name)

    def _look_at_all(self) -> None:
        for worker in sorted(self._leaving):
            self._look_at(worker)

    def _look_at(self, worker: str) -> None:
        if worker not in self._looks:
            self._looks[worker] = Coalesced(f"worker {worker} leaves", partial(self._look, worker), self._tasks)
        self._looks[worker].poke()

    async def _look(self, worker: str) -> None:
        try:
            await self._let_go(worker)
        except (Busy, TimedOut) as error:
            self._log.warn("worker {worker} is to leave: {error}", worker=worker, error=error)
            self.clock.callLater(AGAIN, self._look_at_all)
        except IcefarmError as error:
            # It is away; its next hello starts another check.
            self._log.debug("worker {worker} is to leave: {error}", worker=worker, error=error)

    async def _let_go(self, worker: str) -> None:
        if worker not in self._leaving or await self.store.active(worker=worker):
            return
        await self.worker_client.leave(worker)
        self._leaving.discard(worker)
        self._log.info("worker {worker} has no reservations any more, and leaves", worker=worker)
