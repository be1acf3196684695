"""Ends the worker's process when control lets it go: at once where its boards are at rest, or as soon as they are.

A board that is being flashed would be left half written; and each state of a board has a time limit, so that the wait
has one too.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.clock import Clock
from icefarm.worker.board.registry import BoardRegistry

__all__ = ["Departure"]


@define(eq=False)
class Departure:
    """Knows whether the worker is to go."""

    _clock: Clock
    _boards: BoardRegistry
    #: Ends the process.
    _go: Callable[[], None]
    _allowed: bool = False
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    def allow(self) -> None:
        """Control has nothing more for this worker to do."""
        self._allowed = True
        # Not before the answer to control is on its way.
        self._clock.callLater(0, self.look)

    def revoke(self) -> None:
        """It is wanted again."""
        self._allowed = False

    def look(self) -> None:
        """Something has changed: perhaps the time has come."""
        if self._allowed and all(board.at_rest for board in self._boards):
            self._allowed = False
            self._log.info("drained, and nobody has boards of this worker: it leaves")
            self._go()
