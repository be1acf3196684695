"""Ends reservations: in the store first, then at the worker, and publishes it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import AGAIN, Coalesced, Tasks
from icefarm.contract import ReservationRecord
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import ReservationsEnded
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient, by_worker
from icefarm.errors import IcefarmError, TimedOut, TransportError
from icefarm.text.counts import counted

__all__ = ["Termination"]

#: Attempts to release a board at its worker; after that its next report or hello shows the difference.
RELEASES = 6


@define(eq=False)
class Termination:
    """Ends reservations, for any reason."""

    store: Store
    worker_client: WorkerClient
    publisher: Publisher
    clock: Clock
    #: Reservations to end as soon as the database is back, and why.
    _due: dict[str, str] = Factory(dict)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)
    _sweeps: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sweeps = Coalesced("reservations are ended", self._sweep, self._tasks)

    async def end(self, client: str | None, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        """End reservations of these boards, or all of a client's.  Raises what `Store.end` does."""
        return self._follow(await self.store.end(client=client, serials=serials, reason=reason))

    async def end_these(self, records: Sequence[ReservationRecord], reason: str) -> list[ReservationRecord]:
        """End these reservations.  Raises `Busy`."""
        return self._follow(await self.store.end_reservations([record.id for record in records], reason))

    async def end_expired(self) -> list[ReservationRecord]:
        """End expired reservations."""
        return self._follow(await self.store.end_expired())

    def schedule_end(self, ids: Collection[str], reason: str) -> None:
        """End these reservations without fail: at once, or as soon as the database is back."""
        self._due.update(dict.fromkeys(ids, reason))
        if self._due:
            self._sweeps.poke()

    def is_due_to_end(self, records: Sequence[ReservationRecord]) -> bool:
        """Tell whether any of these is going to end."""
        return any(record.id in self._due for record in records)

    def stop(self) -> None:
        """Cancel pending work.  Reservations that were due and have not ended expire."""
        self._tasks.stop()

    async def _sweep(self) -> None:
        try:
            while self._due:
                reason = next(iter(self._due.values()))
                ids = [id for id, why in self._due.items() if why == reason]
                ended = await self.store.end_reservations(ids, reason)
                for id in ids:
                    self._due.pop(id, None)
                self._follow(ended)
        except IcefarmError as error:
            self._log.warn(
                "{reservations} still to be ended: {error}",
                reservations=counted(len(self._due), "reservation"),
                error=error,
            )
            self.clock.callLater(AGAIN, self._sweeps.poke)

    def _follow(self, ended: list[ReservationRecord]) -> list[ReservationRecord]:
        """Release boards whose reservations ended in the store."""
        for record in ended:
            self._log.info(
                "{client}'s reservation of {serial} ended: {reason}",
                client=record.client,
                serial=record.serial,
                reason=record.end_reason,
            )
        for worker, records in by_worker(ended):
            self._tasks.start(f"release of boards of {worker}", partial(self._release, worker, records))
        if ended:
            self.publisher.publish(ReservationsEnded(ended))
        return ended

    async def _release(self, worker: str, records: Sequence[ReservationRecord], tries: int = RELEASES) -> None:
        failed = await self.worker_client.release_all(records)
        late = [record for record in records if isinstance(failed.get(record.id), TimedOut)]
        for record in records:
            error = failed.get(record.id)
            # Of a worker that is away, the answer to its next hello says that the board is free.
            if error is not None and (record in late or not isinstance(error, TransportError)):
                self._log.warn("release of {serial}: {error}", serial=record.serial, error=error)
        if late and tries > 1:
            again = partial(self._release, worker, late, tries - 1)
            self.clock.callLater(AGAIN, self._tasks.start, f"release of boards of {worker}", again)
        await self._release_shared(worker, {record.within for record in records if record.within is not None})

    async def _release_shared(self, worker: str, owns: Collection[str]) -> None:
        """Take boards back that nobody shares any more, by the farm's own reservations of them."""
        found = [await self.store.reservation(id) for id in sorted(owns)]
        over = [own for own in found if own is not None and own.ended_at is not None]
        if over:
            await self._release(worker, over)
