"""An issuer in memory: makes keys and tokens, and answers as a web client would."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import cache
from typing import Any

import jwt
from attrs import Factory, define, field
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from twisted.internet.task import Clock

from icefarm.errors import LinkLost
from icefarm.oidc.web_client import JsonAnswer

ISSUER = "https://sign-in.example.org/realms/lab"
CLIENT = "icefarm"
DEFAULT: Any = object()


@cache
def key(_: int) -> RSAPrivateKey:
    """Make an issuer's first, second ... key, or 0: that of somebody else.

    Those of all issuers are the same, as it takes a while to make one.
    """
    return generate_private_key(65537, 2048)


@define(eq=False)
class MemoryIssuer:
    """A `WebClient` that reaches one issuer."""

    keys: dict[str, RSAPrivateKey] = Factory(dict)
    #: While it is true, nobody answers.
    away: bool = False
    asked: list[str] = Factory(list)
    #: Changes to the discovery document.
    document: dict[str, Any] = Factory(dict)
    #: What the token endpoint answers next, and the forms that it got.
    answers: list[JsonAnswer] = Factory(list)
    forms: list[Mapping[str, str]] = Factory(list)
    #: Seconds since the epoch.
    now: Callable[[], float] = time.time
    #: Answer each refresh with a token that lasts for so many seconds.
    refreshes: int | None = None
    _made: int = field(init=False, default=0)

    def __attrs_post_init__(self) -> None:
        self.rotate()

    def rotate(self) -> str:
        """Sign with a new key from now on, and publish no other; returns its id."""
        self._made += 1
        self.keys = {f"key-{self._made}": key(self._made)}
        return f"key-{self._made}"

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return a token's claims, valid for 5 minutes; None removes one."""
        now = int(self.now())
        person = {"sub": "0815", "preferred_username": "ada", "groups": ["lab"]}
        claims = {"iss": ISSUER, "aud": CLIENT, "iat": now, "exp": now + 300, **person, **changed}
        return {name: value for name, value in claims.items() if value is not None}

    def token(self, headers: Mapping[str, Any] | None = None, **changed: Any) -> str:
        """Return a signed token."""
        ((id, key),) = self.keys.items()
        return jwt.encode(self.claims(**changed), key, algorithm="RS256", headers={"kid": id, **(headers or {})})

    async def get(self, url: str) -> JsonAnswer:
        self.asked.append(url)
        if self.away:
            raise LinkLost("nobody answers")
        if url.endswith("/.well-known/openid-configuration"):
            return JsonAnswer(200, self._discovery())
        if url == f"{ISSUER}/jwks":
            return JsonAnswer(200, {"keys": [self._public(id, key) for id, key in self.keys.items()]})
        return JsonAnswer(404, {})

    async def post(self, url: str, fields: Mapping[str, str]) -> JsonAnswer:
        self.asked.append(url)
        if self.away:
            raise LinkLost("nobody answers")
        self.forms.append(fields)
        if self.refreshes is not None and not self.answers:
            token = self.token(exp=int(self.now()) + self.refreshes)
            return JsonAnswer(200, {"id_token": token, "refresh_token": f"refresh {len(self.forms)}"})
        return self.answers.pop(0)

    def _discovery(self) -> dict[str, Any]:
        return {
            "issuer": ISSUER,
            "jwks_uri": f"{ISSUER}/jwks",
            "token_endpoint": f"{ISSUER}/token",
            "authorization_endpoint": f"{ISSUER}/authorize",
            "device_authorization_endpoint": f"{ISSUER}/device",
            "scopes_supported": ["openid", "profile", "offline_access"],
            **self.document,
        }

    @staticmethod
    def _public(id: str, key: RSAPrivateKey) -> dict[str, Any]:
        public = jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key(), as_dict=True)
        return {**public, "kid": id, "use": "sig", "alg": "RS256"}


def library_time(clock: Clock) -> type[datetime]:
    """Return what stands for ``datetime`` in PyJWT, by a test's clock."""

    class LibraryTime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> LibraryTime:
            return cls.fromtimestamp(clock.seconds(), tz)

    return LibraryTime


def forged(header: Mapping[str, Any], claims: Mapping[str, Any], signature: str = "") -> str:
    """Return a token put together by hand."""
    parts = [jwt.utils.base64url_encode(json.dumps(part).encode()).decode() for part in (header, claims)]
    return ".".join([*parts, signature])
