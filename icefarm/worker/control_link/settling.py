"""Calls of clients wait here until control has first said whose the boards are."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from icefarm.errors import TimedOut

__all__ = ["Settling"]

#: Seconds that calls on boards wait for control to first say who holds them.
SETTLE_LIMIT = 10.0


@define(eq=False)
class Settling:
    """Makes calls on boards wait until control has first said who holds them."""

    _clock: Any
    #: Whether control has said who holds the boards.
    settled: bool = False
    _waiting: list[Deferred[None]] = Factory(list)

    def done(self) -> None:
        """Control has said so."""
        self.settled = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def wait(self) -> Deferred[None]:
        """Return a Deferred that fires then, or fails with `TimedOut`; for callers that see that it is not settled."""
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter.addTimeout(SETTLE_LIMIT, self._clock, _unsettled)


def _unsettled(result: Any, limit: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise TimedOut(f"control has not said within {limit:g} s whose this board is; try again")
    return result
