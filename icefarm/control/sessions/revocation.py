"""Ends the sessions of tokens that were revoked or have expired.

It learns the limits of single accounts, too.  ``icefarm token revoke`` and ``icefarm accounts import`` work on the
database, whether the farm runs or not.  The database announces such a change, and control looks there at once; an
announcement that is lost is made up for by the next look, every few seconds.  While the database is away, sessions go
on.
"""

from __future__ import annotations

from typing import ClassVar

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import DueTimer
from icefarm.control.sessions.events import Expired, Revoked
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import LimitsChanged
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import IcefarmError

__all__ = ["INTERVAL", "RevocationWatch"]

#: Seconds between two looks.
INTERVAL = 2.0


@define(eq=False)
class RevocationWatch:
    """Looks at tokens and limits while it is started."""

    #: What it reads.
    TABLES: ClassVar = ("token", "account_limit")

    store: Store
    sessions: Sessions
    publisher: Publisher
    clock: Clock
    _started: bool = False
    _log: Logger = Factory(Logger)
    _looks: DueTimer = field(init=False)

    @_looks.default
    def _make_looks(self) -> DueTimer:
        return DueTimer(self.clock, "the sessions of revoked tokens", self._look)

    def start(self) -> None:
        """Start looking, now and again and again.  Harmless when started."""
        self._started = True
        self.look()

    def stop(self) -> None:
        """Stop looking."""
        self._looks.stop()

    def look(self) -> None:
        """Look now, or once more if a look is in progress."""
        if self._started:
            self._looks.poke()

    async def learn_limits(self) -> None:
        """Learn the limits of single accounts.  Raises `Busy`."""
        limits = self.sessions.limits
        before, limits.own = limits.own, await self.store.account_limits()
        if limits.own != before:
            self.publisher.publish(LimitsChanged())

    async def _look(self) -> float:
        self._end_expired()
        try:
            await self.learn_limits()
            await self._end_revoked()
        except IcefarmError as error:
            self._log.debug("cannot see which tokens are valid: {error}", error=error)
        return INTERVAL

    def _end_expired(self) -> None:
        """End the sessions whose token of the issuer is no longer valid: no database is needed for that."""
        now, sessions = self.clock.seconds(), self.sessions.state.sessions
        over = {key for key, each in sessions.items() if each.expires_at is not None and each.expires_at <= now}
        if over:
            self.sessions.tell(Expired(frozenset(over)))

    async def _end_revoked(self) -> None:
        sessions = self.sessions.state.sessions.values()
        used = {session.token for session in sessions if session.token is not None}
        ended = await self.store.ended_tokens(used) if used else set()
        if ended:
            self.sessions.tell(Revoked(frozenset(ended)))
