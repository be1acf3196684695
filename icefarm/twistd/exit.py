"""Ends a twistd process with an exit code that says it failed, so that whoever supervises it knows."""

from __future__ import annotations

import atexit
import os
import sys
from typing import Any

__all__ = ["stop_as_failed"]


def stop_as_failed(reactor: Any) -> None:
    """Stop the reactor in good order; the process then ends with 1.

    Harmless when the reactor does not run yet, or stops already.
    """
    # twistd ends with 0 however the reactor came to stop, and offers no way to say otherwise.
    atexit.register(_end)
    # callWhenRunning calls at once where it runs; a service may fail before that.
    reactor.callWhenRunning(_stop, reactor)


def _stop(reactor: Any) -> None:
    if reactor.running:
        reactor.stop()


def _end() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
