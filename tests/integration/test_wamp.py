"""Calls, losses and endings over a real router are what the in-memory router says they are."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from attrs import evolve
from links import Links
from pytest_twisted import ensureDeferred
from twisted.internet import defer, reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import LogLevel, capturedLogs

from icefarm.bus import Bus
from icefarm.concurrency.deferreds import shielded
from icefarm.contract import Role, control_procedure, device_prefix, device_procedure
from icefarm.errors import (
    DeviceFailed,
    IcefarmError,
    InternalError,
    InvalidArgument,
    LinkLost,
    NoSuchProcedure,
    NotAuthorized,
    TimedOut,
    TransportError,
)
from icefarm.farm.router.config import MESSAGE_LIMIT
from icefarm.testing.processes.router import RealRouter
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

pytestmark = pytest.mark.integration

#: Seconds after which a test that waits for a real process gives up.
LIMIT = 20.0


class Worker:
    """A worker whose device A1 does what its methods say."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.called: Deferred[None] = Deferred()
        self.cancelled: Deferred[None] = Deferred()
        self.released: Deferred[None] = Deferred()

    async def serve(self, caller: Any, procedure: str, args: Any, kwargs: Any) -> Any:
        match procedure.rpartition(".")[2]:
            case "fails":
                raise DeviceFailed("it is silent", serial="A1")
            case "faulty":
                raise RuntimeError("secret")
            case "hangs":
                self.called.callback(None)
                try:
                    await Deferred()
                except CancelledError:
                    self.cancelled.callback(None)
                    raise
            case "stubborn":
                await shielded(self.released)
            case "fails_late":
                self.called.callback(None)
                await shielded(self.released)
                raise DeviceFailed("too late", serial="A1")
            case "tells":
                caller.progress({"place": 1})
        return {"args": list(args), **kwargs}


async def _offered(bus: Bus, procedure: str) -> bool:
    """Tell whether anybody offers a procedure; true as well where its callee leaves during the call."""
    try:
        await bus.call(procedure, timeout=LIMIT)
    except NoSuchProcedure:
        return False
    except LinkLost:
        return True
    return True


async def _worker(links: Links) -> Worker:
    await links.control()
    worker = Worker(await links.join(Role.WORKER, "w1"))
    await worker.bus.register(device_prefix("A1"), worker.serve, prefix=True)
    return worker


@ensureDeferred
async def test_a_named_error_crosses_the_router_with_its_fields(links: Links) -> None:
    await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(DeviceFailed, match="it is silent") as caught:
        await client.call(device_procedure("A1", "fails"), timeout=LIMIT)
    assert caught.value.fields == {"serial": "A1"}


@ensureDeferred
async def test_a_fault_of_the_callee_crosses_the_router_without_its_details(links: Links) -> None:
    await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(InternalError) as caught:
        await client.call(device_procedure("A1", "faulty"), timeout=LIMIT)
    assert "secret" not in str(caught.value)


@ensureDeferred
async def test_word_during_a_call_reaches_the_caller(links: Links) -> None:
    await _worker(links)
    client, words = await links.join(Role.CLIENT, "alice"), []
    await client.call(device_procedure("A1", "tells"), timeout=LIMIT, progress=words.append)
    assert words == [{"place": 1}]


@ensureDeferred
async def test_a_call_without_an_answer_times_out_and_is_cancelled_at_the_worker(links: Links) -> None:
    worker = await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(TimedOut):
        await client.call(device_procedure("A1", "hangs"), timeout=0.5)
    await worker.cancelled.addTimeout(LIMIT, reactor)


@ensureDeferred
async def test_an_answer_to_a_call_that_was_given_up_leaves_the_session_alone(links: Links) -> None:
    # The router answers a cancelled call, and answers it again when the stalled worker's session ends.
    worker = await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(TimedOut):
        await client.call(device_procedure("A1", "stubborn"), timeout=0.2)
    worker.bus.drop("the test breaks the worker's connection")
    lost: list[str] = []
    client.on_lost(lost.append)
    while not lost and await _offered(client, device_procedure("A1", "echo")):
        pass
    assert lost == []


@ensureDeferred
async def test_a_call_that_fails_after_its_session_has_ended_logs_no_fault(links: Links) -> None:
    worker = await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    call = defer.ensureDeferred(client.call(device_procedure("A1", "fails_late"), timeout=LIMIT))
    await worker.called
    worker.bus.drop("the test breaks the worker's connection")
    with pytest.raises(TransportError):
        await call
    with capturedLogs() as logged:
        worker.released.callback(None)
        gc.collect()  # An error that nobody handles is logged when its Deferred is collected.
    assert [event for event in logged if event["log_level"] >= LogLevel.warn] == []


@ensureDeferred
async def test_a_worker_that_vanishes_fails_the_call(links: Links) -> None:
    worker = await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    call = defer.ensureDeferred(client.call(device_procedure("A1", "hangs"), timeout=LIMIT))
    await worker.called
    links.links[1].stopService()
    with pytest.raises(TransportError):
        await call


