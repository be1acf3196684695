"""The engine of this process.  Twisted is imported when the first farm is made, not when a script imports `Farm`."""

from __future__ import annotations

import os
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from icefarm.client.api.reactor_thread import Engine

__all__ = ["engine"]

_lock = Lock()
_engine: Engine | None = None


def engine() -> Engine:
    """Return this process's engine, created at first use."""
    global _engine
    from icefarm.client.api.reactor_thread import Engine

    with _lock:
        if _engine is None or _engine.pid != os.getpid():
            _engine = Engine()
        return _engine


def _forget_after_fork() -> None:
    global _engine, _lock
    _engine, _lock = None, Lock()


os.register_at_fork(after_in_child=_forget_after_fork)
