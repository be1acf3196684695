"""Boards that several clients share, as control keeps them."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.contract import DeviceStatus, KindRecord, control_procedure
from icefarm.control.scheduling.fair_queue import KEEP_AFTER
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import InvalidArgument, NotYours, Unavailable
from icefarm.testing.memory import control_harness
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker

start = Deferred.fromCoroutine


async def sharing(client: MemoryClient, amount: int = 1, **more: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = await client.call("reserve", amount, kind="pulsecount", shared=True, **more)
    return found


async def shown(farm: MemoryControl) -> dict[str, list[str]]:
    """Return who shares each board."""
    return {device.serial: list(device.shares.values()) for device in await farm.store.devices()}


@ensureDeferred
async def test_two_clients_share_a_board_under_reservations_of_their_own() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    (of_ada,), (of_bob,) = await sharing(ada), await sharing(bob)
    assert {of_ada["serial"], of_bob["serial"]} == {"A"}
    assert of_ada["id"] != of_bob["id"]
    assert of_ada["within"] == of_bob["within"] == worker.holds["A"]
    assert worker.shares["A"] == {of_ada["id"], of_bob["id"]}
    assert await shown(farm) == {"A": ["ada", "bob"]}


@ensureDeferred
async def test_requests_spread_over_free_boards_and_then_over_those_that_the_fewest_share() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    for name in ("ada", "bob", "cem", "dee", "eve"):
        await sharing(await farm.client(name))
    assert sorted(len(names) for names in (await shown(farm)).values()) == [2, 3]


@ensureDeferred
async def test_a_client_shares_each_board_once() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada = await farm.client("ada")
    await sharing(ada)
    await sharing(ada)
    assert await shown(farm) == {"A": ["ada"], "B": ["ada"]}
    with pytest.raises(Unavailable, match="all shared by you already"):
        await sharing(ada)


@ensureDeferred
async def test_a_board_is_shared_by_as_many_as_the_operator_says() -> None:
    farm = MemoryControl(ControlSettings(most_sharers=2))
    await farm.worker("w1", "A")
    for name in ("ada", "bob"):
        await sharing(await farm.client(name))
    cem = await farm.client("cem")
    with pytest.raises(Unavailable, match="shared by as many clients as may"):
        await sharing(cem)
    assert (await cem.call("available", kind="pulsecount", shared=True))["amount"] == 0


@ensureDeferred
async def test_who_asks_for_a_board_for_itself_gets_no_shared_one_and_keeps_others_out() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    (own,) = await bob.call("reserve", 1, kind="pulsecount")
    assert (own["serial"], own["within"]) == ("B", None)
    with pytest.raises(Unavailable, match="reserved by 'ada'"):
        await bob.call("reserve", serials=["A"], kind="pulsecount")
    (more,) = await sharing(await farm.client("cem"))
    assert more["serial"] == "A"


@ensureDeferred
async def test_one_that_ends_leaves_the_others_alone_and_the_last_one_frees_the_board() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    (of_bob,) = await sharing(bob)
    assert await ada.call("end") == ["A"]
    assert worker.shares["A"] == {of_bob["id"]}
    assert worker.status["A"] is DeviceStatus.RESERVED
    assert ("ended", "A") not in bob.words()
    assert await bob.call("end", ["A"]) == ["A"]
    assert worker.holds == {"A": None}
    (device,) = await farm.store.devices()
    assert (device.reservation, device.client, device.shares) == (None, None, {})


@ensureDeferred
async def test_a_client_ends_a_board_of_its_group_and_a_shared_one_in_one_call() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    ada, bob, eve = [await farm.client(name) for name in ("ada", "bob", "eve")]
    (of_bob,) = await sharing(bob)
    own = await ada.call("reserve", 2, kind="pulsecount", at_least=1, preemptible=True)
    await sharing(ada)
    both = sorted([own[0]["serial"], of_bob["serial"]])
    with pytest.raises(NotYours):
        await eve.call("end", both)
    assert sorted(await ada.call("end", both)) == both
    assert (await shown(farm))[of_bob["serial"]] == ["bob"]
    (left,) = [record for record in await farm.store.active() if record.client == "ada"]
    assert (left.serial, left.wanted) == (own[1]["serial"], 1)


@ensureDeferred
async def test_a_client_that_is_gone_leaves_the_others_alone() -> None:
    farm = MemoryControl(ControlSettings(grace=5.0))
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    (of_bob,) = await sharing(bob)
    ada.bus.drop("SIGKILL")
    for _ in range(3):
        farm.pass_time(4.0)
        await worker.heartbeat()
        await bob.call("heartbeat", "i")
    assert worker.shares["A"] == {of_bob["id"]}
    assert await shown(farm) == {"A": ["bob"]}


@ensureDeferred
async def test_each_reservation_expires_and_is_extended_by_itself() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada, seconds=20.0)
    await sharing(bob, seconds=20.0)
    assert await bob.call("extend", ["A"], 100.0) == ["A"]
    (device,) = await farm.store.devices()
    assert device.expires_at == farm.clock.seconds() + 100.0
    for _ in range(6):
        farm.pass_time(4.0)
        await worker.heartbeat()
        await ada.call("heartbeat", "i")
        await bob.call("heartbeat", "i")
    assert await shown(farm) == {"A": ["bob"]}
    assert ("ended", "A") in ada.words()


@ensureDeferred
async def test_an_operator_ends_all_who_share_a_board() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    await sharing(bob)
    await farm.operator().call("end_any", ["A"])
    assert worker.holds == {"A": None}
    assert [client.words()[-1] for client in (ada, bob)] == [("ended", "A")] * 2


@ensureDeferred
async def test_a_restarted_worker_learns_who_shares_its_board() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    (of_ada,), (of_bob,) = await sharing(ada), await sharing(bob)
    assert worker.bus is not None
    worker.bus.drop("crash")
    fresh = RecordingWorker("w1", ["A"], instance="second start")
    await farm.join(fresh)
    assert fresh.holds["A"] == of_ada["within"]
    assert fresh.shares["A"] == {of_ada["id"], of_bob["id"]}


@ensureDeferred
async def test_a_restarted_control_knows_who_shares_a_board() -> None:
    farm = MemoryControl()
    worker, ada = await farm.worker("w1", "A"), await farm.client("ada")
    (of_ada,) = await sharing(ada)
    farm.stop_control()
    farm.start_control()
    await worker.heartbeat()
    signing_in = start(farm.client("bob"))
    farm.pass_time(1.0)
    (of_bob,) = await sharing(await signing_in)
    assert of_bob["within"] == of_ada["within"]
    assert worker.shares["A"] == {of_ada["id"], of_bob["id"]}


@ensureDeferred
async def test_a_worker_that_has_others_than_the_store_is_corrected() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    (of_ada,), (of_bob,) = await sharing(ada), await sharing(bob)
    worker.shares["A"] = {of_ada["id"], "long gone"}
    await worker.report("A")
    assert worker.shares["A"] == {of_ada["id"], of_bob["id"]}


@ensureDeferred
async def test_a_board_that_breaks_is_taken_from_all_who_share_it() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    await sharing(bob)
    await worker.report("A", DeviceStatus.BROKEN, "it is faulty")
    for client in (ada, bob):
        assert client.words()[-2:] == [("failure", "A"), ("ended", "A")]
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_board_that_is_offline_is_told_to_all_who_share_it() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    await sharing(bob)
    await worker.report("A", DeviceStatus.OFFLINE, "unplugged")
    assert [client.words()[-1] for client in (ada, bob)] == [("failure", "A")] * 2


@ensureDeferred
async def test_only_an_operator_restarts_a_shared_board() -> None:
    farm = MemoryControl()
    worker, ada = await farm.worker("w1", "A"), await farm.client("ada")
    await sharing(ada)
    with pytest.raises(NotYours, match="only an operator can restart shared boards"):
        await ada.call("reboot", ["A"])
    await farm.operator().call("reboot", ["A"])
    assert worker.asked("reboot") == ["A"]


@ensureDeferred
async def test_boards_of_a_worker_that_cannot_share_them_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    farm = MemoryControl()
    older: KindRecord = evolve(control_harness.PULSECOUNT, shareable=False)
    with monkeypatch.context() as patch:
        patch.setattr(control_harness, "PULSECOUNT", older)
        await farm.worker("old", "A")
    ada = await farm.client("ada")
    with pytest.raises(InvalidArgument, match=r"cannot be shared.*Kinds that can be shared here: none"):
        await sharing(ada)
    await farm.worker("new", "B")
    (record,) = await sharing(ada)
    assert record["serial"] == "B"
    with pytest.raises(Unavailable, match="board A is not able to share that kind"):
        await ada.call("reserve", serials=["A"], kind="pulsecount", shared=True)


@ensureDeferred
async def test_a_worker_that_comes_back_as_an_older_one_shares_its_boards_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    await sharing(bob)
    assert worker.bus is not None
    worker.bus.drop("it is replaced by an earlier version")
    older: KindRecord = evolve(control_harness.PULSECOUNT, shareable=False)
    monkeypatch.setattr(control_harness, "PULSECOUNT", older)
    fresh = RecordingWorker("w1", ["A"], instance="second start")
    await farm.join(fresh)
    farm.pass_time(1.0)
    assert await farm.store.active() == []
    assert fresh.holds == {"A": None}
    assert [client.words()[-1] for client in (ada, bob)] == [("ended", "A")] * 2


@ensureDeferred
@pytest.mark.parametrize("more", [{"at_least": 1}, {"preemptible": True}])
async def test_shared_boards_become_no_fewer(more: dict[str, Any]) -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    ada = await farm.client("ada")
    with pytest.raises(InvalidArgument, match="not with shared ones"):
        await sharing(ada, 2, **more)


@ensureDeferred
async def test_each_account_pays_for_its_part_of_the_boards_time() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada)

    async def live(seconds: int) -> None:
        for _ in range(seconds // 5):
            farm.pass_time(5.0)
            await worker.heartbeat()
            await ada.call("heartbeat", "i")
            await bob.call("heartbeat", "i")

    await live(100)
    await sharing(bob)
    await live(100)
    parts = {record.client: record.part for record in await farm.store.active()}
    assert parts == {"ada": pytest.approx(0.75), "bob": pytest.approx(0.5)}
    await ada.call("end")
    await live(100)
    await bob.call("end")
    used = {record.client: record.part for record in farm.store.all_reservations()}
    assert used == {"ada": pytest.approx(0.75), "bob": pytest.approx(0.75)}
    shares = {each["account"]: each["used"] for each in (await ada.call("snapshot"))["shares"]}
    assert sum(shares.values()) == pytest.approx(300.0, rel=0.02)


@ensureDeferred
async def test_one_that_waits_for_a_place_gets_it_when_another_one_leaves() -> None:
    farm = MemoryControl(ControlSettings(most_sharers=2))
    await farm.worker("w1", "A")
    ada, bob, cem = [await farm.client(name) for name in ("ada", "bob", "cem")]
    await sharing(ada)
    await sharing(bob)
    waiting = start(sharing(cem, wait=True))
    farm.pass_time(1.0)
    assert not waiting.called
    (request,) = (await cem.call("snapshot"))["queue"]
    assert request["shared"]
    await ada.call("end")
    farm.pass_time(1.0)
    assert waiting.called
    assert await shown(farm) == {"A": ["bob", "cem"]}


@ensureDeferred
async def test_the_queue_of_those_who_would_share_survives_a_restart_of_control() -> None:
    farm = MemoryControl(ControlSettings(most_sharers=1))
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await sharing(ada)
    start(sharing(bob, wait=True, request="r1")).addErrback(lambda _: None)
    farm.pass_time(1.0)
    (queued,) = await farm.store.waiting()
    assert queued.request.sharers == 1


async def live(farm: MemoryControl, seconds: float, *alive: RecordingWorker | MemoryClient) -> None:
    """Let time pass with everybody's heartbeats."""
    for _ in range(round(seconds / 5)):
        farm.clock.advance(5)
        for one in alive:
            await (one.heartbeat() if isinstance(one, RecordingWorker) else one.call("heartbeat", "i"))


