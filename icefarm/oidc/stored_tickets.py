"""The tokens of a stored sign-in, refreshed when they are near their end.

Several processes may use one sign-in at the same time.  Who finds the token near its end refreshes it under a lock; the
others read what that one wrote, since an issuer may take each refresh token only once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, evolve
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from icefarm.concurrency.deferreds import shielded
from icefarm.errors import IcefarmError, LinkLost, NotAuthorized
from icefarm.oidc.stored_login import StoredLogin
from icefarm.oidc.web_client import JsonAnswer, WebClient
from icefarm.system.files import FileLock, Locked

__all__ = ["StoredTickets"]

#: Seconds between attempts to get the lock, and how many.
LOCK_PAUSE, LOCK_ATTEMPTS = 0.2, 100


@define(eq=False)
class StoredTickets:
    """The tokens of a stored sign-in, refreshed when they are near their end."""

    path: Path
    web: WebClient
    clock: Any
    #: Seconds since the epoch; an event loop's own clock may count from elsewhere.
    now: Callable[[], float] = time.time
    _login: StoredLogin | None = None
    _refreshing: Deferred[StoredLogin] | None = None

    def is_due(self) -> bool:
        """Tell whether the token that was given last is near its end."""
        return self._login is None or self._login.is_due(self.now())

    async def ticket(self) -> str:
        """Return a valid token.  Raises `NotAuthorized` if a person must sign in again, `LinkLost`."""
        if self._refreshing is None:
            self._login = StoredLogin.read(self.path)
            if not self.is_due():
                return self._login.id_token
        refreshing = self._refreshing or self._begin()
        try:
            login = await shielded(refreshing)
        except CancelledError:
            # It goes on to its end: the issuer may have taken the old refresh token.
            refreshing.addErrback(_passed_over)
            raise
        if login is None:
            raise LinkLost("the sign-in could not be refreshed; another attempt has failed just now")
        return login.id_token

    def _begin(self) -> Deferred[StoredLogin]:
        refreshing = self._refreshing = ensureDeferred(self._refresh())
        refreshing.addBoth(self._ended)
        return refreshing

    def _ended(self, result: Any) -> Any:
        self._refreshing = None
        return result

    async def _refresh(self) -> StoredLogin:
        lock = FileLock(self.path)
        try:
            await self._acquire(lock)
            login = StoredLogin.read(self.path)
            if login.is_due(self.now()):
                login = await self._refreshed(login)
                login.write(self.path)
            self._login = login
            return login
        except OSError as error:
            raise LinkLost(f"the sign-in cannot be kept in {self.path}: {error.strerror}") from None
        finally:
            lock.release()

    async def _acquire(self, lock: FileLock) -> None:
        for _ in range(LOCK_ATTEMPTS):
            try:
                lock.acquire()
            except Locked:
                await deferLater(self.clock, LOCK_PAUSE)
            else:
                return
        raise LinkLost(f"another process keeps {self.path} locked")

    async def _refreshed(self, login: StoredLogin) -> StoredLogin:
        if login.refresh_token is None:
            raise _over(login)
        form = {"grant_type": "refresh_token", "refresh_token": login.refresh_token, "client_id": login.client}
        now = self.now()
        answer = await self.web.post(login.token_endpoint, form)
        return _with_answer(login, answer, now)


def _passed_over(failure: Failure) -> None:
    """Take an error that nobody waits for any more; meanwhile callers find no sign-in."""
    failure.trap(IcefarmError)


def _with_answer(login: StoredLogin, answer: JsonAnswer, now: float) -> StoredLogin:
    token, refresh = answer.value.get("id_token"), answer.value.get("refresh_token")
    if answer.code == 200 and isinstance(token, str):
        kept = refresh if isinstance(refresh, str) else login.refresh_token
        return evolve(login, id_token=token, issued_at=now, refresh_token=kept)
    if answer.code == 200:
        raise NotAuthorized(f"the issuer {login.issuer} gives no ID token when a sign-in is refreshed")
    if answer.value.get("error") in ("invalid_grant", "invalid_client", "unauthorized_client"):
        raise _over(login)
    raise LinkLost(f"the issuer {login.issuer} could not refresh the sign-in (HTTP {answer.code})")


def _over(login: StoredLogin) -> NotAuthorized:
    return NotAuthorized(f"the sign-in at {login.issuer} is over; sign in again with: icefarm login {login.url}")
