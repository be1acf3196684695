"""How reservations end by themselves: expiry, silence, absence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from icefarm.client.connection.link import HEARTBEAT_LIMIT
from icefarm.contract import DeviceStatus, ReservationRecord
from icefarm.control.reservations.expiry import NOTICE, lead, notices
from icefarm.control.sessions.liveness import SILENCE
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import Busy, LinkLost, NameInUse, NotYours, UnknownDevice
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker


async def active(farm: MemoryControl) -> list[str]:
    return [record.serial for record in await farm.store.active()]


async def live(farm: MemoryControl, seconds: int, *alive: RecordingWorker | MemoryClient) -> None:
    """Let time pass with everybody's heartbeats."""
    for second in range(seconds):
        farm.clock.advance(1)
        if second % 5 == 0:
            for one in alive:
                await (one.heartbeat() if isinstance(one, RecordingWorker) else one.call("heartbeat", "i"))


@ensureDeferred
async def test_a_reservation_ends_when_its_time_is_over() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=40.0)
    await live(farm, 39, worker, client)
    assert await active(farm) == ["A"]
    await live(farm, 2, worker, client)
    assert await active(farm) == []
    assert worker.asked("release") == ["A"]
    assert client.told[-1]["event"] == "ended"
    assert client.told[-1]["reason"] == "expired"


@ensureDeferred
async def test_a_client_that_reserves_after_other_calls_is_watched_from_then_on() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    for _ in range(2):
        await client.call("available")
    await live(farm, 2 * int(SILENCE), worker)
    await client.call("available")
    await client.call("reserve", 1, kind="pulsecount")
    await live(farm, int(SILENCE) + 5, worker)
    with pytest.raises(LinkLost):
        await client.call("available")


@ensureDeferred
async def test_a_board_that_is_made_ready_for_a_group_that_ends_meanwhile_is_free_again() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await bob.call("reserve", serials=["A"], kind="pulsecount")
    await ada.call("reserve", 3, kind="pulsecount", at_least=1)
    worker.stuck["A"] = Deferred()
    await bob.call("end")
    farm.pass_time(1)
    assert await active(farm) == ["A", "B"]
    await ada.call("end", ["B"])
    farm.pass_time(1)
    worker.stuck.pop("A").callback(None)
    farm.pass_time(1)
    assert await active(farm) == []
    assert "joined" not in [event for event, _ in ada.words()]


@ensureDeferred
async def test_a_reservation_is_ended_by_its_id_and_not_another_one_of_its_board() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    (first,) = await ada.call("reserve", serials=["A"], kind="pulsecount")
    (foreign,) = await bob.call("reserve", serials=["B"], kind="pulsecount")
    ids = [first["id"], foreign["id"], "unheard of"]
    assert await ada.call("end", reservations=ids) == ["A"]
    farm.pass_time(1)
    await ada.call("reserve", serials=["A"], kind="pulsecount")
    assert await ada.call("end", reservations=ids) == []
    assert await active(farm) == ["A", "B"]


@ensureDeferred
async def test_a_group_that_misses_boards_does_not_get_back_the_one_that_its_client_gave_back() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    await client.call("reserve", 5, kind="pulsecount", at_least=1)
    assert await client.call("end", ["A"]) == ["A"]
    farm.pass_time(2)
    assert [record.serial for record in await farm.store.active()] == ["B", "C"]
    await farm.worker("w2", "D")
    farm.pass_time(2)
    assert [record.serial for record in await farm.store.active()] == ["B", "C", "D"]


@ensureDeferred
async def test_a_group_wants_no_fewer_boards_where_nothing_could_be_ended() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await bob.call("reserve", serials=["A"], kind="pulsecount")
    await ada.call("reserve", 3, kind="pulsecount", at_least=1)
    for serials, error in ((["A", "B"], NotYours), (["B", "unheard of"], UnknownDevice)):
        with pytest.raises(error):
            await ada.call("end", serials)
        assert {record.wanted for record in await farm.store.active(client="ada")} == {3}
    await ada.call("end", ["B"])
    assert {record.wanted for record in await farm.store.active(client="ada")} == {2}


@ensureDeferred
async def test_the_holder_is_told_five_minutes_before_the_end_and_after_each_extension() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=NOTICE + 20)
    assert ("ending_soon", "A") not in client.words()
    await live(farm, 21, worker, client)
    assert client.words().count(("ending_soon", "A")) == 1
    await client.call("extend", seconds=NOTICE + 20)
    assert client.words().count(("ending_soon", "A")) == 1
    await live(farm, 21, worker, client)
    assert client.words().count(("ending_soon", "A")) == 2


@ensureDeferred
async def test_an_extended_reservation_outlives_its_first_end() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=20.0)
    await client.call("extend", seconds=60.0)
    await live(farm, 50, worker, client)
    assert await active(farm) == ["A"]


