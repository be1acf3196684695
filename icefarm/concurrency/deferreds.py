"""Concurrency with Deferreds: operations that are gathered, shielded, or in the background.

In the background they run once, every so many seconds, whenever they are asked for, or when they are due.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeVar

from attrs import Factory, define, field
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredList,
    TimeoutError,
    ensureDeferred,
)
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.errors import Busy, IcefarmError

__all__ = [
    "AGAIN",
    "Coalesced",
    "DueTimer",
    "Repeated",
    "Tasks",
    "failures",
    "outcomes",
    "shielded",
    "started",
    "within",
]

K = TypeVar("K")
T = TypeVar("T")

#: Seconds until an operation that failed, because the database or a worker does not answer, is tried again.
AGAIN = 5.0
#: Seconds that a timer for what is due sleeps at least, and at most: clocks of control and database may drift apart.
SHORTEST = 0.05
LONGEST = 3600.0


def started(operation: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
    """Start ``operation``, and return a Deferred for its result."""
    return ensureDeferred(operation())


async def outcomes(operations: Iterable[Callable[[], Coroutine[Any, Any, T]]], at_once: int) -> list[T | IcefarmError]:
    """Run all of them, ``at_once`` at a time, and return what each returned, or the `IcefarmError` that it raised.

    Cancelling it cancels all that run, and starts no other.  Any other error is raised once all have ended.
    """
    left = deque(enumerate(operations))
    ended: dict[int, T | IcefarmError] = {}
    faults: list[Exception] = []

    # Hundreds may fail without waiting, where a link is lost: a loop takes the next one, and nothing calls itself.
    async def work() -> None:
        while left:
            number, operation = left.popleft()
            try:
                ended[number] = await operation()
            except IcefarmError as error:
                ended[number] = error
            except Exception as fault:
                faults.append(fault)

    def cancel(_: Deferred[None]) -> None:
        left.clear()
        faults.append(CancelledError())
        running.cancel()

    running = DeferredList([started(work) for _ in range(min(at_once, len(left)))])
    done: Deferred[None] = Deferred(cancel)
    running.addCallback(lambda _: done.callback(None))
    await done
    if faults:
        raise faults[0]
    return [ended[number] for number in sorted(ended)]


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
class Tasks:
    """Operations in the background: failures are logged, and all can be stopped."""

    #: Errors to ignore.
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


@define(eq=False)
class Repeated:
    """An operation that is started every so many seconds, from `start` to `stop`; there is no start after a stop.

    A run that takes longer than that is not joined by another one.
    """

    _clock: Clock
    _seconds: float
    #: What it is, for the log.
    _what: str
    _operation: Callable[[], Coroutine[Any, Any, Any]]
    _timer: Any = None
    _stopped: bool = False
    _runs: bool = False
    _tasks: Tasks = Factory(Tasks)

    def start(self, first: float | None = None) -> None:
        """Start it after ``first`` seconds, or after the usual time, and then again and again.  Harmless if started."""
        if self._timer is None and not self._stopped:
            self._timer = self._clock.callLater(self._seconds if first is None else first, self._tick)

    def stop(self) -> None:
        """Start it no more, and cancel what runs."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._tasks.stop()

    def next_in(self, seconds: float) -> None:
        """Start it the next time after so many seconds."""
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)

    def _tick(self) -> None:
        self._timer = self._clock.callLater(self._seconds, self._tick)
        if not self._runs:
            self._tasks.start(self._what, self._run)

    async def _run(self) -> None:
        self._runs = True
        try:
            await self._operation()
        finally:
            self._runs = False


@define(eq=False)
class Coalesced:
    """An operation that runs once more if it was requested, however often, while it ran.

    So a run starts after each request, and no two run at the same time.
    """

    #: Says in the log what failed.
    what: str
    operation: Callable[[], Coroutine[Any, Any, None]]
    tasks: Tasks
    _asked: bool = False
    _running: bool = False
    #: Those that wait for the end of the next run.
    _waiting: list[Deferred[None]] = Factory(list)

    def finished(self) -> Deferred[None]:
        """Run it; fires when a run that began after this request has ended, or has failed."""
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self.poke()
        return done

    def poke(self) -> None:
        """Run it: now, or again once the present run has ended."""
        self._asked = True
        if not self._running:
            self._running = True
            self.tasks.start(self.what, self._run)

    async def _run(self) -> None:
        try:
            while self._asked:
                self._asked = False
                waiting, self._waiting = self._waiting, []
                try:
                    await self.operation()
                finally:
                    for each in waiting:
                        each.callback(None)
        finally:
            self._running = False
            if self._asked:
                # The run failed, and was asked for once more meanwhile.
                self.poke()


@define(eq=False)
class DueTimer:
    """Does what is due whenever it is asked to, and again when the next of it is due."""

    clock: Clock
    #: Says in the log what failed.
    what: str
    #: Does what is due; returns in how many seconds something else is, None: when something changes.
    operation: Callable[[], Coroutine[Any, Any, float | None]]
    #: When it is to look again, by the clock, and whether it is looking now.
    _due: float | None = None
    _looking: bool = False
    _timer: Any = None
    _stopped: bool = False
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)
    _looks: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._looks = Coalesced(self.what, self._look, self._tasks)

    def poke(self) -> None:
        """Do what is due, and find when to do so again."""
        self._looks.poke()

    def at_latest(self, seconds: float) -> None:
        """Do what is due in so many seconds, unless it does so sooner."""
        moment = self.clock.seconds() + min(max(seconds, SHORTEST), LONGEST)
        if self._due is None or moment < self._due:
            self._due = moment
            if not self._looking:
                self._set()

    def stop(self) -> None:
        """Stop permanently."""
        self._stopped = True
        self._cancel()
        self._tasks.stop()

    async def _look(self) -> None:
        self._due, self._looking = None, True
        sleep: float | None = AGAIN
        try:
            sleep = await self.operation()
        except IcefarmError as error:
            self._log.warn("{what} cannot be looked after just now: {error}", what=self.what, error=error)
        finally:
            # Also after an error that nobody expected: what is due stays due.
            if sleep is not None:
                self.at_latest(sleep)
            self._looking = False
            self._set()

    def _set(self) -> None:
        self._cancel()
        if self._due is not None and not self._stopped:
            self._timer = self.clock.callLater(max(0.0, self._due - self.clock.seconds()), self.poke)

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
