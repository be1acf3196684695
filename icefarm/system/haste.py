"""A second Ctrl-C, while boards are being returned, ends the process at once.

The interpreter's own cleaning up is left out then: it takes a second on a busy machine.
"""

from __future__ import annotations

import atexit
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

__all__ = ["end_in_haste", "leaving"]

#: Whether boards were being returned when the user pressed Ctrl-C.
_in_haste = False


@contextmanager
def leaving() -> Iterator[None]:
    """Boards are being returned in this block: a Ctrl-C that arrives now makes the process end in haste."""
    global _in_haste
    try:
        yield
    except KeyboardInterrupt:
        _in_haste = True
        raise


def end_in_haste(code: int) -> None:
    """End this process at once with an exit code if the user is in haste; return otherwise."""
    if _in_haste:
        _flush()
        os._exit(code)


def _flush() -> None:
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError, AttributeError):
            stream.flush()


def _skip_teardown() -> None:
    """End a script in haste that the interrupt has ended, as Python does it: by SIGINT."""
    if _in_haste and getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(sys, "ps1"):
        _flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


# Handlers run in reverse order: those that the script registers after its imports run before.
atexit.register(_skip_teardown)
