"""What accounts have used lately, and how long boards were held: learnt from the store, and kept up to date."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Sequence

from attrs import define, field

from icefarm.contract import QueueRecord, ReservationRecord, ShareRecord, account_of
from icefarm.control.scheduling.estimates import HoldTimes
from icefarm.control.scheduling.fair_share import Hold, Ledger, Standing, standing
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import Event, ReservationsEnded

__all__ = ["HOLDS", "Shares"]

#: Ended holds that estimates are based on, at most: the last ones.
HOLDS = 500


@define(eq=False)
class Shares:
    """A subscriber: adds up use when reservations end.  The database has all of it, for the next control to `learn`."""

    store: Store
    limits: FarmLimits
    half_life: float
    _ledger: Ledger = field(init=False)
    _holds: deque[Hold] = field(init=False, factory=lambda: deque(maxlen=HOLDS))
    #: Holds that ended while the store was read, and whether each had the board alone.
    _meanwhile: list[tuple[Hold, bool]] | None = None

    def __attrs_post_init__(self) -> None:
        self._ledger = Ledger(self.half_life)

    async def learn(self) -> None:
        """Read earlier use from the store.  Raises `Busy`."""
        self._meanwhile = []
        try:
            found = await self.store.lately(self.half_life, HOLDS)
            later = [each for each in self._meanwhile if each[0].ended is not None and each[0].ended > found.at]
        finally:
            self._meanwhile = None
        self._ledger.set(found.used, found.at)
        self._holds.clear()
        self._holds.extend(found.holds)
        for hold, alone in later:
            self._add(hold, alone=alone)

    def heard(self, event: Event) -> None:
        """Reservations have ended."""
        if isinstance(event, ReservationsEnded):
            for record in event.records:
                hold = _hold(record)
                if self._meanwhile is not None:
                    self._meanwhile.append((hold, record.within is None))
                self._add(hold, alone=record.within is None)

    def standing(self, active: Iterable[ReservationRecord], now: float) -> Standing:
        """Return how accounts stand; ``active`` are the reservations that go on."""
        # In units of the weight that all others have.
        usual = self.limits.farm.weight
        weights = {account: self.limits.of(account).weight / usual for account in self.limits.own}
        return standing(self._ledger, map(_hold, active), now, weights)

    def records(
        self, active: Sequence[ReservationRecord], queue: Iterable[QueueRecord], now: float
    ) -> list[ShareRecord]:
        """Return the share of each account that used, holds or awaits boards, the largest first."""
        used = self.standing(active, now).used
        held = Counter(account_of(record.client) for record in active)
        waiting = Counter(account_of(record.client) for record in queue)
        total = sum(used.values()) or 1.0
        found = [
            ShareRecord(
                account,
                used.get(account, 0.0),
                used.get(account, 0.0) / total,
                self.limits.of(account).weight,
                held[account],
                waiting[account],
            )
            for account in {*used, *held, *waiting}
        ]
        return sorted(found, key=lambda record: (-record.used, record.account))

    def times(self, active: Iterable[ReservationRecord], now: float) -> HoldTimes:
        """Return how long boards were held lately, by clients that had them for themselves."""
        return HoldTimes.of([*self._holds, *(_hold(record) for record in active if record.within is None)], now)

    def _add(self, hold: Hold, *, alone: bool) -> None:
        self._ledger.add(hold)
        if alone:
            self._holds.append(hold)


def _hold(record: ReservationRecord) -> Hold:
    return Hold(account_of(record.client), record.created_at, record.ended_at, record.part)
