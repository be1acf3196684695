"""Operations that are asked for one by one, and carried out one after the other or together."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Generic, TypeVar

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from icefarm.concurrency.deferreds import shielded
from icefarm.errors import IcefarmError

__all__ = ["Batches", "InOrder"]

T = TypeVar("T")
R = TypeVar("R")


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


@define(eq=False)
class _Batch(Generic[T, R]):
    """Items, the waiters for each answer, and the waiters for the end of all."""

    items: list[T] = Factory(list)
    answers: list[Deferred[R]] = Factory(list)
    ended: list[Deferred[None]] = Factory(list)


@define(eq=False)
class Batches(Generic[T, R]):
    """Carries out a single item at once, and items that arrive meanwhile together, in order, when it has ended.

    So nothing waits in a quiet farm, and the busier it is, the more items share a transaction.
    """

    #: Carries out items; returns an answer for each.
    operation: Callable[[Sequence[T]], Coroutine[Any, Any, Sequence[R]]]
    _next: _Batch[T, R] = Factory(_Batch)
    _running: _Batch[T, R] | None = None

    def put(self, item: T) -> Deferred[R]:
        """Have an item carried out; fires with its answer, or fails as the operation does for its whole batch.

        It may be cancelled; the item is carried out still.
        """
        answer: Deferred[R] = Deferred()
        self._next.items.append(item)
        self._next.answers.append(answer)
        if self._running is None:
            self._begin()
        return answer

    async def quiet(self) -> None:
        """Wait until all that was put so far has been carried out, or has failed."""
        if self._running is None:
            return
        ended: Deferred[None] = Deferred()
        (self._next if self._next.items else self._running).ended.append(ended)
        await ended

    def _begin(self) -> None:
        if self._next.items:
            self._running, self._next = self._next, _Batch()
            ensureDeferred(self.operation(self._running.items)).addBoth(self._done, self._running)

    def _done(self, result: Sequence[R] | Failure, batch: _Batch[T, R]) -> None:
        self._running = None
        self._begin()
        for place, answer in enumerate(batch.answers):
            answer.callback(result if isinstance(result, Failure) else result[place])
        for ended in batch.ended:
            ended.callback(None)
