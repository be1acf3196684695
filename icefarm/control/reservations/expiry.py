"""Expiry of reservations, and the notices before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, define, field

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import DueTimer
from icefarm.contract import ReservationRecord
from icefarm.control.reservations.calls import UnansweredCalls
from icefarm.control.reservations.termination import Termination
from icefarm.control.storage.mirror import FarmMirror
from icefarm.control.telemetry.events import (
    EndingSoon,
    Event,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
)
from icefarm.control.telemetry.publisher import Publisher

__all__ = ["NOTICE", "ExpiryTimer", "lead", "notices"]

#: Seconds before its end at which a reservation's holder gets notice; a quarter of its time if that is shorter.
NOTICE = 300.0


def lead(span: float) -> float:
    """Return how many seconds before its end a reservation of that many seconds counts as near it.

    Short, auto-extended reservations get no notice.
    """
    return NOTICE if span > NOTICE else span / 4


def notices(
    active: Sequence[ReservationRecord], told: Mapping[str, float], leads: Mapping[str, float], now: float
) -> tuple[list[ReservationRecord], float | None]:
    """Return whose holders to notify now, and in how many seconds to look again (None: when something changes).

    ``told`` has the end in each reservation's last notice, ``leads`` the time between notice and end; an extended
    reservation gets a notice of its new end.
    """
    left = {one.id: one.expires_at - now for one in active}
    due = [one for one in active if left[one.id] <= leads[one.id] and told.get(one.id) != one.expires_at]
    starts = [left[one.id] - leads[one.id] for one in active if left[one.id] > leads[one.id]]
    return due, min([*left.values(), *starts], default=None)


@define(eq=False)
class ExpiryTimer:
    """Wakes up when a reservation expires or a notice is due, and reads all then.  The time is the store's."""

    mirror: FarmMirror
    termination: Termination
    unanswered: UnansweredCalls
    publisher: Publisher
    clock: Clock
    _told: dict[str, float] = Factory(dict)
    #: The last known end of each reservation, and how long before it the notice is due.
    _seen: dict[str, tuple[float, float]] = Factory(dict)
    _timer: DueTimer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._timer = DueTimer(self.clock, "expiry of reservations", self._act)

    def heard(self, event: Event) -> None:
        """Be awake when the reservations that an event is about need it."""
        now = self.mirror.known_time()
        if now is None:
            self._timer.poke()
            return
        match event:
            case ReservationsStarted(records):
                # They are on probation, and get no notice.
                self._wake_at(min((record.expires_at for record in records), default=None), now)
            case ReservationsExtended(records) | ReservationsShortened(records):
                self._expect(records, now)
        # One that has ended wakes it up in vain.

    def poke(self) -> None:
        """Find what is due next."""
        self._timer.poke()

    def stop(self) -> None:
        """Stop."""
        self._timer.stop()

    def _expect(self, records: Sequence[ReservationRecord], now: float) -> None:
        moments = []
        for record in records:
            end, before = self._seen[record.id] = self._see(record, now)
            moments.append(end if self._told.get(record.id) == end else end - before)
        self._wake_at(min(moments, default=None), now)

    def _wake_at(self, moment: float | None, now: float) -> None:
        """Wake up then; at once where the moment is over."""
        if moment is not None and moment > now:
            self._timer.at_latest(moment - now)
        elif moment is not None:
            self._timer.poke()

    async def _act(self) -> float | None:
        active, now = await self._active()
        if any(record.expires_at <= now for record in active) and await self.termination.end_expired():
            active, now = await self._active()
        confirmed = [one for one in active if not self.unanswered.is_unconfirmed(one.id)]
        self._seen = {one.id: self._see(one, now) for one in confirmed}
        due, sleep = notices(confirmed, self._told, {id: before for id, (_, before) in self._seen.items()}, now)
        for record in due:
            self.publisher.publish(EndingSoon(record, max(0.0, record.expires_at - now)))
        ids = {record.id for record in active}
        self._told = {id: end for id, end in self._told.items() if id in ids}
        self._told.update({record.id: record.expires_at for record in due})
        left = [max(0.0, record.expires_at - now) for record in active]
        return min([*left, *(() if sleep is None else (sleep,))], default=None)

    async def _active(self) -> tuple[list[ReservationRecord], float]:
        """Return the active reservations, and the time by the store's clock."""
        found = await self.mirror.read()
        return found.reservations, self.mirror.now()

    def _see(self, record: ReservationRecord, now: float) -> tuple[float, float]:
        seen = self._seen.get(record.id)
        if seen is not None and seen[0] == record.expires_at:
            return seen
        if record.limited_by is not None:
            return record.expires_at, NOTICE
        # From its beginning, or from the extension that made this its end.
        return record.expires_at, lead(record.expires_at - (record.created_at if seen is None else now))
