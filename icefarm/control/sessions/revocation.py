"""Ends the sessions of tokens that were revoked or have expired.

It learns the limits of single accounts, too.  ``icefarm token revoke`` works on the database, whether the farm runs or
not, so control checks there the tokens of its
sessions.  While the database is away, sessions go on.
"""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.control.sessions.events import Expired, Revoked
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.errors import IcefarmError

__all__ = ["INTERVAL", "RevocationWatch"]

#: Seconds between two checks.
INTERVAL = 2.0


@define(eq=False)
class RevocationWatch:
    """Checks the tokens while it is started."""

    store: Store
    sessions: Sessions
    clock: Clock
    _timer: Any = None
    _stopped: bool = False
    _tasks: Tasks = Factory(Tasks)
    _log: Logger = Factory(Logger)

    def start(self) -> None:
        """Start checking.  Harmless when started."""
        if self._timer is None and not self._stopped:
            self._look()

    def stop(self) -> None:
        """Stop checking."""
        self._stopped = True
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._tasks.stop()

    def _look(self) -> None:
        self._timer = None
        self._tasks.start("the sessions of revoked tokens end", self._end_revoked)

    def _end_expired(self) -> None:
        """End the sessions whose token of the issuer is no longer valid: no database is needed for that."""
        now, sessions = self.clock.seconds(), self.sessions.state.sessions
        over = {number for number, each in sessions.items() if each.expires_at is not None and each.expires_at <= now}
        if over:
            self.sessions.tell(Expired(frozenset(over)))

    async def _end_revoked(self) -> None:
        self._end_expired()
        try:
            self.sessions.limits.own = await self.store.account_limits()
            sessions = self.sessions.state.sessions.values()
            used = {session.token for session in sessions if session.token is not None}
            ended = await self.store.ended_tokens(used) if used else set()
            if ended:
                self.sessions.tell(Revoked(frozenset(ended)))
        except IcefarmError as error:
            self._log.debug("cannot see which tokens are valid: {error}", error=error)
        if not self._stopped:
            self._timer = self.clock.callLater(INTERVAL, self._look)
