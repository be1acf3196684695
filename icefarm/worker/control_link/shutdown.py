"""Ends the worker's process when control tells it to leave: as soon as its boards are idle.

A board that is being flashed would be left half written.  Each state of a board has a time limit, so the wait has one
too.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from attrs import Factory, define
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.worker.board.registry import BoardRegistry

__all__ = ["Departure", "WorkerProcess"]


class WorkerProcess(Protocol):
    """The process of a worker, which the worker ends."""

    def failed(self, failure: Failure) -> None:
        """The worker can't work: its boards are impossible, or the farm refuses it."""

    def left(self) -> None:
        """The worker was told to leave, and is idle."""


@define(eq=False)
class Departure:
    """Knows whether the worker must leave."""

    _clock: Clock
    _boards: BoardRegistry
    _process: WorkerProcess
    #: Control told this worker to leave.
    allowed: bool = False
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def allow(self) -> None:
        """Control told this worker to leave."""
        self.allowed = True
        # Only after the answer to control is on its way.
        self._clock.callLater(0, self.look)

    def revoke(self) -> None:
        """Cancel leaving."""
        self.allowed = False

    def look(self) -> None:
        """A board has changed: leave if all are idle."""
        if self.allowed and all(board.at_rest for board in self._boards):
            self.allowed = False
            self._log.info("drained, and none of this worker's boards is reserved: it leaves")
            self._process.left()
