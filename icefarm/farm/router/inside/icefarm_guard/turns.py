"""Whose turn it is to be read from: what each account and address has of the router's time."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Hashable
from typing import Any, Protocol

from attrs import Factory, define

__all__ = ["BUSY_FOR", "TURN", "Bucket", "Demand", "Turns", "Waits"]

#: Seconds between two connections of one account that are read from again.
TURN = 0.005
#: Connections without a byte so far that are read from in one turn.
SILENT_AT_ONCE = 16
#: Seconds of its share that an account, or an address, may save up.
SAVED = 0.1
#: Seconds that it may owe: after a flood, others of its address or account wait no longer than that.
OWED = 0.5
#: Seconds after which an address is read from, whatever it owes: each of its connections gets on.
STARVED = 0.25
#: Part of the router's time that an account, or an address, must use to be among those who want some, and the seconds
#: for which it is.
BUSY, BUSY_FOR = 0.02, 1.0


@define
class Bucket:
    """Seconds of the router's time that are left to an account or address; below 0 it waits."""

    share: float
    left: float = SAVED
    _at: float = 0.0

    def refill(self, now: float) -> float:
        """Return what is left now."""
        self.left = min(SAVED, self.left + (now - self._at) * self.share)
        self._at = now
        return self.left


@define(eq=False)
class Demand:
    """Which accounts have used more than a little of the router's time lately."""

    _used: dict[Turns, float] = Factory(dict)
    _since: float = 0.0
    #: Until when each of them counts.
    _busy: dict[Turns, float] = Factory(dict)

    def note(self, turns: Turns, seconds: float, now: float) -> None:
        """Note what one of them has used."""
        if now - self._since > BUSY_FOR:
            self._used.clear()
            self._since = now
            self._busy = {each: until for each, until in self._busy.items() if until > now}
        used = self._used.get(turns, 0.0) + seconds
        self._used[turns] = used
        if used > BUSY * BUSY_FOR:
            self._busy[turns] = now + BUSY_FOR

    def others_than(self, turns: Turns, now: float) -> bool:
        """Tell whether somebody else wants some."""
        return any(until > now for each, until in self._busy.items() if each is not turns)


class Waits(Protocol):
    """What waits for its turn: a connection, or its sign-in."""

    @property
    def closed(self) -> bool:
        """Whether there is no need any more."""

    @property
    def lane(self) -> Hashable:
        """Who takes turns with others: all that wait under one lane are served in order."""

    @property
    def has_spoken(self) -> bool:
        """Whether it has something to say."""

    def read_on(self) -> None:
        """It is its turn."""


@define(eq=False)
class Lanes:
    """Those who wait: one of each lane in turn, in each lane in order."""

    _lanes: OrderedDict[Hashable, deque[Waits]] = Factory(OrderedDict)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def append(self, waits: Waits) -> None:
        """Add one at the end of its lane."""
        self._lanes.setdefault(waits.lane, deque()).append(waits)

    def next(self) -> Waits:
        """Take out the next one."""
        lane, waiting = next(iter(self._lanes.items()))
        found = waiting.popleft()
        if waiting:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]
        return found


@define(eq=False)
class Turns:
    """The connections of one account or address, and whose turn it is to be read from."""

    bucket: Bucket
    clock: Any
    #: Who else wants some of the router's time; None: these wait even if nobody does.
    others: Demand | None = None
    waiting: Lanes = Factory(Lanes)
    _timer: Any = None
    _read_at: float = float("-inf")

    def spend(self, seconds: float) -> bool:
        """Note a cost; tells whether there is time left."""
        now = self.clock.seconds()
        left = self.bucket.refill(now)
        self.bucket.left = max(-OWED, self.bucket.left - seconds)
        if self.others is not None:
            self.others.note(self, seconds, now)
        return left > seconds or self._is_alone(now)

    def _is_alone(self, now: float) -> bool:
        return self.others is not None and not self.others.others_than(self, now)

    def give_back(self, seconds: float) -> None:
        """Take back a cost that there was not."""
        self.bucket.left = min(SAVED, self.bucket.left + seconds)

    def is_free(self) -> bool:
        """Tell whether there is time left, and nobody waits for it."""
        return not self.waiting and self.bucket.refill(self.clock.seconds()) > 0

    def wait(self, waits: Waits) -> None:
        """Read from a connection again when it is its turn."""
        self.waiting.append(waits)
        if self._timer is None:
            self._timer = self.clock.callLater(TURN, self._next)

    def _next(self) -> None:
        # The timer that has fired stays known meanwhile: a connection that is read from may have to wait again.
        now = self.clock.seconds()
        left = self.bucket.refill(now)
        if self._is_alone(now):
            left = self.bucket.left = max(left, 0.0) + TURN * self.bucket.share
        # An account that owes waits until it does not.  An address may be that of many, who are not to blame.
        starved = self.others is None and now - self._read_at >= STARVED
        if left > 0 or starved:
            self._read_at = now
            self._read_some()
        self._timer = None
        if self.waiting:
            longest = STARVED if self.others is None else BUSY_FOR
            later = TURN if left > 0 else min(TURN - left / self.bucket.share, longest)
            self._timer = self.clock.callLater(later, self._next)

    def _read_some(self) -> None:
        """Read from the next one that has something to say, and from some silent ones before it.

        After a flood of connections that say nothing, those that come to sign in are not far behind.
        """
        silent = 0
        while self.waiting and silent < SILENT_AT_ONCE:
            waits = self.waiting.next()
            if waits.closed:
                continue
            silent += 1
            spoke = waits.has_spoken
            waits.read_on()
            if spoke:
                return
