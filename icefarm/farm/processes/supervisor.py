"""Keeps the parts of a farm running: restarts a part that ends, with growing pauses while that fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger

from icefarm.farm.errors import CannotStart

__all__ = ["Ended", "Part", "Supervisor"]

#: Seconds until a part is restarted that has not lasted: at first, at most; doubled each time.  Before, it is restarted
#: at once.
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0
#: Seconds after which a running part counts as stable.
LASTING = 60.0


@frozen
class Ended:
    """How a part ended by itself."""

    #: What follows its name in a sentence: ``was killed by signal 9 (SIGKILL)``, ``exited with code 1``.
    reason: str
    #: Intended: it has left, and is not restarted.
    left: bool = False


class Part(Protocol):
    """Something that runs: a child process, PostgreSQL."""

    async def start(self) -> None:
        """Start it and wait until it is usable.  Raises `CannotStart`."""

    async def stop(self) -> None:
        """Stop it and wait until it is gone.  Harmless when it is not running."""

    def on_exit(self, callback: Callable[[Ended], None]) -> None:
        """Call ``callback`` whenever it ends unasked after it was started."""


@define(eq=False)
class Supervisor:
    """Keeps one part running from ``start`` to ``stop``."""

    clock: Any
    name: str
    part: Part
    #: Gets a line for the user whenever something happens to the part.
    tell: Callable[[str], None]
    #: While True, the farm is still starting: an end of the part goes to ``failed`` and it stays down.
    starting: bool = True
    failed: Callable[[CannotStart], None] | None = None
    _delay: float = 0.0
    _started_at: float = 0.0
    _stopping: bool = False
    _timer: Any = None
    _attempt: Deferred[None] | None = None
    _log: ClassVar[Logger] = Logger()

    async def start(self) -> None:
        """Start the part for the first time.  Raises `CannotStart`; then nothing of it runs."""
        self.part.on_exit(self._ended)
        self._started_at = self.clock.seconds()
        await self.part.start()

    def settle(self) -> None:
        """The farm has started: from now on, restart the part whenever it ends."""
        self.starting = False

    async def stop(self) -> None:
        """Stop the part, or the attempt to restart it."""
        self._stopping = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._attempt is not None:
            self._attempt.cancel()
        await self.part.stop()

    def _ended(self, ended: Ended) -> None:
        if self._stopping:
            return
        if self.starting:
            if self.failed is not None:
                self.failed(CannotStart(f"{self.name} {ended.reason}"))
            return
        if ended.left:
            self.tell(f"{self.name} has left: {ended.reason}")
            return
        if self.clock.seconds() - self._started_at > LASTING:
            self._delay = 0.0
        self._again(ended.reason)

    def _again(self, reason: str) -> None:
        when = f" in {self._delay:g} s" if self._delay else ""
        self.tell(f"{self.name} {reason}; starting it again{when}")
        self._timer = self.clock.callLater(self._delay, self._restart)
        self._delay = min(max(self._delay * 2, FIRST_DELAY), LONGEST_DELAY)

    def _restart(self) -> None:
        self._timer = None
        self._started_at = self.clock.seconds()
        self._attempt = attempt = ensureDeferred(self.part.start())
        attempt.addCallbacks(self._runs_again, self._failed_again)
        attempt.addErrback(lambda failure: self._log.failure("restarting {name}", failure, name=self.name))

    def _runs_again(self, _: None) -> None:
        self._attempt = None
        self.tell(f"{self.name} runs again")

    def _failed_again(self, failure: Any) -> None:
        self._attempt = None
        if self._stopping and failure.check(CancelledError):
            return
        if not self._stopping:
            self._again(f"could not be started ({failure.getErrorMessage()})")
