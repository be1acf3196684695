"""The farm's records in control's memory, as events change them.

A question that everybody asks often, which boards are free, must cost the database nothing, and a change only what it
changes.  Events carry most of what changed; the rest is read again, for the boards concerned only.  All of it is read
anew in the background now and then: when a worker was last seen, and what somebody changed in the database itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from attrs import Factory, define, evolve, field
from twisted.internet.defer import DeferredLock

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.concurrency.loops import Coalesced
from icefarm.contract import BookingRecord, DeviceRecord, ReservationRecord, WorkerRecord
from icefarm.control.storage.interface import Store, known_devices
from icefarm.control.storage.shared import FRESH, FarmRecords
from icefarm.control.telemetry.events import (
    BoardsChanged,
    BoardsDeleted,
    BookingsChanged,
    Event,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
    WorkerChanged,
    WorkerIntroduced,
    WorkerLost,
)
from icefarm.errors import IcefarmError

__all__ = ["STALE", "FarmMirror", "Mirrored"]

#: Seconds after which who asks waits until all has been read anew.
STALE = 30.0


@define(eq=False)
class Mirrored:
    """The records, and which of them are to be read again."""

    devices: dict[str, DeviceRecord]
    workers: dict[str, WorkerRecord]
    #: The active ones, by id.
    reservations: dict[str, ReservationRecord]
    bookings: list[BookingRecord]
    #: Boards whose row may have changed, and whether workers and bookings have.
    stale: set[str] = Factory(set)
    workers_are_stale: bool = False
    bookings_are_stale: bool = False
    #: How often workers or bookings have changed.
    changes: int = 0

    @classmethod
    def of(
        cls,
        workers: Iterable[WorkerRecord],
        devices: Iterable[DeviceRecord],
        active: Iterable[ReservationRecord],
        bookings: Iterable[BookingRecord],
    ) -> Mirrored:
        """Return what was read."""
        return cls(
            {device.serial: device for device in devices},
            {worker.name: worker for worker in workers},
            {record.id: record for record in active},
            list(bookings),
        )

    def apply(self, event: Event) -> None:
        """Take in what an event says."""
        match event:
            case BoardsChanged(records):
                for record in records:
                    self._put(record)
            case BoardsDeleted(serials):
                for serial in serials:
                    self.devices.pop(serial, None)
                # It may be that their worker was forgotten.
                self._change(workers=True)
            case ReservationsStarted(held) | ReservationsExtended(held) | ReservationsShortened(held):
                self.reservations |= {record.id: record for record in held}
                self.stale |= {record.serial for record in held}
            case ReservationsEnded(held):
                for each in held:
                    self.reservations.pop(each.id, None)
                self.stale |= {each.serial for each in held}
            case WorkerChanged() | WorkerIntroduced() | WorkerLost() | BookingsChanged():
                self._apply_to_lists(event)

    def _apply_to_lists(self, event: WorkerChanged | WorkerIntroduced | WorkerLost | BookingsChanged) -> None:
        match event:
            case WorkerChanged(worker):
                self.workers[worker.name] = worker
                self._change()
            case BookingsChanged():
                self._change(bookings=True)
            case _:
                self._change(workers=True)

    def _change(self, *, workers: bool = False, bookings: bool = False) -> None:
        self.changes += 1
        self.workers_are_stale = self.workers_are_stale or workers
        self.bookings_are_stale = self.bookings_are_stale or bookings

    def _put(self, record: DeviceRecord) -> None:
        self.devices[record.serial] = record
        self.stale.discard(record.serial)
        for id in (record.reservation or "", *record.shares):
            held = self.reservations.get(id)
            if held is not None:
                # A board that moves takes its reservations along.
                self.reservations[id] = evolve(held, worker=record.worker, labels=record.labels)

    def replace(self, serials: Iterable[str], records: Iterable[DeviceRecord]) -> None:
        """Take in what was read of these boards; those without a record are gone."""
        for serial in serials:
            self.devices.pop(serial, None)
        for record in records:
            self._put(record)

    def records(self, now: float) -> FarmRecords:
        """Return all records as of that moment of the store's clock."""
        return FarmRecords(
            [self.workers[name] for name in sorted(self.workers)],
            [self.devices[serial] for serial in sorted(self.devices)],
            sorted(self.reservations.values(), key=lambda record: record.serial),
            list(self.bookings),
            now,
        )


