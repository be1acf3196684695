"""The blocking client's Twisted: a private reactor in a daemon thread, created at first use, one per process.

It is the only exception to "no threads": scripts, notebooks and asyncio programs call from their own threads.  It never
touches the global reactor, so it works beside an application's.  A forked child gets an engine of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from functools import partial
from threading import Event, Lock, Thread, current_thread
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError as DeferredCancelled
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.epollreactor import EPollReactor
from twisted.python.failure import Failure

from icefarm.concurrency.prompt.icefarm_large_pages import gather_later
from icefarm.concurrency.prompt.icefarm_prompt import poll
from icefarm.errors import LinkLost, WrongThread

__all__ = ["Engine", "PendingResult"]

T = TypeVar("T")
#: What is awaited in the reactor's thread.
Awaited = Coroutine[Any, Any, T] | Deferred[T]

#: Seconds for the reactor to start.
START_LIMIT = 10.0


class _Reactor(EPollReactor):
    doPoll = doIteration = poll  # noqa: N815


class Engine:
    """A reactor that runs in its own thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.reactor = _Reactor()
        # Name resolution uses the reactor's threads; they must not keep a process from exiting.
        self.reactor.getThreadPool().threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment]
        self._running = Event()
        self._thread = Thread(target=self._run, name="icefarm-client", daemon=True)
        self._thread.start()
        if not self._running.wait(START_LIMIT):
            raise LinkLost("the client's reactor did not start")

    def _run(self) -> None:
        self.reactor.callWhenRunning(self._running.set)
        gather_later(self.reactor)
        self.reactor.run(installSignalHandlers=False)

    def submit(self, function: Callable[..., Awaited[T]], *args: Any, **kwargs: Any) -> Future[T]:
        """Run a function that is awaited in the reactor's thread; cancelling the future cancels its Deferred.

        Raises `WrongThread` in the reactor's own thread, which would wait forever, and in a forked child.
        """
        self._check()
        future: Future[T] = Future()
        self.reactor.callFromThread(self._start, future, lambda: function(*args, **kwargs))
        return future

    def begin(self, function: Callable[..., Awaited[T]], *args: Any, **kwargs: Any) -> PendingResult[T]:
        """Run a function as `submit` does, for a caller that does nothing but wait for its result."""
        self._check()
        pending: PendingResult[T] = PendingResult(self)
        self.reactor.callFromThread(pending.start, function, args, kwargs)
        return pending

    def run(self, function: Callable[..., Awaited[T]], *args: Any, **kwargs: Any) -> T:
        """Run a function that is awaited, and wait for its result; an interrupt (Ctrl-C) cancels it."""
        return self.begin(function, *args, **kwargs).wait()

    def post(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Call a function in the reactor's thread, without waiting for it."""
        self._check()
        self.reactor.callFromThread(function, *args, **kwargs)

    def check_process(self) -> None:
        """Raise `WrongThread` in a forked child, where no thread runs the reactor."""
        if self.pid != os.getpid():
            raise WrongThread("this farm was opened in the parent process; open one in this process")

    def _check(self) -> None:
        self.check_process()
        if current_thread() is self._thread:
            raise WrongThread("the blocking client cannot be called from an event listener: it runs in its thread")

    def _start(self, future: Future[T], begin: Callable[[], Awaited[T]]) -> None:
        if future.cancelled():
            return
        deferred: Deferred[T] = _begun(begin)
        deferred.addCallbacks(partial(_succeed, future), partial(_fail, future))
        future.add_done_callback(lambda done: self._abandon(deferred) if done.cancelled() else None)

    def _abandon(self, deferred: Deferred[T]) -> None:
        self.reactor.callFromThread(deferred.cancel)


class PendingResult(Generic[T]):
    """A result that one other thread waits for.  A future, which takes callbacks, costs several times as much."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._is_cancelled = False
        self._deferred: Deferred[T] | None = None
        self._result: Any = None
        self._error: BaseException | None = None
        #: Held until there is a result.
        self._none_yet = Lock()
        self._none_yet.acquire()

    def wait(self) -> T:
        """Return the result, or raise its error; an interrupt (Ctrl-C) cancels what gives it.

        Raises `WrongThread` in a forked child, where nothing would give it.
        """
        self._engine.check_process()
        try:
            self._none_yet.acquire()
        except BaseException:
            self.cancel()
            raise
        if self._error is not None:
            try:
                raise self._error
            finally:
                # The error's traceback refers to this frame.
                self = None  # type: ignore[assignment]
        result: T = self._result
        return result

    def cancel(self) -> None:
        """Cancel what gives the result.  Harmless once there is one."""
        self._is_cancelled = True
        self._engine.post(self._abandon)

    def start(self, function: Callable[..., Awaited[T]], args: Any, kwargs: Any) -> None:
        """Call the function, in the reactor's thread."""
        if not self._is_cancelled:
            self._deferred = _begun(lambda: function(*args, **kwargs))
            self._deferred.addCallbacks(self._succeed, self._fail)

    def _abandon(self) -> None:
        if self._deferred is not None:
            self._deferred.cancel()

    def _succeed(self, result: T) -> None:
        self._result = result
        self._none_yet.release()

    def _fail(self, failure: Failure) -> None:
        self._error = _error_of(failure)
        self._none_yet.release()


def _begun(begin: Callable[[], Awaited[T]]) -> Deferred[T]:
    try:
        return ensureDeferred(begin())
    except Exception:  # Nothing has begun; the caller waits for the reason.
        return fail()


def _error_of(failure: Failure) -> BaseException:
    """Return the error that another thread gets."""
    error = failure.value
    assert error is not None
    return CancelledError() if isinstance(error, DeferredCancelled) else error


def _succeed(future: Future[T], result: T) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(result)


def _fail(future: Future[T], failure: Failure) -> None:
    if future.set_running_or_notify_cancel():
        future.set_exception(_error_of(failure))
