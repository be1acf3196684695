"""The waiting line: first come, first served, all or nothing."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from unittest.mock import patch

import pytest
from attrs import Factory, define
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from test_control_reserve import live
from twisted.internet.defer import CancelledError, Deferred

from icefarm.contract import DeviceReport, DeviceStatus, ReservationRecord, control_procedure
from icefarm.control.reservations.queue import GIVEN_UP, RETURN
from icefarm.control.reservations.reservations import PROBATION
from icefarm.control.scheduling import fair_queue
from icefarm.control.scheduling.fair_queue import KEEP_AFTER
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.interface import State
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import InvalidArgument, LinkLost, TimedOut, Unavailable
from icefarm.testing.memory.control_harness import LIMIT, MemoryClient, MemoryControl
from icefarm.testing.memory.store import MemoryStore


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


@pytest.mark.parametrize("grows", [False, True])
@ensureDeferred
async def test_a_board_that_is_forgotten_just_before_it_is_given_out_is_waited_for_still(grows: bool) -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", serials=["A"], kind="pulsecount")
    await bob.call("reserve", 2, kind="pulsecount", at_least=1)
    waiting = None if grows else wait(await farm.client("eve"), amount=1)
    forgotten: list[str] = []
    read = MemoryStore.state

    async def state(store: MemoryStore) -> State:
        found = await read(store)
        if not forgotten and found.devices[0].status is DeviceStatus.AVAILABLE:
            forgotten.extend(await store.retire(["A"]))
        return found

    with patch.object(MemoryStore, "state", state):
        await ada.call("end")
        farm.pass_time(0.2, step=0.1)
        assert forgotten == ["A"]
        await farm.store.report("w1", [DeviceReport("A", DeviceStatus.AVAILABLE)])
        farm.pass_time(1)
    holder = "bob" if waiting is None else "eve"
    assert [record.client for record in await farm.store.active() if record.serial == "A"] == [holder]


@ensureDeferred
async def test_a_group_that_begins_while_the_line_is_looked_at_is_not_forgotten() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob, line = await farm.client("ada"), await farm.client("bob"), farm.control.parts.queue.line
    await ada.call("reserve", 1, kind="pulsecount")
    assert not farm.control.parts.queue.busy
    begun: list[Any] = []
    read = MemoryStore.active

    async def active(store: MemoryStore, **asked: Any) -> list[ReservationRecord]:
        found = await read(store, **asked)
        if not begun:
            begun.append(True)
            begun.extend(await bob.call("reserve", 2, kind="pulsecount", at_least=1))
        return found

    with patch.object(MemoryStore, "active", active):
        await line.serve()
    assert len(begun) == 2
    await ada.call("end")
    farm.pass_time(1)
    assert [record.client for record in await farm.store.active()] == ["bob", "bob"]


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
    worker = await farm.worker("w1", "A", "B")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await ada.call("reserve", serials=["A"], kind="pulsecount")
    large = wait(bob, amount=2)
    await live(farm, KEEP_AFTER, worker, ada, bob, eve)
    small = wait(eve, amount=1)
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
    farm.clock.advance(GIVEN_UP)
    assert words[-1]["place"] == 1
    await ada.call("end")
    await second
    assert (await ada.call("snapshot"))["queue"] == []


@ensureDeferred
async def test_a_client_that_gives_up_and_leaves_holds_nobody_up() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await eve.call("reserve", 1, kind="pulsecount")
    given_up = wait(ada, amount=2)
    await live(farm, KEEP_AFTER, worker, ada, bob, eve)
    small = wait(bob, amount=1)
    assert not small.called
    given_up.cancel()
    with pytest.raises(CancelledError):
        await given_up
    await ada.call("end")
    assert small.called
    assert [(await small)[0]["client"]] == ["bob"]


@ensureDeferred
async def test_ending_all_keeps_the_place_of_a_call_that_still_waits() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await bob.call("reserve", 1, kind="pulsecount")
    waiting = wait(ada, amount=1)
    await ada.call("end")
    assert not waiting.called
    await bob.call("end")
    assert len(await waiting) == 1


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
    farm.pass_time(RETURN + GIVEN_UP)
    assert (await ada.call("snapshot"))["queue"] == []
    await ada.call("end")
    assert await farm.store.active() == []
    for _ in range(30):
        farm.clock.advance(1)
        await ada.call("heartbeat", "i")
    assert await farm.store.waiting() == []


@ensureDeferred
async def test_nobody_passes_a_client_that_is_away_for_a_moment() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    await ada.call("reserve", 1, kind="pulsecount")
    first, second = wait(bob, amount=1, request="r1"), wait(eve, amount=1)
    bob.bus.drop("wireless")
    with pytest.raises(LinkLost):
        await first
    await ada.call("end")
    farm.clock.advance(GIVEN_UP)
    assert not second.called
    again = await wait(await farm.client("bob"), amount=1, request="r1")
    assert [record["serial"] for record in again] == ["A"]
    assert not second.called


@ensureDeferred
async def test_others_pass_a_client_that_stays_away_and_it_keeps_its_place() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob, eve, joe = [await farm.client(name) for name in ("ada", "bob", "eve", "joe")]
    await ada.call("reserve", 1, kind="pulsecount")
    first, second, third = wait(bob, amount=1, request="r1"), wait(eve, amount=1), wait(joe, amount=1)
    bob.bus.drop("wireless")
    with pytest.raises(LinkLost):
        await first
    await ada.call("end")
    farm.pass_time(GIVEN_UP + RETURN)
    await second
    again = wait(await farm.client("bob"), amount=1, request="r1")
    await eve.call("end")
    await again
    assert not third.called


@ensureDeferred
async def test_places_outlast_control() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    names = ("ada", "bob", "eve", "joe")
    ada, *others = [await farm.client(name) for name in names]
    await ada.call("reserve", 1, kind="pulsecount")
    for other in others:
        wait(other, amount=1, request=f"of {other.bus.authid}").addErrback(lambda _: None)
    farm.stop_control()
    farm.start_control()
    await worker.heartbeat()
    farm.clock.advance(0)
    queue = (await ada.call("snapshot"))["queue"]
    assert [record["client"] for record in queue] == list(names[1:])
    # They call again in another order than they came.
    bob, eve, joe = others
    calls = {other: wait(other, amount=1, request=f"of {other.bus.authid}") for other in (joe, eve, bob)}
    for before, after in pairwise([ada, bob, eve, joe]):
        assert not calls[after].called
        await before.call("end")
        await calls[after]


@ensureDeferred
async def test_a_time_limit_of_waiting_outlasts_control() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    wait(bob, amount=1, timeout=6.0, request="r1").addErrback(lambda _: None)
    farm.clock.advance(4)
    farm.stop_control()
    farm.start_control()
    again = wait(bob, amount=1, timeout=6.0, request="r1")
    farm.clock.advance(2)
    with pytest.raises(TimedOut):
        await again
    assert await farm.store.waiting() == []


@ensureDeferred
async def test_a_client_without_boards_goes_before_one_that_has_some() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 2, kind="pulsecount")
    greedy, modest = wait(ada, amount=1), wait(bob, amount=1)
    await ada.call("end", ["A"])
    await modest
    assert not greedy.called
    await bob.call("end")
    await greedy


@ensureDeferred
async def test_a_request_for_more_than_there_is_holds_up_nobody() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    endless = wait(ada, amount=3)
    assert len(await bob.call("reserve", 2, kind="pulsecount")) == 2
    assert not endless.called


@ensureDeferred
async def test_another_clients_request_cannot_be_taken() -> None:
    farm = MemoryControl()
    ada, bob = await farm.client("ada"), await farm.client("bob")
    wait(ada, amount=1, request="r1")
    with pytest.raises(InvalidArgument, match="another client's"):
        await wait(bob, amount=1, request="r1")


@ensureDeferred
async def test_waiting_goes_on_while_the_database_is_away() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = wait(bob, amount=1)
    farm.database.away = True
    farm.control.parts.queue.poke()
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


@pytest.mark.thorough
@settings(max_examples=50, deadline=None)
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

    failures: list[Any] = []
    # Boards are kept for each of them from the beginning.
    with patch.object(fair_queue, "KEEP_AFTER", 0.0):
        done = Deferred.fromCoroutine(scenario())
        done.addErrback(failures.append)
    assert done.called
    assert failures == []
    assert served == list(range(len(amounts)))


@ensureDeferred
async def test_a_request_whose_client_is_there_and_does_not_ask_again_is_forgotten() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = Deferred.fromCoroutine(bob.call("reserve", 1, kind="pulsecount", wait=True))
    waiting.addErrback(lambda _: None)
    bob.bus.drop("cable cut")
    bob = await farm.client("bob")
    for _ in range(6):
        farm.pass_time(5.0)
        await bob.call("heartbeat", "i")
    assert await farm.store.waiting() == []
    assert farm.control.parts.queue.records() == []


@ensureDeferred
async def test_a_call_that_ends_while_it_lines_up_leaves_nothing_in_the_queue() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    farm.database.latency = 0.5
    waiting = Deferred.fromCoroutine(bob.call("reserve", 1, kind="pulsecount", wait=True))
    waiting.addErrback(lambda _: None)
    while not farm.store._queue:
        farm.pass_time(0.1, step=0.1)
    waiting.cancel()
    farm.pass_time(5.0)
    assert farm.store._queue == {}


@define(eq=False)
class SlowReservation:
    """The store's next reservation takes its time: until `written` and `answered` fire."""

    written: Deferred[None] = Factory(Deferred)
    answered: Deferred[None] = Factory(Deferred)

    async def reserve(self, store: MemoryStore, *args: Any, **kwargs: Any) -> list[ReservationRecord]:
        await self.written
        records = await _reserve(store, *args, **kwargs)
        await self.answered
        return records


