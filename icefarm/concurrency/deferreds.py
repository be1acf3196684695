"""Concurrency with Deferreds: gathered, shielded, in order, in the background."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from attrs import Factory, define
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    DeferredSemaphore,
    TimeoutError,
    ensureDeferred,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.errors import Busy, IcefarmError

__all__ = [
    "AGAIN",
    "InOrder",
    "Tasks",
    "failures",
    "outcomes",
    "shielded",
    "started",
    "within",
]

K = TypeVar("K")
T = TypeVar("T")

#: Seconds until what could not be done, because the database is away or a worker does not answer, is tried again.
AGAIN = 5.0


def started(operation: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
    """Start ``operation``, and return a Deferred for its result."""
    return ensureDeferred(operation())


async def outcomes(operations: Iterable[Callable[[], Coroutine[Any, Any, T]]], at_once: int) -> list[T | IcefarmError]:
    """Run all of them, ``at_once`` at a time, and return what each returned, or the `IcefarmError` that it raised.

    Cancelling it cancels all that run.  Any other error is raised once all have ended.
    """
    limit = DeferredSemaphore(at_once)
    running = [limit.run(started, each) for each in operations]
    results: list[T | IcefarmError] = []
    for succeeded, result in await DeferredList(running, consumeErrors=True):
        if not succeeded and isinstance(result, Failure):
            # A cancelled list fails with its members' CancelledErrors, not with its own.
            if not isinstance(result.value, IcefarmError):
                result.raiseException()
            results.append(result.value)
        else:
            results.append(result)
    return results


async def failures(
    operations: Mapping[K, Callable[[], Coroutine[Any, Any, object]]], at_once: int
) -> dict[K, IcefarmError]:
    """Run all of them as `outcomes` does, and return the errors of those that failed, by their keys."""
    results = await outcomes(operations.values(), at_once)
    return {key: result for key, result in zip(operations, results, strict=True) if isinstance(result, IcefarmError)}


def shielded(running: Deferred[T]) -> Deferred[T]:
    """Return a Deferred that can be cancelled while ``running`` goes on to its end."""
    outer: Deferred[Any] = Deferred()

    def done(result: Any) -> Any:
        if outer.called:
            return result
        outer.callback(result)
        return None if isinstance(result, Failure) else result

    running.addBoth(done)
    return outer


async def within(seconds: float, clock: Clock, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run ``operation``, and cancel it when it takes longer.  Raises `Busy` then."""
    running = started(operation)
    running.addTimeout(seconds, clock)  # type: ignore[arg-type]
    try:
        return await running
    except TimeoutError:
        raise Busy(f"the database did not answer within {seconds:g} s; try again in a while") from None


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
            if self._last[key] is mine:
                del self._last[key]
            mine.callback(None)


@define(eq=False)
class Tasks:
    """What runs in the background: failures are logged, and all of it can be stopped."""

    #: Errors that are nobody's concern.
    expected: tuple[type[IcefarmError], ...] = ()
    log: ClassVar[Logger] = Logger()
    _stopped: bool = False
    _running: set[Deferred[Any]] = Factory(set)

    def start(self, what: str, operation: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run it in the background, unless stopped; ``what`` says in the log what failed."""
        if self._stopped:
            return
        running = started(operation)
        self._running.add(running)
        running.addErrback(self._failed, what).addBoth(self._ended, running)

    def persist(self, clock: Clock, what: str, operation: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Run it in the background, again and again while it raises `Busy`."""
        self.start(what, partial(self._persist, clock, what, operation))

    def stop(self) -> None:
        """Cancel everything that runs, and start nothing more."""
        self._stopped = True
        for running in list(self._running):
            running.cancel()

    async def finished(self) -> None:
        """Wait until nothing runs."""
        while self._running:
            await DeferredList([shielded(running) for running in self._running])

    async def _persist(self, clock: Clock, what: str, operation: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            await operation()
        except Busy as error:
            self.log.warn("{what}: {error}", what=what, error=error)
            clock.callLater(AGAIN, self.persist, clock, what, operation)

    def _ended(self, _: object, running: Deferred[Any]) -> None:
        self._running.discard(running)

    def _failed(self, failure: Failure, what: str) -> None:
        if failure.check(CancelledError, *self.expected):
            return
        if failure.check(IcefarmError):
            self.log.warn("{what}: {error}", what=what, error=failure.value)
        else:
            self.log.failure("{what} failed", failure, what=what)
