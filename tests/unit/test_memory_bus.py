"""The in-memory router holds to what the real one does."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.contract import (
    AUTHENTICATOR,
    AUTHORIZER,
    Role,
    client_topic,
    control_procedure,
    device_prefix,
    device_procedure,
)
from icefarm.errors import InternalError, LinkLost, NameInUse, NoSuchProcedure, NotAuthorized, TimedOut, Unavailable
from icefarm.testing.memory.fake_control import allow_all
from icefarm.testing.memory.wamp import MemoryBus, MemoryLink, MemoryRouter
from icefarm.wamp.credentials import Credentials

RESERVE = control_procedure("reserve")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def router(clock: Clock) -> MemoryRouter:
    router = MemoryRouter(clock)
    defer.ensureDeferred(router.join("control", Role.CONTROL, "c").register(AUTHORIZER, allow_all))
    return router


@pytest.fixture
def control(router: MemoryRouter) -> MemoryBus:
    return router.join("control", Role.CONTROL)


@pytest.fixture
def client(router: MemoryRouter) -> MemoryBus:
    return router.join("exp", Role.CLIENT)


@ensureDeferred
async def test_a_call_reaches_its_callee_with_the_callers_name(control: MemoryBus, client: MemoryBus) -> None:
    async def reserve(caller: Any, uri: str, args: Any, kwargs: Any) -> Any:
        return [caller.authid, caller.role, uri, args, kwargs]

    await control.register(RESERVE, reserve)
    answer = await client.call(RESERVE, (1,), {"kind": "pulsecount"}, timeout=5)
    assert answer == ["exp", "client", RESERVE, [1], {"kind": "pulsecount"}]


@ensureDeferred
async def test_a_named_error_arrives_as_the_same_class_with_its_fields(control: MemoryBus, client: MemoryBus) -> None:
    async def reserve(*_: Any) -> Any:
        raise Unavailable("none free", free=0)

    await control.register(RESERVE, reserve)
    with pytest.raises(Unavailable, match="none free") as caught:
        await client.call(RESERVE, timeout=5)
    assert caught.value.fields == {"free": 0}


@ensureDeferred
async def test_a_fault_of_the_callee_arrives_without_its_details(control: MemoryBus, client: MemoryBus) -> None:
    async def reserve(*_: Any) -> Any:
        raise RuntimeError("secret")

    await control.register(RESERVE, reserve)
    with pytest.raises(InternalError) as caught:
        await client.call(RESERVE, timeout=5)
    assert "secret" not in str(caught.value)


@ensureDeferred
async def test_what_nobody_offers_is_no_such_procedure(client: MemoryBus) -> None:
    with pytest.raises(NoSuchProcedure):
        await client.call(device_procedure("A1", "evaluate"), timeout=5)


@ensureDeferred
async def test_roles_may_do_only_what_the_contract_says(client: MemoryBus, router: MemoryRouter) -> None:
    async def never(*_: Any) -> Any:
        raise AssertionError

    with pytest.raises(NotAuthorized):
        await client.register(device_prefix("A1"), never, prefix=True)
    with pytest.raises(NotAuthorized):
        await router.join("w1", Role.WORKER).register(RESERVE, never)
    with pytest.raises(NotAuthorized):
        await client.call(control_procedure("drain"), timeout=5)


def _pending(router: MemoryRouter, caller: MemoryBus, timeout: float | None = None) -> tuple[Deferred[Any], list[str]]:
    """Let a worker take a call that it never answers; the list gets a word when the handler is cancelled."""
    ended: list[str] = []
    worker = router.join("w1", Role.WORKER)

    async def evaluate(*_: Any) -> Any:
        try:
            await Deferred()
        finally:
            ended.append("cancelled")

    defer.ensureDeferred(worker.register(device_prefix("A1"), evaluate, prefix=True))
    return defer.ensureDeferred(caller.call(device_procedure("A1", "evaluate"), timeout=timeout)), ended


def test_a_call_that_takes_too_long_times_out_and_is_cancelled(
    router: MemoryRouter, client: MemoryBus, clock: Clock
) -> None:
    answer, ended = _pending(router, client, timeout=3)
    clock.advance(2.9)
    assert not ended
    clock.advance(0.2)
    failures: list[Any] = []
    answer.addErrback(failures.append)
    assert failures[0].check(TimedOut)
    assert ended == ["cancelled"]


def test_giving_up_a_call_cancels_it_at_its_callee(router: MemoryRouter, client: MemoryBus) -> None:
    answer, ended = _pending(router, client)
    answer.addErrback(lambda _: None)
    answer.cancel()
    assert ended == ["cancelled"]


@pytest.mark.parametrize("who", ["caller", "callee"])
def test_a_lost_session_fails_the_calls_it_has_part_in(who: str, router: MemoryRouter, client: MemoryBus) -> None:
    answer, ended = _pending(router, client)
    (client if who == "caller" else router.procedures[-1].owner).drop("cut")
    failures: list[Any] = []
    answer.addErrback(failures.append)
    assert failures[0].check(LinkLost)
    assert ended == ["cancelled"]


@ensureDeferred
async def test_an_event_for_one_client_reaches_no_other(
    router: MemoryRouter, control: MemoryBus, client: MemoryBus
) -> None:
    other, heard = router.join("other", Role.CLIENT), []
    for bus in (client, other):
        await bus.subscribe(client_topic("exp"), lambda _, __, kwargs, bus=bus: heard.append((bus, kwargs)))
    await control.publish(client_topic("exp"), (), {"event": "ended"}, only="exp")
    assert heard == [(client, {"event": "ended"})]


@ensureDeferred
async def test_control_hears_who_joins_and_leaves(router: MemoryRouter, control: MemoryBus) -> None:
    heard: list[Any] = []
    await control.subscribe("wamp.session.on_join", lambda _, args, __: heard.append(("join", args[0]["authid"])))
    await control.subscribe("wamp.session.on_leave", lambda _, args, __: heard.append(("leave", args[0])))
    bus = router.join("exp", Role.CLIENT)
    await control.call("wamp.session.kill", [bus.session], timeout=1)
    assert heard == [("join", "exp"), ("leave", bus.session)]


@ensureDeferred
async def test_a_link_signs_in_again_after_its_session_is_lost(
    router: MemoryRouter, control: MemoryBus, clock: Clock
) -> None:
    async def authenticate(_: Any, __: str, args: Any, ___: Any) -> Any:
        return {"role": args[2]["authextra"]["role"]}

    sessions: list[Any] = []

    async def joined(bus: Any) -> None:
        sessions.append(bus.session)

    await control.register(AUTHENTICATOR, authenticate)
    link = MemoryLink(router, Credentials("w1", Role.WORKER, "i1"), joined, lambda _: False)
    link.startService()
    assert link.bus is not None
    link.bus.drop("cut")
    assert len(sessions) == 1
    clock.advance(0.3)
    assert len(sessions) == 2
    link.stopService()
    assert not clock.getDelayedCalls()


@ensureDeferred
async def test_a_refused_link_asks_whether_to_go_on(router: MemoryRouter, control: MemoryBus, clock: Clock) -> None:
    async def authenticate(*_: Any) -> Any:
        raise NameInUse()

    refusals: list[Any] = []

    def refused(error: Any) -> bool:
        refusals.append(error)
        return len(refusals) < 2

    async def joined(_: Any) -> None:
        raise AssertionError

    await control.register(AUTHENTICATOR, authenticate)
    MemoryLink(router, Credentials("exp", Role.CLIENT, "i1"), joined, refused).startService()
    clock.advance(0.3)
    assert [error.name for error in refusals] == ["name_in_use"] * 2
    assert not clock.getDelayedCalls()
