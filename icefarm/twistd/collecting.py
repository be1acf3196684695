"""Python's garbage collector in a process that serves."""

from __future__ import annotations

import gc

__all__ = ["spare_what_is_there"]


def spare_what_is_there() -> None:
    """Let the collector no longer look at what is there now: modules, classes, configuration, which all stay.

    A look at all of it takes 0.05 to 0.2 s, in which the process serves nobody; what comes and goes takes a hundredth.
    """
    gc.collect()
    gc.freeze()
