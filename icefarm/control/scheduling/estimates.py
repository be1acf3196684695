"""Pure: no I/O, no clock.  How long a request is likely to wait, from how long boards were held lately.

Theory of operation
-------------------
Nobody knows when a client will release its boards: it extends its reservations until it is done.  So the estimate
rests on how long boards were held lately, including those that are still held (they count as "at least so long";
without them, short holds would be favoured).  `HoldTimes.left` estimates the share of holds that last longer than a
time (the product-limit estimate of Kaplan and Meier), and from it, for a board that has been held for ``age`` seconds,
in what time a quarter, or three quarters, of such holds have ended.  Where too few were ever held so long, it is None.

`expected` simulates that waiting requests are served in their order, each as soon as enough boards are released: once
with early releases (a quarter), once with late ones (three quarters).  The two results are the range; None means
unknown.  It does not foresee later requests that go first, priorities, or boards that fail.  Shared boards do not
count: nobody knows when all of their clients, or one, will leave.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import heapify, heappop, heappush
from math import inf

from attrs import Factory, define, field, frozen

from icefarm.contract import ReservationRecord, account_of
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict
from icefarm.control.scheduling.fair_share import Hold

__all__ = ["EARLY", "FEW", "LATE", "HoldTimes", "Pending", "Range", "expected", "outlooks"]

#: Parts of the holds that have ended at the early and at the late end of an estimate.
EARLY, LATE = 0.25, 0.75
#: Holds that an estimate is based on, at least.
FEW = 5


@frozen
class Range:
    """When something happens, seconds from now; None: unknown."""

    low: float | None = None
    high: float | None = None


@define(eq=False)
class _Survival:
    """The share of holds that last longer than a time, by the times at which it falls."""

    times: list[float]
    shares: list[float]
    ended: int

    @classmethod
    def of(cls, holds: Iterable[tuple[float, bool]]) -> _Survival:
        """Take how long each was held, and whether it has ended."""
        ordered = sorted(holds, key=lambda hold: (hold[0], not hold[1]))
        left, share, ended = len(ordered), 1.0, 0
        times: list[float] = []
        shares: list[float] = []
        for seconds, over in ordered:
            if over:
                ended += 1
                share *= 1 - 1 / left
                times.append(seconds)
                shares.append(share)
            left -= 1
        return cls(times, shares, ended)

    def left(self, age: float, part: float) -> float | None:
        """Return in what time that part of the holds that lasted for ``age`` had ended."""
        place = bisect_right(self.times, age)
        if len(self.times) - place < FEW:
            return None
        before = self.shares[place - 1] if place else 1.0
        for seconds, share in zip(self.times[place:], self.shares[place:], strict=True):
            if share <= before * (1 - part) + 1e-9:
                return seconds - age
        return None


@define(eq=False)
class HoldTimes:
    """How long boards were held lately, by account and by all."""

    _all: _Survival = field(factory=lambda: _Survival([], [], 0))
    _own: dict[str, _Survival] = Factory(dict)

    @classmethod
    def of(cls, holds: Iterable[Hold], now: float) -> HoldTimes:
        """Take holds that have ended, and those that go on at ``now``."""
        by_account: dict[str, list[tuple[float, bool]]] = defaultdict(list)
        for hold in holds:
            ended = now if hold.ended is None else hold.ended
            by_account[hold.account].append((max(0.0, ended - hold.began), hold.ended is not None))
        everybody = [each for of_account in by_account.values() for each in of_account]
        return cls(_Survival.of(everybody), {name: _Survival.of(each) for name, each in by_account.items()})

    def left(self, account: str, age: float, part: float) -> float | None:
        """Return for how long an account holds a board on that it has held for ``age``; None: unknown.

        That is from its own holds, if there are enough, else from everybody's.
        """
        own = self._own.get(account)
        return (self._all if own is None or own.ended < FEW else own).left(age, part)


@frozen
class Pending:
    """A request that waits for boards, for an estimate."""

    account: str
    amount: int


def expected(boards: Sequence[tuple[str, float] | None], queue: Sequence[Pending], times: HoldTimes) -> list[Range]:
    """Return when each waiting request is served, in their order.

    ``boards`` are those that they wait for: (the account that holds it, for how long), or None for one that is free or
    made ready.
    """
    early, late = (_served(boards, queue, times, part) for part in (EARLY, LATE))
    return [Range(low, high) for low, high in zip(early, late, strict=True)]


def outlooks(
    waiting: Sequence[tuple[Verdict, QueuedRequest]],
    active: Sequence[ReservationRecord],
    times: HoldTimes,
    now: float,
) -> dict[str, Range]:
    """Return when each request that waits is likely to be served, by id; ``waiting`` is in the order of the queue.

    Those that wait for the same boards are looked at together, with those that wait for some of these before them.
    """
    held = {record.serial: (account_of(record.client), now - record.created_at) for record in active}
    shared = {record.serial for record in active if record.within is not None}
    found: dict[str, Range] = {}
    for reach in dict.fromkeys(verdict.reach for verdict, _ in waiting):
        queue = [(verdict, queued) for verdict, queued in waiting if verdict.reach is reach or verdict.reach & reach]
        pending = [Pending(account_of(queued.client), queued.request.least) for _, queued in queue]
        ranges = expected([held.get(serial) for serial in sorted(reach - shared)], pending, times)
        found |= {verdict.id: each for (verdict, _), each in zip(queue, ranges, strict=True) if verdict.reach == reach}
    return found


def _served(
    boards: Sequence[tuple[str, float] | None], queue: Sequence[Pending], times: HoldTimes, part: float
) -> list[float | None]:
    back = [0.0 if board is None else _or_never(times.left(board[0], board[1], part)) for board in boards]
    heapify(back)
    fresh: dict[str, float] = {}
    found: list[float | None] = []
    for pending in queue:
        if pending.amount > len(back):
            found.append(None)
            continue
        when = max(heappop(back) for _ in range(pending.amount))
        if pending.account not in fresh:
            fresh[pending.account] = _or_never(times.left(pending.account, 0.0, part))
        for _ in range(pending.amount):
            heappush(back, when + fresh[pending.account])
        found.append(None if when == inf else when)
    return found


def _or_never(seconds: float | None) -> float:
    return inf if seconds is None else seconds