@ensureDeferred
async def test_a_client_that_dies_frees_its_boards_after_the_grace_period() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    client.bus.drop("killed")
    await live(farm, 29, worker)
    assert await active(farm) == ["A"]
    await live(farm, 2, worker)
    assert await active(farm) == []
    assert worker.asked("release") == ["A"]


@ensureDeferred
async def test_a_client_that_comes_back_in_time_has_its_boards_still() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    client.bus.drop("network")
    await live(farm, 20, worker)
    again = await farm.client("ada", instance="another")
    await live(farm, 60, worker, again)
    assert (await again.call("heartbeat", "another"))["reservations"] == ["A"]
    assert worker.asked("release") == []


@ensureDeferred
async def test_a_silent_client_is_killed_and_loses_its_boards() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await live(farm, int(SILENCE) + 1, worker)
    assert client.bus.session not in farm.router.sessions
    await live(farm, 31, worker)
    assert await active(farm) == []


@ensureDeferred
async def test_a_silent_client_that_holds_nothing_and_never_did_is_left_alone() -> None:
    farm = MemoryControl()
    client = await farm.client("ada")
    await live(farm, 100)
    assert client.bus.session in farm.router.sessions


@ensureDeferred
async def test_a_restarted_control_gives_absent_clients_the_grace_period_from_then() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    farm.stop_control()
    client.bus.drop("died meanwhile")
    farm.clock.advance(500)
    farm.start_control()
    await live(farm, 29, worker)
    assert await active(farm) == ["A"]
    await live(farm, 3, worker)
    assert await active(farm) == []


@ensureDeferred
async def test_a_restarted_control_ends_what_expired_meanwhile() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=60.0)
    farm.stop_control()
    farm.clock.advance(100)
    farm.start_control()
    assert await active(farm) == []
    await worker.heartbeat()
    assert worker.holds == {"A": None}


@ensureDeferred
async def test_a_restarted_control_keeps_reservations_and_does_not_touch_boards() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    farm.stop_control()
    farm.clock.advance(10)
    farm.start_control()
    await live(farm, 100, worker, client)
    assert await active(farm) == ["A"]
    assert worker.asked("prepare") == ["A"]
    assert worker.asked("release") == []


@ensureDeferred
async def test_a_restarted_control_knows_whose_name_it_is() -> None:
    farm = MemoryControl()
    await farm.client("ada", instance="one")
    farm.stop_control()
    farm.start_control()
    with pytest.raises(NameInUse):
        await farm.client("ada", instance="two")
    await farm.client("ada", instance="one")


@ensureDeferred
async def test_reservations_end_though_the_database_was_away_when_they_should() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    client.bus.drop("killed")
    farm.database.away = True
    await live(farm, 40, worker)
    assert await active(farm) == ["A"]
    farm.database.away = False
    await live(farm, 6, worker)
    assert await active(farm) == []


@ensureDeferred
async def test_expiry_goes_on_when_the_database_is_back() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=20.0)
    farm.database.away = True
    await live(farm, 30, worker)
    farm.database.away = False
    await live(farm, 6, worker)
    assert await active(farm) == []


@ensureDeferred
async def test_a_failed_request_ends_when_the_database_is_back() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    worker.stuck["A"] = Deferred()
    reserving = Deferred.fromCoroutine(client.call("reserve", 1, kind="pulsecount"))
    farm.database.away = True
    reserving.cancel()
    with pytest.raises(CancelledError):
        await reserving
    assert await active(farm) == ["A"]
    farm.database.away = False
    await live(farm, 6, worker)
    assert await active(farm) == []


@ensureDeferred
async def test_a_heartbeat_counts_while_the_database_is_away() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    farm.database.away = True
    for _ in range(20):
        farm.clock.advance(5)
        assert await worker.heartbeat()
        with pytest.raises(Busy):
            await client.call("heartbeat", "i")
    farm.database.away = False
    assert (await client.call("heartbeat", "i"))["reservations"] == ["A"]


@ensureDeferred
async def test_a_board_that_is_unplugged_again_while_it_gets_ready_is_given_up_as_well() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await worker.report("A", DeviceStatus.OFFLINE, "unplugged")
    await live(farm, 5, worker, client)
    await worker.report("A", DeviceStatus.FLASHING)
    await worker.report("A", DeviceStatus.OFFLINE, "unplugged")
    await live(farm, 29, worker, client)
    assert await active(farm) == ["A"]
    await live(farm, 2, worker, client)
    assert await active(farm) == []


@ensureDeferred
async def test_a_board_unplugged_for_longer_than_the_grace_period_is_taken_from_its_client() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await worker.report("A", DeviceStatus.OFFLINE, "unplugged")
    assert client.told[-1]["event"] == "failure"
    assert client.told[-1]["reason"] == "unplugged"
    await live(farm, 31, worker, client)
    assert await active(farm) == []
    assert client.words()[-1] == ("ended", "A")


