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
from types import FrameType
from typing import Any, Self

__all__ = ["HeldSignals"]

#: Signals whose handlers may raise: those that end or interrupt a program, or are left to it.
SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGALRM", "SIGUSR1", "SIGUSR2")
    if hasattr(signal, name)
)


class HeldSignals:
    """Holds signals for a block of code, except between `pass_on` and `hold`.

    A signal that comes once more while it waits is passed on at once: the code may hang.  Threads other than the main
    one have no signals.
    """

    def __init__(self) -> None:
        self._handlers: dict[int, Callable[[int, FrameType | None], Any]] = {}
        self._waiting: dict[int, FrameType | None] = {}
        self._passes = True

    def __enter__(self) -> Self:
        if get_ident() == main_thread().ident:
            self._passes = False
            try:
                self._replace()
            except BaseException:  # Of a handler that was not replaced yet.
                self._put_back()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        self._passes = False
        try:
            self._put_back()
        except BaseException:  # Of a handler that was back already.
            self._put_back()
            raise
        self.pass_on()

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

    def pass_on(self) -> None:
        """Handle the signals that wait, and those that come, whatever their handlers raise."""
        self._passes = True
        while self._waiting:
            number, frame = self._waiting.popitem()
            self._handlers[number](number, frame)

    def hold(self) -> None:
        """Hold signals again."""
        self._passes = not self._handlers

    def _heard(self, number: int, frame: FrameType | None) -> None:
        if self._passes or number in self._waiting:
            self._handlers[number](number, frame)
        else:
            self._waiting[number] = frame
