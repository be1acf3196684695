"""Finds out whether a port that stays silent waits for TLS."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as DeferredTimeout
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from icefarm.wamp.tls import FarmCertificate, TlsEndpoint

__all__ = ["speaks_tls"]

#: Seconds for a TLS handshake.
PROBE_LIMIT = 1.5


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
        probe = await TlsEndpoint(reactor, certificate, endpoint).connect(Factory.forProtocol(_Probe))
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
