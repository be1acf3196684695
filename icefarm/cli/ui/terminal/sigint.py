"""Ctrl-C and SIGTERM that take effect whenever they arrive.

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
    """Raise KeyboardInterrupt, and SystemExit of a signal's handler, again where Python would only print it.

    Python raises it in whatever the main thread is running.  If that is a callback of a weak reference, of which each
    import has one, or of the garbage collector, nothing can catch it there: it goes to `sys.unraisablehook` and no
    further, and the program would run to its end.  Signals are the main thread's; elsewhere this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    others, in_hook = sys.unraisablehook, False
    lost: BaseException = KeyboardInterrupt()

    def repeat(*_: object) -> None:
        # Raised in the hook it would be lost like the first one.
        if in_hook:
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
        else:
            raise lost

    def hook(unraisable: Any) -> None:
        nonlocal in_hook, lost
        if issubclass(unraisable.exc_type, (KeyboardInterrupt, SystemExit)):
            in_hook = True
            lost = unraisable.exc_type(*getattr(unraisable.exc_value, "args", ()))
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
