"""Ctrl-C that takes effect whenever it arrives.

click turns KeyboardInterrupt into `Abort` where it reaches click; this is about one that Python itself swallows.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

__all__ = ["interrupts_kept"]

#: Seconds until the interrupt is repeated: what swallowed it has ended by then, or swallows it once more.
AGAIN = 0.01


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt again where Python would only print it.

    Python raises it in whatever the main thread is running.  If that is a callback of the garbage collector, nothing
    can catch it there: it goes to `sys.unraisablehook` and no further, and the verb would run to its end.
    """
    others = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not from here: it would be raised in this function, and be lost like the first one.
            again = Timer(AGAIN, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            others(unraisable)

    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = others
