"""Puts the HTTP API before the other pages of control."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from attrs import define
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.interfaces import IPushProducer
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from icefarm.control.http.api import ApiRequest, HttpApi
from icefarm.control.http.auth import Asker
from icefarm.control.http.errors import ApiAnswer, refused
from icefarm.control.http.site import HEADERS, HOST, header
from icefarm.errors import Busy, InternalError

__all__ = ["ApiResource"]

_log = Logger()


class ApiResource(Resource):
    """Answers the paths of the API, and passes all others to ``rest``."""

    isLeaf = True  # noqa: N815 - Twisted's name
    _log = Logger()

    def __init__(self, api: HttpApi, rest: Resource) -> None:
        super().__init__()
        self._api = api
        self._rest = rest

    def render(self, request: Request) -> Any:
        """Begin to answer."""
        if not _addressed_well(request):
            answer = ApiAnswer(400, {"error": "bad_host", "message": "the header Host is not a host and port"})
            _write(answer, request, Deferred())
            return NOT_DONE_YET
        asked = _asked(request)
        if not self._api.knows(asked.path):
            return self._rest.render(request)
        answering = ensureDeferred(self._api.answer(asked))
        # A caller that disconnects must not be answered, and gets no boards.
        gone: Deferred[Any] = request.notifyFinish()
        gone.addErrback(lambda _: answering.cancel())
        answering.addErrback(self._failed)
        answering.addCallback(_write, request, gone)
        return NOT_DONE_YET

    def _failed(self, failure: Failure) -> ApiAnswer:
        if failure.check(CancelledError):
            return refused(Busy("control lost the router, or is shutting down; ask again"))
        self._log.failure("a request over HTTP failed", failure)
        return refused(InternalError())


def _addressed_well(request: Request) -> bool:
    """Tell whether the headers that say how the farm was addressed name a host, if they are there."""
    headers = request.requestHeaders
    given = [*headers.getRawHeaders(b"host", []), *headers.getRawHeaders(b"x-forwarded-host", [])]
    return all(HOST.fullmatch(value.decode("latin-1")) for value in given)


def _asked(request: Request) -> ApiRequest:
    """Return the request; the router sets the headers about its sender."""
    path = request.path.decode("ascii", "replace")
    query = {
        name.decode(errors="replace"): values[-1].decode(errors="replace") for name, values in request.args.items()
    }
    scheme, _, token = (header(request, b"authorization") or "").partition(" ")
    asker = Asker(
        header(request, b"x-forwarded-for") or request.getClientAddress().host,
        header(request, b"x-forwarded-host") or header(request, b"host") or "",
        header(request, b"origin"),
        token.strip() if scheme.lower() == "bearer" else None,
    )
    body = b"" if request.content is None else request.content.read()
    media_type = header(request, b"content-type") or ""
    return ApiRequest(request.method.decode("ascii", "replace"), path, asker, query, media_type, body)


def _write(answer: ApiAnswer, request: Request, gone: Deferred[Any]) -> None:
    if gone.called:
        return
    if answer.chunks is not None:
        _send_file(answer, answer.chunks, request, gone)
        return
    body = (json.dumps(answer.value) + "\n").encode()
    own = {"Content-Type": "application/json", "Content-Length": str(len(body)), **answer.headers}
    request.setResponseCode(answer.code)
    for name, value in {**HEADERS, **own}.items():
        request.setHeader(name, value)
    request.write(body)
    request.finish()


@implementer(IPushProducer)
@define(eq=False)
class _Sending:
    """Writes a file as fast as its reader takes it, and no faster."""

    _request: Request
    _chunks: AsyncIterator[bytes]
    _gone: Deferred[Any]
    #: While the reader is behind: fires when it has caught up.
    _behind: Deferred[None] | None = None

    async def run(self) -> None:
        """Write all of it."""
        self._request.registerProducer(self, True)
        try:
            async for chunk in self._chunks:
                if self._gone.called:
                    return
                if chunk:
                    self._request.write(chunk)
                if self._behind is not None:
                    await self._behind
        finally:
            if not self._gone.called:
                self._request.unregisterProducer()

    def pauseProducing(self) -> None:
        if self._behind is None:
            self._behind = Deferred()

    def resumeProducing(self) -> None:
        behind, self._behind = self._behind, None
        if behind is not None:
            behind.callback(None)

    def stopProducing(self) -> None:
        """The reader is gone."""
        self.resumeProducing()


def _send_file(answer: ApiAnswer, chunks: AsyncIterator[bytes], request: Request, gone: Deferred[Any]) -> None:
    request.setResponseCode(answer.code)
    for name, value in {**HEADERS, **answer.headers}.items():
        request.setHeader(name, value)
    if request.method == b"HEAD":
        request.finish()
        return

    def ended(result: Any) -> None:
        if gone.called:
            return
        if isinstance(result, Failure):
            _log.failure("a download ended before its end", result)
            # Without the last chunk, its reader sees that it is not whole.
            request.loseConnection()
        else:
            request.finish()

    ensureDeferred(_Sending(request, chunks, gone).run()).addBoth(ended)
