"""What the generated configuration makes a real Crossbar.io node do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from attrs import evolve
from autobahn.wamp.exception import ApplicationError
from autobahn.wamp.types import CallOptions, PublishOptions
from links import Links
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.web.client import Agent, readBody
from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from icefarm.bus import Caller
from icefarm.contract import (
    Role,
    control_procedure,
    control_worker_procedure,
    device_prefix,
    device_procedure,
    event_topic,
    forwarding_path,
)
from icefarm.errors import NameInUse, NotAuthorized, error_uri
from icefarm.testing.processes.router import RealRouter

pytestmark = pytest.mark.integration


async def answer(caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return {"authid": caller.authid, "role": caller.role, "procedure": procedure, "args": list(args), **kwargs}


@ensureDeferred
async def test_a_client_calls_a_device_that_a_worker_registered_by_prefix(links: Links) -> None:
    await links.control()
    worker = await links.join(Role.WORKER, "w1")
    await worker.register(device_prefix("A1"), answer, prefix=True)
    client = await links.join(Role.CLIENT, "alice")
    result = await client.call(device_procedure("A1", "evaluate"), (1,), {"x": b"\0\1"}, timeout=10)
    assert result == {
        "authid": "alice",
        "role": "client",
        "procedure": "icefarm.v1.device.A1.evaluate",
        "args": [1],
        "x": b"\0\1",
    }


@ensureDeferred
async def test_a_worker_may_not_register_a_procedure_of_control(links: Links) -> None:
    await links.control()
    worker = await links.join(Role.WORKER, "w1")
    for name in ("reserve", "worker.hello", "authenticate"):
        with pytest.raises(NotAuthorized):
            await worker.register(control_procedure(name), answer, replace=True)


@ensureDeferred
async def test_a_worker_may_not_register_a_prefix_that_covers_control(links: Links) -> None:
    await links.control()
    worker = await links.join(Role.WORKER, "w1")
    for prefix in ("icefarm.v1.", "icefarm.", "icefarm.v1.control."):
        with pytest.raises(NotAuthorized):
            await worker.register(prefix, answer, prefix=True)


@ensureDeferred
async def test_a_client_may_not_register_a_procedure_of_a_device(links: Links) -> None:
    await links.control()
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(NotAuthorized):
        await client.register(device_prefix("A1"), answer, prefix=True)


@ensureDeferred
async def test_a_client_may_not_call_what_operators_and_workers_may(links: Links) -> None:
    control = await links.control()
    for procedure in (control_procedure("delete"), control_worker_procedure("hello")):
        await control.register(procedure, answer, replace=True)
    client = await links.join(Role.CLIENT, "alice")
    for procedure in (control_procedure("delete"), control_worker_procedure("hello"), "wamp.session.list"):
        with pytest.raises(NotAuthorized):
            await client.call(procedure, timeout=10)


@ensureDeferred
async def test_an_operator_may_call_what_operators_may(links: Links) -> None:
    control = await links.control()
    await control.register(control_procedure("delete"), answer, replace=True)
    operator = await links.join(Role.OPERATOR, "root")
    assert (await operator.call(control_procedure("delete"), timeout=10))["role"] == "operator"


@ensureDeferred
async def test_only_control_may_publish_events(links: Links) -> None:
    control = await links.control()
    client = await links.join(Role.CLIENT, "alice")
    heard: Deferred[Mapping[str, Any]] = Deferred()
    await client.subscribe(event_topic("device"), lambda _topic, _args, kwargs: heard.callback(kwargs))
    told = PublishOptions(acknowledge=True)
    with pytest.raises(ApplicationError, match="not_authorized"):
        await client._wamp.publish(event_topic("device"), serial="forged", options=told)
    await control.publish(event_topic("device"), (), {"serial": "A1"})
    assert (await heard.addTimeout(10, reactor)) == {"serial": "A1"}


@ensureDeferred
async def test_what_a_session_says_of_itself_reaches_the_authenticator(links: Links) -> None:
    await links.control()
    await links.join(Role.CLIENT, "alice")
    realm, authid, details = links.sign_ins[-1]
    assert (realm, authid, details["ticket"]) == ("icefarm", "alice", "")
    assert details["authextra"] == {"role": "client", "instance": "instance of alice"}
    assert details["transport"]["peer"].startswith("tcp4:127.0.0.1:")


@ensureDeferred
async def test_the_reason_of_a_refused_sign_in_reaches_who_asked(links: Links) -> None:
    await links.control()
    with pytest.raises(NameInUse, match="somebody is called so"):
        await links.join(Role.CLIENT, "taken")


@ensureDeferred
async def test_sign_in_works_over_websocket_and_unix_socket_as_well(links: Links, router: RealRouter) -> None:
    await links.control()
    for number, url in enumerate((router.websocket_url, router.local_url)):
        bus = await links.join(Role.CLIENT, f"client {number}", url)
        assert bus.authid == f"client {number}"


@ensureDeferred
async def test_control_is_let_in_only_with_its_ticket(links: Links, router: RealRouter) -> None:
    links.router = evolve(router, ticket="a guess")
    with pytest.raises(NotAuthorized):
        await links.join(Role.CONTROL, "control")


class Page(Resource):
    isLeaf = True  # noqa: N815 (Twisted's name)

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("content-security-policy", "default-src 'self'")
        return request.uri + b" by " + (request.getHeader("x-forwarded-proto") or b"?").encode()


@ensureDeferred
async def test_http_is_passed_on_to_control(router: RealRouter) -> None:
    port = reactor.listenTCP(router.http_port, Site(Page()), interface="127.0.0.1")
    try:
        response = await Agent(reactor).request(b"GET", router.url.encode() + b"/health?x=1")
        assert response.code == 200
        assert response.headers.getRawHeaders("content-security-policy") == ["default-src 'self'"]
        path = forwarding_path(router.ticket) + "/health?x=1"
        assert await readBody(response) == f"{path} by http".encode()
    finally:
        await port.stopListening()


#: Somebody else, as a link between routers would say for whom it calls or publishes.
FORGED = [{"session": 7, "authid": "mallory", "authrole": "control"}]


@ensureDeferred
async def test_a_call_whose_caller_names_somebody_else_is_refused_by_its_callee(links: Links) -> None:
    await links.control()
    worker: Any = await links.join(Role.WORKER, "w1")
    await worker.register(device_prefix("A1"), answer, prefix=True)
    client: Any = await links.join(Role.CLIENT, "alice")
    with pytest.raises(ApplicationError, match="forward_for") as caught:
        await client._wamp.call(device_procedure("A1", "evaluate"), options=CallOptions(forward_for=FORGED))
    assert caught.value.error == error_uri(NotAuthorized)
    honest = await client.call(device_procedure("A1", "evaluate"), timeout=10)
    assert honest["authid"] == "alice"


@ensureDeferred
async def test_an_event_whose_publisher_names_somebody_else_is_passed_over(links: Links) -> None:
    control: Any = await links.control()
    client = await links.join(Role.CLIENT, "alice")
    heard: list[dict[str, Any]] = []
    first: Deferred[None] = Deferred()

    def hear(_: str, __: Sequence[Any], fields: Mapping[str, Any]) -> None:
        heard.append(dict(fields))
        if fields.get("n") == 2:
            first.callback(None)

    await client.subscribe(event_topic("device"), hear)
    forged = PublishOptions(acknowledge=True, forward_for=FORGED)
    await control._wamp.publish(event_topic("device"), n=1, options=forged)
    await control.publish(event_topic("device"), (), {"n": 2})
    await first
    assert heard == [{"n": 2}]
