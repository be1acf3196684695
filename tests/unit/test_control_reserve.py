"""Reserving boards: `icefarm.control` over a router and a store in memory."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from icefarm.contract import DeviceStatus
from icefarm.control.reservations.queue import AVOIDED, GIVEN_UP, RETURN, SETTLE, SOON
from icefarm.control.reservations.reservations import PROBATION
from icefarm.errors import (
    DeviceFailed,
    InvalidArgument,
    LinkLost,
    NotYours,
    ReservationEnded,
    TimedOut,
    Unavailable,
    UnknownDevice,
    UnknownKind,
)
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker

start = Deferred.fromCoroutine


async def active(farm: MemoryControl) -> list[str]:
    return [record.serial for record in await farm.store.active()]


async def live(farm: MemoryControl, seconds: float, worker: RecordingWorker, *clients: MemoryClient) -> None:
    """Let time pass while they send heartbeats."""
    while seconds > 0:
        farm.pass_time(min(5.0, seconds))
        seconds -= 5.0
        await worker.heartbeat()
        for client in clients:
            await client.call("heartbeat", "i")


def agreed(farm: MemoryControl, *workers: RecordingWorker) -> bool:
    """Tell whether the workers hold just what the store says."""
    held = {(serial, id) for worker in workers for serial, id in worker.holds.items() if id is not None}
    return held == {(serial, id) for serial, id in farm.store._holds.items()}


@ensureDeferred
async def test_reserved_boards_are_prepared_before_the_answer() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    records = await client.call("reserve", 2, kind="pulsecount", options={"window": 0.5})
    assert sorted(record["serial"] for record in records) == ["A", "B"]
    assert {worker.holds[record["serial"]] for record in records} == {record["id"] for record in records}
    assert {record["client"] for record in records} == {"ada"}


@ensureDeferred
async def test_boards_asked_for_by_serial_come_in_the_order_asked() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    records = await client.call("reserve", serials=["C", "A"], kind="pulsecount")
    assert [record["serial"] for record in records] == ["C", "A"]


@ensureDeferred
async def test_a_reservation_lasts_as_long_as_asked_from_when_it_is_ready() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount", seconds=1000.0))
    farm.clock.advance(10)
    worker.stuck["A"].callback(None)
    (record,) = await reserving
    assert record["expires_at"] == farm.clock.seconds() + 1000


@ensureDeferred
async def test_a_reservation_that_its_client_never_heard_of_is_short() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount", seconds=100_000.0))
    (record,) = await farm.store.active()
    assert record.expires_at == farm.clock.seconds() + PROBATION
    worker.stuck["A"].callback(None)
    await reserving


@ensureDeferred
async def test_more_boards_than_there_are_leave_nothing_reserved() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    with pytest.raises(Unavailable):
        await client.call("reserve", 3, kind="pulsecount")
    assert await active(farm) == []
    assert worker.asked("prepare") == []


@ensureDeferred
async def test_unknown_kinds_and_boards_are_named() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    with pytest.raises(UnknownKind, match="'nonsense'"):
        await client.call("reserve", 1, kind="nonsense")
    with pytest.raises(UnknownDevice, match="X"):
        await client.call("reserve", serials=["A", "X"], kind="pulsecount")
    assert await active(farm) == []


@ensureDeferred
async def test_a_board_that_does_not_get_ready_is_replaced() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    worker.failing["A"] = DeviceFailed("it smokes")
    records = await client.call("reserve", 2, kind="pulsecount")
    assert sorted(record["serial"] for record in records) == ["B", "C"]
    assert await active(farm) == ["B", "C"]
    assert worker.asked("release") == ["A"]
    assert agreed(farm, worker)


@ensureDeferred
async def test_without_another_board_all_of_the_request_ends() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.failing["A"] = DeviceFailed("it smokes")
    with pytest.raises(Unavailable, match="board A: it smokes; and no others"):
        await client.call("reserve", 2, kind="pulsecount")
    assert await active(farm) == []
    assert agreed(farm, worker)


@ensureDeferred
async def test_a_board_of_a_group_that_does_not_get_ready_is_replaced_and_the_group_gets_no_more_than_it_wants() -> (
    None
):
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B", "C", "D"), await farm.client("ada")
    worker.failing["A"] = DeviceFailed("it smokes")
    records = await client.call("reserve", 2, kind="pulsecount", at_least=1)
    assert sorted(record["serial"] for record in records) == ["B", "C"]
    farm.pass_time(1)
    assert await active(farm) == ["B", "C"]


@pytest.mark.parametrize("wait", [False, True])
@ensureDeferred
async def test_a_request_that_can_begin_with_fewer_boards_does_so_where_one_does_not_get_ready(wait: bool) -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B", "C"), await farm.client("ada")
    worker.failing["A"] = DeviceFailed("it smokes")
    records = await client.call("reserve", 3, kind="pulsecount", at_least=2, wait=wait)
    assert sorted(record["serial"] for record in records) == ["B", "C"]
    assert agreed(farm, worker)
    # It does not get the same board at once again, and has it when that is in order.
    worker.failing.clear()
    await live(farm, AVOIDED - 10.0, worker, client)
    assert await active(farm) == ["B", "C"]
    await live(farm, 80.0, worker, client)
    assert await active(farm) == ["A", "B", "C"]


@ensureDeferred
async def test_a_request_that_has_too_few_boards_left_ends() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B", "C"), await farm.client("ada")
    worker.failing.update(A=DeviceFailed("it smokes"), B=DeviceFailed("it burns"))
    with pytest.raises(Unavailable, match="board A: it smokes; board B: it burns; and no others"):
        await client.call("reserve", 3, kind="pulsecount", at_least=2)
    assert await active(farm) == []
    assert agreed(farm, worker)


@ensureDeferred
async def test_a_failing_board_asked_for_by_serial_is_not_replaced() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.failing["A"] = DeviceFailed("it smokes")
    with pytest.raises(DeviceFailed, match="board A: it smokes") as caught:
        await client.call("reserve", serials=["A"], kind="pulsecount")
    assert caught.value.fields["serials"] == ["A"]
    assert await active(farm) == []


@ensureDeferred
async def test_boards_that_fail_one_after_the_other_end_the_request() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B", "C", "D", "E")
    client = await farm.client("ada")
    for serial in worker.serials:
        worker.failing[serial] = DeviceFailed("no power")
    with pytest.raises(DeviceFailed, match="no power"):
        await client.call("reserve", 1, kind="pulsecount")
    assert worker.asked("prepare") == ["A", "B", "C"]
    assert await active(farm) == []


@ensureDeferred
async def test_options_that_the_kind_refuses_are_the_requests_fault() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.failing["A"] = worker.failing["B"] = InvalidArgument("window must be a number")
    with pytest.raises(InvalidArgument, match="window must be a number"):
        await client.call("reserve", 1, kind="pulsecount", options={"window": "x"})
    assert worker.asked("prepare") == ["A"]
    assert await active(farm) == []


@ensureDeferred
async def test_a_board_that_is_silent_while_prepared_is_replaced() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    for _ in range(65):
        farm.clock.advance(1)
        await worker.heartbeat()
        await client.call("heartbeat", "i")
    (record,) = await reserving
    assert record["serial"] == "B"
    assert await active(farm) == ["B"]


@ensureDeferred
async def test_a_worker_that_is_lost_while_it_prepares_is_replaced() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    other = await farm.worker("w2", "B")
    assert worker.bus is not None
    worker.bus.drop("gone")
    (record,) = await reserving
    assert record["serial"] == "B"
    assert agreed(farm, other)


@ensureDeferred
async def test_a_caller_that_gives_up_leaves_nothing() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.stuck["B"] = Deferred()
    reserving = start(client.call("reserve", 2, kind="pulsecount"))
    assert await active(farm) == ["A", "B"]
    reserving.cancel()
    with pytest.raises(CancelledError):
        await reserving
    farm.clock.advance(GIVEN_UP)
    assert await active(farm) == []
    assert sorted(worker.asked("release")) == ["A", "B"]
    assert agreed(farm, worker)


@ensureDeferred
async def test_a_caller_whose_session_ends_leaves_nothing_once_its_grace_period_is_over() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    client.bus.drop("laptop closed")
    with pytest.raises(LinkLost):
        await reserving
    worker.stuck.pop("A").callback(None)
    for _ in range(31):
        farm.clock.advance(1)
        await worker.heartbeat()
    assert await active(farm) == []
    assert agreed(farm, worker)


@ensureDeferred
async def test_a_caller_that_lost_its_session_asks_again_and_gets_the_same_boards() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    lost = start(client.call("reserve", 2, kind="pulsecount", request="r1"))
    client.bus.drop("wireless")
    with pytest.raises(LinkLost):
        await lost
    worker.stuck.pop("A").callback(None)
    again = await farm.client("ada")
    records = await again.call("reserve", 2, kind="pulsecount", request="r1")
    farm.clock.advance(GIVEN_UP)
    assert sorted(record["serial"] for record in records) == await active(farm) == ["A", "B"]
    assert agreed(farm, worker)


@ensureDeferred
async def test_a_request_whose_answer_was_lost_gets_the_same_boards_again() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    first = await client.call("reserve", 1, kind="pulsecount", request="r1")
    farm.stop_control()
    farm.start_control()
    second = await client.call("reserve", 1, kind="pulsecount", request="r1")
    assert [record["id"] for record in first] == [record["id"] for record in second]


@ensureDeferred
async def test_boards_that_are_only_being_flashed_are_waited_for_a_moment() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    await worker.report("A", DeviceStatus.FLASHING)
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    farm.clock.advance(3)
    assert not reserving.called
    await worker.report("A", DeviceStatus.AVAILABLE)
    farm.clock.advance(SOON)
    assert [record["serial"] for record in await reserving] == ["A"]


@ensureDeferred
async def test_boards_that_stay_in_flashing_are_given_up_with_the_reason() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    await worker.report("A", DeviceStatus.FLASHING)
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    farm.clock.advance(SETTLE)
    with pytest.raises(Unavailable, match="being flashed or tested"):
        await reserving


@ensureDeferred
async def test_a_caller_that_is_killed_for_its_silence_leaves_nothing() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    for _ in range(25):
        farm.clock.advance(1)
        await worker.heartbeat()
    with pytest.raises(LinkLost):
        await reserving
    for _ in range(31):
        farm.clock.advance(1)
        await worker.heartbeat()
    assert await active(farm) == []


@ensureDeferred
async def test_ending_while_a_board_is_prepared_ends_the_request() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.stuck["B"] = Deferred()
    reserving = start(client.call("reserve", 2, kind="pulsecount"))
    assert await client.call("end", ["A"]) == ["A"]
    worker.stuck["B"].callback(None)
    with pytest.raises(ReservationEnded):
        await reserving
    assert await active(farm) == []
    assert agreed(farm, worker)


@ensureDeferred
async def test_control_that_loses_the_router_while_it_prepares_leaves_nothing() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = start(client.call("reserve", 1, kind="pulsecount"))
    assert farm.link.bus is not None
    farm.link.bus.drop("cable cut")
    with pytest.raises((LinkLost, Unavailable)):
        await reserving
    assert await active(farm) == []
    farm.clock.advance(1)
    assert not await worker.heartbeat()
    assert agreed(farm, worker)


@ensureDeferred
async def test_the_client_hears_of_each_board_that_is_ready() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    await client.call("reserve", 2, kind="pulsecount")
    assert sorted(client.words()) == [("initialised", "A"), ("initialised", "B")]


@ensureDeferred
async def test_everybody_hears_of_the_reservation_and_its_board() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client, other = await farm.client("ada"), await farm.client("bob")
    await client.call("reserve", 1, kind="pulsecount")
    devices = [fields for topic, fields in other.events if topic == "device"]
    assert (devices[-1]["serial"], devices[-1]["client"], devices[-1]["status"]) == ("A", "ada", "reserved")
    assert [fields["client"] for topic, fields in other.events if topic == "reservation"][-1] == "ada"
    assert other.told == []


@ensureDeferred
async def test_extend_lengthens_and_never_shortens() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=500.0)
    assert await client.call("extend", seconds=900.0) == ["A"]
    assert await client.call("extend", ["A"], seconds=10.0) == ["A"]
    (record,) = await farm.store.active()
    assert record.expires_at == farm.clock.seconds() + 900


@ensureDeferred
async def test_nobody_extends_or_ends_what_is_somebody_elses() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    client, other = await farm.client("ada"), await farm.client("bob")
    await client.call("reserve", serials=["A"], kind="pulsecount")
    for name in ("extend", "end", "reboot"):
        with pytest.raises(NotYours):
            await other.call(name, ["A"])
    assert await other.call("end") == []
    assert await active(farm) == ["A"]


@ensureDeferred
async def test_ending_releases_the_board_and_tells_its_client() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert await client.call("end") == ["A"]
    assert await client.call("end") == []
    assert worker.asked("release") == ["A"]
    assert client.words()[-1] == ("ended", "A")
    assert await client.call("available") == {"amount": 1, "serials": ["A"]}


@ensureDeferred
async def test_available_boards_are_announced_when_they_are_back() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    client.events.clear()
    await client.call("end")
    assert [fields for topic, fields in client.events if topic == "available"] == [{"amount": 1, "serials": ["A"]}]


@ensureDeferred
async def test_the_operator_ends_anybodys_reservation() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert await farm.operator().call("end_any", ["A"]) == ["A"]
    assert client.told[-1]["reason"] == "ended by operator op"


@ensureDeferred
async def test_a_client_reboots_its_own_boards() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert await client.call("reboot", ["A"]) == ["A"]
    assert worker.asked("reboot") == ["A"]
    assert await active(farm) == ["A"]


@ensureDeferred
async def test_a_board_is_only_deleted_when_it_is_of_no_use() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    operator = farm.operator()
    with pytest.raises(InvalidArgument):
        await operator.call("delete", ["A"])
    await worker.report("A", DeviceStatus.BROKEN, "no CDONE")
    assert await operator.call("delete", ["A"]) == ["A"]
    assert worker.asked("delete") == ["A"]
    assert [device["serial"] for device in (await operator.call("snapshot"))["devices"]] == ["B"]


@ensureDeferred
async def test_the_snapshot_has_everything() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    snapshot = await client.call("snapshot")
    assert [worker["name"] for worker in snapshot["workers"]] == ["w1"]
    assert [device["serial"] for device in snapshot["devices"]] == ["A", "B"]
    assert [record["client"] for record in snapshot["reservations"]] == ["ada"]
    assert snapshot["queue"] == []
    assert snapshot["time"] == farm.clock.seconds()
    assert snapshot["farm"]["grace_s"] == 30.0


@ensureDeferred
async def test_waiting_in_vain_ends_with_the_reason() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client, other = await farm.client("ada"), await farm.client("bob")
    await client.call("reserve", 1, kind="pulsecount")
    waiting = start(other.call("reserve", 1, kind="pulsecount", wait=True, timeout=10.0))
    farm.clock.advance(10)
    with pytest.raises(TimedOut, match="waited 10 s in vain"):
        await waiting
    assert (await client.call("snapshot"))["queue"] == []


@ensureDeferred
async def test_a_request_that_waits_and_meets_a_bad_board_waits_on_at_its_place() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    first, second = await farm.client("ada"), await farm.client("bob")
    worker.stuck["A"], worker.failing["A"] = Deferred(), DeviceFailed("it smokes")
    reserving = start(first.call("reserve", 1, kind="pulsecount", wait=True))
    farm.pass_time(1)
    behind = start(second.call("reserve", 1, kind="pulsecount", wait=True))
    farm.pass_time(5)
    await worker.report("A", DeviceStatus.BROKEN, "it smokes")
    worker.stuck.pop("A").callback(None)
    farm.pass_time(1)
    assert [one["client"] for one in (await first.call("snapshot"))["queue"]] == ["ada", "bob"]
    assert await active(farm) == []
    del worker.failing["A"]
    await worker.report("A", DeviceStatus.AVAILABLE)
    await live(farm, AVOIDED, worker, first, second)
    (record,) = await reserving
    assert (record["client"], record["serial"]) == ("ada", "A")
    assert not behind.called
    await first.call("end")
    assert [one["client"] for one in await behind] == ["bob"]


@ensureDeferred
async def test_a_request_that_waits_is_not_served_with_the_same_bad_board_at_once_nor_for_longer_than_asked() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    worker.failing["A"] = DeviceFailed("it smokes")
    reserving = start(client.call("reserve", 2, kind="pulsecount", wait=True, timeout=100.0))
    await live(farm, AVOIDED - 1, worker, client)
    assert worker.asked("prepare") == ["A", "B"]
    assert worker.asked("release") == ["A", "B"]
    await live(farm, 2, worker, client)
    assert worker.asked("prepare") == ["A", "B"] * 2
    await live(farm, 100 - AVOIDED, worker, client)
    with pytest.raises(TimedOut, match="waited"):
        await reserving
    assert await active(farm) == []
    assert (await client.call("snapshot"))["queue"] == []


@ensureDeferred
async def test_boards_that_a_client_never_heard_of_are_free_soon_after_it_is_back_and_does_not_ask_for_them() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    worker.stuck["A"] = Deferred()
    start(client.call("reserve", 1, kind="pulsecount", request="r1")).addErrback(lambda _: None)
    client.bus.drop("network")
    farm.pass_time(15)
    client = await farm.client("ada")
    for _ in range(3):
        await client.call("heartbeat", "i")
        assert await active(farm) == ["A"]
        farm.pass_time(RETURN / 3 - 0.5)
    farm.pass_time(3)
    await client.call("heartbeat", "i")
    assert await active(farm) == []


@ensureDeferred
async def test_a_request_asked_again_that_has_lost_a_board_gives_the_others_back_and_begins_anew() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    first = await client.call("reserve", 2, kind="pulsecount", request="r1")
    await farm.operator().call("end_any", ["A"])
    worker.failing["A"] = worker.failing["B"] = DeviceFailed("it smokes")
    with pytest.raises(Unavailable, match="smokes"):
        await client.call("reserve", 2, kind="pulsecount", request="r1")
    farm.pass_time(5.0)
    assert await farm.store.active() == []
    assert ("release", "B", next(one["id"] for one in first if one["serial"] == "B")) in worker.orders


@ensureDeferred
async def test_a_request_that_was_served_passes_those_who_wait_when_it_is_asked_again() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    first = await ada.call("reserve", 1, kind="pulsecount", request="r1")
    waiting = Deferred.fromCoroutine(bob.call("reserve", 1, kind="pulsecount", wait=True))
    assert [one["id"] for one in await ada.call("reserve", 1, kind="pulsecount", request="r1")] == [first[0]["id"]]
    await ada.call("end")
    farm.pass_time(2.0)
    assert waiting.called


@ensureDeferred
async def test_boards_that_a_client_asks_for_again_after_a_lost_link_stay_its_own() -> None:
    for asks_after in (0, 0.5, 5):
        farm = MemoryControl()
        worker = await farm.worker("w1", "A")
        client = await farm.client("ada")
        worker.stuck["A"] = Deferred()
        start(client.call("reserve", 1, kind="pulsecount", request="r1")).addErrback(lambda _: None)
        client.bus.drop("network")
        client = await farm.client("ada")
        farm.pass_time(asks_after)
        again = start(client.call("reserve", 1, kind="pulsecount", request="r1"))
        worker.stuck.pop("A").callback(None)
        (record,) = await again
        await live(farm, 50, worker, client)
        assert [one.id for one in await farm.store.active()] == [record["id"]]
