"""Pure: no I/O, no clock.  Whose evaluation a shared board carries out next: deficit round robin among accounts.

Theory of operation
===================
Each account that shares a board has a *lane*: its waiting evaluations, in the order in which they came, each with a
cost, the seconds of the board that it is expected to take.  The lanes that have something waiting stand in a ring::

    turn: deficit += quantum * weight;  while the first one costs no more than the deficit: begin it, deficit -= cost
          nothing waits any more: leave the ring, the deficit is 0      else: to the end of the ring

That is the round robin of Shreedhar and Varghese (1995).  Long windows and short ones may be mixed: a lane that wants
60 s waits for as many rounds as it takes to save them up.  `DeficitRoundRobin.next` does not walk those rounds one by
one: where no lane can begin anything in a round, it goes through as many rounds at once as the next one takes.

What an evaluation really took is known afterwards.  `DeficitRoundRobin.charge` takes what it took beyond its cost from
the deficit, which may become negative: an account whose circuits fail slowly pays for that with its next turns.  Such a
debt stays until it is paid, or until nothing waits in any lane.

Bounds, over any time in which two accounts always have something waiting, for each unit of weight:

- work conserving: while anything waits, `next` returns something;
- their board time differs by at most ``2 * quantum + cost_a + cost_b``, where the costs are the largest of each;
- no starvation: between two evaluations of an account, each other one gets at most that much more than it does.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable
from math import ceil
from typing import Generic, TypeVar

from attrs import Factory, define

__all__ = ["QUANTUM", "DeficitRoundRobin"]

#: Seconds of the board that an account of weight 1 may use in a round.  Less than most evaluations take, so that
#: accounts whose evaluations are alike take turns after each.
QUANTUM = 0.1

T = TypeVar("T")


@define(eq=False)
class _Lane(Generic[T]):
    weight: float
    waiting: deque[tuple[T, float]] = Factory(deque)
    deficit: float = 0.0
    #: It has had its quantum of this turn.
    served: bool = False


@define(eq=False)
class DeficitRoundRobin(Generic[T]):
    """Evaluations that wait for a board, by account."""

    quantum: float = QUANTUM
    _lanes: dict[str, _Lane[T]] = Factory(dict)
    #: The lanes in which something waits; whose turn it is, is first.
    _ring: OrderedDict[str, _Lane[T]] = Factory(OrderedDict)

    def __len__(self) -> int:
        return sum(len(lane.waiting) for lane in self._ring.values())

    def weigh(self, account: str, weight: float) -> None:
        """Give an account so much of the board beside others."""
        if not weight > 0:
            raise ValueError(f"a weight must be above 0, not {weight!r}")
        self._lanes.setdefault(account, _Lane(weight)).weight = weight

    def forget(self, account: str) -> None:
        """An account does not share the board any more.  Nothing of it may wait."""
        if account in self._ring:
            raise ValueError(f"something of {account} still waits")
        self._lanes.pop(account, None)

    def add(self, account: str, item: T, cost: float) -> None:
        """Let something wait, behind what waits of that account."""
        lane = self._lanes.setdefault(account, _Lane(1.0))
        lane.waiting.append((item, max(0.0, cost)))
        self._ring.setdefault(account, lane)

    def discard(self, account: str, unwanted: Callable[[T], bool]) -> list[T]:
        """Remove unwanted evaluations of an account, and return them."""
        lane = self._ring.get(account)
        if lane is None:
            return []
        gone = [item for item, _ in lane.waiting if unwanted(item)]
        lane.waiting = deque((item, cost) for item, cost in lane.waiting if not unwanted(item))
        if not lane.waiting:
            self._leave(account, lane)
        return gone

    def charge(self, account: str, seconds: float) -> None:
        """Charge an account for board time that it used beyond the expected costs of its evaluations."""
        if account in self._lanes and self._ring:
            self._lanes[account].deficit -= seconds

    def next(self) -> T | None:
        """Take out the next evaluation to carry out; None if none waits."""
        passed = 0
        while self._ring:
            account, lane = next(iter(self._ring.items()))
            if not lane.served:
                lane.deficit += self.quantum * lane.weight
                lane.served = True
            item, cost = lane.waiting[0]
            if cost <= lane.deficit:
                lane.waiting.popleft()
                lane.deficit -= cost
                if not lane.waiting:
                    self._leave(account, lane)
                return item
            lane.served = False
            self._ring.move_to_end(account)
            passed += 1
            if passed == len(self._ring):
                self._skip_rounds()
                passed = 0
        return None

    def _skip_rounds(self) -> None:
        """Go through the rounds in which nobody can begin anything, at once."""
        rounds = min(self._rounds_to_go(lane) for lane in self._ring.values()) - 1
        for lane in self._ring.values():
            lane.deficit += rounds * self.quantum * lane.weight

    def _rounds_to_go(self, lane: _Lane[T]) -> int:
        return max(1, ceil((lane.waiting[0][1] - lane.deficit) / (self.quantum * lane.weight)))

    def _leave(self, account: str, lane: _Lane[T]) -> None:
        """Nothing of an account waits any more: it saves up nothing, but keeps its debt while others wait."""
        del self._ring[account]
        lane.served, lane.deficit = False, min(0.0, lane.deficit)
        if not self._ring:
            for each in self._lanes.values():
                each.deficit = 0.0
