"""Keeps bookings in time: shortens reservations for them, releases what nobody takes, and ends them.

The store decides (`icefarm.control.scheduling.bookings.calendar`), in one transaction; this asks it at the right
moments.  It remembers nothing, so a restarted control, or a standby that takes over, goes on where the other stopped.
"""

from __future__ import annotations

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import DueTimer
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import BookingsChanged, Event, ReservationsShortened
from icefarm.control.telemetry.publisher import Publisher
from icefarm.text.counts import counted

__all__ = ["BookingKeeper"]


@define(eq=False)
class BookingKeeper:
    """Wakes up when a booking begins, ends or may release boards, and often while one is near."""

    store: Store
    queue: WaitingQueue
    publisher: Publisher
    clock: Clock
    _log: Logger = Factory(Logger)
    _timer: DueTimer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._timer = DueTimer(self.clock, "bookings", self._keep)

    def heard(self, _: Event) -> None:
        """Bookings changed: find what follows from it."""
        self._timer.poke()

    def poke(self) -> None:
        """Do what is due, and find when to do so again."""
        self._timer.poke()

    def stop(self) -> None:
        """Stop."""
        self._timer.stop()

    async def _keep(self) -> float | None:
        kept = await self.store.keep_bookings()
        if kept.shortened:
            self._log.info(
                "{reservations} shortened, for bookings", reservations=counted(len(kept.shortened), "reservation")
            )
            self.publisher.publish(ReservationsShortened(kept.shortened))
        for booking in kept.changed:
            kept_still = f"keeps {booking.kept} of {counted(booking.amount, 'board')}, those that are used"
            why = booking.end_reason or kept_still
            self._log.info("the booking {id} of {account}: {why}", id=booking.id, account=booking.account, why=why)
        if kept.changed:
            self.publisher.publish(BookingsChanged(kept.changed))
        # A booking has begun or ended, perhaps: who waits may be served.
        self.queue.poke()
        return kept.next_in
