"""Following a farm in memory: a snapshot, then changes, and a snapshot anew after each lost connection."""

from __future__ import annotations

from typing import Any

import pytest
from recording_farm import device
from test_client_session import World, await_now
from twisted.internet.defer import Deferred, ensureDeferred

from icefarm.client.connection import watch as module
from icefarm.client.connection.events import Change
from icefarm.client.connection.watch import Watch
from icefarm.contract import Role, control_procedure, event_topic, to_wire
from icefarm.errors import Busy, NotAuthorized


class Watched:
    """A watch, and what was taken from it."""

    def __init__(self) -> None:
        self.world = World()
        await_now(self.world.client.start())
        self.offer_snapshot()
        self.watch: Watch = self.world.client.watch()
        self.world.settle()

    def offer_snapshot(self) -> None:
        self.control = self.world.router.join("control", Role.CONTROL)
        answer = {"workers": [], "devices": [to_wire(device("A"))], "reservations": [], "queue": [], "time": 5.0}

        async def snapshot(*_: Any) -> Any:
            return {**answer, "farm": {}}

        await_now(self.control.register(control_procedure("snapshot"), snapshot))

    def take(self, limit: float | None = None) -> list[Any]:
        taken: list[Any] = []
        self.watch.take(limit).addBoth(taken.append)
        return taken

    def taken(self) -> list[Change]:
        (batch,) = self.take()
        return batch  # type: ignore[no-any-return]

    def publish(self, name: str, /, **fields: Any) -> None:
        ensureDeferred(self.control.publish(event_topic(name), (), fields))
        self.world.settle()


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_snapshot_comes_first(watched: Watched) -> None:
    (change,) = watched.taken()
    assert change.event == "snapshot"
    assert [device.serial for device in change.of.devices] == ["A"]  # type: ignore[union-attr]


def test_changes_follow_in_order(watched: Watched) -> None:
    watched.taken()
    watched.publish("device", serial="A")
    watched.publish("worker", name="w")
    assert watched.taken() == [Change("device", {"serial": "A"}), Change("worker", {"name": "w"})]


def test_a_taker_waits_for_a_change(watched: Watched) -> None:
    watched.taken()
    taken = watched.take()
    assert taken == []
    watched.publish("device", serial="A")
    assert taken == [[Change("device", {"serial": "A"})]]


def test_a_taker_may_wait_a_limited_time(watched: Watched) -> None:
    watched.taken()
    taken = watched.take(1.0)
    watched.world.settle(1.5)
    assert taken == [[]]


def test_a_lost_connection_is_told_and_followed_by_a_new_snapshot(watched: Watched) -> None:
    watched.taken()
    watched.world.router.stop()
    watched.world.settle()
    assert [change.event for change in watched.taken()] == ["stale"]
    watched.world.router.start()
    await_now(watched.world.farm.start())
    watched.offer_snapshot()
    watched.world.settle(10)
    assert watched.taken()[-1].event == "snapshot"
    watched.publish("device", serial="A")
    assert watched.taken() == [Change("device", {"serial": "A"})]


def test_changes_beyond_what_fits_are_replaced_by_a_snapshot(watched: Watched) -> None:
    watched.taken()
    watched.watch._pending += [Change("device", {})] * module.MOST_PENDING
    watched.publish("device", serial="A")
    watched.world.settle(1)
    assert [change.event for change in watched.taken()] == ["snapshot"]
    watched.publish("device", serial="B")
    assert watched.taken() == [Change("device", {"serial": "B"})]


def test_changes_while_a_snapshot_is_made_come_after_it() -> None:
    watched = Watched()
    watched.taken()
    slow: Deferred[Any] = Deferred()

    async def snapshot() -> Any:
        return await slow

    watch = Watch(watched.world.clock, watched.world.client._link, snapshot)
    watch.start()
    watched.world.settle()
    watched.publish("device", serial="A")
    taken: list[Any] = []
    watch.take().addBoth(taken.append)
    assert taken == []
    slow.callback("everything")
    assert taken == [[Change("snapshot", "everything"), Change("device", {"serial": "A"})]]


def test_a_farm_that_cannot_answer_is_asked_again() -> None:
    watched = Watched()
    answers: list[Any] = [Busy("no database"), "everything"]

    async def snapshot() -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    watch = Watch(watched.world.clock, watched.world.client._link, snapshot)
    watch.start()
    watched.world.settle(2)
    taken: list[Any] = []
    watch.take().addBoth(taken.append)
    assert taken == [[Change("stale", "no database"), Change("snapshot", "everything")]]


def test_a_refusal_ends_it() -> None:
    watched = Watched()

    async def snapshot() -> Any:
        raise NotAuthorized("the token was revoked")

    watch = Watch(watched.world.clock, watched.world.client._link, snapshot)
    watch.start()
    watched.world.settle()
    failures: list[Any] = []
    watch.take().addErrback(failures.append)
    assert failures[0].check(NotAuthorized)


def test_a_watch_that_was_stopped_leaves_nothing_behind(watched: Watched) -> None:
    watched.watch.stop()
    await_now(watched.world.client.stop())
    watched.world.settle(5)
    assert not watched.world.clock.getDelayedCalls()
