"""The blocking client's Twisted: a private reactor in a daemon thread, created at first use, one per process.

It is the only exception to "no threads": scripts, notebooks and asyncio programs call from their own threads.  It never
touches the global reactor, so it works beside an application's.  A forked child gets an engine of its own.

Theory of operation
===================
A reactor is not made for several threads: one at a time turns it, and has ``_turning`` meanwhile.  Between two calls
its own thread lends it to callers::

    its own thread:    turns --a call has its result: `lend`--> waits ------ nobody came for LENT seconds --> turns
    a caller's thread:                                           `borrow`, turns, `give_back`

A script that evaluates one circuit after the other thus does all by itself, where a call and its result would each
have to wake the other thread, which takes 0.1 ms.

What always holds:

- One thread turns.
- What another thread asks for (`callFromThread`) ends the loan: who turns then does it, or else the own thread at once.
- Nobody turns for `LENT` seconds twice at most: events and timers are late by as much.
- No handler of a signal is called while a caller's thread turns (`icefarm.system.held_signals`): a signal ends the
  loan where that thread waits for events.  So handlers may raise anything, and call the farm.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from functools import partial
from threading import Event, Lock, Thread, get_ident
from typing import Any, Generic, TypeVar

from twisted.internet.defer import CancelledError as DeferredCancelled
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.internet.epollreactor import EPollReactor
from twisted.python.failure import Failure

from icefarm.concurrency.prompt.icefarm_large_pages import gather_later
from icefarm.concurrency.prompt.icefarm_prompt import handle, poll, waited
from icefarm.errors import LinkLost, WrongThread
from icefarm.system.held_signals import HeldSignals, SignalHeard

__all__ = ["LENT", "Engine", "PendingResult"]

T = TypeVar("T")
#: What is awaited in the reactor's thread.
Awaited = Coroutine[Any, Any, T] | Deferred[T]

#: Seconds for the reactor to start.
START_LIMIT = 10.0
#: Seconds for which the reactor is lent: a script that evaluates one circuit after the other comes again by then.
LENT = 0.01


class _LentReactor(EPollReactor):
    """A reactor that callers may turn while its own thread has nothing to do."""

    def __init__(self) -> None:
        super().__init__()
        self._turning = Lock()
        #: The thread that turns it; None: no one does.
        self._by: int | None = None
        #: Whether a caller may borrow it, unless another one has.
        self.is_lent = False
        #: Whether one has since its own thread looked last.
        self._was_borrowed = False
        #: Free when its own thread is to turn it again.
        self._wanted = Lock()
        self._wanted.acquire()

    @property
    def turns_here(self) -> bool:
        """Whether this thread turns it."""
        return self._by == get_ident()

    def run(self, *args: Any, **kwargs: Any) -> None:
        """Turn it in this thread, which is its own, until it is stopped."""
        with self._turning:
            self._by = get_ident()
            super().run(*args, **kwargs)

    def doIteration(self, delay: float | None) -> None:
        """For Twisted: wait for events and handle them."""
        if self.is_lent:
            self._wait_for_callers()
            delay = 0
        poll(self, delay)

    doPoll = doIteration  # noqa: N815

    def callFromThread(self, *args: Any, **kwargs: Any) -> None:
        """Have a function called where it is turned, soon."""
        super().callFromThread(*args, **kwargs)
        self._end_loan()

    def _end_loan(self) -> None:
        if self.is_lent:
            self.is_lent = False
            # Another one may have freed it.
            with suppress(RuntimeError):
                self._wanted.release()

    def lend(self) -> None:
        """Lend it from the end of this turn on."""
        self.is_lent = True

    def _wait_for_callers(self) -> None:
        """Leave the turns to callers for as long as they come."""
        self._by = None
        self._turning.release()
        self._was_borrowed = True
        # What is in the queue was asked for before it was lent.
        while self.is_lent and not self.threadCallQueue and (self._was_borrowed or self._by is not None):
            self._was_borrowed = False
            self._wanted.acquire(timeout=LENT)
        self.is_lent = False
        self._turning.acquire()
        self._by = get_ident()

    def borrow(self) -> bool:
        """Tell whether this thread may turn it now; then it must give it back."""
        if not self.is_lent or not self._turning.acquire(blocking=False):
            return False
        self._by, self._was_borrowed = get_ident(), True
        return True

    def turn_while(self, busy: Callable[[], bool], signals: HeldSignals) -> None:
        """Turn it in this thread, which has borrowed it; until a signal comes at most, and once at least.

        Who calls again and again, for what needs no turn, would otherwise keep all else from being done.
        """
        try:
            while True:
                self.runUntilCurrent()
                # What was due may have been all.
                handle(self, self._waited(signals) if busy() else waited(self, 0))
                if not busy():
                    return
        except SignalHeard:
            self._end_loan()

    def _waited(self, signals: HeldSignals) -> list[tuple[int, int]]:
        timeout = self.timeout()
        try:
            signals.tell()
            return waited(self, timeout)
        finally:
            signals.hold()

    def give_back(self) -> None:
        """End a loan."""
        self._by = None
        self._turning.release()


class Engine:
    """A reactor that runs in its own thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.reactor = _LentReactor()
        #: What was begun and has no result yet; only who turns the reactor changes it.
        self.pending = 0
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

    def run_shortly(self, function: Callable[..., Awaited[T]], *args: Any, **kwargs: Any) -> T:
        """Run a function as `run` does, in the caller's thread if the reactor is lent; it is lent afterwards, too."""
        self._check()
        pending: PendingResult[T] = PendingResult(self, lends=True)
        if not self._turned(pending, function, args, kwargs):
            self.reactor.callFromThread(pending.start, function, args, kwargs)
        return pending.wait()

    def _turned(self, pending: PendingResult[T], function: Callable[..., Awaited[T]], args: Any, kwargs: Any) -> bool:
        """Call a function in this thread, and turn the reactor, if it is lent; tell whether it was."""
        if not self.reactor.is_lent:
            return False
        try:
            with HeldSignals() as signals:
                if not self.reactor.borrow():
                    return False
                try:
                    pending.start(function, args, kwargs)
                    pending.turn(signals)
                finally:
                    self.reactor.give_back()
        except BaseException:
            pending.cancel()
            raise
        return True

    def post(self, function: Callable[..., None], *args: Any, **kwargs: Any) -> None:
        """Call a function in the reactor's thread, without waiting for it.

        That thread may call it too: generators of results that nobody has any more end wherever that is found.
        """
        self.check_process()
        self.reactor.callFromThread(function, *args, **kwargs)

    def check_process(self) -> None:
        """Raise `WrongThread` in a forked child, where no thread runs the reactor."""
        if self.pid != os.getpid():
            raise WrongThread("this farm was opened in the parent process; open one in this process")

    def _check(self) -> None:
        self.check_process()
        if self.reactor.turns_here:
            raise WrongThread("the blocking client cannot be called from an event listener: it runs in its thread")

    def _start(self, future: Future[T], begin: Callable[[], Awaited[T]]) -> None:
        if future.cancelled():
            return
        deferred: Deferred[T] = _begun(begin)
        self.pending += 1
        deferred.addBoth(self._ended)
        deferred.addCallbacks(partial(_succeed, future), partial(_fail, future))
        future.add_done_callback(lambda done: self._abandon(deferred) if done.cancelled() else None)

    def _ended(self, result: T) -> T:
        self.pending -= 1
        return result

    def _abandon(self, deferred: Deferred[T]) -> None:
        self.reactor.callFromThread(deferred.cancel)


class PendingResult(Generic[T]):
    """A result that one other thread waits for.  A future, which takes callbacks, costs several times as much."""

    def __init__(self, engine: Engine, *, lends: bool = False) -> None:
        self._engine = engine
        #: Whether the reactor is lent from then on.
        self._lends = lends
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
            self._engine.pending += 1
            self._deferred = _begun(lambda: function(*args, **kwargs))
            self._deferred.addCallbacks(self._succeed, self._fail)

    def _abandon(self) -> None:
        if self._deferred is not None:
            self._deferred.cancel()

    def turn(self, signals: HeldSignals) -> None:
        """Turn the reactor in this thread, which has borrowed it, until there is a result or a signal."""
        self._engine.reactor.turn_while(self._none_yet.locked, signals)

    def _succeed(self, result: T) -> None:
        self._result = result
        self._end()

    def _fail(self, failure: Failure) -> None:
        self._error = _error_of(failure)
        self._end()

    def _end(self) -> None:
        self._engine.pending -= 1
        if self._lends and self._engine.pending == 0:
            self._engine.reactor.lend()
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