@ensureDeferred
async def test_one_that_waits_for_a_board_of_its_own_gets_it_for_nobody_joins_it_any_more() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    ada, bob, cem = [await farm.client(name) for name in ("ada", "bob", "cem")]
    await sharing(ada)
    waiting = start(bob.call("reserve", 1, kind="pulsecount", wait=True))
    await live(farm, KEEP_AFTER + 10, worker, ada, bob, cem)
    joining = start(sharing(cem, wait=True))
    await live(farm, 10, worker, ada, bob, cem)
    assert not joining.called
    await ada.call("end")
    await live(farm, 5, worker, ada, bob, cem)
    (own,) = await waiting
    assert own["within"] is None
    await bob.call("end")
    await live(farm, 5, worker, ada, bob, cem)
    assert joining.called
    assert await shown(farm) == {"A": ["cem"]}


@ensureDeferred
async def test_what_a_class_has_booked_is_shared_by_the_class_only() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    await farm.store.set_account_groups({"ada": "class-a", "cem": "class-a"})
    now = farm.clock.seconds()
    await farm.operator().call("book", now, 3600.0, 1, account="class-a")
    ada, bob, cem = [await farm.client(name) for name in ("ada", "bob", "cem")]
    await sharing(ada)
    with pytest.raises(Unavailable, match="kept for a booking"):
        await sharing(bob)
    await sharing(cem)
    await live(farm, 700, worker, ada, bob, cem)
    (booking,) = await farm.store.bookings()
    assert booking.kept == 1
    assert await shown(farm) == {"A": ["ada", "cem"]}


