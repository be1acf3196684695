"""The HTTP API in front of the other pages: what is passed on, and what becomes of requests that are cut short."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.test.requesthelper import DummyRequest

from icefarm.control.http.resource import ApiResource
from icefarm.control.wiring.server import http_api
from icefarm.testing.memory.control_harness import MemoryControl


class Request(DummyRequest):
    """A request as the router passes it on."""

    def __init__(self, method: bytes, path: bytes, body: Any = None, **headers: str) -> None:
        super().__init__([])
        self.method, self.path, self.uri = method, path, path
        self.args: dict[bytes, list[bytes]] = {}
        self.content = BytesIO(b"" if body is None else json.dumps(body).encode())
        told = {
            "x-forwarded-for": "127.0.0.1",
            "x-forwarded-host": "localhost:8080",
            "content-type": "application/json",
        }
        for name, value in {**told, **headers}.items():
            self.requestHeaders.setRawHeaders(name.replace("_", "-"), [value])

    def answer(self) -> tuple[int | None, Any]:
        """Return status and value."""
        return self.responseCode, json.loads(b"".join(self.written))


class Rest(Resource):
    """The other pages."""

    def render(self, request: Any) -> bytes:
        return b"page of " + request.path


def resource(farm: MemoryControl) -> ApiResource:
    return ApiResource(http_api(farm.control), Rest())


ADA = {"name": "ada", "amount": 1, "kind": "pulsecount"}


@ensureDeferred
async def test_a_request_is_read_carried_out_and_answered_with_safe_headers() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    request = Request(b"POST", b"/api/reserve", ADA)
    resource(farm).render(request)
    code, (record,) = request.answer()
    assert (code, record["serial"]) == (200, "A")
    headers = dict(request.responseHeaders.getAllRawHeaders())
    assert headers[b"Content-Type"] == [b"application/json"]
    assert headers[b"X-Content-Type-Options"] == [b"nosniff"]
    assert headers[b"Content-Length"] == [str(len(b"".join(request.written))).encode()]


def test_other_pages_are_asked_themselves() -> None:
    assert resource(MemoryControl()).render(Request(b"GET", b"/health")) == b"page of /health"


def test_what_the_router_says_of_the_asker_counts() -> None:
    farm = MemoryControl()
    for headers in (
        {"x_forwarded_for": "192.0.2.7"},
        {"x_forwarded_host": "evil.example"},
        {"authorization": "Bearer x"},
    ):
        request = Request(b"GET", b"/api/available", **headers)
        resource(farm).render(request)
        assert request.answer()[0] in (401, 403)


@pytest.mark.parametrize("value", [b"\xe4", b"http://\xff", b"http://[::1", b"http://[zz]", b"//[:::]"])
@pytest.mark.parametrize("name", ["origin", "authorization", "content-type", "host"])
def test_headers_that_nobody_can_read_are_refused_and_fail_nothing(name: str, value: bytes) -> None:
    farm = MemoryControl()
    request = Request(b"POST", b"/api/endall", {"name": "ada"})
    sent = b"Bearer " + value if name == "authorization" else value
    request.requestHeaders.setRawHeaders(name.encode(), [sent])
    resource(farm).render(request)
    assert request.answer()[0] in (400, 401, 403, 415)


def test_a_host_in_brackets_that_is_no_address_is_not_this_host() -> None:
    request = Request(b"GET", b"/api/available", x_forwarded_host="[:::]:80")
    resource(MemoryControl()).render(request)
    assert request.answer()[0] in (400, 403)


@ensureDeferred
async def test_whoever_goes_away_is_not_answered_and_gets_no_boards() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    worker.stuck["A"] = Deferred()
    request = Request(b"POST", b"/api/reserve", ADA)
    resource(farm).render(request)
    assert len(await farm.store.active()) == 1
    request.processingFailed(Failure(ConnectionLost()))
    farm.pass_time(1)
    assert request.written == []
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_request_under_way_when_control_ends_is_answered() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    worker.stuck["A"] = Deferred()
    request = Request(b"POST", b"/api/reserve", ADA)
    resource(farm).render(request)
    farm.stop_control()
    code, value = request.answer()
    assert (code, value["error"]) == (503, "busy")
