"""Where a router listens: the URL of a farm, read and tried.  `icefarm.wamp.transport` connects to it.

The command line and scripts read URLs before they need Twisted, so nothing here imports it.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

from attrs import evolve, frozen

from icefarm.errors import InvalidArgument
from icefarm.text.public_url import SOCKET_PATH, socket_url

__all__ = ["DEFAULT_URL", "INSECURE", "RouterUrl", "farm_urls", "first_in_reach", "is_loopback", "parse_url"]

#: The farm of a client that names none: the one on this host.
DEFAULT_URL = "http://127.0.0.1:8080"
#: The environment variable that lets tokens go over the network without TLS.
INSECURE = "ICEFARM_INSECURE"
#: Seconds for a router's port to accept a connection, when that is all we ask.
REACH_LIMIT = 5.0
#: Between two URLs; a comma within the path of a Unix socket is not followed by another one.
_BETWEEN = re.compile(r"\s*,\s*(?=[a-z]+:)")

_SCHEMES = {
    # scheme: (transport, TLS, port when the URL names none)
    "http": ("rawsocket", False, 8080),
    "https": ("rawsocket", True, 443),
    "rs": ("rawsocket", False, 8080),
    "rss": ("rawsocket", True, 443),
    "ws": ("websocket", False, 8080),
    "wss": ("websocket", True, 443),
    "unix": ("rawsocket", False, 0),
}


@frozen
class RouterUrl:
    """Where a router listens."""

    transport: str
    tls: bool
    host: str
    port: int
    #: Path of a Unix socket, or of the WebSocket.
    path: str
    #: File with the certificates that are trusted; None: what the system trusts.
    ca_file: str | None = None

    @property
    def keeps_secrets(self) -> bool:
        """Whether nobody on the way can read the messages: TLS, or a way that stays on this host."""
        return self.tls or not self.host or is_loopback(self.host)

    def reach(self) -> None:
        """Check that somebody listens there; blocks.

        Raises OSError, and UnicodeError or OverflowError for an impossible host or port.
        """
        if self.host:
            socket.create_connection((self.host, self.port), timeout=REACH_LIMIT).close()
        else:
            with socket.socket(socket.AF_UNIX) as probe:
                probe.settimeout(REACH_LIMIT)
                probe.connect(self.path)


def is_loopback(host: str) -> bool:
    """Tell whether a host is this one, by its address or as ``localhost``; other names are not looked up."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def farm_urls(text: str) -> tuple[str, ...]:
    """Return the URLs of a farm, which are separated by commas, each once; `parse_url` reads each.

    Raises `InvalidArgument` if one is incomplete.
    """
    found = tuple(dict.fromkeys(_BETWEEN.split(text.strip())))
    for url in found:
        if not url or ("," in url and not url.startswith("unix:")):
            raise InvalidArgument(
                f"{text!r} is not a list of URLs; write each in full: http://ONE:8080,http://TWO:8080"
            )
    return found


def first_in_reach(urls: Sequence[str]) -> str:
    """Return the first URL at which somebody listens, else the last one.  Blocks, unless there is only one."""
    for url in urls[:-1]:
        with suppress(OSError, UnicodeError, OverflowError):
            parse_url(url).reach()
            return url
    return urls[-1]


def parse_url(text: str, ca_file: str | None = None) -> RouterUrl:
    """Read the URL of a farm or router.

    ``http://host:8080`` and ``rs://`` are RawSocket on that port, ``https://`` and ``rss://`` the same with TLS,
    ``ws://host:8080/ws`` and ``wss://`` WebSocket, ``unix:/path`` a Unix socket.  RawSocket has no paths, so
    ``https://host/path`` is a proxy's, with WebSocket at ``/path/ws``; its port is that of web pages.  ``ca_file`` is a
    PEM file with the certificates to trust there; None: those that the system trusts.  Raises `InvalidArgument`.
    """
    if ca_file is not None:
        # Imported on demand: it imports OpenSSL.
        from icefarm.wamp.ca_file import check_certificates

        check_certificates(ca_file)
        return evolve(parse_url(text), ca_file=ca_file)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise InvalidArgument(f"{text!r} is not a URL: {error}") from None
    if parts.scheme not in _SCHEMES:
        raise InvalidArgument(
            f"{text!r} is not the URL of a farm; write it as http://HOST:8080 (or https, ws, wss, unix:)"
        )
    transport, tls, default_port = _SCHEMES[parts.scheme]
    if parts.scheme == "unix":
        if not parts.path:
            raise InvalidArgument(f"{text!r} names no socket; write it as unix:/path/to/socket")
        return RouterUrl(transport, tls, "", 0, parts.path)
    if not parts.hostname:
        raise InvalidArgument(f"{text!r} names no host; write it as http://HOST:8080")
    path = parts.path.rstrip("/")
    if path and parts.scheme in ("http", "https"):
        where = urlsplit(socket_url(f"{parts.scheme}://{parts.netloc}{path.removesuffix(SOCKET_PATH)}"))
        return RouterUrl("websocket", tls, parts.hostname, where.port or default_port, where.path)
    return RouterUrl(transport, tls, parts.hostname, port or default_port, parts.path if path else SOCKET_PATH)
