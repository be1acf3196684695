"""A pytest plugin for tests that wait for Twisted: each ends at its time limit, and leaves the reactor able to go on.

pytest-timeout raises its error in whatever the main thread runs.  That is the test itself, if it is a plain function.
While a test or a fixture waits for a Deferred (as a coroutine, or in pytest-twisted's `blockon`), it is the reactor,
which logs the error and goes on, so that the test would wait forever.  Here the limit also cancels what is waited for,
so that a coroutine cleans up, and ends the wait.

While a test waits for a browser, what runs is the event loop of Playwright, in a greenlet of its own.  An error that is
raised there ends one of the loop's callbacks instead of the test: the loop logs it, or loses a message of the browser,
and every later test waits in vain.  So here the error is raised in the greenlet that waits.  Playwright itself raises
errors where it was started, in a fixture; so tests of the browser are called where fixtures are, not in the reactor.

Ctrl-C and SIGTERM end the run after the present test, and pytest says what has failed so far.  Twisted's own handlers
would stop the reactor, and all tests that are left would fail.

The reactor notices by SIGCHLD that a child process has ended.  A test that takes that from it, as asyncio's
``add_signal_handler`` does, fails: later tests would wait in vain for the end of their processes.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import greenlet
import pytest
import pytest_timeout
import pytest_twisted
from _pytest.python import pytest_pyfunc_call as call_test
from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.process import reapAllProcesses
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

#: Seconds after its limit in which a test cleans up; then its wait ends in any case.  Its fixtures get as many.
GRACE = 60.0
#: Seconds that a test has to end by itself after Ctrl-C.
AFTER_INTERRUPT = 5.0
#: Seconds after a limit that passes between two phases of a test.
SOON = 0.1

_SETTINGS = pytest.StashKey[Any]()
#: That the limit of a test has passed.
_LATE = pytest.StashKey[bool]()
#: A test may put another one in its place.
_setitimer = signal.setitimer


# ------------------------------------------------------------------------------------------------ the limit of a wait


@define(eq=False)
class _Wait:
    """A greenlet that waits for a Deferred while the reactor runs in its own."""

    _deferred: Deferred[Any]
    _greenlet: Any = Factory(greenlet.getcurrent)
    _waits: bool = False
    _results: list[Any] = Factory(list)
    #: That the limit has passed.
    _error: BaseException | None = None

    def result(self) -> Any:
        """Wait for the Deferred, and return or raise its result, or raise that the limit has passed."""
        global _wait
        self._deferred.addBoth(self._came)
        if not self._results:
            _wait, self._waits = self, True
            try:
                pytest_twisted._instances.gr_twisted.switch()
            finally:
                _wait, self._waits = None, False
        return self._outcome()

    def _came(self, result: Any) -> None:
        # A result that comes after the end of the wait is nobody's.
        self._results.append(result)
        if self._waits:
            self._greenlet.switch()

    def _outcome(self) -> Any:
        result = self._results[0] if self._results else None
        if self._error is not None:
            cause = result.value if isinstance(result, Failure) else None
            if cause is self._error:
                raise self._error
            # Its traceback shows where a coroutine waited.
            raise self._error from cause
        assert self._results, "the reactor has stopped"
        if isinstance(result, Failure):
            result.raiseException()
        return result

    def end(self, error: BaseException) -> None:
        """End it with ``error``: the first time by cancelling the Deferred, the second time at once."""
        if self._error is None:
            self._error = error
            pytest_twisted._instances.reactor.callFromThread(self._deferred.cancel)
        else:
            # Returns when some greenlet waits again.
            self._greenlet.throw(self._error)


#: The wait that the reactor runs for now.
_wait: _Wait | None = None
#: The greenlet in which a test is set up, called or torn down, and would fail by an error.
_in_phase: Any = None


def _blockon(deferred: Deferred[Any]) -> Any:
    assert greenlet.getcurrent() is not pytest_twisted._instances.gr_twisted, (
        "a test is called in the reactor: await instead"
    )
    return _Wait(deferred).result()


def _run_in_reactor(function: Callable[..., Any], *args: Any) -> Any:
    # Cancelling this cancels what the function returns.
    return _blockon(deferLater(pytest_twisted._instances.reactor, 0.0, function, *args))


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """Have pytest-twisted wait this way, unless the reactor runs in another thread, where limits work."""
    if pytest_twisted._instances.gr_twisted is not None:
        pytest_twisted.blockon_default = _blockon
        pytest_twisted._run_inline_callbacks = _run_in_reactor


#: Of a process that runs tests and reports what came of them; pytest-xdist ends its workers itself.
_reporting: pytest.Session | None = None
#: The test that runs.
_item: pytest.Item | None = None


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    global _reporting
    _reporting = None if hasattr(session.config, "workerinput") else session


def _stop(number: int, _: object) -> None:
    assert _reporting is not None
    _reporting.shouldstop = signal.Signals(number).name
    left, _interval = signal.getitimer(signal.ITIMER_REAL)
    if not left and _item is not None:
        # It has no limit, as with --timeout 0.
        settings = pytest_timeout.Settings(GRACE, "signal", False, False)
        _item.ihook.pytest_timeout_set_timer(item=_item, settings=settings)
        left = GRACE
    if left > AFTER_INTERRUPT:
        _setitimer(signal.ITIMER_REAL, AFTER_INTERRUPT, GRACE)


@pytest.hookimpl
def pytest_timeout_set_timer(item: pytest.Item, settings: Any) -> bool | None:
    """Set pytest-timeout's timer so that it ends waits too, and again where a test hangs once more."""
    if settings.method != "signal" or threading.current_thread() is not threading.main_thread():
        return None
    if not settings.func_only:
        item.stash[_SETTINGS] = settings

    def expire(*_: object) -> None:
        __tracebackhide__ = True
        running = greenlet.getcurrent()
        in_reactor = running is pytest_twisted._instances.gr_twisted
        in_loop = not in_reactor and running.parent is _in_phase
        if _in_phase is None or not (in_reactor or in_loop or running is _in_phase):
            # pytest itself would fail, or a callback of Playwright that runs in a greenlet of its own.
            _setitimer(signal.ITIMER_REAL, SOON, GRACE)
            return
        item.stash[_LATE] = True
        try:
            pytest_timeout.timeout_sigalrm(item, settings)
        except pytest.fail.Exception as error:
            if in_loop:
                # Returns when the loop is to go on.
                _in_phase.throw(error)
                return
            if in_reactor and _wait is not None:
                _wait.end(error)
            # pytest-twisted calls tests in the reactor.  If it runs none, it logs this and goes on.
            raise

    def cancel() -> None:
        _setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined]
    signal.signal(signal.SIGALRM, expire)
    _setitimer(signal.ITIMER_REAL, settings.timeout, GRACE)
    return True