@ensureDeferred
async def test_what_nobody_offers_is_no_such_procedure(links: Links) -> None:
    await links.control()
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(NoSuchProcedure):
        await client.call(device_procedure("B2", "evaluate"), timeout=LIMIT)


@ensureDeferred
async def test_a_message_over_the_routers_limit_is_refused_and_the_session_lives(links: Links) -> None:
    await _worker(links)
    client = await links.join(Role.CLIENT, "alice")
    with pytest.raises(InvalidArgument, match=f"the limit is {MESSAGE_LIMIT:,} bytes"):
        await client.call(device_procedure("A1", "evaluate"), (bytes(17 * 2**20),), timeout=LIMIT)
    with pytest.raises(InvalidArgument, match="cannot be put on the wire"):
        await client.call(device_procedure("A1", "evaluate"), (object(),), timeout=LIMIT)
    assert await client.call(device_procedure("A1", "evaluate"), (1,), timeout=LIMIT) == {"args": [1]}


@ensureDeferred
async def test_a_killed_session_is_lost_and_its_link_signs_in_again(links: Links, router: RealRouter) -> None:
    control = await links.control()
    buses: list[Bus] = []
    joined = [Deferred(), Deferred()]

    async def have(bus: Bus) -> None:
        buses.append(bus)
        joined[len(buses) - 1].callback(None)

    link = Link(reactor, router.url, Credentials("w2", Role.WORKER, "i"), have, lambda _: True)
    links.links.append(link)
    link.startService()
    await joined[0].addTimeout(LIMIT, reactor)
    lost: Deferred[str] = Deferred()
    buses[0].on_lost(lost.callback)
    await control.call("wamp.session.kill", [buses[0].session], timeout=LIMIT)
    await lost.addTimeout(LIMIT, reactor)
    with pytest.raises(LinkLost):
        await buses[0].call(control_procedure("worker.heartbeat"), timeout=LIMIT)
    await joined[1].addTimeout(LIMIT, reactor)
    assert buses[1].session != buses[0].session


async def _never(_: Bus) -> None:
    raise AssertionError


async def _is_greeted(url: str) -> bool:
    link = Link(reactor, url, Credentials("w3", Role.WORKER, "i"), _never, lambda _: False)
    return await link.is_greeted()


@ensureDeferred
async def test_a_link_tells_that_nobody_listens_and_goes_on_trying(links: Links) -> None:
    refusals: list[IcefarmError] = []
    twice: Deferred[None] = Deferred()

    def refused(error: IcefarmError) -> bool:
        refusals.append(error)
        if len(refusals) == 2:
            twice.callback(None)
        return True

    link = Link(reactor, "http://127.0.0.1:1", Credentials("w3", Role.WORKER, "i"), _never, refused)
    links.links.append(link)
    link.startService()
    await twice.addTimeout(LIMIT, reactor)
    assert all(isinstance(error, LinkLost) for error in refusals)
    assert "http://127.0.0.1:1" in str(refusals[0])


@ensureDeferred
async def test_a_link_finds_out_without_a_session_whether_a_router_greets(router: RealRouter) -> None:
    place = router.url.removeprefix("http://")
    for url in (router.url, f"ws://{place}/ws", router.control_url):
        assert await _is_greeted(url), url
    assert not await _is_greeted(f"ws://{place}/elsewhere")
    assert not await _is_greeted("http://127.0.0.1:1")


@ensureDeferred
async def test_a_router_that_greets_and_refuses_the_sign_in_is_of_no_use_until_it_accepts_one(links: Links) -> None:
    refusal: Deferred[IcefarmError] = Deferred()
    joined: Deferred[Bus] = Deferred()

    async def have(bus: Bus) -> None:
        joined.callback(bus)

    def refused(error: IcefarmError) -> bool:
        refusal.callback(error)
        return False

    link = Link(reactor, links.router.control_url, Credentials("control", Role.CONTROL, "i", "old"), have, refused)
    links.links.append(link)
    assert await link.is_of_use()
    link.startService()
    assert isinstance(await refusal.addTimeout(LIMIT, reactor), NotAuthorized)
    assert (await link.is_greeted(), await link.is_of_use()) == (True, False)
    await link.stopService()
    link.credentials = evolve(link.credentials, ticket=links.router.ticket)
    link.startService()
    await joined.addTimeout(LIMIT, reactor)
    assert await link.is_of_use()


@ensureDeferred
async def test_a_taken_registration_can_be_replaced_and_its_old_owner_does_not_mind(links: Links) -> None:
    worker = await _worker(links)
    other = await links.join(Role.WORKER, "w4")
    old = await worker.bus.register(device_prefix("C3"), worker.serve, prefix=True, replace=True)
    with pytest.raises(InvalidArgument):
        await other.register(device_prefix("C3"), worker.serve, prefix=True)
    await other.register(device_prefix("C3"), worker.serve, prefix=True, replace=True)
    await old.end()
