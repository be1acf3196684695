"""Pure: no I/O, no clock.  An issuer, as its discovery document describes it (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen

from icefarm.errors import InvalidArgument

__all__ = ["Issuer", "SignInOffer", "checked_url", "discovery_url", "read_discovery", "read_offer"]

#: Longest address in a document, in characters.
LONGEST_URL = 2000


@frozen
class SignInOffer:
    """What a farm tells clients about its issuer."""

    issuer: str
    client: str
    scope: str


@frozen
class Issuer:
    """An issuer's addresses."""

    issuer: str
    jwks: str
    token: str
    authorization: str | None = None
    device_authorization: str | None = None
    revocation: str | None = None
    scopes: tuple[str, ...] = ()


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def checked_url(text: object, what: str) -> str:
    """Return an address if a secret may be sent there: https, or this host itself.  Raises `InvalidArgument`."""
    if not isinstance(text, str) or len(text) > LONGEST_URL or not text.isascii() or not text.isprintable():
        raise InvalidArgument(f"{what} must be an https:// URL")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if not host or parts.username is not None or parts.fragment:
        raise InvalidArgument(f"{what} must be an https:// URL, not {text!a:.100}")
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(host)):
        raise InvalidArgument(f"{what} must be an https:// URL (http:// is for this host only), not {text!a:.100}")
    return text


def discovery_url(issuer: str) -> str:
    """Return where the issuer's document is."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def read_discovery(issuer: str, document: Mapping[str, Any]) -> Issuer:
    """Read the document of that issuer.  Raises `InvalidArgument` if it is another one's, or lacks something."""
    if document.get("issuer") != issuer:
        raise InvalidArgument(
            f"the document at {discovery_url(issuer)} is of the issuer {str(document.get('issuer'))!a:.100}; "
            "use that very text as the issuer's URL"
        )

    def address(name: str) -> str | None:
        return None if document.get(name) is None else checked_url(document[name], f"the issuer's {name}")

    scopes = document.get("scopes_supported")
    return Issuer(
        issuer,
        checked_url(document.get("jwks_uri"), "the issuer's jwks_uri"),
        checked_url(document.get("token_endpoint"), "the issuer's token_endpoint"),
        address("authorization_endpoint"),
        address("device_authorization_endpoint"),
        address("revocation_endpoint"),
        tuple(str(scope) for scope in scopes) if isinstance(scopes, list) else (),
    )


def read_offer(document: Mapping[str, Any]) -> SignInOffer | None:
    """Read a farm's answer to ``/api/sign-in``; None if it has no issuer.  Raises `InvalidArgument`."""
    offer = document.get("oidc")
    if not isinstance(offer, Mapping):
        return None
    texts = [offer.get(name) for name in ("issuer", "client", "scope")]
    if not all(isinstance(text, str) and text for text in texts):
        raise InvalidArgument("the farm's answer about its sign-in is not understood; is this icefarm older than it?")
    issuer, client, scope = map(str, texts)
    return SignInOffer(checked_url(issuer, "the farm's issuer"), client, scope)
