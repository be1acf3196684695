"""The clock of a process that can be killed: then its calls no longer run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define

from icefarm.concurrency.clock import Clock

__all__ = ["MortalClock"]


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