@define(eq=False)
class FarmMirror:
    """A subscriber.  Answers from memory, and reads what is stale whenever somebody asks."""

    store: Store
    clock: Clock
    _mirrored: Mirrored | None = None
    #: The store's clock less the reactor's.
    _ahead: float = 0.0
    #: When all was read last, and whether an attempt failed since.
    _read_at: float = float("-inf")
    _failed: bool = False
    #: Events since the read of everything began that runs; None while none does.
    _meanwhile: list[Event] | None = None
    #: Boards that events changed since a read of some began.
    _touched: set[str] = Factory(set)
    #: One reads what is stale at a time, and one reads everything.
    _turn: DeferredLock = Factory(DeferredLock)
    _lock: DeferredLock = Factory(DeferredLock)
    _tasks: Tasks = Factory(Tasks)
    _refreshes: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._refreshes = Coalesced("reading the farm's records", self._refresh, self._tasks)

    def heard(self, event: Event) -> None:
        """Take in what an event says."""
        if self._meanwhile is not None:
            self._meanwhile.append(event)
        if isinstance(event, BoardsChanged):
            self._touched |= {record.serial for record in event.records}
        if self._mirrored is not None:
            self._mirrored.apply(event)

    def stop(self) -> None:
        """Cancel pending work."""
        self._tasks.stop()

    async def read(self) -> FarmRecords:
        """Return the records, as events say; what these don't is at most `STALE` seconds old.  Raises `Busy`."""
        return await self._read(STALE)

    async def read_closely(self) -> FarmRecords:
        """Return the records; what no event says, as when a worker was last seen, is at most `FRESH` seconds old.

        Raises `Busy`.
        """
        return await self._read(FRESH)

    async def _read(self, oldest: float) -> FarmRecords:
        await self._turn.acquire()
        try:
            age = self.clock.seconds() - self._read_at
            if self._mirrored is None or self._failed or age >= oldest:
                await self._read_all()
            elif age >= FRESH:
                self._refreshes.poke()
            mirrored = await self._caught_up()
            return mirrored.records(self.clock.seconds() + self._ahead)
        finally:
            self._turn.release()

    async def _refresh(self) -> None:
        try:
            await self._read_all()
        except IcefarmError:
            # Who asks next waits for the database, and hears what it says.
            self._failed = True

    async def _read_all(self) -> None:
        await self._lock.acquire()
        meanwhile = self._meanwhile = []
        try:
            workers, devices = await self.store.workers(), await self.store.devices()
            active, bookings = await self.store.active(), await self.store.bookings()
            now = await self.store.now()
        finally:
            self._meanwhile = None
            self._lock.release()
        mirrored = Mirrored.of(workers, devices, active, bookings)
        for event in meanwhile:
            mirrored.apply(event)
        self._mirrored, self._failed = mirrored, False
        self._read_at, self._ahead = self.clock.seconds(), now - self.clock.seconds()

    async def _caught_up(self) -> Mirrored:
        """Read what is stale, and return the records."""
        while True:
            mirrored = self._mirrored
            assert mirrored is not None
            if mirrored.workers_are_stale or mirrored.bookings_are_stale:
                await self._read_lists(mirrored)
            elif mirrored.stale:
                await self._read_stale(mirrored)
            else:
                return mirrored

    async def _read_lists(self, mirrored: Mirrored) -> None:
        """Read the workers and the bookings, which are few."""
        before = mirrored.changes
        workers, bookings = await self.store.workers(), await self.store.bookings()
        if mirrored.changes == before:
            mirrored.workers, mirrored.bookings = {worker.name: worker for worker in workers}, bookings
            mirrored.workers_are_stale = mirrored.bookings_are_stale = False

    async def _read_stale(self, mirrored: Mirrored) -> None:
        serials, mirrored.stale = mirrored.stale, set()
        self._touched.clear()
        try:
            found = await known_devices(self.store, serials)
        except IcefarmError:
            mirrored.stale |= serials
            raise
        # What events said meanwhile is newer, or as new.
        mirrored.replace(serials - self._touched, [each for each in found if each.serial not in self._touched])
