"""Whose call comes next: an account that asks for too much waits, and others don't.

Each call costs a number of units; an account gets `AccountLimits.rate` units a second, and may save some up.  Further
calls wait for their turn, in order, before control does anything for them.  When too many wait, more are refused, and a
session that goes on is ended, since refusals cost time too.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import account_of
from icefarm.control.sessions.limits import FarmLimits

__all__ = ["Pacing", "weight_of"]

#: Seconds for which units may be saved up.
SAVED = 2.0
#: Units of calls that read much; others cost one.
WEIGHTS = {"snapshot": 4, "journal": 4, "history": 4, "device_history": 4, "audit": 4, "reserve": 2}
#: Calls that keep a session alive, or free boards: they never wait.
FREE = frozenset(("heartbeat", "end"))
#: Bytes of arguments that cost one unit more.
BYTES = 16 * 1024
#: Refused calls in so many seconds after which a session is ended.
REFUSED, PERIOD = 200, 10.0
#: Accounts that are remembered.
REMEMBERED = 1000


def weight_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> float | None:
    """Return the units that a call costs; None: it never waits."""
    if name in FREE:
        return None
    size = sum(len(value) for value in (*args, *kwargs.values()) if isinstance(value, str | bytes | list | dict))
    return WEIGHTS.get(name, 1) + size / BYTES


@define(eq=False)
class _Account:
    """The calls of one account."""

    left: float
    at: float
    pending: int = 0
    waiting: deque[tuple[float, Deferred[None]]] = Factory(deque)
    timer: Any = None
    refused: RateLimit = Factory(lambda: RateLimit(REFUSED, PERIOD))


@define(eq=False)
class Pacing:
    """Gives the calls of each account their turn."""

    clock: Clock
    limits: FarmLimits
    _accounts: dict[str, _Account] = Factory(dict)

    def begin(self, caller: Caller, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Deferred[None] | None:
        """Count a call until its `end`; return None if it may be carried out now, else what fires when it may.

        Raises `LimitReached`; then it is not counted.
        """
        identity = caller.authid
        account, weight = self._account(identity), weight_of(name, args, kwargs)
        self._refill(identity, account)
        self.limits.check(identity, "calls", account.pending)
        account.pending += 1
        if weight is None:
            return None
        if account.left > 0 and not account.waiting:
            account.left -= weight
            return None
        turn: Deferred[None] = Deferred()
        account.waiting.append((weight, turn))
        self._wait(identity, account)
        return turn

    def end(self, caller: Caller) -> None:
        """Count a call no longer: it is answered."""
        self._account(caller.authid).pending -= 1

    def is_too_much(self, caller: Caller) -> bool:
        """Note a refused call; tells whether its session is to end."""
        return not self._account(caller.authid).refused.passes(self.clock.seconds())

    def _account(self, identity: str) -> _Account:
        name = account_of(identity)
        known = self._accounts.get(name)
        if known is None:
            if len(self._accounts) >= REMEMBERED:
                self._accounts = {name: each for name, each in self._accounts.items() if each.pending}
            known = self._accounts[name] = _Account(self.limits.of(identity).rate * SAVED, self.clock.seconds())
        return known

    def _refill(self, identity: str, account: _Account) -> None:
        rate, now = self.limits.of(identity).rate, self.clock.seconds()
        account.left = min(rate * SAVED, account.left + (now - account.at) * rate)
        account.at = now

    def _wait(self, identity: str, account: _Account) -> None:
        if account.timer is None and account.waiting:
            rate = self.limits.of(identity).rate
            account.timer = self.clock.callLater((1.0 - min(0.0, account.left)) / rate, self._next, identity, account)

    def _next(self, identity: str, account: _Account) -> None:
        account.timer = None
        self._refill(identity, account)
        while account.waiting and account.left > 0:
            weight, turn = account.waiting.popleft()
            # One that was given up costs nothing.
            if not turn.called:
                account.left -= weight
                turn.callback(None)
        self._wait(identity, account)
