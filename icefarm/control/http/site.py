"""Control's HTTP, on a loopback port; the router passes on requests from its public port.

``/`` is the dashboard (`icefarm.dashboard`), or a plain page where that was not built; ``/health`` is for monitors: 200
where control serves, 503 where the router or the database is out of reach; ``/metrics`` is for Prometheus.  Any other
address is answered by a page that says so; errors in JSON are for the API alone.  Headers follow the OWASP Secure
Headers Project.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.server import Request as ServerRequest

from icefarm import __version__
from icefarm.contract import DeviceRecord, WorkerRecord
from icefarm.control.http.fallback_page import STYLE, closed_page, not_found_page, page, unavailable_page
from icefarm.control.sessions.sign_in.credentials_check import IssuerTokens
from icefarm.dashboard.page import PageFile
from icefarm.errors import IcefarmError

__all__ = ["HEADERS", "HOST", "FarmRequest", "FarmView", "Front", "header", "site"]

#: Seconds after which an idle connection is closed.
IDLE_LIMIT = 60.0
#: Nothing loads from elsewhere or inline, and no other page may frame it.  'self' allows the WebSocket at the page's
#: own address (CSP 3, section 6.7.2.8).
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-store",
}
#: For files whose names change with their content.
_LASTING = {"Cache-Control": "public, max-age=31536000, immutable"}
_HTML, _CSS, _TEXT = (f"text/{kind}; charset=utf-8" for kind in ("html", "css", "plain"))
_JSON = "application/json"
#: What the header ``Host`` holds (RFC 9110, section 7.2): a name or an address, and perhaps a port.
HOST = re.compile(r"[A-Za-z0-9._-]+(:\d{1,5})?|\[[0-9a-fA-F:]+\](:\d{1,5})?")

#: The sender of a request that says of itself who sent it: no address of any host.
UNKNOWN = b"unknown"

_CHUNKED = {"error": "length_required", "message": "send the body in one piece, with a Content-Length", "fields": {}}
_LENGTH_REQUIRED = (
    b"HTTP/1.1 411 Length Required\r\nContent-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
    b"Connection: close\r\n\r\n" + json.dumps(_CHUNKED).encode() + b"\n"
)


@frozen
class FarmView:
    """The parts of control that the pages use."""

    #: Tells whether control is connected to a router.
    connected: Callable[[], bool]
    #: Returns workers and boards; raises `IcefarmError` where the database is away.
    overview: Callable[[], Awaitable[tuple[list[WorkerRecord], list[DeviceRecord]]]]
    #: Returns the metrics and their media type.
    metrics: Callable[[], Awaitable[tuple[bytes, str]]]
    #: The dashboard's files by path; none where it was not built.
    files: Mapping[str, PageFile] = Factory(dict)
    #: Whether everybody may see the boards: not on a farm that requires tokens.
    public: bool = True
    #: The lab's issuer, whose token endpoint the page asks; None on a farm without one.
    issued: IssuerTokens | None = None
    #: Returns which control leads the farm, where that is another one: this one stands by.
    leader: Callable[[], str] = str
    #: Where workers and clients connect; None: where the browser is.
    url: str | None = None
    #: Returns which of several routers are out of reach.
    lost: Callable[[], Sequence[str]] = tuple
    #: Returns what the database said when it had no room for a write of the last minutes; "" if it had.
    full: Callable[[], str] = str


@frozen
class PageResponse:
    """A response to a browser."""

    code: int
    kind: str
    body: str | bytes
    headers: Mapping[str, str] = Factory(dict)


def _as_json(code: int, value: Any) -> PageResponse:
    return PageResponse(code, _JSON, json.dumps(value) + "\n")


@define(eq=False)
class Front:
    """Answers requests by their path."""

    farm: FarmView
    _log: Logger = Factory(Logger)

    async def answer(self, method: str, path: str, url: str) -> PageResponse:
        """Return the answer to a request; ``url`` is the farm's address as the client knows it."""
        pages: dict[str, Callable[[str], Awaitable[PageResponse]]] = {
            "/health": self._health,
            "/metrics": self._metrics,
            "/style.css": self._style,
        }
        if self.farm.files:
            pages |= dict.fromkeys(self.farm.files, partial(self._file, path))
        else:
            pages |= {"/": self._page}
        if path not in pages:
            return PageResponse(404, _HTML, not_found_page(path))
        if method not in ("GET", "HEAD"):
            return PageResponse(405, _TEXT, f"{path} can only be read\n")
        return await pages[path](url)

    async def _file(self, path: str, _: str) -> PageResponse:
        file = self.farm.files[path]
        return PageResponse(200, file.kind, file.content, _LASTING if file.lasting else self._page_policy())

    def _page_policy(self) -> dict[str, str]:
        """Return the header that lets the page ask the lab's issuer, if there is one."""
        issuer = None if self.farm.issued is None else self.farm.issued.issuer
        if issuer is None:
            return {}
        parts = urlsplit(issuer.token)
        name = "Content-Security-Policy"
        allowed = f"connect-src 'self' {parts.scheme}://{parts.netloc}"
        return {name: HEADERS[name].replace("connect-src 'self'", allowed)}

    async def _metrics(self, _: str) -> PageResponse:
        text, kind = await self.farm.metrics()
        return PageResponse(200, kind, text)

    async def _page(self, url: str) -> PageResponse:
        if not self.farm.public:
            return PageResponse(200, _HTML, closed_page(__version__, url))
        try:
            workers, devices = await self.farm.overview()
        except IcefarmError as error:
            return PageResponse(503, _HTML, unavailable_page(str(error)))
        return PageResponse(200, _HTML, page(__version__, url, workers, devices))

    async def _style(self, _: str) -> PageResponse:
        return PageResponse(200, _CSS, STYLE)

    async def _health(self, _: str) -> PageResponse:
        leader = self.farm.leader()
        if leader:
            return _as_json(503, {"status": "standby", "leader": leader, "version": __version__})
        state: dict[str, Any] = {"router": self.farm.connected(), "database": True, "version": __version__}
        lost = self.farm.lost()
        if lost:
            state["routers_lost"] = list(lost)
        try:
            workers, devices = await self.farm.overview()
        except IcefarmError as error:
            state |= {"database": False, "reason": str(error)}
        else:
            online = [worker.name for worker in workers if worker.status == "online"]
            available = sum(device.status == "available" for device in devices)
            state |= {"workers": {"online": len(online), "known": len(workers)}}
            state |= {"devices": {"available": available, "known": len(devices)}}
        serves = state["router"] and state["database"]
        full = self.farm.full() if serves else ""
        if full:
            # Boards go on, and all that is only read: a proxy that asks here must not take control away.
            state["reason"] = f"the database has no room to write: {full}; free space on its disk"
        healthy = serves and not full
        return _as_json(200 if serves else 503, {"status": "ok" if healthy else "degraded", **state})


