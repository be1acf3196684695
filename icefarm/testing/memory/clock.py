"""Clocks of tests: one that has many calls, and that of a process that can be killed."""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock as TestClock

from icefarm.concurrency.clock import Clock

__all__ = ["MortalClock", "OrderedClock"]


class _Call(DelayedCall):
    """A call that says when its time has changed; Twisted's says so only where that is sooner."""

    def reset(self, secondsFromNow: float) -> None:
        super().reset(secondsFromNow)
        self.resetter(self)

    def delay(self, secondsLater: float) -> None:
        super().delay(secondsLater)
        self.resetter(self)


class OrderedClock(TestClock):
    """Twisted's clock of tests, for hundreds of calls: it keeps them in order, and does not sort all for each."""

    _in_order = True

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        self._sortCalls()
        call = _Call(self.seconds() + delay, callable, args, kw, self.calls.remove, self._moved, self.seconds)
        insort(self.calls, call, key=DelayedCall.getTime)
        return call

    def next_call(self) -> float | None:
        """Return when the next call is due; None: there is none."""
        self._sortCalls()
        return self.calls[0].getTime() if self.calls else None

    def _sortCalls(self) -> None:
        if not self._in_order:
            super()._sortCalls()
            self._in_order = True

    def _moved(self, _: DelayedCall) -> None:
        self._in_order = False


@define(eq=False)
class MortalClock(Clock):
    """A clock that works until `die`."""

    clock: Clock
    alive: bool = True

    def seconds(self) -> float:
        return self.clock.seconds()

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        return self.clock.callLater(delay, lambda: callable(*args, **kw) if self.alive else None)

    def die(self) -> None:
        """Stop all calls, including pending ones."""
        self.alive = False
