"""Answers to frequent requests: beyond a few a second, they repeat the last answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from attrs import define, field

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit

__all__ = ["FRESH", "LimitedAnswer"]

Answer = TypeVar("Answer")
#: Answers that are made each second.
FRESH = 5


@define(eq=False)
class LimitedAnswer(Generic[Answer]):
    """Makes an answer, or gives the last one, at most a second old, where too many ask."""

    make: Callable[[], Awaitable[Answer]]
    clock: Clock
    _limit: RateLimit = field(factory=lambda: RateLimit(FRESH, 1.0))
    _last: tuple[float, Answer] | None = None

    async def __call__(self) -> Answer:
        now = self.clock.seconds()
        passes = self._limit.passes(now)
        if not passes and self._last is not None and now - self._last[0] <= 1.0:
            return self._last[1]
        answer = await self.make()
        self._last = (now, answer)
        return answer
