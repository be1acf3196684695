"""Pure: no I/O, no clock.  What accounts have used lately, and whose turn it is by that.

Theory of operation
-------------------
The unit is the board-second: a board that is reserved for a second, whether it measures or not.  If several clients
share a board, each counts an equal part of it (`Hold.part` is the mean over the hold).  A board-second weighs 1
when it passes, and half as much after each half-life, so that an account that used a lot yesterday is not last for
a month.  With the half-life H, a hold from ``began`` to ``ended`` weighs, at the time ``now``,

    the integral of 2**-((now - t) / H) over t from began to ended.

An account that holds n boards for ever approaches n * H / ln 2, 1.44 n H.  The sum of all accounts is bounded by that
of a farm whose boards are all in use.  `Ledger` keeps one number for each account, since all that has ended decays
alike; what is held now is added where it is looked at (`standing`).

A board that has just been given out weighs as if it had been held for `ADVANCE`: an account that gets a board goes at
once behind accounts that used as little and have none.

Requests are served in this order (`Standing.turn`):

1. the higher priority;
2. requests that have waited for `Standing.longest` (a half-life), the oldest first: usage no longer counts;
3. the account that has used less lately, divided by its weight, in whole board-minutes (`GRAIN`);
4. requests that wait, before those that do not;
5. the request that has waited longest.

Groups that would like more boards (`icefarm.control.scheduling.elastic`) come after all of these, of their priority.

Bounds:

- Nobody is passed by later requests of its priority for longer than `Standing.longest`.
- A difference between two accounts' usage is worth at most that wait, and is forgotten with the half-life.
- Two accounts that always have requests waiting, alike in weight, differ by at most what one request of each uses,
  since whichever is behind is served next.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import exp, log

from attrs import Factory, define, evolve, field, frozen

from icefarm.contract import account_of

__all__ = ["ADVANCE", "DEFAULT_PRIORITY", "GRAIN", "HALF_LIFE", "Hold", "Ledger", "Standing", "standing", "weight_of"]

#: The farm's half-life of what was used, seconds, unless its operator sets another.
HALF_LIFE = 4 * 3600.0
#: Seconds for which a board that has just been given out counts already.
ADVANCE = 600.0
#: Board-seconds that make no difference: below that, first come, first served.
GRAIN = 60.0
#: The default priority of a request.
DEFAULT_PRIORITY = 50.0


@frozen
class Hold:
    """A board was held by an account, or is: ``ended`` is None then."""

    account: str
    began: float
    ended: float | None = None
    #: The part of the board's time that counts as the account's: less than 1 where it shared the board.
    part: float = 1.0


def weight_of(began: float, ended: float, now: float, half_life: float) -> float:
    """Return how many board-seconds a hold weighs at ``now``, which is not before ``ended``."""
    if ended <= began:
        return 0.0
    rate = log(2) / half_life
    return (exp(-rate * max(0.0, now - ended)) - exp(-rate * max(0.0, now - began))) / rate


@define(eq=False)
class Ledger:
    """What accounts have used, of holds that have ended."""

    half_life: float = HALF_LIFE
    #: By account: board-seconds, as they weigh at a time.
    _sums: dict[str, tuple[float, float]] = Factory(dict)

    def set(self, sums: Mapping[str, float], at: float) -> None:
        """Begin with these sums, as they weigh at that time."""
        self._sums = {account: (weight, at) for account, weight in sums.items()}

    def add(self, hold: Hold) -> None:
        """Add a hold that has ended."""
        if hold.ended is None:
            return
        before, at = self._sums.get(hold.account, (0.0, hold.ended))
        later = max(at, hold.ended)
        weight = hold.part * weight_of(hold.began, hold.ended, later, self.half_life)
        self._sums[hold.account] = before * self._decay(later - at) + weight, later

    def at(self, now: float) -> dict[str, float]:
        """Return the board-seconds of each account, as they weigh now; nothing that weighs next to nothing."""
        found = {account: weight * self._decay(now - at) for account, (weight, at) in self._sums.items()}
        return {account: weight for account, weight in found.items() if weight >= 1.0}

    def _decay(self, seconds: float) -> float:
        return exp(-log(2) * max(0.0, seconds) / self.half_life)


@frozen
class Standing:
    """How accounts stand at one moment."""

    now: float = 0.0
    #: By account: board-seconds that it has used lately, of ended holds and of those that go on.
    used: Mapping[str, float] = Factory(dict)
    #: By account: what its usage is divided by; 1 where none is given.
    weights: Mapping[str, float] = Factory(dict)
    #: Seconds after which a request goes before all others of its priority.
    longest: float = HALF_LIFE
    #: By account: the boards that it holds, and its parts of those that it shares.
    held: Mapping[str, float] = Factory(dict)
    _given: Mapping[str, int] = field(factory=dict)

    def level(self, client: str) -> int:
        """Return what an account has used for each unit of its weight, in whole grains."""
        account = account_of(client)
        used = self.used.get(account, 0.0) + ADVANCE * self._given.get(account, 0)
        return int(used / self.weights.get(account, 1.0) / GRAIN)

    def lead(self, client: str, other: str) -> float:
        """Return by how many board-seconds, for each unit of weight, a client's account has used less than another."""
        return GRAIN * (self.level(other) - self.level(client))

    def boards(self, client: str) -> float:
        """Return how many boards an account has for each unit of its weight."""
        account = account_of(client)
        return (self.held.get(account, 0) + self._given.get(account, 0)) / self.weights.get(account, 1.0)

    def is_fairer(self, client: str, other: str) -> bool:
        """Tell whether a board may go from another account: if that one then has no fewer than this one has now."""
        return self.boards(client) <= self.moved(other, client).boards(other)

    def moved(self, giver: str, taker: str) -> Standing:
        """Return how they stand when a board goes from one account to another."""
        held = dict(self.held)
        held[account_of(giver)] = held.get(account_of(giver), 0) - 1
        held[account_of(taker)] = held.get(account_of(taker), 0) + 1
        return evolve(self, held=held)

    def overdue(self, since: float, *, waits: bool) -> bool:
        """Tell whether a request has waited so long that usage no longer counts."""
        return waits and self.now - since >= self.longest

    def turn(
        self, client: str, priority: float, since: float, number: int, *, waits: bool, grows: bool = False
    ) -> tuple[float, ...]:
        """Return when a request is served: the smallest goes first.  ``grows``: it is for more boards of a group."""
        overdue = self.overdue(since, waits=waits) and not grows
        return -priority, grows, not overdue, 0 if overdue else self.level(client), not waits, since, number

    def given(self, client: str, boards: int) -> Standing:
        """Return how they stand when a client has got boards."""
        account = account_of(client)
        return evolve(self, given={**self._given, account: self._given.get(account, 0) + boards})


def standing(
    ledger: Ledger,
    held: Iterable[Hold],
    now: float,
    weights: Mapping[str, float] | None = None,
) -> Standing:
    """Return how accounts stand, with the boards that they hold now."""
    used, boards = ledger.at(now), defaultdict[str, float](float)
    for hold in held:
        boards[hold.account] += hold.part
        weight = hold.part * max(ADVANCE, weight_of(hold.began, now, now, ledger.half_life))
        used[hold.account] = used.get(hold.account, 0.0) + weight
    return Standing(now, used, weights or {}, ledger.half_life, boards)
