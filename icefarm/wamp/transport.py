"""Connections to a router: the endpoint of its URL, and the protocol that speaks WAMP there."""

from __future__ import annotations

import icefarm.wamp._lean_autobahn  # noqa: F401 isort: skip

from collections.abc import Callable
from typing import Any, Protocol

from autobahn.twisted.rawsocket import WampRawSocketClientFactory, WampRawSocketClientProtocol
from autobahn.twisted.websocket import WampWebSocketClientFactory, WampWebSocketClientProtocol
from autobahn.wamp import message
from autobahn.wamp.serializer import CBORSerializer
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from icefarm.concurrency.prompt.icefarm_lean_messages import lighten
from icefarm.concurrency.prompt.icefarm_prompt import send_string, without_delay
from icefarm.concurrency.prompt.icefarm_rawsocket import data_received, receives, sends
from icefarm.wamp.tls import FarmCertificate, TlsEndpoint
from icefarm.wamp.url import RouterUrl

__all__ = ["ConnectionObserver", "certificate_of", "endpoint_of", "factory_of"]

#: Seconds that a TCP connection may take, and the WebSocket handshake on it.
CONNECT_LIMIT = 10.0
#: Seconds between WebSocket pings, and for their answer.
PING_INTERVAL = 10.0
PING_LIMIT = 10.0

lighten(message)


class ConnectionObserver(Protocol):
    """Hears how a connection goes until there is a session on it."""

    def greeted(self, answer: bytes) -> None:
        """The first bytes of the other side, over RawSocket."""

    def handshake_failed(self, reason: str) -> None:
        """The other side refused the WebSocket handshake."""

    def lost(self, reason: Failure) -> None:
        """The connection has ended."""


def certificate_of(where: RouterUrl) -> FarmCertificate | None:
    """Return what judges the certificate of one connection; None without TLS."""
    return FarmCertificate(where.host, where.ca_file) if where.tls else None


def endpoint_of(where: RouterUrl, reactor: Any, certificate: FarmCertificate | None) -> Any:
    """Return the endpoint that connects there, with TLS if there is a certificate to judge."""
    if not where.host:
        return UNIXClientEndpoint(reactor, where.path, timeout=CONNECT_LIMIT)
    endpoint: Any = HostnameEndpoint(reactor, where.host, where.port, timeout=CONNECT_LIMIT)
    if certificate is None:
        return endpoint
    return TlsEndpoint(reactor, certificate, endpoint)


def factory_of(where: RouterUrl, make_session: Callable[[], Any], attempt: ConnectionObserver, reactor: Any) -> Any:
    """Return the protocol factory that speaks WAMP there, and reports to ``attempt``."""
    if where.transport == "rawsocket":
        raw: Any = WampRawSocketClientFactory(make_session, CBORSerializer())
        raw.protocol, raw.attempt = _RawSocket, attempt
        return raw
    url = f"{'wss' if where.tls else 'ws'}://{where.host}:{where.port}{where.path}"
    factory: Any = WampWebSocketClientFactory(make_session, url, serializers=[CBORSerializer()], reactor=reactor)
    factory.protocol, factory.attempt = _WebSocket, attempt
    factory.setProtocolOptions(
        openHandshakeTimeout=CONNECT_LIMIT, autoPingInterval=PING_INTERVAL, autoPingTimeout=PING_LIMIT
    )
    return factory


class _RawSocket(WampRawSocketClientProtocol):
    """Reports its greeting and its end also before there is a session on it, when Autobahn reports to nobody.

    A message that follows no other one closely is written at once.
    """

    connectionMade = without_delay(WampRawSocketClientProtocol.connectionMade)  # noqa: N815 (Twisted's names)
    sendString, send = send_string, sends(WampRawSocketClientProtocol.send)  # noqa: N815
    stringReceived = receives(WampRawSocketClientProtocol.stringReceived)  # noqa: N815

    def dataReceived(self, data: bytes) -> None:
        if self._handshake_complete:
            data_received(self, data)
        else:
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