# ----------------------------------------------------------------------------------------- each phase of a test's life


@frozen
class _Signals:
    """How the reactor hears of signals."""

    descriptor: int
    child: Any

    def put_back(self) -> list[str]:
        """Restore it, and return what had changed."""
        changed = []
        descriptor = signal.set_wakeup_fd(self.descriptor)
        if descriptor != self.descriptor:
            changed.append(f"signal.set_wakeup_fd({descriptor})")
        child = signal.getsignal(signal.SIGCHLD)
        if child is not self.child:
            changed.append(f"signal.signal(SIGCHLD, {child})")
            signal.signal(signal.SIGCHLD, self.child)
            signal.siginterrupt(signal.SIGCHLD, False)
        if changed:
            # Of those that ended meanwhile the reactor has not heard.
            reapAllProcesses()
        return changed


#: Of the reactor, which starts with the first test.
_signals: _Signals | None = None


@contextmanager
def _phase(name: str) -> Iterator[None]:
    global _in_phase
    with _signals_kept(name):
        _in_phase = greenlet.getcurrent()
        try:
            yield
        finally:
            _in_phase = None


@contextmanager
def _signals_kept(phase: str) -> Iterator[None]:
    global _signals
    if pytest_twisted._instances.gr_twisted is None:
        yield
        return
    if _signals is None:
        _run_in_reactor(lambda: None)
        descriptor = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(descriptor)
        _signals = _Signals(descriptor, signal.getsignal(signal.SIGCHLD))
        if _reporting is not None:
            signal.signal(signal.SIGINT, _stop)
            signal.signal(signal.SIGTERM, _stop)
    try:
        yield
    except BaseException:
        _signals.put_back()
        raise
    changed = _signals.put_back()
    if changed:
        pytest.fail(
            f"the {phase} of this test took signals from the reactor, which would not hear of the end of child "
            f"processes any more: {' and '.join(changed)}. Run what does that in a process of its own.",
            pytrace=False,
        )


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> object | None:
    """Call a test of the browser outside the reactor: what waits there for Playwright would never end at its limit."""
    if pyfuncitem.get_closest_marker("browser") is None:
        return None
    return call_test(pyfuncitem)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    global _item
    _item = item
    with _phase("setup"):
        return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Iterator[None]:
    with _phase("call"):
        return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """Give the teardown a limit of its own: a test that failed has none left, and fixtures of a session end here."""
    settings = item.stash.get(_SETTINGS, None)
    if settings is not None:
        if item.stash.get(_LATE, False):
            settings = settings._replace(timeout=min(settings.timeout, GRACE))
        item.ihook.pytest_timeout_set_timer(item=item, settings=settings)
    try:
        with _phase("teardown"):
            return (yield)
    finally:
        global _item
        _item = None
        item.ihook.pytest_timeout_cancel_timer(item=item)
