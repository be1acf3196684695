"""Ctrl-C that takes effect whenever it arrives.

click turns KeyboardInterrupt into `Abort` where it reaches click; this is about one that Python itself swallows.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["interrupts_kept"]

#: Seconds until the interrupt is repeated: what swallowed it has ended by then, or swallows it once more.
AGAIN = 0.01


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt again where Python would only print it.

    Python raises it in whatever the main thread is running.  If that is a callback of the garbage collector, nothing
    can catch it there: it goes to `sys.unraisablehook` and no further, and the verb would run to its end.  Signals are
    the main thread's; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    others, in_hook = sys.unraisablehook, False

    def repeat(*_: object) -> None:
        # Raised in the hook it would be lost like the first one.
        if in_hook:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            raise KeyboardInterrupt

    def hook(unraisable: Any) -> None:
        nonlocal in_hook
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            in_hook = True
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            in_hook = False
        else:
            others(unraisable)

    former = signal.signal(signal.SIGALRM, repeat)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = others
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
