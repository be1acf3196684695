"""The endpoint of the public port, as Crossbar.io's configuration names it."""

from __future__ import annotations

import gc
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import fields, frozen
from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet import ssl
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import IStreamServerEndpoint, IStreamServerEndpointStringParser
from twisted.plugin import IPlugin
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from .factory import GuardFactory
from .limits import Limits
from .proxied import behind_proxies

__all__ = ["GuardEndpoint", "GuardParser"]

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)


@implementer(IStreamServerEndpoint)
@frozen
class GuardEndpoint:
    """Listens at a TCP port, with TLS if there is a context for it."""

    clock: Any
    endpoint: Any
    limits: Limits
    tls: Any = None
    #: Puts before it what takes the addresses of connections from proxies; None: there are none.
    behind: Callable[[Any], Any] | None = None

    def listen(self, protocolFactory: Any) -> Any:
        """Listen."""
        # As icefarm.twistd.collecting does, which is not in the router's environment: a look at all that was imported
        # takes 0.1 to 0.2 s, in which the router serves nobody.
        gc.collect()
        gc.freeze()
        factory: Any = GuardFactory(protocolFactory, self.limits, self.clock)
        if self.tls is not None:
            factory = TLSMemoryBIOFactory(self.tls, False, factory)
        if self.behind is not None:
            factory = self.behind(factory)
        return self.endpoint.listen(factory)


@implementer(IPlugin, IStreamServerEndpointStringParser)
class GuardParser:
    """Parses ``icefarm:PORT:interface=HOST:certificate=FILE:key=FILE:proxies=ADDRESSES:LIMIT=VALUE...``."""

    prefix = "icefarm"

    def parseStreamServer(
        self,
        reactor: Any,
        port: str,
        interface: str = "",
        certificate: str | None = None,
        key: str | None = None,
        proxies: str = "",
        **limits: str,
    ) -> GuardEndpoint:
        """Return the endpoint."""
        makers: dict[str, Callable[[str], Any]] = {
            each.name: int if isinstance(each.default, int) else float for each in fields(Limits)
        }
        chosen = Limits(**{name: makers[name](value) for name, value in limits.items()})
        make = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
        endpoint = make(reactor, int(port), backlog=128, interface=interface)
        context = None if certificate is None or key is None else _context(certificate, key)
        behind = partial(behind_proxies, proxies=proxies, clock=reactor, limit=chosen.sign_in) if proxies else None
        return GuardEndpoint(reactor, endpoint, chosen, context, behind)


def _context(certificate: str, key: str) -> ssl.CertificateOptions:
    """Return what Crossbar.io itself makes for TLS: version 1.3 alone, without sessions to resume."""
    with open(certificate, "rb") as file:
        own, *chain = (ssl.Certificate.loadPEM(each) for each in _PEM.findall(file.read()))
    with open(key, "rb") as file:
        private = ssl.KeyPair.load(file.read(), FILETYPE_PEM)
    return ssl.CertificateOptions(
        privateKey=private.original,
        certificate=own.original,
        extraCertChain=[each.original for each in chain],
        raiseMinimumTo=ssl.TLSVersion.TLSv1_3,
        enableSessions=False,
        enableSessionTickets=False,
        fixBrokenPeers=False,
    )