@ensureDeferred
async def test_a_booking_of_others_ends_the_reservations_of_all_who_share_its_board() -> None:
    farm = MemoryControl()
    worker, ada, bob = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    await sharing(ada, seconds=7200.0)
    await sharing(bob, seconds=7200.0)
    begin = farm.clock.seconds() + 900.0
    await farm.operator().call("book", begin, 3600.0, 1, account="class-a")
    await live(farm, 10, worker, ada, bob)
    assert {(record.client, record.expires_at) for record in await farm.store.active()} == {
        ("ada", begin),
        ("bob", begin),
    }
    await live(farm, 900, worker, ada, bob)
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_board_that_all_have_shared_for_long_is_asked_of_all_of_them() -> None:
    farm = MemoryControl(ControlSettings(max_hold=600.0))
    worker, ada, bob, cem = await farm.worker("w1", "A"), *[await farm.client(name) for name in ("ada", "bob", "cem")]
    await sharing(ada, seconds=86400.0)
    await sharing(bob, seconds=86400.0)
    asked = {"kind": "pulsecount", "wait": True}
    start(cem.bus.call(control_procedure("reserve"), (1,), asked, timeout=1e6)).addErrback(lambda _: None)
    await live(farm, 3600.0 + 120.0, worker, ada, bob, cem)
    for client in (ada, bob):
        assert {"give_back_soon", "give_back"} <= {told["event"] for told in client.told}