_reserve = MemoryStore.reserve


async def served_slowly(farm: MemoryControl) -> tuple[SlowReservation, MemoryClient, Deferred[Any]]:
    """Let bob wait for a board, until the database reserves it for bob."""
    await farm.worker("w1", "A")
    ada, bob, slow = await farm.client("ada"), await farm.client("bob"), SlowReservation()
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = wait(bob, amount=1, timeout=5.0)
    waiting.addErrback(lambda _: None)
    with patch.object(MemoryStore, "reserve", lambda *args, **kwargs: slow.reserve(*args, **kwargs)):
        await ada.call("end")
    assert not waiting.called
    return slow, bob, waiting


@pytest.mark.parametrize("how", ["times out", "is dismissed", "is given up", "loses its session"])
@ensureDeferred
async def test_boards_that_are_just_being_reserved_for_a_wait_that_ends_are_free_again(how: str) -> None:
    farm = MemoryControl()
    slow, bob, waiting = await served_slowly(farm)
    slow.written.callback(None)
    match how:
        case "times out":
            farm.pass_time(5.0)
        case "is dismissed":
            queue = farm.control.parts.queue
            queue.dismiss([record.id for record in queue.records()], "the farm closes")
        case "is given up":
            waiting.cancel()
        case "loses its session":
            bob.bus.drop("cable cut")
            await farm.client("bob")
    assert waiting.called
    slow.answered.callback(None)
    assert len(await farm.store.active()) == 1
    farm.pass_time(GIVEN_UP + RETURN + 5.0)
    assert await farm.store.active() == []


@ensureDeferred
async def test_boards_that_are_reserved_for_a_client_after_it_is_gone_are_seen_and_expire() -> None:
    farm = MemoryControl(ControlSettings(grace=1.0))
    slow, bob, _ = await served_slowly(farm)
    bob.bus.drop("cable cut")
    farm.pass_time(3.0)
    eve = await farm.client("eve")
    slow.written.callback(None)
    slow.answered.callback(None)
    assert [fields["client"] for topic, fields in eve.events if topic == "reservation"] == ["bob"]
    farm.pass_time(PROBATION + 1.0)
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_request_that_is_served_while_the_queue_is_learnt_is_not_in_it_afterwards() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada = await farm.client("ada")
    await farm.store.enqueue("ada", ReservationRequest("pulsecount", amount=1), "r1", None)
    delays = iter([0.0, 3.0])
    farm.database.latency = lambda: next(delays, 0.0)
    learning = Deferred.fromCoroutine(farm.control.parts.queue.restore())
    farm.clock.advance(0)
    asking = Deferred.fromCoroutine(ada.call("reserve", 1, kind="pulsecount", request="r1", wait=True))
    farm.pass_time(5.0)
    assert learning.called
    assert asking.called
    assert list(farm.control.parts.queue.line) == []
