"""Ends a twistd process with an exit code that tells its supervisor that it failed."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

__all__ = ["stop_as_failed"]


def stop_as_failed(reactor: Any) -> None:
    """Stop the reactor in good order; the process then exits with 1.

    Harmless when the reactor does not run yet, or is already stopping.
    """
    # twistd exits with 0 whatever stopped the reactor, and offers no way to change that.
    atexit.register(_end)
    # callWhenRunning calls at once if the reactor runs; a service may fail before that.
    reactor.callWhenRunning(_stop, reactor)


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _end() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
