"""The keys of an issuer: fetched when they are needed, kept while the issuer is away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, shielded
from icefarm.errors import Busy, IcefarmError, LinkLost
from icefarm.oidc.issuer import Issuer, discovery_url, read_discovery
from icefarm.oidc.web_client import JsonAnswer, WebClient
from icefarm.text.counts import counted

__all__ = ["IssuerKeys"]

#: Seconds after which keys are fetched again when the next token comes; meanwhile the old ones hold.
RENEWAL = 3600.0
#: Seconds between two fetches, however many tokens with unknown keys come.
PAUSE = 10.0
#: Keys that an issuer may have at a time.
MOST_KEYS = 100


@define(eq=False)
class IssuerKeys:
    """An issuer's keys for signatures, by their id."""

    issuer: str
    web: WebClient
    clock: Clock
    #: What its discovery document says; None until it was read.
    found: Issuer | None = field(init=False, default=None)
    _keys: dict[str, Mapping[str, Any]] = field(init=False, factory=dict)
    _fetched: float = field(init=False, default=float("-inf"))
    _attempted: float = field(init=False, default=float("-inf"))
    #: The fetch in progress.
    _fetching: Deferred[None] | None = field(init=False, default=None)
    _problem: str = field(init=False, default="")
    _tasks: Tasks = Factory(Tasks)
    _log: Logger = Factory(Logger)

    def start(self) -> None:
        """Fetch the keys in the background, so that the first sign-in need not wait."""
        self._fetch()

    def stop(self) -> None:
        """Cancel what runs."""
        self._tasks.stop()

    async def key(self, id: str | None) -> Mapping[str, Any] | None:
        """Return the key of that id, or the only one if a token names none; None if the issuer has no such key.

        Raises `Busy` while the issuer's keys were never fetched.
        """
        if self.clock.seconds() - self._fetched >= RENEWAL:
            self._fetch()
        if self._find(id) is None:
            self._fetch()
            if self._fetching is not None:
                await shielded(self._fetching)
        if not self._keys:
            raise Busy(f"the issuer {self.issuer} cannot be asked for its keys just now: {self._problem}; try again")
        return self._find(id)

    def _find(self, id: str | None) -> Mapping[str, Any] | None:
        if id is None:
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(id)

    def _fetch(self) -> None:
        """Begin a fetch, unless one runs or has just run."""
        now = self.clock.seconds()
        if self._fetching is None and now - self._attempted >= PAUSE:
            self._attempted = now
            self._fetching = Deferred()
            self._tasks.start("the issuer's keys are fetched", self._fetch_now)

    async def _fetch_now(self) -> None:
        try:
            # Both: an issuer that moves its keys says so in the document.
            self.found = read_discovery(self.issuer, _value(await self.web.get(discovery_url(self.issuer))))
            self._keys = _signing_keys(_value(await self.web.get(self.found.jwks)))
            self._fetched, self._problem = self.clock.seconds(), ""
            self._log.info("fetched {keys} of {issuer}", keys=counted(len(self._keys), "key"), issuer=self.issuer)
        except IcefarmError as error:
            self._problem = str(error)
            self._log.warn("the keys of {issuer} cannot be fetched: {error}", issuer=self.issuer, error=error)
        finally:
            fetching, self._fetching = self._fetching, None
            if fetching is not None:
                fetching.callback(None)


def _value(answer: JsonAnswer) -> Mapping[str, Any]:
    if answer.code != 200:
        raise LinkLost(f"it answers with {answer.code}")
    return answer.value


def _signing_keys(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the keys of a JWK Set (RFC 7517) that sign.  Raises `LinkLost` if it has none."""
    listed = document.get("keys")
    keys: dict[str, Mapping[str, Any]] = {}
    for key in listed[:MOST_KEYS] if isinstance(listed, list) else ():
        if isinstance(key, dict) and key.get("use", "sig") == "sig" and key.get("kty") in ("RSA", "EC", "OKP"):
            keys[str(key.get("kid", ""))] = key
    if not keys:
        raise LinkLost("it has no keys for signatures")
    return keys