@ensureDeferred
async def test_a_board_that_is_plugged_in_again_in_time_stays_with_its_client() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await worker.report("A", DeviceStatus.OFFLINE, "unplugged")
    await live(farm, 10, worker, client)
    await worker.report("A", DeviceStatus.FLASHING)
    await worker.report("A", DeviceStatus.RESERVED)
    await live(farm, 60, worker, client)
    assert await active(farm) == ["A"]
    assert client.words()[-2:] == [("failure", "A"), ("initialised", "A")]


@ensureDeferred
async def test_a_broken_board_is_taken_from_its_client_with_the_reason() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await worker.report("A", DeviceStatus.BROKEN, "no CDONE")
    assert await active(farm) == []
    assert client.words()[-2:] == [("failure", "A"), ("ended", "A")]
    assert client.told[-1]["reason"] == "the board failed: no CDONE"


_TIMES = st.floats(0, 5000)


@given(st.lists(_TIMES, max_size=8), _TIMES)
def test_no_notice_is_given_twice_and_none_is_missed(ends: list[float], now: float) -> None:
    active = [ReservationRecord(str(n), "A", "w", "c", "k", {}, 0.0, end) for n, end in enumerate(ends)]
    told: dict[str, float] = {}
    leads = {one.id: lead(one.expires_at) for one in active}
    due, sleep = notices(active, told, leads, now)
    assert {one.id for one in due} == {one.id for one in active if one.expires_at - now <= leads[one.id]}
    told.update({one.id: one.expires_at for one in due})
    assert notices(active, told, leads, now)[0] == []
    if sleep is not None:
        # Nothing happens before it wakes up.
        later = notices(active, told, leads, now + sleep * 0.999)[0]
        assert [one for one in later if one.expires_at - now > leads[one.id] + 0.001 * abs(sleep) + 1e-6] == []


@ensureDeferred
async def test_the_holder_of_a_short_reservation_is_told_near_its_end_only() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=60.0)
    for _ in range(5):
        await live(farm, 30, worker, client)
        await client.call("extend", seconds=60.0)
    assert ("ending_soon", "A") not in client.words()
    await live(farm, 46, worker, client)
    assert client.words().count(("ending_soon", "A")) == 1


@ensureDeferred
async def test_a_reservation_may_have_a_grace_period_of_its_own() -> None:
    farm = MemoryControl(ControlSettings(grace=30.0))
    worker = await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    await client.call("reserve", serials=["A"], kind="pulsecount", grace=5.0)
    await client.call("reserve", serials=["B"], kind="pulsecount")
    await client.call("reserve", serials=["C"], kind="pulsecount", grace=60.0)
    client.bus.drop("laptop closed")
    left = []
    for _ in range(13):
        farm.pass_time(5.0)
        await worker.heartbeat()
        left.append("".join(record.serial for record in await farm.store.active()))
    assert left[0] in ("ABC", "BC")
    assert left[1:5] == ["BC"] * 4
    assert left[6:11] == ["C"] * 5
    assert left[12] == ""


@ensureDeferred
async def test_a_grace_period_of_its_own_outlasts_control() -> None:
    farm = MemoryControl(ControlSettings(grace=30.0))
    worker = await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    await client.call("reserve", serials=["A"], kind="pulsecount", grace=5.0)
    await client.call("reserve", serials=["B"], kind="pulsecount", grace=60.0)
    farm.stop_control()
    client.bus.drop("laptop closed")
    farm.start_control()
    await worker.heartbeat()
    farm.pass_time(6.0)
    assert [record.serial for record in await farm.store.active()] == ["B"]
    farm.pass_time(40.0)
    assert [record.serial for record in await farm.store.active()] == ["B"]


@ensureDeferred
async def test_an_end_reaches_the_worker_though_its_caller_is_lost_in_the_middle() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    farm.database.latency = 1.0
    ending = Deferred.fromCoroutine(client.call("end"))
    ending.addErrback(lambda failure: failure.trap(LinkLost))
    farm.pass_time(1.5)
    assert await active(farm) == []
    client.bus.drop("cable cut")
    farm.pass_time(2.0)
    assert worker.asked("release") == ["A"]


@ensureDeferred
async def test_a_heartbeat_is_answered_in_time_though_the_database_does_not_answer() -> None:
    farm = MemoryControl()
    client = await farm.client("ada")
    farm.database.latency = 60.0
    beating = Deferred.fromCoroutine(client.call("heartbeat", "i"))
    failures: list[Failure] = []
    beating.addErrback(failures.append)
    farm.pass_time(HEARTBEAT_LIMIT - 1.0)
    assert [failure.type for failure in failures] == [Busy]
