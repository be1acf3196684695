"""Workers and boards as control keeps them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.bus import Caller, Handler
from icefarm.concurrency.deferreds import shielded
from icefarm.contract import DeviceRecord, DeviceReport, DeviceStatus, Role, method_of, to_wire
from icefarm.control.sessions.liveness import HEARTBEAT, SILENCE
from icefarm.control.storage.interface import Taken
from icefarm.control.wiring.service import ControlSettings
from icefarm.errors import DeviceFailed, InvalidArgument, NotYours, ReservationEnded, Unavailable, UnknownWorker
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker
from icefarm.testing.memory.store import MemoryStore

SETTINGS = ControlSettings()
GRACE, WORKER_GRACE = SETTINGS.grace, SETTINGS.worker_grace


async def statuses(farm: MemoryControl) -> dict[str, str]:
    return {device.serial: str(device.status) for device in await farm.store.devices()}


async def worker_status(farm: MemoryControl) -> dict[str, str]:
    return {worker.name: worker.status for worker in await farm.store.workers()}


@ensureDeferred
async def test_a_hello_brings_worker_and_boards_in() -> None:
    farm = MemoryControl()
    client = await farm.client("ada")
    worker = await farm.worker("w1", "A", "B")
    assert await statuses(farm) == {"A": "available", "B": "available"}
    assert await worker.heartbeat()
    assert [fields for topic, fields in client.events if topic == "available"] == [{"amount": 2, "serials": ["A", "B"]}]
    assert [fields["status"] for topic, fields in client.events if topic == "worker"] == ["online"]


@ensureDeferred
async def test_a_lost_workers_boards_are_offline_at_once() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await client.call("reserve", serials=["A"], kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("power cut")
    assert await statuses(farm) == {"A": "offline", "B": "offline"}
    assert await worker_status(farm) == {"w1": "offline"}
    assert client.words()[-1] == ("failure", "A")
    assert (await client.call("available"))["amount"] == 0


@ensureDeferred
async def test_a_worker_that_comes_back_in_time_keeps_its_reservations_without_preparing_again() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("network")
    farm.clock.advance(15)
    await client.call("heartbeat", "i")
    await farm.join(worker)
    farm.clock.advance(16)
    assert [record.serial for record in await farm.store.active()] == ["A"]
    assert worker.asked("prepare") == ["A"]


async def _pass_with_heartbeats(farm: MemoryControl, client: MemoryClient, seconds: float) -> None:
    for _ in range(int(seconds / HEARTBEAT)):
        farm.clock.advance(HEARTBEAT)
        await client.call("heartbeat", "i")


@ensureDeferred
async def test_a_client_keeps_the_boards_of_a_worker_that_is_away_for_minutes() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("stopped")
    await _pass_with_heartbeats(farm, client, WORKER_GRACE - 2 * HEARTBEAT)
    assert [record.serial for record in await farm.store.active()] == ["A"]
    await farm.join(worker)
    await _pass_with_heartbeats(farm, client, 2 * GRACE)
    assert [record.serial for record in await farm.store.active()] == ["A"]
    assert worker.asked("prepare") == ["A"]


@ensureDeferred
async def test_a_worker_that_stays_away_loses_its_reservations() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("burnt down")
    await _pass_with_heartbeats(farm, client, WORKER_GRACE + HEARTBEAT)
    assert await farm.store.active() == []
    assert client.words()[-1] == ("ended", "A")


@ensureDeferred
async def test_boards_of_a_worker_that_is_away_are_not_kept_for_a_client_that_is_away_too() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await client.call("heartbeat", "i")
    assert worker.bus is not None
    worker.bus.drop("stopped")
    client.bus.drop("crashed")
    farm.pass_time(GRACE + HEARTBEAT)
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_worker_that_comes_back_without_a_board_gives_it_the_time_of_an_unplugged_one() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await client.call("reserve", serials=["A"], kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("stopped")
    await _pass_with_heartbeats(farm, client, 2 * GRACE)
    await farm.worker("w1", "B")
    await _pass_with_heartbeats(farm, client, GRACE + HEARTBEAT)
    assert await farm.store.active() == []


@ensureDeferred
async def test_what_is_read_of_a_board_before_its_next_report_is_not_shown_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    read, slow = farm.store.devices, Deferred[None]()

    async def devices(serials: Sequence[str] | None = None) -> list[DeviceRecord]:
        boards = await read(serials)
        await shielded(slow)
        return boards

    monkeypatch.setattr(farm.store, "devices", devices)
    await client.call("reserve", 1, kind="pulsecount")
    monkeypatch.undo()
    await worker.report("A", DeviceStatus.BROKEN, "it fails")
    slow.callback(None)
    farm.clock.advance(0)
    shown = [fields["status"] for topic, fields in client.events if topic == "device"]
    assert shown[-1] != "reserved", shown


@ensureDeferred
async def test_a_restarted_worker_prepares_again_what_is_reserved() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    (record,) = await client.call("reserve", serials=["A"], kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("crash")
    fresh = RecordingWorker("w1", ["A", "B"], instance="second start")
    await farm.join(fresh)
    assert fresh.holds == {"A": record["id"], "B": None}


@ensureDeferred
async def test_a_worker_that_missed_an_end_hears_of_it_in_the_answer_to_its_hello() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert worker.bus is not None
    worker.bus.drop("network")
    assert await client.call("end") == ["A"]
    await farm.join(worker)
    assert worker.holds == {"A": None}
    assert await statuses(farm) == {"A": "available"}


@ensureDeferred
async def test_a_silent_worker_is_killed_and_its_boards_are_offline() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    farm.clock.advance(SILENCE + 0.1)
    assert worker.bus is not None
    assert worker.bus.session not in farm.router.sessions
    assert await statuses(farm) == {"A": "offline"}


@ensureDeferred
async def test_a_restarted_control_asks_for_a_hello() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    farm.stop_control()
    farm.start_control()
    assert not await worker.heartbeat()
    assert await worker.heartbeat()


@ensureDeferred
async def test_a_restarted_control_sets_workers_offline_that_left_meanwhile() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    farm.stop_control()
    assert worker.bus is not None
    worker.bus.drop("left")
    farm.start_control()
    assert await worker_status(farm) == {"w1": "offline"}
    assert await statuses(farm) == {"A": "offline"}


@ensureDeferred
async def test_a_report_before_the_hello_is_refused() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    farm.stop_control()
    farm.start_control()
    with pytest.raises(UnknownWorker):
        await worker.report("A")


@ensureDeferred
async def test_a_board_that_its_worker_has_for_nobody_is_prepared_again() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    (record,) = await client.call("reserve", 1, kind="pulsecount")
    worker.holds["A"] = None
    await worker.report("A", DeviceStatus.AVAILABLE)
    assert worker.asked("prepare") == ["A", "A"]
    assert worker.holds == {"A": record["id"]}


@ensureDeferred
async def test_a_board_that_its_worker_has_for_an_ended_reservation_is_released() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    worker.holds["A"] = "long gone"
    await worker.report("A", DeviceStatus.RESERVED)
    assert worker.orders == [("release", "A", "long gone")]
    assert worker.holds == {"A": None}


@ensureDeferred
async def test_a_board_that_cannot_be_prepared_again_is_taken_from_its_client() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    worker.failing["A"] = DeviceFailed("it smokes")
    worker.holds["A"] = None
    await worker.report("A", DeviceStatus.AVAILABLE)
    assert await farm.store.active() == []
    assert client.words()[-2:] == [("failure", "A"), ("ended", "A")]


@ensureDeferred
async def test_a_release_that_the_worker_does_not_answer_is_asked_for_again() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    assert worker.bus is not None
    hang: Deferred[None] = Deferred()

    async def hanging(*_: object) -> None:
        await hang

    entry = next(entry for entry in farm.router.procedures if entry.owner is worker.bus)
    answers, entry.handler = entry.handler, hanging
    await client.call("end")
    farm.clock.advance(10)
    entry.handler = answers
    farm.clock.advance(5)
    assert worker.asked("release") == ["A"]
    assert worker.holds == {"A": None}


@ensureDeferred
async def test_two_workers_cannot_have_one_board() -> None:
    farm = MemoryControl()
    first = await farm.worker("w1", "A")
    second = await farm.worker("w2", "A")
    assert [device.worker for device in await farm.store.devices()] == ["w1"]
    with pytest.raises(NotYours):
        await second.report("A")
    await first.report("A")


@ensureDeferred
async def test_reports_of_many_boards_are_taken_in_together_and_those_of_others_are_named() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    second, client = await farm.worker("w2", "B", "C"), await farm.client("ada")
    second.holds["A"], second.status["A"] = None, DeviceStatus.AVAILABLE
    said = [to_wire(evolve(second.report_of(serial), status=DeviceStatus.BROKEN)) for serial in "ABC"]
    answer = await second.call("reports", reports=said)
    assert list(answer["refused"]) == ["A"]
    assert "w1" in answer["refused"]["A"]
    assert await statuses(farm) == {"A": "available", "B": "broken", "C": "broken"}
    assert [fields["serial"] for topic, fields in client.events if topic == "device"] == ["B", "C"]


@ensureDeferred
async def test_reports_that_come_while_others_are_written_share_a_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", *"ABCDEF")
    written: list[int] = []
    report = MemoryStore.report

    async def counted(self: MemoryStore, name: str, reports: Sequence[DeviceReport]) -> Taken:
        written.append(len(reports))
        return await report(self, name, reports)

    monkeypatch.setattr(MemoryStore, "report", counted)
    farm.database.latency = 0.5
    for serial in worker.serials:
        worker.tell(serial)
    farm.pass_time(5)
    assert written == [1, 5]
    assert worker.unsent == set()


@ensureDeferred
async def test_a_worker_of_an_earlier_version_gets_one_order_for_each_board() -> None:
    farm = MemoryControl()
    worker = RecordingWorker("w1", ["A", "B"], lists=False)
    await farm.join(worker)
    client = await farm.client("ada")
    calls: list[str] = []
    ordered = worker._ordered
    entry = next(entry for entry in farm.router.procedures if entry.owner is worker.bus)

    async def noted(caller: Caller, procedure: str, *args: Any) -> Any:
        calls.append(method_of(procedure)[1])
        return await ordered(caller, procedure, *args)

    entry.handler = noted
    await client.call("reserve", 2, kind="pulsecount")
    await client.call("end")
    assert calls == ["prepare", "prepare", "release", "release"]
    assert worker.holds == {"A": None, "B": None}


@ensureDeferred
async def test_a_worker_gets_one_order_for_all_boards_of_a_request() -> None:
    farm = MemoryControl()
    workers, client = (
        [await farm.worker(name, f"{name}a", f"{name}b") for name in ("w1", "w2")],
        await farm.client("ada"),
    )
    calls: Counter[str] = Counter()
    for worker in workers:
        entry = next(entry for entry in farm.router.procedures if entry.owner is worker.bus)
        entry.handler = partial(_counted, calls, worker._ordered)
    await client.call("reserve", 4, kind="pulsecount")
    await client.call("end")
    assert calls == {"prepare_all": 2, "release_all": 2}
    assert all(set(worker.holds.values()) == {None} for worker in workers)


async def _counted(calls: Counter[str], ordered: Handler, caller: Caller, procedure: str, *args: Any) -> Any:
    calls[method_of(procedure)[1]] += 1
    return await ordered(caller, procedure, *args)


@ensureDeferred
async def test_a_board_that_breaks_while_another_one_of_its_request_gets_ready_is_noticed() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    worker.stuck["B"] = Deferred()
    asked = shielded(Deferred.fromCoroutine(client.call("reserve", serials=["A", "B"], kind="pulsecount")))
    await worker.report("A", DeviceStatus.BROKEN, "it burns")
    worker.stuck["B"].callback(None)
    with pytest.raises(ReservationEnded):
        await asked
    assert await farm.store.active() == []


@ensureDeferred
async def test_a_draining_workers_boards_are_not_chosen_until_it_resumes() -> None:
    farm = MemoryControl()
    worker, client, operator = await farm.worker("w1", "A"), await farm.client("ada"), farm.operator()
    assert (await operator.call("drain", "w1"))["draining"] is True
    assert worker.draining
    with pytest.raises(Unavailable, match="drained"):
        await client.call("reserve", 1, kind="pulsecount")
    client.events.clear()
    assert (await operator.call("resume", "w1"))["draining"] is False
    assert ("available", {"amount": 1, "serials": ["A"]}) in client.events
    await client.call("reserve", 1, kind="pulsecount")


@ensureDeferred
async def test_several_workers_are_drained_and_resumed_by_one_call_or_none_is() -> None:
    farm = MemoryControl()
    first, second, operator = await farm.worker("w1", "A"), await farm.worker("w2", "B"), farm.operator()
    drained = await operator.call("drain", workers=["w2", "w1"])
    assert [(each["name"], each["draining"]) for each in drained] == [("w2", True), ("w1", True)]
    assert (first.draining, second.draining) == (True, True)
    resumed = await operator.call("resume", workers=["w1"])
    assert [(each["name"], each["draining"]) for each in resumed] == [("w1", False)]
    with pytest.raises(UnknownWorker, match="knows no worker 'w9'"):
        await operator.call("drain", workers=["w1", "w9"])
    assert (first.draining, second.draining) == (False, True)


@ensureDeferred
async def test_a_worker_drained_while_it_was_away_hears_of_it() -> None:
    farm = MemoryControl()
    worker, operator = await farm.worker("w1", "A"), farm.operator()
    assert worker.bus is not None
    worker.bus.drop("network")
    await operator.call("drain", "w1")
    await farm.join(worker)
    assert worker.draining


@ensureDeferred
async def test_a_worker_without_reservations_that_is_to_leave_goes_at_once() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    record = await farm.operator().call("drain", "w1", leave=True)
    assert (record["draining"], record["leaving"], worker.left) == (True, True, True)


@ensureDeferred
async def test_a_worker_that_drains_leaves_when_its_last_reservation_ends() -> None:
    farm = MemoryControl()
    worker, client, operator = await farm.worker("w1", "A", "B"), await farm.client("ada"), farm.operator()
    other = await farm.worker("w2", "C")
    await client.call("reserve", serials=["A", "B"], kind="pulsecount")
    await operator.call("drain", "w1", leave=True)
    await client.call("end", ["A"])
    with pytest.raises(Unavailable, match="drained"):
        await client.call("reserve", serials=["A"], kind="pulsecount")
    assert not worker.left
    await client.call("end", ["B"])
    assert (worker.left, other.left) == (True, False)


@ensureDeferred
async def test_a_worker_that_only_drains_stays() -> None:
    farm = MemoryControl()
    worker, client, operator = await farm.worker("w1", "A"), await farm.client("ada"), farm.operator()
    await client.call("reserve", 1, kind="pulsecount")
    await operator.call("drain", "w1", leave=True)
    await operator.call("drain", "w1")
    await client.call("end")
    assert not worker.left


@ensureDeferred
async def test_who_is_to_leave_outlives_a_restart_of_control_and_of_the_worker() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await farm.operator().call("drain", "w1", leave=True)
    farm.stop_control()
    farm.start_control()
    await worker.heartbeat()
    assert worker.bus is not None
    worker.bus.drop("killed")
    worker.instance = "another"
    await farm.join(worker)
    assert not worker.left
    await client.call("end")
    assert worker.left


@ensureDeferred
async def test_whoever_comes_after_a_worker_that_has_left_is_not_drained() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    await farm.operator().call("drain", "w1", leave=True)
    assert worker.bus is not None
    worker.bus.drop("left")
    (before,) = await farm.store.workers()
    assert (before.status, before.leaving) == ("offline", True)
    worker.instance = "another"
    await farm.join(worker)
    (after,) = await farm.store.workers()
    assert (after.status, after.draining, after.leaving, worker.draining) == ("online", False, False, False)


@ensureDeferred
async def test_a_worker_that_loses_its_link_while_it_is_told_to_leave_is_told_again() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await farm.operator().call("drain", "w1", leave=True)
    assert worker.bus is not None
    worker.bus.drop("network")
    await client.call("end")
    assert not worker.left
    await farm.join(worker)
    assert worker.left


@ensureDeferred
async def test_a_worker_that_is_away_cannot_leave() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    assert worker.bus is not None
    worker.bus.drop("network")
    with pytest.raises(UnknownWorker, match="not connected"):
        await farm.operator().call("drain", "w1", leave=True)
    (record,) = await farm.store.workers()
    assert not record.draining


@ensureDeferred
async def test_an_unknown_worker_cannot_be_drained() -> None:
    farm = MemoryControl()
    with pytest.raises(UnknownWorker):
        await farm.operator().call("drain", "nobody")


@ensureDeferred
async def test_a_broken_board_is_retested_on_demand() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    await worker.report("A", DeviceStatus.BROKEN, "no CDONE")
    assert await farm.operator().call("retest", ["A"]) == ["A"]
    assert worker.asked("retest") == ["A"]


@ensureDeferred
async def test_a_worker_cannot_say_hello_for_another() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    worker.name = "w2"
    with pytest.raises(InvalidArgument, match="'w2'"):
        await worker.hello()


@ensureDeferred
async def test_an_event_of_a_kind_reaches_the_holder_only() -> None:
    farm = MemoryControl()
    worker, client, other = await farm.worker("w1", "A"), await farm.client("ada"), await farm.client("bob")
    (record,) = await client.call("reserve", 1, kind="pulsecount")
    await worker.call("event", serial="A", reservation=record["id"], name="waveform", fields={"samples": [1, 2]})
    assert client.told[-1] == {"event": "waveform", "serial": "A", "reservation": record["id"], "samples": [1, 2]}
    assert other.told == []


@ensureDeferred
async def test_an_event_of_a_kind_cannot_pass_for_one_of_controls() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    (record,) = await client.call("reserve", 1, kind="pulsecount")
    with pytest.raises(InvalidArgument):
        await worker.call("event", serial="A", reservation=record["id"], name="ended", fields={})


@ensureDeferred
async def test_a_worker_sends_events_for_its_own_live_reservations_only() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    stranger, client = await farm.worker("w2", "B"), await farm.client("ada")
    (record,) = await client.call("reserve", serials=["A"], kind="pulsecount")
    event = {"serial": "A", "reservation": record["id"], "name": "x", "fields": {}}
    with pytest.raises(NotYours):
        await stranger.call("event", **event)
    await client.call("end")
    with pytest.raises(ReservationEnded):
        await stranger.call("event", **event)


@ensureDeferred
async def test_a_workers_log_line_reaches_those_who_watch_on_one_line() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await worker.call("log", level="warn", message="flash failed\n2026-01-01 [root] all is well", serial="A")
    ((_, fields),) = [event for event in client.events if event[0] == "log"]
    assert (fields["worker"], fields["serial"], fields["level"]) == ("w1", "A", "warn")
    assert "\n" not in fields["message"]


@ensureDeferred
async def test_nothing_overtakes_the_answer_to_a_hello() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    farm.control.sessions.greet(Caller("w1", 1, Role.WORKER))
    reserving = Deferred.fromCoroutine(client.call("reserve", 1, kind="pulsecount"))
    assert worker.asked("prepare") == []
    farm.control.sessions.greeted("w1")
    farm.clock.advance(0)
    assert [record["serial"] for record in await reserving] == ["A"]


@pytest.mark.parametrize("comes_back", [True, False])
@ensureDeferred
async def test_a_report_of_an_earlier_session_does_not_count_more_than_what_came_after(comes_back: bool) -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    # The report is slow on its way to the database, and nothing after it is.
    delays = iter([3.0])
    farm.database.latency = lambda: next(delays, 0.0)
    worker.status["A"] = DeviceStatus.FLASHING if comes_back else DeviceStatus.AVAILABLE
    worker.tell("A")
    assert worker.bus is not None
    worker.bus.drop("network")
    worker.status["A"] = DeviceStatus.AVAILABLE
    if comes_back:
        joining = Deferred.fromCoroutine(farm.join(worker))
    farm.pass_time(10.0)
    assert await statuses(farm) == {"A": "available" if comes_back else "offline"}
    assert not comes_back or joining.called
