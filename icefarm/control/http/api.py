"""The HTTP API: control's procedures for curl and other languages.

Requests that change something are POST only; a GET never changes anything.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from attrs import Factory, define, field, frozen
from twisted.internet.threads import deferToThread

from icefarm.bus import Caller
from icefarm.contract import to_wire
from icefarm.control.http.auth import Asker, HttpIdentity
from icefarm.control.http.downloads import Download, download
from icefarm.control.http.endpoints.archive import ResultsQuery, RunFileQuery
from icefarm.control.http.endpoints.boards import Waiting
from icefarm.control.http.endpoints.endpoint import MAX_BODY, Endpoint, read
from icefarm.control.http.errors import ApiAnswer, Refusal, refused
from icefarm.control.http.openapi import description
from icefarm.control.http.routes import BASE, DESCRIPTION, ENDPOINTS, SIGN_IN, find_endpoint
from icefarm.control.http.waiting import Perform, WaitingRequests
from icefarm.control.sessions.sign_in.authenticator import SignInPolicy
from icefarm.errors import IcefarmError
from icefarm.runs.canonical import digest
from icefarm.runs.exporting import exported, file_name, manifest_of
from icefarm.runs.package import MEDIA_TYPE
from icefarm.text.echo import without_echo
from icefarm.text.outside_json import NotJson, parse_json

__all__ = ["ApiRequest", "HttpApi"]


@frozen
class ApiRequest:
    """A request as received."""

    method: str
    path: str
    asker: Asker
    query: Mapping[str, str] = Factory(dict)
    media_type: str = ""
    body: bytes = b""


@define(eq=False)
class HttpApi:
    """Answers the paths of the API."""

    identity: HttpIdentity
    perform: Perform
    requests: WaitingRequests
    #: The farm's URL from outside, if a proxy is in front of it.
    public_url: str | None = None
    _description: dict[str, Any] | None = field(init=False, default=None)

    def knows(self, path: str) -> bool:
        """Tell whether a path is the API's: all under ``/api``, and those of icefarm 0.1.x."""
        old = ENDPOINTS.get(path)
        return path == BASE or path.startswith(f"{BASE}/") or (old is not None and old.old)

    def _described(self) -> dict[str, Any]:
        if self._description is None:
            self._description = description(self.public_url)
        return self._description

    async def answer(self, request: ApiRequest) -> ApiAnswer:
        """Answer a request.  Errors are answers too."""
        try:
            if request.path == BASE + DESCRIPTION:
                _check_method(request, "GET")
                return ApiAnswer(200, self._described())
            if request.path == BASE + SIGN_IN:
                _check_method(request, "GET")
                return ApiAnswer(200, _sign_in(self.identity))
            found = find_endpoint(request.path.removeprefix(BASE))
            if found is None:
                raise Refusal(
                    404, "not_found", f"there is no {request.path:.100}; {BASE + DESCRIPTION} says what there is"
                )
            endpoint, chosen = found
            _check_method(request, endpoint.method)
            answer = await self._serve(endpoint, request, chosen)
            if isinstance(answer, Download):
                return ApiAnswer(200, None, answer.headers, answer.chunks)
            return ApiAnswer(202, to_wire(answer)) if isinstance(answer, Waiting) else ApiAnswer(200, answer)
        except Refusal as refusal:
            return refusal.answer
        except IcefarmError as error:
            return refused(without_echo(error, (request.path, dict(request.query), _texts_of(request.body))))

    async def _serve(self, endpoint: Endpoint, request: ApiRequest, chosen: Mapping[str, str]) -> Any:
        asked = read(_content(endpoint, request, chosen), endpoint.body)
        name = getattr(asked, "name", None)
        caller = await self.identity.caller(request.asker, name, reading=endpoint.reading, operating=endpoint.operating)
        if isinstance(asked, ResultsQuery):
            return await self._download(caller, endpoint, asked)
        if isinstance(asked, RunFileQuery):
            return await self._run_file(caller, endpoint, asked)
        return endpoint.answer(await self._carry_out(caller, endpoint.procedure, asked.arguments()))

    async def _download(self, caller: Caller, endpoint: Endpoint, asked: ResultsQuery) -> Download:
        arguments = asked.arguments()

        async def ask(after: str | None, form: str) -> Mapping[str, Any]:
            chosen = {**arguments, "format": form, **({} if after is None else {"after": after})}
            answer: Mapping[str, Any] = await self.perform(caller, endpoint.procedure, chosen)
            return answer

        return await download(asked.format, ask, _in_thread)

    async def _run_file(self, caller: Caller, endpoint: Endpoint, asked: RunFileQuery) -> Download:
        arguments = asked.arguments()

        async def ask(after: str | None) -> Mapping[str, Any]:
            page: Mapping[str, Any] = await self.perform(caller, endpoint.procedure, {**arguments, "after": after})
            return page

        manifest = manifest_of(await self.perform(caller, "run", arguments))
        name = file_name(digest(manifest))
        # The first page is asked for at once, so that an error comes before the file.
        return Download(MEDIA_TYPE, exported(manifest, await ask(None), ask), name)

    async def _carry_out(self, caller: Caller, procedure: str, arguments: dict[str, Any]) -> Any:
        match procedure:
            case "request_open":
                return await self.requests.open(caller, arguments)
            case "request_poll":
                return await self.requests.poll(caller, **arguments)
            case "request_cancel":
                return await self.requests.cancel(caller, **arguments)
            case "reserve" if arguments.get("wait"):
                return await self.requests.block(caller, arguments, arguments["timeout"])
        return await self.perform(caller, procedure, arguments)


def _in_thread(function: Callable[..., bytes], *args: Any) -> Awaitable[bytes]:
    return deferToThread(function, *args)


def _sign_in(identity: HttpIdentity) -> dict[str, Any]:
    """Return how to sign in at this farm: nothing that is secret, so everybody may ask."""
    tokens, issued = identity.policy is SignInPolicy.TOKENS, identity.credentials.issued
    if issued is None:
        return {"tokens": tokens, "oidc": None}
    settings, found = issued.settings, issued.issuer
    offer = {
        "issuer": settings.issuer,
        "client": settings.client,
        "scope": settings.scope,
        "authorization_endpoint": None if found is None else found.authorization,
        "token_endpoint": None if found is None else found.token,
    }
    return {"tokens": tokens, "oidc": offer}


def _texts_of(body: bytes) -> Any:
    """Return what a body holds, for the error about it; its text where it is no JSON."""
    text = body[: 2 * MAX_BODY].decode(errors="replace")
    try:
        return parse_json(text)
    except NotJson:
        return text


def _check_method(request: ApiRequest, method: str) -> None:
    allowed = ("GET", "HEAD") if method == "GET" else (method,)
    if request.method not in allowed:
        words = f"{request.path} answers to {' and '.join(allowed)} only"
        raise Refusal(405, "method_not_allowed", words, {"Allow": ", ".join(allowed)})


def _content(endpoint: Endpoint, request: ApiRequest, chosen: Mapping[str, str]) -> bytes | Mapping[str, str]:
    if endpoint.reading:
        return {**request.query, **chosen}
    if len(request.body) > MAX_BODY:
        raise Refusal(413, "too_large", f"the body has {len(request.body)} bytes; at most {MAX_BODY}")
    # Any web page can send other types without a preflight (Fetch standard, "CORS-safelisted request-header").
    if request.media_type.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(415, "unsupported_media_type", "send JSON, with the header: Content-Type: application/json")
    return request.body
