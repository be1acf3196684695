"""Ctrl-C that takes effect, wherever it comes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

__all__ = ["interrupts_kept"]

#: Seconds until the interrupt comes again: what swallowed it is over then, or the same befalls it once more.
AGAIN = 0.01


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Raise KeyboardInterrupt once more where Python would only print it.

    Python raises it in whatever the main thread is running.  Where that is a callback of the garbage collector, nobody
    can catch it there: it goes to `sys.unraisablehook` and no further, and the verb would run on to its end.
    """
    others = sys.unraisablehook

    def hook(unraisable: Any) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            # Not from here: it would be raised in this function, and be lost as the first one was.
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
