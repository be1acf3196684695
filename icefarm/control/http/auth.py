"""Identifies the caller of an HTTP request, as the router does for sessions.

With a token, the caller is the token's account; a name is one inside that account, as for sessions.  If the farm
admits names without tokens, the request names the client, under the conditions of a sign-in: from the router's own
host, with a name that no live session uses.  A web page of another site must not make requests through its visitor's
browser, so the farm must be addressed as this host, and a page that makes requests must be this host's.
"""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import define, field, frozen

from icefarm.bus import Caller
from icefarm.contract import NAME_RULE, Role, account_of, identity_of, normal_name, valid_name
from icefarm.control.sessions.sign_in.authenticator import RESERVED_NAMES, SignInPolicy
from icefarm.control.sessions.sign_in.credentials_check import CredentialsCheck, Holder
from icefarm.control.sessions.tracker import NO_SESSION, Sessions
from icefarm.errors import InvalidArgument, NameInUse, NotAuthorized

__all__ = ["Asker", "HttpIdentity", "local_address"]

#: The caller that reads without a name; nobody else has it, since names are not empty.
_ANYBODY = ""


@frozen
class Asker:
    """A request's information about its sender."""

    #: The sender's address, as the router saw it.
    peer: str
    #: How the sender addressed the farm: HOST or HOST:PORT.
    host: str
    #: The page that sent it, if any.
    origin: str | None = None
    token: str | None = field(default=None, repr=False)


def local_address(host: str) -> bool:
    """Tell whether an address or host name always means this host itself."""
    name = host.strip("[]").lower()
    try:
        address = ip_address(name)
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


@define(eq=False)
class HttpIdentity:
    """Decides the name and role of a request."""

    policy: SignInPolicy
    credentials: CredentialsCheck
    sessions: Sessions

    async def caller(self, asker: Asker, name: str | None, *, reading: bool, operating: bool) -> Caller:
        """Return the caller; ``name`` is the request's own claim.

        Raises `NotAuthorized`, with a field ``token`` where another token, or one at all, would help; `NameInUse`,
        `InvalidArgument`.
        """
        if name is not None:
            name = normal_name(name)
            if not valid_name(name) or account_of(name) in RESERVED_NAMES:
                raise InvalidArgument(f"{name!a:.120} is not a valid name: {NAME_RULE}")
        if asker.token is not None:
            return _with_token(await self._token(asker, asker.token), name, asker.peer)
        if operating or self.policy is SignInPolicy.TOKENS:
            raise NotAuthorized("this takes a token; send it as: Authorization: Bearer TOKEN", token="missing")
        self._check_nearness(asker)
        if reading:
            return Caller(_ANYBODY, NO_SESSION, Role.CLIENT, address=asker.peer)
        if name is None:
            raise InvalidArgument("name is missing; give the client's name")
        if self.sessions.state.client_is_here(name):
            raise NameInUse(f"a live session is signed in as {name!r}; only it can ask in that name, or a token")
        return Caller(name, NO_SESSION, Role.CLIENT, address=asker.peer)

    async def _token(self, asker: Asker, token: str) -> Holder:
        try:
            known = await self.credentials.holder(token, asker.peer)
        except NotAuthorized as error:
            raise NotAuthorized(error.message, token="unfit") from None
        if known is None:
            raise NotAuthorized("the farm does not know that token, or it has expired or been revoked", token="unknown")
        return known

    def _check_nearness(self, asker: Asker) -> None:
        addressed = _host_of(f"//{asker.host}")
        page = None if asker.origin is None else _host_of(asker.origin)
        if not local_address(asker.peer):
            raise NotAuthorized("without a token, this farm admits only requests from its own host", token="missing")
        if not local_address(addressed) or (page is not None and not local_address(page)):
            raise NotAuthorized("without a token, address this farm as localhost, and not from another site's page")


def _with_token(token: Holder, name: str | None, address: str) -> Caller:
    if token.role not in (Role.CLIENT, Role.OPERATOR):
        raise NotAuthorized(f"that token is one for the role {token.role}", token="unfit")
    return Caller(identity_of(token.account, name or token.account), NO_SESSION, token.role, address=address)


def _host_of(url: str) -> str:
    """Return the host of a URL; empty where it has none that can be read."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
