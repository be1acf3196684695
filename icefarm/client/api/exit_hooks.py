"""The end of a script: the process that reserved boards returns them at exit and on SIGTERM."""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Callable
from threading import current_thread, main_thread
from typing import Any

__all__ = ["ExitHook"]

#: Pending endings, for which SIGTERM has a handler.
_watched: set[ExitHook] = set()


class ExitHook:
    """Calls ``close`` when the interpreter exits, unless `done` comes first.

    SIGTERM kills a script that has no handler for it.  While an ending is pending, SIGTERM acts like `sys.exit`
    (status 143) instead, so that ``with`` blocks are left and boards returned.  A handler that the script has set is
    never replaced.  A forked child is not affected.
    """

    def __init__(self, close: Callable[[], None]) -> None:
        self._pid = os.getpid()
        self._close = close
        self._over = False
        atexit.register(self._at_exit)
        if current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) in (signal.SIG_DFL, _terminate):
            signal.signal(signal.SIGTERM, _terminate)
            _watched.add(self)

    @property
    def pending(self) -> bool:
        """Whether it is still pending, in this process."""
        return not self._over and self._pid == os.getpid()

    def done(self) -> None:
        """Note that it has been closed."""
        self._over = True
        atexit.unregister(self._at_exit)
        _watched.discard(self)
        if not _watched and current_thread() is main_thread() and signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def _at_exit(self) -> None:
        if self.pending:
            self._close()


def _terminate(number: int, _: Any) -> None:
    if any(ending.pending for ending in _watched):
        raise SystemExit(128 + number)
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
