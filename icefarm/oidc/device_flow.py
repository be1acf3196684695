"""A sign-in on another device: the device authorization grant (RFC 8628)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.task import deferLater

from icefarm.errors import InvalidArgument, LinkLost, NotAuthorized, TimedOut
from icefarm.oidc.issuer import Issuer, SignInOffer, checked_url, discovery_url, read_discovery, read_offer
from icefarm.oidc.stored_login import StoredLogin
from icefarm.oidc.web_client import JsonAnswer, WebClient

__all__ = ["DeviceSignIn", "begin_sign_in", "end_sign_in", "offer_of", "revoke"]

_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
#: Seconds between two questions, unless the issuer says so, and more after "slow_down" (RFC 8628, section 3.5).
INTERVAL = 5.0
#: Seconds that a code lasts at most.
LONGEST = 1800.0


@frozen
class DeviceSignIn:
    """A sign-in that waits for a person."""

    #: Where to go, and the code to confirm there.
    link: str
    code: str
    #: Seconds that it waits, and between two questions.
    lasts: float
    interval: float
    device_code: str = field(repr=False)
    offer: SignInOffer
    issuer: Issuer


async def offer_of(web: WebClient, base: str) -> SignInOffer:
    """Ask a farm, at its HTTP address, for its issuer.  Raises `InvalidArgument` if it has none, `LinkLost`."""
    answer = await web.get(f"{base}/api/sign-in")
    offer = read_offer(answer.value) if answer.code == 200 else None
    if offer is None:
        raise InvalidArgument(
            f"the farm at {base} has no issuer to sign in at; it takes tokens that its operator makes (ICEFARM_TOKEN)"
        )
    return offer


async def begin_sign_in(web: WebClient, offer: SignInOffer) -> DeviceSignIn:
    """Begin.  Raises `InvalidArgument` if the issuer can't do that, `LinkLost`."""
    document = await web.get(discovery_url(offer.issuer))
    if document.code != 200:
        raise LinkLost(f"the issuer {offer.issuer} answers with {document.code}")
    issuer = read_discovery(offer.issuer, document.value)
    if issuer.device_authorization is None:
        raise InvalidArgument(f"the issuer {offer.issuer} has no device flow; have it enabled, or use a token")
    scope = offer.scope
    if "offline_access" in issuer.scopes and "offline_access" not in scope.split():
        scope += " offline_access"
    answer = await web.post(issuer.device_authorization, {"client_id": offer.client, "scope": scope})
    if answer.code != 200:
        raise NotAuthorized(f"the issuer {offer.issuer} refuses the farm's client: {_why(answer)}")
    return _sign_in(answer.value, offer, issuer)


def _sign_in(value: Mapping[str, Any], offer: SignInOffer, issuer: Issuer) -> DeviceSignIn:
    texts = [value.get(name) for name in ("device_code", "user_code")]
    if not all(isinstance(text, str) and text.isascii() and text.isprintable() for text in texts):
        raise LinkLost(f"the answer of the issuer {offer.issuer} is not understood")
    link = value.get("verification_uri_complete") or value.get("verification_uri")
    return DeviceSignIn(
        checked_url(link, "the issuer's page"),
        str(texts[1]),
        min(_number(value.get("expires_in"), LONGEST), LONGEST),
        _number(value.get("interval"), INTERVAL),
        str(texts[0]),
        offer,
        issuer,
    )


def _number(value: object, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and value > 0 else otherwise


async def end_sign_in(web: WebClient, clock: Any, sign_in: DeviceSignIn, url: str) -> StoredLogin:
    """Wait until the person has confirmed.  Raises `NotAuthorized`, `TimedOut`, `LinkLost`."""
    form = {"grant_type": _GRANT, "device_code": sign_in.device_code, "client_id": sign_in.offer.client}
    interval, end = sign_in.interval, clock.seconds() + sign_in.lasts
    while clock.seconds() < end:
        await deferLater(clock, interval)
        try:
            answer = await web.post(sign_in.issuer.token, form)
        except LinkLost:
            interval = min(2 * interval, 60.0)
            continue
        if answer.code == 200:
            return _login(answer, sign_in, url, time.time())
        match answer.value.get("error"):
            case "authorization_pending":
                pass
            case "slow_down":
                interval += INTERVAL
            case "expired_token":
                break
            case _:
                raise NotAuthorized(f"the issuer {sign_in.offer.issuer} refuses the sign-in: {_why(answer)}")
    raise TimedOut("nobody has confirmed the code in time; begin again with: icefarm login")


def _login(answer: JsonAnswer, sign_in: DeviceSignIn, url: str, now: float) -> StoredLogin:
    token, refresh = answer.value.get("id_token"), answer.value.get("refresh_token")
    if not isinstance(token, str):
        raise NotAuthorized(f"the issuer {sign_in.offer.issuer} gives no ID token")
    return StoredLogin(
        url,
        sign_in.offer.issuer,
        sign_in.offer.client,
        sign_in.issuer.token,
        token,
        now,
        refresh if isinstance(refresh, str) else None,
        sign_in.issuer.revocation,
    )


async def revoke(web: WebClient, login: StoredLogin) -> bool:
    """Tell the issuer that the sign-in is over (RFC 7009); returns whether it knows now.  Raises `LinkLost`."""
    if login.revocation_endpoint is None or login.refresh_token is None:
        return False
    form = {"token": login.refresh_token, "token_type_hint": "refresh_token", "client_id": login.client}
    return (await web.post(login.revocation_endpoint, form)).code == 200


def _why(answer: JsonAnswer) -> str:
    text = answer.value.get("error_description") or answer.value.get("error") or f"HTTP {answer.code}"
    return ascii(str(text)[:200])
