"""Ends the sessions of tokens that were revoked or have expired.

It learns the limits of single accounts, too.  ``icefarm token revoke`` works on the database, whether the farm runs or
not, so control checks there the tokens of its sessions.  While the database is away, sessions go on.
"""

from __future__ import annotations

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Repeated
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
    _log: Logger = Factory(Logger)
    _repeated: Repeated = field(init=False)

    @_repeated.default
    def _make_repeated(self) -> Repeated:
        return Repeated(self.clock, INTERVAL, "the sessions of revoked tokens end", self._end_revoked)

    def start(self) -> None:
        """Start checking, now and again and again.  Harmless when started."""
        self._repeated.start(0.0)

    def stop(self) -> None:
        """Stop checking."""
        self._repeated.stop()

    def _end_expired(self) -> None:
        """End the sessions whose token of the issuer is no longer valid: no database is needed for that."""
        now, sessions = self.clock.seconds(), self.sessions.state.sessions
        over = {key for key, each in sessions.items() if each.expires_at is not None and each.expires_at <= now}
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
