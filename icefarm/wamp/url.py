"""Where a router listens: the URL of a farm, read and connected to."""

from __future__ import annotations

import icefarm.wamp._no_bjdata  # noqa: F401 isort: skip

import socket
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from attrs import evolve, frozen
from autobahn.twisted.rawsocket import WampRawSocketClientFactory, WampRawSocketClientProtocol
from autobahn.twisted.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol
from autobahn.wamp.serializer import CBORSerializer
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from icefarm.errors import InvalidArgument
from icefarm.wamp.tls import FarmCertificate, TlsEndpoint, certificates_in

__all__ = ["RouterUrl", "is_loopback", "parse_url"]

#: Seconds that a TCP connection may take, and the WebSocket handshake on it.
CONNECT_LIMIT = 10.0
#: Seconds for a router's port to accept a connection, when that is all we ask.
REACH_LIMIT = 5.0
#: Seconds between WebSocket pings, and for their answer.
PING_INTERVAL = 10.0
PING_LIMIT = 10.0

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


class ConnectionObserver(Protocol):
    """Hears how a connection goes until there is a session on it."""

    def greeted(self, answer: bytes) -> None:
        """The first bytes of the other side, over RawSocket."""

    def handshake_failed(self, reason: str) -> None:
        """The other side refused the WebSocket handshake."""

    def lost(self, reason: Failure) -> None:
        """The connection has ended."""


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
        """Whether nobody on the way can read along: TLS, or a way that stays on this host."""
        return self.tls or not self.host or is_loopback(self.host)

    def certificate(self) -> FarmCertificate | None:
        """Return what judges the certificate of one connection; None without TLS."""
        return FarmCertificate(self.host, self.ca_file) if self.tls else None

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

    def endpoint(self, reactor: Any, certificate: FarmCertificate | None) -> Any:
        """Return the endpoint that connects there, with TLS if there is a certificate to judge."""
        if not self.host:
            return UNIXClientEndpoint(reactor, self.path, timeout=CONNECT_LIMIT)
        endpoint: Any = HostnameEndpoint(reactor, self.host, self.port, timeout=CONNECT_LIMIT)
        if certificate is None:
            return endpoint
        return TlsEndpoint(reactor, certificate, endpoint)

    def factory(self, make_session: Callable[[], Any], attempt: ConnectionObserver, reactor: Any) -> Any:
        """Return the protocol factory that speaks WAMP there, and reports to ``attempt``."""
        if self.transport == "rawsocket":
            raw: Any = WampRawSocketClientFactory(make_session, CBORSerializer())
            raw.protocol, raw.attempt = _RawSocket, attempt
            return raw
        url = f"{'wss' if self.tls else 'ws'}://{self.host}:{self.port}{self.path}"
        factory: Any = WampWebSocketClientFactory(make_session, url, serializers=[CBORSerializer()], reactor=reactor)
        factory.protocol, factory.attempt = _WebSocket, attempt
        factory.setProtocolOptions(
            openHandshakeTimeout=CONNECT_LIMIT, autoPingInterval=PING_INTERVAL, autoPingTimeout=PING_LIMIT
        )
        return factory


def is_loopback(host: str) -> bool:
    """Tell whether a host is this one, by its address or as ``localhost``; other names are not looked up."""
    try:
        address = ip_address(host)
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def parse_url(text: str, ca_file: str | None = None) -> RouterUrl:
    """Read the URL of a farm or router.

    ``http://host:8080`` and ``rs://`` are RawSocket on that port, ``https://`` and ``rss://`` the same with TLS,
    ``ws://host:8080/ws`` and ``wss://`` WebSocket, ``unix:/path`` a Unix socket.  ``ca_file`` is a PEM file with the
    certificates to trust there; None: those that the system trusts.  Raises `InvalidArgument`.
    """
    if ca_file is not None:
        certificates_in(ca_file)
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
    path = parts.path if parts.path not in ("", "/") else "/ws"
    return RouterUrl(transport, tls, parts.hostname, port or default_port, path)


class _RawSocket(WampRawSocketClientProtocol):
    """Reports its greeting and its end also before there is a session on it, when Autobahn reports to nobody."""

    def dataReceived(self, data: bytes) -> None:
        if not self._handshake_complete:
            self.factory.attempt.greeted(data)
        super().dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.attempt.lost(reason)


class _WebSocket(WampWebSocketClientProtocol):
    """As `_RawSocket`."""

    def failHandshake(self, reason: str) -> None:
        self.factory.attempt.handshake_failed(reason)
        # Autobahn logs the end of a connection that is not clean as a warning; the link says what matters.
        self.wasClean = True
        super().failHandshake(reason)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self.factory.attempt.lost(reason)
