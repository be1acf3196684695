"""Finds out what listens at a port, on a connection of its own: whether it waits for TLS, whether it is a router."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory as ProtocolFactory
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from icefarm.wamp.tls import FarmCertificate, TlsEndpoint
from icefarm.wamp.transport import certificate_of, endpoint_of, factory_of
from icefarm.wamp.url import RouterUrl

__all__ = ["greets", "speaks_tls"]

#: Seconds for a TLS handshake.
PROBE_LIMIT = 1.5
#: Seconds for a connection and the router's greeting.
GREETING_LIMIT = 2.0


@implementer(IHandshakeListener)
class _Probe(Protocol):
    """A connection that ends with its handshake."""

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred()

    def handshakeCompleted(self) -> None:
        self._end()

    def connectionLost(self, reason: Failure = connectionDone) -> None:  # noqa: ARG002
        self._end()

    def _end(self) -> None:
        if not self.ended.called:
            self.ended.callback(None)


async def speaks_tls(reactor: Any, host: str, endpoint: Any) -> bool:
    """Tell whether ``endpoint`` shows a certificate, trusted or not, within `PROBE_LIMIT` seconds."""
    certificate = FarmCertificate(host, None)
    try:
        probe = await TlsEndpoint(reactor, certificate, endpoint).connect(ProtocolFactory.forProtocol(_Probe))
    except (ConnectError, DNSLookupError):
        return False
    probe.ended.addTimeout(PROBE_LIMIT, reactor)
    try:
        await probe.ended
    except (DeferredTimeout, CancelledError):
        return certificate.was_shown
    finally:
        probe.transport.abortConnection()
    return certificate.was_shown


class _NoSession:
    """Takes the place of Autobahn's session on a connection that ends before it says anything."""

    def onOpen(self, transport: object) -> None:
        """Say nothing."""

    def onMessage(self, message: object) -> None:
        """Say nothing."""

    def onClose(self, was_clean: bool) -> None:
        """Say nothing."""


@define(eq=False)
class _Greeting:
    """A connection that ends with the router's answer to our greeting."""

    _ended: Deferred[bool] = Factory(Deferred)

    async def come(self, endpoint: Any, factory: Any) -> bool:
        """Tell whether it came; false if the connection ended before."""
        protocol = await endpoint.connect(factory)
        try:
            return await self._ended
        finally:
            protocol.transport.abortConnection()

    def make_session(self) -> _NoSession:
        """Autobahn calls this when the router has answered."""
        self._end(True)
        return _NoSession()

    def greeted(self, answer: bytes) -> None:
        """See `ConnectionObserver`; Autobahn judges the first bytes."""

    def handshake_failed(self, reason: str) -> None:  # noqa: ARG002
        """See `ConnectionObserver`."""
        self._end(False)

    def lost(self, reason: Failure) -> None:  # noqa: ARG002
        """See `ConnectionObserver`."""
        self._end(False)

    def _end(self, came: bool) -> None:
        if not self._ended.called:
            self._ended.callback(came)


async def greets(reactor: Any, where: RouterUrl) -> bool:
    """Tell whether a router greets there within `GREETING_LIMIT` seconds: its process works, and is in reach.

    A port that accepts connections says less: the kernel does so for a process that hangs.
    """
    greeting = _Greeting()
    factory = factory_of(where, greeting.make_session, greeting, reactor)
    try:
        coming = Deferred.fromCoroutine(greeting.come(endpoint_of(where, reactor, certificate_of(where)), factory))
        return await coming.addTimeout(GREETING_LIMIT, reactor)
    except CancelledError:
        raise
    except Exception:  # All that a connection may fail with, as for a link.
        return False
