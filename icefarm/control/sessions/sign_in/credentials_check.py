"""Whose a token is: one that the farm made, or one of the lab's issuer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt
from attrs import define, frozen

from icefarm.contract import Role
from icefarm.control.sessions.sign_in.issuer_keys import IssuerKeys
from icefarm.control.sessions.sign_in.oidc_settings import OidcSettings, account_in, role_in
from icefarm.control.sessions.sign_in.tokens import token_hash
from icefarm.control.storage.interface import Store
from icefarm.errors import NotAuthorized
from icefarm.oidc.issuer import Issuer
from icefarm.oidc.jwt_text import LONGEST_JWT, looks_like_jwt

__all__ = ["SKEW", "CredentialsCheck", "Holder", "IssuerTokens"]

#: Seconds by which the clocks of issuer and farm may differ.
SKEW = 60.0
#: Signatures with a pair of keys.  With a shared secret (HS256), or none, the issuer's public key would be the secret.
ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES384", "ES512", "EdDSA"),
)
#: Types of tokens (RFC 9068, RFC 7519); others, such as logout+jwt, are not for signing in.
_TYPES = ("jwt", "at+jwt", "application/jwt", "application/at+jwt")
_REQUIRED = ("exp", "iat", "iss", "aud", "sub")


@frozen
class Holder:
    """Who holds a token, and what it admits to."""

    account: str
    role: Role
    #: Names the token in the audit log.
    label: str
    #: The store's number of a token that the farm made.
    token: int | None = None
    #: When one of the issuer stops being valid, in seconds since the epoch.
    expires_at: float | None = None


@define(eq=False)
class IssuerTokens:
    """Verifies the tokens of an issuer."""

    settings: OidcSettings
    keys: IssuerKeys
    store: Store

    @property
    def issuer(self) -> Issuer | None:
        """The issuer's addresses; None until its document was read."""
        return self.keys.found

    async def holder(self, token: str) -> Holder:
        """Return who holds a token.  Raises `NotAuthorized` with the reason, and `Busy`."""
        claims = await self._claims(token)
        account, mapped = account_in(claims, self.settings)
        role = role_in(claims, self.settings)
        if not mapped and any(known.account == account for known in await self.store.list_tokens()):
            raise NotAuthorized(
                f"the account {account!r} has tokens that the farm made, so it may be somebody else's; if it is the "
                f"same person's, an operator can say so with --oidc-accounts CLAIM={account}"
            )
        return Holder(account, role, f"{self.settings.issuer} {claims['sub']}", expires_at=float(claims["exp"]) + SKEW)

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > LONGEST_JWT:
            raise NotAuthorized(f"that token has {len(token)} characters; at most {LONGEST_JWT}")
        header = _header(token)
        jwk = await self.keys.key(header.get("kid"))
        if jwk is None:
            raise NotAuthorized("that token is not signed with a key of this farm's issuer; sign in there again")
        if jwk.get("alg", header["alg"]) != header["alg"]:
            raise NotAuthorized("that token is signed in another way than its key is for")
        try:
            key = jwt.PyJWK(dict(jwk), algorithm=header["alg"])
            claims = jwt.decode(
                token,
                key,
                algorithms=[header["alg"]],
                audience=self.settings.audience or self.settings.client,
                issuer=self.settings.issuer,
                leeway=SKEW,
                options={"require": list(_REQUIRED)},
            )
        except jwt.ExpiredSignatureError:
            raise NotAuthorized("that token has expired; sign in again (icefarm login)") from None
        except jwt.PyJWTError as error:
            raise NotAuthorized(f"that token is not valid: {_reason(error)}") from None
        # An ID token says for which client it was made, even if its audience has several.
        if self.settings.audience is None and claims.get("azp", self.settings.client) != self.settings.client:
            raise NotAuthorized("that token was made for another client of the issuer")
        return claims


def _header(token: str) -> Mapping[str, Any]:
    try:
        header = jwt.get_unverified_header(token)
    except jwt.PyJWTError:
        raise NotAuthorized("that token is damaged") from None
    if header.get("alg") not in ALGORITHMS:
        raise NotAuthorized(f"that token is not signed in a way that is accepted here: {', '.join(ALGORITHMS)}")
    kind = header.get("typ")
    if "crit" in header or not (kind is None or (isinstance(kind, str) and kind.lower() in _TYPES)):
        raise NotAuthorized("that token is not one for signing in")
    return header


def _reason(error: jwt.PyJWTError) -> str:
    match error:
        case jwt.InvalidAudienceError():
            return "it is for another application (aud)"
        case jwt.InvalidIssuerError():
            return "it is of another issuer (iss)"
        case jwt.ImmatureSignatureError():
            return "its time has not come yet; see the clocks of issuer and farm"
        case jwt.MissingRequiredClaimError():
            return f"it has no {error.claim}"
        case jwt.InvalidSignatureError():
            return "its signature is wrong"
    return "it is damaged"


@define(eq=False)
class CredentialsCheck:
    """Finds the holder of a token, of the farm or of the issuer."""

    store: Store
    #: Verifies the issuer's tokens; None on a farm without an issuer.
    issued: IssuerTokens | None = None

    async def holder(self, token: str, address: str) -> Holder | None:
        """Return the holder; None if the farm does not know such a token.  Raises `NotAuthorized`, `Busy`."""
        if self.issued is not None and looks_like_jwt(token):
            return await self.issued.holder(token)
        known = await self.store.token_by_hash(token_hash(token), used_from=address)
        if known is None:
            return None
        return Holder(known.account, known.role, f"token {known.name}", known.id)
