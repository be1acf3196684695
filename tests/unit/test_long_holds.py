"""A board that is held for long while others wait is given back, and its holder knows an hour before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from test_control_reserve import live, start
from test_policy import some
from twisted.internet.defer import Deferred

from icefarm.contract import ReservationRecord, control_procedure
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict
from icefarm.control.scheduling.long_holds import NOTICE, SECOND_NOTICE, due
from icefarm.control.wiring.settings import ControlSettings
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker

HOUR = 3600.0


def held(serial: str, client: str = "ada", since: float = 0.0) -> ReservationRecord:
    return ReservationRecord(f"r{serial}", serial, "w1", client, "counter", {}, since, since + HOUR)


def waits(client: str, since: float, reach: str, amount: int = 1) -> tuple[Verdict, QueuedRequest]:
    queued = QueuedRequest(client, client, some(amount), since=since)
    return Verdict(client, reach=frozenset(reach)), queued


def at(*arguments: Any) -> dict[str, float]:
    return {notice.record.serial: notice.at for notice in due(*arguments)}


def test_nothing_is_due_before_an_hour_before_its_time() -> None:
    waiting, active = [waits("bob", 0.0, "A")], [held("A")]
    assert at(waiting, active, {}, 24 * HOUR, 23 * HOUR - 1) == {}
    assert at(waiting, active, {}, 24 * HOUR, 23 * HOUR) == {"A": 24 * HOUR}


def test_its_holder_has_an_hour_however_long_it_held_the_board_and_others_waited() -> None:
    assert at([waits("bob", 0.0, "A")], [held("A")], {}, HOUR, 50 * HOUR) == {"A": 51 * HOUR}
    assert at([waits("bob", 0.0, "A")], [held("A")], {"rA": 50 * HOUR}, HOUR, 50.5 * HOUR) == {"A": 51 * HOUR}
    # Whoever waits for it has not waited for longer than an hour by then.
    assert at([waits("bob", 49 * HOUR, "A")], [held("A")], {"rA": 40 * HOUR}, HOUR, 49.5 * HOUR) == {"A": 50 * HOUR}


def test_only_as_many_boards_are_due_as_those_who_wait_need() -> None:
    active = [held("A", since=1.0), held("B", since=0.0), held("C", since=2.0)]
    assert at([waits("bob", 0.0, "ABC")], active, {}, HOUR, 9 * HOUR).keys() == {"B"}
    assert at([waits("bob", 0.0, "ABC", 2)], active, {"rC": 8.9 * HOUR}, HOUR, 9 * HOUR).keys() == {"B", "C"}
    assert at([waits("bob", 0.0, "ABC"), waits("eve", 0.0, "ABC")], active, {}, HOUR, 9 * HOUR).keys() == {"A", "B"}


def test_an_account_is_not_asked_for_its_own_requests() -> None:
    assert at([waits("ada/second", 0.0, "A")], [held("A", "ada/first")], {}, HOUR, 9 * HOUR) == {}


times = st.floats(0, 200 * HOUR)


@given(
    st.lists(st.tuples(st.sampled_from(["ada", "bob"]), times), min_size=1, max_size=5),
    st.lists(st.tuples(st.sampled_from(["bob", "eve"]), times, st.integers(1, 3)), max_size=4),
    st.floats(1, 100 * HOUR),
)
def test_nobody_gives_back_before_its_time_or_for_itself(
    holders: list[tuple[str, float]], others: list[tuple[str, float, int]], max_hold: float
) -> None:
    now = 200 * HOUR
    active = [held(str(number), client, since) for number, (client, since) in enumerate(holders)]
    reach = "".join(record.serial for record in active)
    waiting = [waits(client, since, reach, amount) for client, since, amount in others]
    notices = due(waiting, active, {}, max_hold, now)
    assert len({notice.record.serial for notice in notices}) == len(notices)
    assert len(notices) <= sum(amount for _, _, amount in others)
    for notice in notices:
        assert notice.at >= max(notice.record.created_at + max_hold, now + NOTICE)
        assert notice.record.client != notice.client


# ------------------------------------------------------------------------------------------------ in control


async def days(farm: MemoryControl, hours: float, worker: RecordingWorker, *clients: MemoryClient) -> None:
    """Let hours pass while everybody is there, and ada extends."""
    for _ in range(int(hours * 4)):
        await live(farm, HOUR / 4, worker, *clients)
        await clients[0].call("extend")


def waits_for_ever(client: MemoryClient) -> Deferred[Any]:
    wanted = {"kind": "pulsecount", "wait": True}
    return start(client.bus.call(control_procedure("reserve"), (1,), wanted, timeout=1e9))


def announced(client: MemoryClient) -> list[tuple[str, float]]:
    return [(told["event"], told.get("seconds", 0)) for told in client.told if told["event"].startswith("give_back")]


@pytest.mark.thorough
@ensureDeferred
async def test_a_board_that_was_held_for_long_is_announced_twice_and_then_asked_for() -> None:
    farm = MemoryControl(settings=ControlSettings(max_hold=2 * HOUR, grace=30.0))
    worker = await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    await days(farm, 0.5, worker, ada, bob)
    waiting = waits_for_ever(bob)
    await days(farm, 1, worker, ada, bob)
    assert [name for name, _ in announced(ada)] == ["give_back_soon"]
    assert abs(announced(ada)[0][1] - NOTICE) < 61
    assert "while bob waits" in next(told["reason"] for told in ada.told if told["event"] == "give_back_soon")
    while announced(ada)[-1][0] != "give_back":
        await live(farm, 60.0, worker, ada, bob)
    assert [name for name, _ in announced(ada)] == ["give_back_soon", "give_back_soon", "give_back"]
    assert abs(announced(ada)[1][1] - SECOND_NOTICE) < 61
    assert not waiting.called
    await ada.call("end", ["A"])
    farm.pass_time(1)
    assert waiting.called


@pytest.mark.thorough
@ensureDeferred
async def test_nobody_is_asked_for_a_board_that_nobody_waits_for_or_where_it_is_off() -> None:
    for max_hold, wait in ((1.0, False), (None, True)):
        farm = MemoryControl(settings=ControlSettings(max_hold=max_hold, grace=30.0))
        worker = await farm.worker("w1", "A")
        ada, bob = await farm.client("ada"), await farm.client("bob")
        await ada.call("reserve", 1, kind="pulsecount")
        if wait:
            waits_for_ever(bob).addErrback(lambda _: None)
        await days(farm, 2, worker, ada, bob)
        assert announced(ada) == []


@pytest.mark.thorough
@ensureDeferred
async def test_a_client_that_does_not_give_back_loses_the_board_ten_minutes_later() -> None:
    farm = MemoryControl(settings=ControlSettings(max_hold=1.0, grace=30.0))
    worker = await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = waits_for_ever(bob)
    await days(farm, 1, worker, ada, bob)
    assert not waiting.called
    await days(farm, 0.25, worker, ada, bob)
    assert waiting.called
    assert ada.told[-1]["event"] == "ended"
    assert "did not give it back in time" in ada.told[-1]["reason"]
