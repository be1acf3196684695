"""Pure: no I/O, no clock.  JSON Web Tokens as text; nothing here verifies one."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from icefarm.text.outside_json import parse_json

__all__ = ["LONGEST_JWT", "lifetime_of", "looks_like_jwt", "unverified_claims"]

#: Longest token in characters.  Those of issuers have 1,000 to 4,000; a header of HTTP has room for 16,384.
LONGEST_JWT = 8192
#: Seconds that a token is taken to last if it does not say.
SHORT_LIFE = 60.0

# A header begins with '{"' , whose Base64 is "eyJ" (or with white space, which no issuer writes).
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")


def looks_like_jwt(text: str) -> bool:
    """Tell whether a token is one of an issuer, and not one that the farm made."""
    return _JWT.fullmatch(text) is not None


def unverified_claims(token: str) -> dict[str, Any]:
    """Return a token's claims; empty if they can't be read."""
    try:
        part = token.split(".")[1]
        claims = parse_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (IndexError, ValueError, binascii.Error):
        return {}
    return claims if isinstance(claims, dict) else {}


def lifetime_of(token: str) -> float:
    """Return for how many seconds a token is valid after it was issued."""
    claims = unverified_claims(token)
    begin, end = claims.get("iat"), claims.get("exp")
    if isinstance(begin, int | float) and isinstance(end, int | float):
        return max(0.0, float(end) - float(begin))
    return SHORT_LIFE
