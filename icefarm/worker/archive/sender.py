"""Sends what is in the spool to control, one batch at a time, until control acknowledges it."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Protocol

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.errors import IcefarmError
from icefarm.worker.archive.spool import Batch, Spool

__all__ = ["GATHER", "SOON", "ArchiveLink", "Sender"]

#: Seconds for which rows gather: a batch costs control and PostgreSQL as much by itself as a hundred rows do.
GATHER = 2.0
#: Seconds once a reservation has nothing in progress: who measured asks for it next.
SOON = 0.1
#: Seconds until a batch that control could not store is sent again: the first time, and the longest; doubled each time.
AGAIN_FIRST, AGAIN_LONGEST = 1.0, 15.0


class ArchiveLink(Protocol):
    """A session with control; `icefarm.worker.control_link.link` has it."""

    def send_rows(self, batch: Batch, spool: Spool, lost: int) -> Awaitable[Any]:
        """Give control a batch; returns when it is stored.  Raises `IcefarmError`."""


@define(eq=False)
class Sender:
    """Empties the spool."""

    _clock: Any
    spool: Spool
    #: Rows that could not be written to the spool.
    lost: int = 0
    _link: ArchiveLink | None = None
    _timer: Any = None
    _sending: Deferred[Any] | None = None
    _pause: float = AGAIN_FIRST
    _trouble: str | None = None
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    def attach(self, link: ArchiveLink) -> None:
        """Control takes rows in this session."""
        self._link = link
        self.poke()

    def detach(self) -> None:
        """The session has ended, or control takes no rows."""
        self._link = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def poke(self) -> None:
        """There are rows: send them soon."""
        if self._link is not None and self._timer is None and self._sending is None:
            self._timer = self._clock.callLater(GATHER, self._begin)

    def hurry(self) -> None:
        """Nothing more is about to come: do not wait for it."""
        if self._timer is not None and self._timer.getTime() - self._clock.seconds() > SOON and self._trouble is None:
            self._timer.reset(SOON)

    def stop(self) -> None:
        """Send no more; what is not acknowledged stays in the spool."""
        self.detach()
        if self._sending is not None:
            self._sending.cancel()

    def _begin(self) -> None:
        self._timer = None
        sending: Deferred[Any] = Deferred.fromCoroutine(self._send())
        self._sending = sending
        sending.addErrback(self._failed).addCallback(self._done)

    async def _send(self) -> bool:
        """Send batches; returns whether all were stored."""
        while (link := self._link) is not None and (batch := self.spool.batch()) is not None:
            try:
                await link.send_rows(batch, self.spool, self.lost)
            except IcefarmError as error:
                self._refused(error)
                return False
            self.spool.acknowledge(batch)
            self._pause, self._trouble = AGAIN_FIRST, None
        return True

    def _refused(self, error: IcefarmError) -> None:
        if self._trouble != error.name:
            self._trouble = error.name
            self._log.warn("measurements wait for the archive in the spool: {error}", error=error)

    def _failed(self, failure: Failure) -> bool:
        if failure.check(CancelledError) is None:
            self._log.failure("sending measurements to the archive failed", failure)
        return False

    def _done(self, all_stored: bool) -> None:
        self._sending = None
        if self._link is None or self._timer is not None:
            return
        if not all_stored:
            self._timer = self._clock.callLater(self._pause, self._begin)
            self._pause = min(2 * self._pause, AGAIN_LONGEST)
        elif self.spool.waiting:
            self.poke()
