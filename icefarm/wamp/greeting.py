"""Pure: no I/O, no clock.  What an unexpected greeting says of a URL: the wrong scheme, a proxy, a wrong path."""

from __future__ import annotations

import re

from icefarm.errors import LinkLost, WrongProtocol

__all__ = ["http_refusal", "tls_expected", "unexpected_greeting"]

#: How a TLS record with an alert begins (RFC 8446, 5.1 and 6), which a TLS port sends to a client without TLS.
_TLS_ALERT = b"\x15\x03"
_HTTP = b"HTTP/"
#: How Autobahn words the status of a refused WebSocket handshake.
_STATUS = re.compile(r"\[(\d{3})\]: *(.*)")
#: Statuses of a proxy or router whose farm may be there in a moment.
_PASSING = range(500, 600)


def tls_expected(url: str) -> WrongProtocol:
    """Return the error for a port with TLS, and a URL without."""
    return WrongProtocol(f"what listens at {url} speaks TLS; write the URL with https:// (or wss://)", url=url)


def unexpected_greeting(url: str, host: str, tls: bool, answer: bytes) -> WrongProtocol | None:
    """Explain the first bytes that came back over RawSocket; None where they do not say what is wrong."""
    if answer.startswith(_TLS_ALERT):
        return tls_expected(url)
    if answer.startswith(_HTTP):
        scheme = "wss" if tls else "ws"
        return WrongProtocol(
            f"what listens at {url} answers in HTTP, as a proxy does; write the URL as {scheme}://{host}/ws, "
            "with the proxy's path in front of /ws if it has one",
            url=url,
        )
    return None


def http_refusal(url: str, reason: str) -> LinkLost:
    """Explain why a WebSocket handshake failed; ``reason`` is Autobahn's."""
    found = _STATUS.search(reason)
    if found is None:
        return LinkLost(f"what listens at {url} does not speak WebSocket there: {reason}", url=url)
    status, phrase = int(found[1]), found[2]
    if status in _PASSING:
        return LinkLost(f"what listens at {url} has no farm behind it now: {status} {phrase}", url=url)
    return WrongProtocol(
        f"there is no farm at {url}: {status} {phrase}; a farm's own path is /ws, and a proxy may put one in front",
        url=url,
    )
