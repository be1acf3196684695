"""The waiting line: first come, first served, all or nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from icefarm.contract import control_procedure
from icefarm.errors import LinkLost, TimedOut, Unavailable
from icefarm.testing.control import LIMIT, MemoryClient, MemoryControl


def wait(client: MemoryClient, words: list[Any] | None = None, /, **request: Any) -> Deferred[Any]:
    """Begin to wait for boards; what is told meanwhile goes to ``words``."""
    progress = None if words is None else words.append
    kwargs = {"kind": "pulsecount", "wait": True, **request}
    call = client.bus.call(control_procedure("reserve"), (), kwargs, timeout=LIMIT, progress=progress)
    waiting = Deferred.fromCoroutine(call)
    # What a test leaves waiting is nobody's fault.
    return waiting


@ensureDeferred
async def test_a_waiting_request_is_served_when_a_board_is_free() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    words: list[Any] = []
    waiting = wait(bob, words, amount=1)
    assert not waiting.called
    assert words[0]["place"] == 1
    assert "reserved" in words[0]["reason"]
    await ada.call("end")
    assert [record["serial"] for record in await waiting] == ["A"]


@ensureDeferred
async def test_a_worker_that_arrives_serves_those_who_wait() -> None:
    farm = MemoryControl()
    bob = await farm.client("bob")
    waiting = wait(bob, amount=2)
    await farm.worker("w1", "A", "B")
    assert len(await waiting) == 2


@ensureDeferred
async def test_a_small_request_does_not_overtake_a_large_one() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await ada.call("reserve", serials=["A"], kind="pulsecount")
    large, small = wait(bob, amount=2), wait(eve, amount=1)
    with pytest.raises(Unavailable):
        await ada.call("reserve", 1, kind="pulsecount")
    assert not small.called
    await ada.call("end")
    assert len(await large) == 2
    await bob.call("end", ["B"])
    assert len(await small) == 1


@ensureDeferred
async def test_a_request_for_other_boards_is_not_held_up() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await ada.call("reserve", serials=["A"], kind="pulsecount")
    waiting = wait(bob, serials=["A"])
    assert [record["serial"] for record in await eve.call("reserve", 1, kind="pulsecount")] == ["B"]
    assert not waiting.called
    await ada.call("end")
    await waiting


@ensureDeferred
async def test_places_move_up_and_are_told() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await ada.call("reserve", 1, kind="pulsecount")
    words: list[Any] = []
    first, second = wait(bob, amount=1), wait(eve, words, amount=1)
    assert words[-1]["place"] == 2
    queue = (await ada.call("snapshot"))["queue"]
    assert [(record["client"], record["place"]) for record in queue] == [("bob", 1), ("eve", 2)]
    first.cancel()
    with pytest.raises(CancelledError):
        await first
    assert words[-1]["place"] == 1
    await ada.call("end")
    await second
    assert (await ada.call("snapshot"))["queue"] == []


@ensureDeferred
async def test_those_who_watch_hear_of_the_line() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = wait(bob, amount=1)
    await ada.call("end")
    await waiting
    places = [fields["place"] for topic, fields in ada.events if topic == "queue"]
    assert places == [1, 0]


@ensureDeferred
async def test_a_waiting_client_that_vanishes_leaves_no_trace() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = wait(bob, amount=1)
    bob.bus.drop("gone")
    with pytest.raises(LinkLost):
        await waiting
    assert (await ada.call("snapshot"))["queue"] == []
    await ada.call("end")
    assert await farm.store.active() == []


@ensureDeferred
async def test_waiting_goes_on_while_the_database_is_away() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = wait(bob, amount=1)
    farm.database.away = True
    farm.control.line.poke()
    farm.clock.advance(5)
    farm.database.away = False
    await ada.call("end")
    await waiting


@ensureDeferred
async def test_the_time_limit_of_waiting_does_not_touch_those_behind() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await ada.call("reserve", serials=["A"], kind="pulsecount")
    large, small = wait(bob, amount=2, timeout=5.0), wait(eve, amount=1)
    farm.clock.advance(5)
    with pytest.raises(TimedOut):
        await large
    assert [record["serial"] for record in await small] == ["B"]


_AMOUNTS = st.lists(st.integers(1, 3), min_size=1, max_size=6)


@given(_AMOUNTS, st.randoms(use_true_random=False))
def test_all_who_wait_are_served_in_their_order(amounts: list[int], random: Any) -> None:
    """Whoever holds boards ends them at some time; then everybody is served, nobody before those who came earlier."""
    served: list[int] = []

    async def scenario() -> None:
        farm = MemoryControl()
        await farm.worker("w1", "A", "B", "C")
        clients = [await farm.client(f"c{number}") for number in range(len(amounts))]
        first = await farm.client("first")
        await first.call("reserve", 3, kind="pulsecount")
        for number, amount in enumerate(amounts):
            wait(clients[number], amount=amount).addCallback(lambda _, number=number: served.append(number))
        await first.call("end")
        for _ in range(100):
            if len(served) == len(amounts):
                break
            holders = sorted({record.client for record in await farm.store.active()})
            chosen = clients[int(random.choice(holders)[1:])]
            held = [record.serial for record in await farm.store.active(client=chosen.bus.authid)]
            await chosen.call("end", [random.choice(held)])

    done = Deferred.fromCoroutine(scenario())
    failures: list[Any] = []
    done.addErrback(failures.append)
    assert done.called
    assert failures == []
    assert served == list(range(len(amounts)))
