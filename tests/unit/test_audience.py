"""Events that nobody has subscribed to are not sent."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from icefarm.bus import Bus
from icefarm.contract import EVENT_PREFIX, Role, client_topic, event_topic
from icefarm.control.telemetry.topics import Audience
from icefarm.errors import NoSuchProcedure
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.wamp import MemoryBus, MemoryRouter


def nothing(*_: object) -> None:
    """Hear an event."""


@pytest.fixture
def router() -> MemoryRouter:
    return MemoryControl().router


async def followed(router: MemoryRouter) -> tuple[Audience, MemoryBus]:
    audience, control = Audience(), router.join("control", Role.CONTROL)
    await audience.attach(control)
    return audience, router.join("ada", Role.CLIENT)


@ensureDeferred
async def test_a_topic_has_listeners_from_its_first_subscription_to_the_end_of_its_last(router: MemoryRouter) -> None:
    audience, ada = await followed(router)
    bob, topic = router.join("bob", Role.CLIENT), event_topic("device")
    assert not audience.listens(topic)
    first, second = await ada.subscribe(topic, nothing), await bob.subscribe(topic, nothing)
    assert audience.listens(topic)
    await first.end()
    assert audience.listens(topic)
    await second.end()
    assert not audience.listens(topic)


@ensureDeferred
async def test_a_prefix_is_a_subscription_to_all_topics_under_it(router: MemoryRouter) -> None:
    audience, ada = await followed(router)
    subscription = await ada.subscribe(EVENT_PREFIX, nothing, prefix=True)
    assert audience.listens(event_topic("device"))
    assert not audience.listens(client_topic("ada"))
    await subscription.end()
    assert not audience.listens(event_topic("device"))


@ensureDeferred
async def test_subscriptions_from_before_are_known_and_end_with_their_session(router: MemoryRouter) -> None:
    ada = router.join("ada", Role.CLIENT)
    await ada.subscribe(client_topic("ada"), nothing)
    audience, _ = await followed(router)
    assert audience.listens(client_topic("ada"))
    ada.drop("gone")
    assert not audience.listens(client_topic("ada"))


class _SilentRouter:
    """A session at a router that says nothing of subscriptions."""

    async def subscribe(self, *_: Any, **__: Any) -> None:
        raise NoSuchProcedure("unheard of")


@ensureDeferred
async def test_where_the_router_does_not_say_somebody_listens_to_everything() -> None:
    audience = Audience()
    bus: Bus = _SilentRouter()  # type: ignore[assignment]
    await audience.attach(bus)
    assert audience.listens(event_topic("device"))


@ensureDeferred
async def test_control_sends_no_event_that_nobody_hears(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[str] = []
    publish = MemoryBus.publish

    async def counted(self: MemoryBus, topic: str, *args: Any, **kwargs: Any) -> None:
        sent.append(topic)
        await publish(self, topic, *args, **kwargs)

    monkeypatch.setattr(MemoryBus, "publish", counted)
    farm = MemoryControl()
    await farm.worker("w1", "A")
    assert sent == []
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert event_topic("reservation") in sent
    assert client.words() == [("initialised", "A")]
