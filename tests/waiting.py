"""Waiting for what nothing announces: a test looks again and again, and fails with a sentence if it does not come.

Tests have no loop of their own for this, and do not sleep (tests/unit/test_waiting.py).
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

from twisted.internet.task import deferLater

__all__ = ["LOOK", "until", "wait_until"]

T = TypeVar("T")

#: Seconds between two looks.
LOOK = 0.05
#: Seconds for a condition, unless said otherwise.
LIMIT = 30.0

#: What is waited for, in words; or what says it, with what there is instead.
What = str | Callable[[], str]


async def until(condition: Callable[[], T | Awaitable[T]], what: What, limit: float = LIMIT) -> T:
    """Wait while the reactor goes on until a condition is true, and return what it gives.

    Raises AssertionError after ``limit`` seconds.
    """
    # Imported on demand: tests without a reactor, and programs that install their own one, import this module.
    from twisted.internet import reactor

    clock: Any = reactor
    end = clock.seconds() + limit
    while True:
        answer = condition()
        found: T = await answer if isawaitable(answer) else answer
        if found:
            return found
        assert clock.seconds() < end, _late(what, limit)
        await deferLater(clock, LOOK)


def wait_until(condition: Callable[[], T], what: What, limit: float = LIMIT) -> T:
    """Do what `until` does, and block meanwhile."""
    end = time.monotonic() + limit
    while not (found := condition()):
        assert time.monotonic() < end, _late(what, limit)
        time.sleep(LOOK)
    return found


def _late(what: What, limit: float) -> str:
    return f"not within {limit:g} s: {what if isinstance(what, str) else what()}"
