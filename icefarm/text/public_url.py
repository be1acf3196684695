"""Pure: no I/O, no clock.  The URL under which a farm is reached from outside, where a proxy is in front of it."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from icefarm.errors import InvalidArgument

__all__ = ["SOCKET_PATH", "checked_public_url", "socket_url"]

#: The path of a router's WebSocket, behind the path that a proxy may put before it.
SOCKET_PATH = "/ws"
_PORTS = {"http": 80, "https": 443}
_PATH = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/*")
_WELL = "write it as https://HOST/PATH"


def checked_public_url(text: str) -> str:
    """Return the URL without a slash at its end.  Raises `InvalidArgument`."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(f"{text!r} is not a URL: {error}; {_WELL}") from None
    if parts.scheme not in _PORTS or not parts.hostname or port == 0:
        raise InvalidArgument(f"{text!r} is not the URL of a web page; {_WELL}")
    if "?" in text or "#" in text or "@" in parts.netloc:
        raise InvalidArgument(f"{text!r} must have no query, no fragment and no user name; {_WELL}")
    if _PATH.fullmatch(parts.path) is None or re.search(r"[^!-~]", text):
        raise InvalidArgument(f"{text!r} has characters that its path must not have; percent-encode them")
    if parts.path.rstrip("/").endswith(SOCKET_PATH):
        raise InvalidArgument(f"{text!r} ends with {SOCKET_PATH}; give the URL of the page, which is without that")
    return text.rstrip("/")


def socket_url(public: str) -> str:
    """Return the URL by which programs reach a farm with this public URL: every proxy forwards WebSocket."""
    parts = urlsplit(public)
    scheme = "wss" if parts.scheme == "https" else "ws"
    # Without a port, programs would try a farm's own.
    netloc = parts.netloc if parts.port or scheme == "wss" else f"{parts.netloc}:{_PORTS['http']}"
    return f"{scheme}://{netloc}{parts.path}{SOCKET_PATH}"
