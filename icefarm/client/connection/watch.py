"""Follows a farm: a snapshot, then each change, and a new snapshot after every lost connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.client.connection.events import Change
from icefarm.client.connection.link import FarmLink, client_log
from icefarm.concurrency.clock import Clock
from icefarm.contract import EVENT_PREFIX
from icefarm.errors import IcefarmError, InvalidArgument, LimitReached, NameInUse, NotAuthorized

if TYPE_CHECKING:
    from icefarm.client.session import Snapshot

__all__ = ["Watch"]

#: Changes that wait for a slow consumer; beyond that, a new snapshot replaces all of them.
MOST_PENDING = 20_000
#: Seconds until the next attempt after a farm could not answer.
AGAIN = 1.0
#: Errors that a later attempt would meet again.
_FINAL = (NotAuthorized, NameInUse, InvalidArgument, LimitReached)


@define(eq=False)
class Watch:
    """Collects changes until they are consumed; one consumer at a time."""

    _clock: Clock
    _connection: FarmLink
    _snapshot: Callable[[], Awaitable[Snapshot]]
    _pending: list[Change] = field(init=False, factory=list)
    _taker: Deferred[list[Change]] | None = field(init=False, default=None)
    _running: Deferred[None] | None = field(init=False, default=None)
    _over: Failure | None = field(init=False, default=None)
    #: Events that arrived while a snapshot was on its way; they follow it.
    _meanwhile: list[Change] | None = field(init=False, default=None)
    #: Fires when another snapshot is needed: with the reason of a lost connection, or None for too many changes.
    _renewal: Deferred[str | None] | None = field(init=False, default=None)
    _log: Logger = field(init=False, factory=lambda: client_log("watch"))

    def start(self) -> None:
        """Start; `stop` ends it."""
        self._running = ensureDeferred(self._follow())
        self._running.addErrback(self._broke)

    def stop(self) -> None:
        """Stop.  Harmless when it has ended."""
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def take(self, limit: float | None = None) -> Deferred[list[Change]]:
        """Return changes as soon as there are any; none after ``limit`` seconds.

        Fails with the error that ended it: `NotAuthorized`, `NameInUse`.
        """
        taker: Deferred[list[Change]] = Deferred(self._forget)
        self._taker = taker
        if self._pending:
            self._hand_over()
        elif self._over is not None:
            self._taker = None
            taker.errback(self._over)
        elif limit is not None:
            timer = self._clock.callLater(limit, self._hand_over)
            taker.addBoth(lambda result: (timer.active() and timer.cancel(), result)[1])
        return taker

    def _forget(self, taker: Deferred[list[Change]]) -> None:
        if self._taker is taker:
            self._taker = None

    def _hand_over(self) -> None:
        taker, self._taker = self._taker, None
        if taker is not None:
            pending, self._pending = self._pending, []
            taker.callback(pending)

    def _tell(self, changes: Sequence[Change]) -> None:
        self._pending += changes
        if self._taker is not None:
            self._hand_over()

    async def _follow(self) -> None:
        watched: Bus | None = None
        while True:
            try:
                bus = await self._connection.session(self._connection.patience.retry)
                renewal = self._renewal = Deferred()
                self._meanwhile = []
                if bus is not watched:
                    bus.on_lost(self._lost)
                    await bus.subscribe(EVENT_PREFIX, self._heard, prefix=True)
                    watched = bus
                snapshot = await self._snapshot()
                meanwhile, self._meanwhile = self._meanwhile, None
                self._tell([Change("snapshot", snapshot), *meanwhile])
                reason = await renewal
                if reason is not None:
                    self._tell([Change("stale", reason)])
            except _FINAL:
                raise
            except IcefarmError as error:
                self._tell([Change("stale", error.message)])
                await deferLater(self._clock, AGAIN)  # type: ignore[arg-type]

    def _lost(self, reason: str) -> None:
        self._renew(reason)

    def _renew(self, reason: str | None) -> None:
        renewal, self._renewal = self._renewal, None
        if renewal is not None:
            renewal.callback(reason)

    def _heard(self, topic: str, _: Sequence[Any], fields: Mapping[str, Any]) -> None:
        change = Change(topic.removeprefix(EVENT_PREFIX), fields)
        if self._meanwhile is not None:
            self._meanwhile.append(change)
        elif len(self._pending) < MOST_PENDING:
            self._tell([change])
        else:
            self._pending.clear()
            self._meanwhile = []
            self._renew(None)

    def _broke(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(IcefarmError) is None:
            self._log.failure("watching broke", failure)
        self._over = failure
        taker, self._taker = self._taker, None
        if taker is not None:
            taker.errback(failure)
