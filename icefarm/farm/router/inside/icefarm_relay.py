"""Tells control when somebody for whom the router asks it over HTTP is gone.

Control cancels what it does for a caller that disconnects, so that nobody gets boards who does not hear of them.  It
sees the router's connection, not the caller's.  Twisted's proxy goes on asking for a caller that is gone, and logs a
traceback once the answer has come: anybody could fill the log.  Here the router's connection to control ends as well.
"""

from __future__ import annotations

from typing import Any

from twisted.web.proxy import ProxyClient, ProxyClientFactory, ReverseProxyResource

__all__ = ["Relay", "relay_until_gone"]


class _Asking(ProxyClient):
    """The connection to control."""

    factory: Relay

    def handleResponseEnd(self) -> None:
        # This is called for the end of the connection, too.
        if not self.factory.is_gone:
            super().handleResponseEnd()


class Relay(ProxyClientFactory):
    """Asks control for one request, which is ``father``, until its sender is gone."""

    protocol = _Asking
    _connector: Any = None

    def __init__(self, command: Any, rest: Any, version: Any, headers: Any, data: Any, father: Any) -> None:
        super().__init__(command, rest, version, headers, data, father)
        self.is_gone = False
        father.notifyFinish().addErrback(self._gone)

    def startedConnecting(self, connector: Any) -> None:
        self._connector = connector

    def buildProtocol(self, addr: Any) -> ProxyClient:
        asking: ProxyClient = super().buildProtocol(addr)
        asking.factory = self
        return asking

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:
        if not self.is_gone:
            super().clientConnectionFailed(connector, reason)

    def _gone(self, _: Any) -> None:
        self.is_gone = True
        self._connector.disconnect()


def relay_until_gone() -> None:
    """Have all requests that are passed on end so."""
    ReverseProxyResource.proxyClientFactoryClass = Relay