class _Root(Resource):
    """Hands every request to the front."""

    isLeaf = True  # noqa: N815 - Twisted's name
    _log = Logger()

    def __init__(self, front: Front) -> None:
        super().__init__()
        self._front = front

    def render(self, request: Request) -> int:
        path, method = request.path.decode("ascii", "replace"), request.method.decode("ascii", "replace")
        url = self._front.farm.url or _farm_url(request)
        answering = ensureDeferred(self._front.answer(method, path, url))
        # A browser that disconnects must not be answered.
        gone: Deferred[Any] = request.notifyFinish()
        gone.addErrback(lambda _: answering.cancel())
        answering.addErrback(self._failed)
        answering.addCallback(_write, request)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> PageResponse | None:
        if failure.check(CancelledError):
            return None
        self._log.failure("a page failed", failure)
        return PageResponse(500, _TEXT, "the farm could not answer; its log has the details\n")


def header(request: Request, name: bytes) -> str | None:
    """Return the value of a header, the last one; bytes that are no ASCII are letters that no name or token has."""
    values = request.requestHeaders.getRawHeaders(name)
    return values[-1].decode("latin-1") if values else None


def _farm_url(request: Request) -> str:
    """Return the address under which the client reached the farm; the client sent the header, so it is checked."""
    host = header(request, b"x-forwarded-host") or header(request, b"host") or ""
    scheme = "https" if header(request, b"x-forwarded-proto") == "https" else "http"
    return f"{scheme}://{host if HOST.fullmatch(host) else 'HOST:8080'}"


def _write(answer: PageResponse | None, request: Request) -> None:
    if answer is None:
        return
    body = answer.body if isinstance(answer.body, bytes) else answer.body.encode()
    request.setResponseCode(answer.code)
    own = {"Content-Type": answer.kind, "Content-Length": str(len(body)), **answer.headers}
    for name, value in {**HEADERS, **own}.items():
        request.setHeader(name, value)
    if answer.code == 405:
        request.setHeader("Allow", "GET, HEAD")
    request.write(body)
    request.finish()


class FarmRequest(ServerRequest):
    """A request whose headers about its sender can be trusted.

    The router passes requests on under a path that only it knows, and sets the headers about their senders. Nobody else
    may set these headers: what comes by another way with them is taken to come from an unknown host.
    """

    def process(self) -> None:
        channel: Any = self.channel
        prefix = channel.site.forwarding
        if prefix and self.uri.startswith(prefix + b"/"):
            self.uri, self.path = self.uri[len(prefix) :], self.path[len(prefix) :]
        else:
            headers = self.requestHeaders
            named = [name for name, _ in headers.getAllRawHeaders() if name.lower().startswith(b"x-forwarded-")]
            for name in named:
                headers.removeHeader(name)
            if named:
                headers.setRawHeaders(b"x-forwarded-for", [UNKNOWN])
        super().process()


class _Channel(HTTPChannel):
    """A connection that takes bodies with a length only.

    Crossbar passes the header ``Transfer-Encoding: chunked`` on, and the body without its chunks: nobody could tell
    where it ends.
    """

    def headerReceived(self, line: bytes) -> bool:
        if line.partition(b":")[0].strip().lower() == b"transfer-encoding":
            transport: Any = self.transport
            transport.write(_LENGTH_REQUIRED)
            self.loseConnection()
            return False
        return bool(super().headerReceived(line))


class _Site(Site):
    """Site without a line in the log for each request: control's log is for transitions and failures."""

    protocol = _Channel  # type: ignore[assignment]
    noisy = False
    displayTracebacks = False  # noqa: N815 - Twisted's name

    #: The path under which the router passes requests on.
    forwarding = b""

    def log(self, request: Request) -> None:
        """Log nothing."""


def site(farm: FarmView, forwarding: str = "") -> Site:
    """Return the site to listen with; requests under ``forwarding`` come from the router."""
    made = _Site(_Root(Front(farm)), requestFactory=FarmRequest, timeout=int(IDLE_LIMIT))
    made.forwarding = forwarding.encode()
    return made
