"""Operations that run again and again: every so many seconds, whenever they are asked for, or when they are due."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import AGAIN, Tasks
from icefarm.errors import IcefarmError

__all__ = ["Coalesced", "DueTimer", "Repeated"]

#: Seconds that a timer for what is due sleeps at least, and at most: clocks of control and database may drift apart.
SHORTEST = 0.05
LONGEST = 3600.0


@define(eq=False)
class Repeated:
    """An operation that is started every so many seconds, from `start` to `stop`; there is no start after a stop.

    A run that takes longer than that is not joined by another one.
    """

    _clock: Clock
    _seconds: float
    #: What it is, for the log.
    _what: str
    _operation: Callable[[], Coroutine[Any, Any, Any]]
    _timer: Any = None
    _stopped: bool = False
    _runs: bool = False
    _tasks: Tasks = Factory(Tasks)

    def start(self, first: float | None = None) -> None:
        """Start it after ``first`` seconds, or after the usual time, and then again and again.  Harmless if started."""
        if self._timer is None and not self._stopped:
            self._timer = self._clock.callLater(self._seconds if first is None else first, self._tick)

    def stop(self) -> None:
        """Start it no more, and cancel what runs."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._tasks.stop()

    def next_in(self, seconds: float) -> None:
        """Start it the next time after so many seconds."""
        if self._timer is not None and self._timer.active():
            self._timer.reset(seconds)

    def _tick(self) -> None:
        self._timer = self._clock.callLater(self._seconds, self._tick)
        if not self._runs:
            self._tasks.start(self._what, self._run)

    async def _run(self) -> None:
        self._runs = True
        try:
            await self._operation()
        finally:
            self._runs = False


@define(eq=False)
class Coalesced:
    """An operation that runs once more if it was requested, however often, while it ran.

    So a run starts after each request, and no two run at the same time.
    """

    #: Says in the log what failed.
    what: str
    operation: Callable[[], Coroutine[Any, Any, None]]
    tasks: Tasks
    _asked: bool = False
    _running: bool = False

    def poke(self) -> None:
        """Run it: now, or again once the present run has ended."""
        self._asked = True
        if not self._running:
            self._running = True
            self.tasks.start(self.what, self._run)

    async def _run(self) -> None:
        try:
            while self._asked:
                self._asked = False
                await self.operation()
        finally:
            self._running = False
            if self._asked:
                # The run failed, and was asked for once more meanwhile.
                self.poke()


@define(eq=False)
class DueTimer:
    """Does what is due whenever it is asked to, and again when the next of it is due."""

    clock: Clock
    #: Says in the log what failed.
    what: str
    #: Does what is due; returns in how many seconds something else is, None: when something changes.
    operation: Callable[[], Coroutine[Any, Any, float | None]]
    _timer: Any = None
    _stopped: bool = False
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)
    _looks: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._looks = Coalesced(self.what, self._look, self._tasks)

    def poke(self) -> None:
        """Do what is due, and find when to do so again."""
        self._looks.poke()

    def stop(self) -> None:
        """Stop for good."""
        self._stopped = True
        self._cancel()
        self._tasks.stop()

    async def _look(self) -> None:
        try:
            sleep = await self.operation()
        except IcefarmError as error:
            self._log.warn("{what} cannot be looked after just now: {error}", what=self.what, error=error)
            sleep = AGAIN
        if not self._stopped:
            self._cancel()
            if sleep is not None:
                self._timer = self.clock.callLater(min(max(sleep, SHORTEST), LONGEST), self.poke)

    def _cancel(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
