"""Asks an issuer, or a farm, over HTTP: small JSON answers, within a time, without blocking the reactor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred, succeed
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IBodyProducer
from zope.interface import implementer

from icefarm import __version__
from icefarm.errors import LinkLost
from icefarm.oidc.web_client import JsonAnswer
from icefarm.text.outside_json import NotJson, parse_json
from icefarm.wamp.tls import FarmCertificate, TlsEndpoint

__all__ = ["HttpClient"]

#: Seconds for an answer, and its largest size in bytes.
LIMIT = 10.0
LARGEST = 1024 * 1024


class _TooLarge(Exception):
    """The answer is larger than any that is expected."""


class _Body(TwistedProtocol):
    """Gathers a bounded answer."""

    def __init__(self) -> None:
        self.whole: Deferred[bytes] = Deferred(lambda _: self._abort())
        self._received = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if len(self._received) > LARGEST:
            self._end(Failure(_TooLarge(f"the answer has more than {LARGEST} bytes")))
            self._abort()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end(bytes(self._received) if reason.check(ResponseDone) else reason)

    def _end(self, result: Any) -> None:
        if not self.whole.called:
            self.whole.callback(result)

    def _abort(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.abortConnection()


@implementer(IAgentEndpointFactory)
@define(eq=False)
class _Endpoints:
    """Makes the connections of one request, and keeps the certificate that was shown."""

    _reactor: Any
    _ca_file: str | None
    certificate: FarmCertificate | None = field(init=False, default=None)

    def endpointForURI(self, uri: URI) -> Any:
        """As `IAgentEndpointFactory.endpointForURI`; names of hosts are ASCII there."""
        host = uri.host.decode("ascii").strip("[]")
        endpoint = HostnameEndpoint(self._reactor, host, uri.port, timeout=LIMIT)
        if uri.scheme != b"https":
            return endpoint
        self.certificate = FarmCertificate(host, self._ca_file)
        return TlsEndpoint(self._reactor, self.certificate, endpoint)


@define(eq=False)
class HttpClient:
    """A `WebClient` on a Twisted reactor.  Redirections are not followed: a secret goes where it was meant to go."""

    reactor: Any
    #: As in `icefarm.wamp.parse_url`.
    ca_file: str | None = None

    async def get(self, url: str) -> JsonAnswer:
        return await self._ask(b"GET", url, {}, None)

    async def post(self, url: str, fields: Mapping[str, str]) -> JsonAnswer:
        """Send a form."""
        form = {b"Content-Type": [b"application/x-www-form-urlencoded"]}
        return await self._ask(b"POST", url, form, urlencode(fields).encode())

    async def _ask(
        self, method: bytes, url: str, headers: Mapping[bytes, list[bytes]], body: bytes | None
    ) -> JsonAnswer:
        endpoints = _Endpoints(self.reactor, self.ca_file)
        asking = ensureDeferred(self._exchange(endpoints, method, url, headers, body))
        asking.addTimeout(LIMIT, self.reactor)
        try:
            return await asking
        except TimeoutError:
            raise LinkLost(f"there was no answer from {url} within {LIMIT:g} s") from None
        except CancelledError:
            raise
        except Exception as error:
            raise _no_answer(url, error, endpoints.certificate) from None

    async def _exchange(
        self, endpoints: _Endpoints, method: bytes, url: str, headers: Mapping[bytes, list[bytes]], body: bytes | None
    ) -> JsonAnswer:
        agent = Agent.usingEndpointFactory(self.reactor, endpoints)
        named = {b"Accept": [b"application/json"], b"User-Agent": [f"icefarm/{__version__}".encode()], **headers}
        form = None if body is None else _Form(body)
        response = await agent.request(method, url.encode("ascii"), Headers(named), form)
        received = _Body()
        response.deliverBody(received)
        return JsonAnswer(response.code, _object(await received.whole))


@implementer(IBodyProducer)
@define(eq=False)
class _Form:
    """A form, sent in one piece: Twisted's own producer works with the global reactor only."""

    _content: bytes

    @property
    def length(self) -> int:
        return len(self._content)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self._content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to pause."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        value = parse_json(body)
    except NotJson:
        return {}
    return value if isinstance(value, dict) else {}


def _no_answer(url: str, error: Exception, certificate: FarmCertificate | None) -> LinkLost:
    reasons = getattr(error, "reasons", None)
    cause = reasons[0].value if reasons else error
    if isinstance(cause, LinkLost):
        return cause
    if certificate is not None and certificate.was_shown:
        return certificate.explain(url, cause)
    return LinkLost(f"there is no answer from {url}: {cause}")
