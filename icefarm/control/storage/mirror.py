"""The farm's records in control's memory, as events change them.

A frequent question, which boards are free, must cost the database nothing, and a change only the rows that it
changes.  Events carry most changes; the rest is read again, only for the boards concerned.  Everything is read
again in the background from time to time: when a worker was last seen, and manual changes in the database.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.internet.defer import DeferredLock

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Coalesced, Tasks
from icefarm.contract import BookingRecord, DeviceRecord, ReservationRecord, WorkerRecord, to_wire
from icefarm.control.scheduling.access import Allowance
from icefarm.control.scheduling.availability import free
from icefarm.control.storage.interface import Store
from icefarm.control.storage.shared import FRESH
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
from icefarm.errors import IcefarmError, UnknownDevice
from icefarm.selectors.language import Selector

__all__ = ["STALE", "BoardOwners", "FarmMirror", "FarmRecords", "Mirrored", "known_devices"]

#: Seconds after which a reader waits until everything has been read again.
STALE = 30.0


async def known_devices(store: Store, serials: Collection[str]) -> list[DeviceRecord]:
    """Return those of these boards that have not been forgotten meanwhile.  Raises `Busy`."""
    try:
        return await store.devices(sorted(serials))
    except UnknownDevice:
        return [board for board in await store.devices() if board.serial in serials]


@define(eq=False)
class FarmRecords:
    """Workers, boards, active reservations, and bookings that have not ended."""

    workers: list[WorkerRecord]
    devices: list[DeviceRecord]
    reservations: list[ReservationRecord]
    bookings: list[BookingRecord]
    #: Free boards, by the arguments of the question.
    _free: dict[tuple[str | None, str | None], list[str]] = Factory(dict)
    _wire: Mapping[str, list[dict[str, Any]]] | None = None

    def free(self, kind: str | None, where: Selector | None, allowance: Allowance, text: str | None) -> list[str]:
        """Return `icefarm.control.scheduling.availability.free` of these; ``text`` is the selector's.

        Counted once while nothing changes, for all accounts that may have everything.
        """
        if allowance.allowed is not None:
            return free(self.devices, self.workers, kind, where, allowance)
        asked = kind, text
        if asked not in self._free:
            self._free[asked] = free(self.devices, self.workers, kind, where)
        return self._free[asked]

    def wire(self) -> Mapping[str, list[dict[str, Any]]]:
        """Return the records for the wire, made once; nobody may change them."""
        if self._wire is None:
            self._wire = {
                "workers": [to_wire(record) for record in self.workers],
                "devices": [to_wire(record) for record in self.devices],
                "reservations": [to_wire(record) for record in self.reservations],
                "bookings": [to_wire(record) for record in self.bookings],
            }
        return self._wire


@define(eq=False)
class BoardOwners:
    """Follows the inventory, so that a question about it needs no database."""

    _workers: dict[str, str] = Factory(dict)

    def __len__(self) -> int:
        return len(self._workers)

    def learn(self, devices: Iterable[DeviceRecord]) -> None:
        """Record the boards of the database."""
        for device in devices:
            self._workers.setdefault(device.serial, device.worker)

    def heard(self, event: Event) -> None:
        """Record a change of boards."""
        match event:
            case BoardsChanged(records):
                self._workers |= {record.serial: record.worker for record in records}
            case BoardsDeleted(serials):
                for serial in serials:
                    self._workers.pop(serial, None)

    def worker_of(self, serial: str) -> str | None:
        """Return the worker that has a board; None for a board that the farm does not know."""
        return self._workers.get(serial)


@define(eq=False)
class Mirrored:
    """The records, and which of them are stale."""

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
        """Return the records that were read."""
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
        """Record the rows of these boards; boards without a row are gone."""
        for serial in serials:
            self.devices.pop(serial, None)
        for record in records:
            self._put(record)

    def records(self) -> FarmRecords:
        """Return all records."""
        return FarmRecords(
            [self.workers[name] for name in sorted(self.workers)],
            [self.devices[serial] for serial in sorted(self.devices)],
            sorted(self.reservations.values(), key=lambda record: record.serial),
            list(self.bookings),
        )


@define(eq=False)
class FarmMirror:
    """A subscriber.  Answers from memory, and reads stale records on demand."""

    store: Store
    clock: Clock
    _mirrored: Mirrored | None = None
    #: The last answer, while nothing has changed since.
    _records: FarmRecords | None = None
    #: The store's clock less the reactor's.
    _ahead: float = 0.0
    #: When everything was last read, and whether an attempt has failed since.
    _read_at: float = float("-inf")
    _failed: bool = False
    #: Events since the read of everything began that runs; None while none does.
    _meanwhile: list[Event] | None = None
    #: Boards that events changed since a read of some began.
    _touched: set[str] = Factory(set)
    #: One read of stale records at a time, and one read of everything.
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
            self._records = None

    def known_time(self) -> float | None:
        """Return the time by the store's clock; None before it has read the records, and so knows that clock."""
        return None if self._mirrored is None else self.now()

    def now(self) -> float:
        """Return the time by the store's clock, as of the last read."""
        return self.clock.seconds() + self._ahead

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
            if self._records is None:
                self._records = mirrored.records()
            return self._records
        finally:
            self._turn.release()

    async def _refresh(self) -> None:
        try:
            await self._read_all()
        except IcefarmError:
            # The next caller waits for the database, and gets its error.
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
        self._mirrored, self._records, self._failed = mirrored, None, False
        self._read_at, self._ahead = self.clock.seconds(), now - self.clock.seconds()

    async def _caught_up(self) -> Mirrored:
        """Read stale records, and return all."""
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
            self._records = None

    async def _read_stale(self, mirrored: Mirrored) -> None:
        serials, mirrored.stale = mirrored.stale, set()
        self._touched.clear()
        try:
            found = await known_devices(self.store, serials)
        except IcefarmError:
            mirrored.stale |= serials
            raise
        # Events of the meantime are at least as new.
        mirrored.replace(serials - self._touched, [each for each in found if each.serial not in self._touched])
        self._records = None
