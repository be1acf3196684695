"""Operations that are asked for one by one, and carried out one after the other."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred

from icefarm.concurrency.deferreds import shielded
from icefarm.errors import IcefarmError

__all__ = ["InOrder"]

T = TypeVar("T")


@define(eq=False)
class InOrder:
    """Runs operations one after the other where their key is the same."""

    _last: dict[str, Deferred[None]] = Factory(dict)

    async def run(self, key: str, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run ``operation`` when all earlier ones under ``key`` have ended; return its result.

        The caller may cancel its wait; the operation still takes place, so that the order holds.
        """
        running = ensureDeferred(self._run(key, operation))
        try:
            return await shielded(running)
        except CancelledError:
            running.addErrback(lambda failure: failure.trap(IcefarmError))
            raise

    async def _run(self, key: str, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        before, mine = self._last.get(key), Deferred[None]()
        self._last[key] = mine
        try:
            if before is not None:
                await shielded(before)
            return await operation()
        finally:
            if self._last.get(key) is mine:
                del self._last[key]
            mine.callback(None)
