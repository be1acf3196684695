"""Signals wait while code runs that an exception of their handlers must not interrupt.

Python calls a handler in the main thread, between any two of its steps: Ctrl-C raises `KeyboardInterrupt` wherever that
thread is.
"""

from __future__ import annotations

import signal

# Beneath `signal.getsignal` and `signal.signal`, which make an enumeration of each handler, in 2 to 3 microseconds.
from _signal import getsignal  # type: ignore[import-not-found]
from _signal import signal as set_handler
from collections.abc import Callable
from threading import get_ident, main_thread
from time import monotonic
from types import FrameType
from typing import Any, Self

__all__ = ["HeldSignals", "SignalHeard"]

#: Signals whose handlers may raise: those that end or interrupt a program, or are left to it.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)
#: Seconds for which a signal waits at most, if it comes again then: the code seems to hang.
HANGS = 0.5


class SignalHeard(BaseException):
    """A signal waits: the code is to end."""


class HeldSignals:
    """Holds signals until the end of a block of code, which can ask to be told by an exception (`tell`).

    A signal that comes once more later (`HANGS`) is handled at once.  Threads other than the main one have no signals.
    """

    def __init__(self) -> None:
        self._thread = get_ident()
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        #: Since when, and where it came.
        self._waiting: dict[int, tuple[float, FrameType | None]] = {}
        self._tells = False

    def __enter__(self) -> Self:
        if self._thread == main_thread().ident:
            try:
                self._replace()
            except BaseException:  # Of a handler that was not replaced yet.
                self._put_back()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._put_back()
        except BaseException:  # Of a handler that was back already.
            self._put_back()
            raise
        while self._waiting:
            number, waits = self._waiting.popitem()
            self._handlers[number](number, waits[1])

    def _replace(self) -> None:
        for number in SIGNALS:
            handler = getsignal(number)
            if callable(handler):
                self._handlers[number] = handler
                set_handler(number, self._heard)

    def _put_back(self) -> None:
        for number, handler in self._handlers.items():
            # A handler may have set another one.
            if getsignal(number) == self._heard:
                set_handler(number, handler)

    def tell(self) -> None:
        """Raise `SignalHeard` where a signal waits, or once one comes before `hold`."""
        self._tells = True
        if self._waiting:
            self._tells = False
            raise SignalHeard

    def hold(self) -> None:
        """Tell of signals no more."""
        self._tells = False

    def _heard(self, number: int, frame: FrameType | None) -> None:
        waits = self._waiting.get(number)
        # A child that another thread has forked inherits the handlers, but not the code that would end.
        if get_ident() != self._thread or (waits is not None and monotonic() - waits[0] >= HANGS):
            self._handlers[number](number, frame)
            return
        if waits is None:
            self._waiting[number] = monotonic(), frame
        if self._tells:
            self._tells = False
            raise SignalHeard
