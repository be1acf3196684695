"""Bookings in the in-memory stand-in for the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from attrs import Factory, define, evolve

from icefarm.concurrency.clock import Clock
from icefarm.contract import BookingRecord, DeviceRecord, ReservationRecord, WorkerRecord, account_of
from icefarm.control.scheduling.bookings.calendar import UNUSED, Calendar, Shelf, in_words
from icefarm.control.scheduling.bookings.rules import ask_again, check_booking, check_cancelling, progressed
from icefarm.control.storage.interface import Kept

__all__ = ["MemoryBookings"]


@define
class MemoryBookings:
    """The part of `MemoryStore` about bookings and groups."""

    clock: Clock
    new_id: Callable[[], str]
    _bookings: dict[str, BookingRecord] = Factory(dict)
    groups: dict[str, str] = Factory(dict)

    def calendar(self) -> Calendar:
        """Return the bookings that have not ended."""
        return Calendar(tuple(each for each in self.sorted() if each.ended_at is None), dict(self.groups))

    def sorted(self) -> list[BookingRecord]:
        """Return all bookings, also ended ones, the first to begin first."""
        return sorted(self._bookings.values(), key=lambda each: (each.starts_at, each.created_at))

    def book(
        self,
        wanted: BookingRecord,
        most: Mapping[str, float] | None,
        devices: Sequence[DeviceRecord],
        workers: Sequence[WorkerRecord],
    ) -> BookingRecord:
        now = self.clock.seconds()
        check_booking(wanted, self.calendar(), Shelf.of(devices, workers, now), most, account_of(wanted.booked_by))
        made = evolve(wanted, id=self.new_id(), created_at=now, kept=wanted.amount)
        self._bookings[made.id] = made
        return made

    def cancel(self, ids: Sequence[str], account: str | None, reason: str) -> list[BookingRecord]:
        check_cancelling(ids, self._bookings, account)
        ended = []
        for booking in self.sorted():
            if booking.id in ids and booking.ended_at is None:
                ended.append(evolve(booking, ended_at=self.clock.seconds(), end_reason=reason))
        self._bookings.update({each.id: each for each in ended})
        return ended

    def keep(
        self,
        reservations: dict[str, ReservationRecord],
        held: Mapping[str, Sequence[str]],
        devices: Sequence[DeviceRecord],
        workers: Sequence[WorkerRecord],
    ) -> Kept:
        """Carry out what is due; ``reservations`` change in place.  ``held`` has those of each board."""
        calendar, now = self.calendar(), self.clock.seconds()
        if not calendar:
            return Kept()
        recent = [
            each
            for each in reservations.values()
            if each.client and (each.ended_at is None or each.ended_at > now - UNUSED)
        ]
        changed = progressed(calendar, recent, now)
        self._bookings.update({each.id: each for each in changed})
        calendar, shortened = self.calendar(), []
        for ending in sorted(calendar.endings(Shelf.of(devices, workers, now)), key=lambda each: each.serial):
            for id in held[ending.serial]:
                before = reservations[id]
                expires_at = min(before.expires_at, max(before.created_at, ending.at))
                after = evolve(before, expires_at=expires_at, limited_by=in_words(ending.booking))
                reservations[after.id] = after
                shortened.append(after)
        return Kept(shortened, changed, ask_again(calendar, now))
