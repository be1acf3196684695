"""Boards that are calibrated while nobody uses them: `icefarm.control` over a router and stores in memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from attrs import evolve, frozen
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred

from icefarm.contract import DeviceStatus
from icefarm.control.archive.interface import ExperimentFilter
from icefarm.control.inventory.calibration.keeper import LOOK
from icefarm.control.inventory.calibration.references import WINDOWS
from icefarm.control.inventory.calibration.schedule import QUIET
from icefarm.control.scheduling.availability import SuspectRule
from icefarm.control.telemetry.events import Event, WorkerLogged
from icefarm.control.wiring.settings import ControlSettings
from icefarm.errors import Unavailable
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker

start = Deferred.fromCoroutine
DAY = 86_400.0
#: Seconds between heartbeats.
STEP = 5.0
#: How far boards are off, in ppm.
OFFSETS = {"A": 100.0, "B": -40.0, "C": 10.0, "D": 60.0, "E": -20.0, "F": 30.0, "G": 0.0}


def constant(serial: str, _: float) -> float:
    return OFFSETS[serial]


async def measuring(
    farm: MemoryControl, *serials: str, offset: Callable[[str, float], float] = constant
) -> RecordingWorker:
    """Connect a worker that measures references."""
    worker = RecordingWorker("w1", list(serials), offset=offset)
    await farm.join(worker)
    return worker


async def wait(
    farm: MemoryControl, worker: RecordingWorker, seconds: float = QUIET + 3 * LOOK, *clients: MemoryClient
) -> None:
    """Let time pass; the worker and the clients are there all the time."""
    for _ in range(round(seconds / STEP)):
        farm.clock.advance(STEP)
        await worker.heartbeat()
        for client in clients:
            await client.call("heartbeat", instance="i")


@ensureDeferred
async def test_idle_boards_measure_the_references_and_clients_can_compare_them() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A", "B")
    client = await farm.client("ada")
    assert (await client.call("calibrations"))["calibrations"] == []
    await wait(farm, worker)
    assert sorted(worker.asked("measure_references")) == ["A", "B"]
    found = (await client.call("calibrations", reference="oscillator"))["calibrations"]
    assert [(each["serial"], round(each["offset_ppm"])) for each in found] == [("A", 100), ("B", -40)]
    readings = (await client.call("reference_readings", "A"))["readings"]
    assert [reading["pulses"] for reading in readings] == [3_000_300] * WINDOWS


@ensureDeferred
async def test_the_record_of_a_board_shows_its_figures_and_requests_choose_by_them() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A", "B")
    client = await farm.client("ada")
    await wait(farm, worker)
    records = await client.call("reserve", 1, kind="pulsecount", where="offset_ppm < 50 and temperature in 20..40")
    assert [record["serial"] for record in records] == ["B"]
    found = {each["serial"]: each["calibration"] for each in (await client.call("snapshot"))["devices"]}
    assert round(found["A"]["offset_ppm"]) == 100
    assert records[0]["calibration"] == found["B"]["id"]


@ensureDeferred
async def test_a_board_that_is_reserved_is_not_measured_until_it_has_been_free_for_a_while() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", grace=DAY)
    await wait(farm, worker, 600.0, client)
    assert worker.asked("measure_references") == []
    await client.call("end")
    await wait(farm, worker, QUIET - 2 * LOOK)
    assert worker.asked("measure_references") == []
    await wait(farm, worker)
    assert worker.asked("measure_references") == ["A"]


@ensureDeferred
async def test_a_board_that_measures_stays_available_and_a_reservation_gets_it_at_once() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A")
    worker.measuring = []
    client = await farm.client("ada")
    await wait(farm, worker)
    assert len(worker.measuring) == 1
    assert (await client.call("available"))["serials"] == ["A"]
    records = await client.call("reserve", 1, kind="pulsecount")
    assert [record["serial"] for record in records] == ["A"]


@ensureDeferred
async def test_while_somebody_waits_for_boards_none_measures() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A", "B")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", serials=["A"], kind="pulsecount", grace=DAY)
    waiting = start(bob.call("reserve", serials=["A"], kind="pulsecount", wait=True, grace=DAY))
    await wait(farm, worker, 300.0, ada, bob)
    assert worker.asked("measure_references") == []
    waiting.addErrback(lambda failure: failure.trap(CancelledError))
    waiting.cancel()
    await wait(farm, worker, 300.0, ada, bob)
    assert worker.asked("measure_references") == ["B"]


@ensureDeferred
async def test_a_few_boards_measure_at_the_same_time() -> None:
    farm = MemoryControl(ControlSettings(calibrate_at_once=2))
    worker = await measuring(farm, *"ABCDE")
    worker.measuring = []
    await wait(farm, worker)
    assert len(worker.measuring) == 2
    worker.measuring.pop().callback(None)
    await wait(farm, worker, 2 * LOOK)
    assert len(worker.measuring) == 2


@ensureDeferred
async def test_an_operator_can_do_without() -> None:
    farm = MemoryControl(ControlSettings(calibration=False))
    worker = await measuring(farm, "A")
    await wait(farm, worker, 600.0)
    assert worker.orders == []


@ensureDeferred
async def test_a_worker_that_does_not_measure_references_is_not_asked() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    await wait(farm, worker, 600.0)
    assert worker.orders == []


@ensureDeferred
async def test_boards_of_a_drained_worker_are_left_alone() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A")
    await farm.operator().call("drain", "w1")
    await wait(farm, worker, 300.0)
    assert worker.asked("measure_references") == []


@ensureDeferred
async def test_the_next_control_knows_what_was_measured() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A")
    await wait(farm, worker)
    farm.kill_control()
    farm.start_control()
    farm.clock.advance(1)
    await farm.join(worker)
    await wait(farm, worker, 600.0)
    assert worker.asked("measure_references") == ["A"]
    client = await farm.client("ada")
    assert len((await client.call("calibrations"))["calibrations"]) == 1


@ensureDeferred
async def test_a_board_that_was_deleted_is_no_longer_compared_and_its_readings_count_when_it_comes_back() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A", "B")
    client = await farm.client("ada")
    await wait(farm, worker)
    await worker.report("B", DeviceStatus.OFFLINE)
    await farm.operator().call("delete", ["B"])
    worker.serials.remove("B")
    assert [each["serial"] for each in (await client.call("calibrations"))["calibrations"]] == ["A"]
    farm.kill_control()
    farm.start_control()
    farm.clock.advance(1)
    await farm.join(worker)
    await wait(farm, worker)
    assert {serial for serial, _ in farm.control.parts.calibration._judge.present} == {"A"}
    worker.serials.append("B")
    await worker.report("B", DeviceStatus.AVAILABLE)
    await wait(farm, worker)
    assert sorted(worker.asked("measure_references")) == ["A", "B", "B"]
    client = await farm.client("ada")
    found = (await client.call("calibrations", serials=["B"]))["calibrations"]
    assert [each["readings"] for each in found] == [2 * WINDOWS]


@pytest.mark.parametrize("late", [DAY, -DAY])
@ensureDeferred
async def test_boards_of_a_worker_whose_clock_is_wrong_measure_no_more_often_and_as_of_now(late: float) -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A")
    worker.late = late
    await wait(farm, worker, 1800.0)
    assert worker.asked("measure_references") == ["A"]
    client = await farm.client("ada")
    (found,) = (await client.call("calibrations"))["calibrations"]
    assert 0 <= farm.clock.seconds() - found["valid_from"] < 1800.0


@ensureDeferred
async def test_readings_are_in_the_archive_as_an_experiment_of_the_farms_own() -> None:
    farm = MemoryControl()
    worker = await measuring(farm, "A")
    await wait(farm, worker)
    (found,) = await farm.archive.experiments(ExperimentFilter())
    assert (found.key, found.done, found.shared) == (("icefarm", "calibration"), WINDOWS, True)


#: What makes board B suspect.
WHY = "offset 900 ppm at oscillator, where the median of all boards is 0 ppm"


async def with_a_suspect(rule: SuspectRule) -> MemoryControl:
    """Return a farm whose board B became suspect when an earlier control was there."""
    farm = MemoryControl(ControlSettings(suspect_boards=rule))
    worker = await measuring(farm, "A", "B", "C")
    await wait(farm, worker)
    shown = {board.serial: board.calibration for board in await farm.store.devices()}
    assert shown["B"] is not None
    await farm.store.show_calibrations({"B": evolve(shown["B"], suspect=WHY)})
    farm.kill_control()
    farm.start_control()
    farm.clock.advance(1)
    await farm.join(worker)
    await wait(farm, worker, 2 * LOOK)
    return farm


@ensureDeferred
async def test_a_suspect_board_is_given_out_last() -> None:
    farm = await with_a_suspect(SuspectRule.AVOID)
    client = await farm.client("ada")
    assert (await client.call("calibrations"))["suspects"] == {"B": WHY}
    records = await client.call("reserve", 2, kind="pulsecount")
    assert [record["serial"] for record in records] == ["A", "C"]
    assert [record["serial"] for record in await client.call("reserve", 1, kind="pulsecount")] == ["B"]


@ensureDeferred
async def test_a_suspect_board_is_taken_away_only_by_the_operators_rule() -> None:
    farm = await with_a_suspect(SuspectRule.SET_ASIDE)
    client = await farm.client("ada")
    assert (await client.call("available"))["serials"] == ["A", "C"]
    with pytest.raises(Unavailable, match="set aside as suspect"):
        await client.call("reserve", serials=["B"], kind="pulsecount")
    farm = await with_a_suspect(SuspectRule.IGNORE)
    client = await farm.client("ada")
    records = await client.call("reserve", 2, kind="pulsecount")
    assert [record["serial"] for record in records] == ["A", "B"]


@ensureDeferred
async def test_metrics_count_suspect_boards_and_readings() -> None:
    farm = await with_a_suspect(SuspectRule.AVOID)
    page, _ = await farm.control.metrics_page()
    assert b"icefarm_suspect_boards 1.0" in page
    assert b"icefarm_reference_seconds_count" in page


@ensureDeferred
async def test_the_journal_says_when_a_board_became_suspect_and_when_it_no_longer_is() -> None:
    farm = await with_a_suspect(SuspectRule.AVOID)
    keeper = farm.control.parts.calibration
    worker = await farm.worker("w2", "D")
    lines: list[str] = []
    farm.control.parts.publisher.subscribe(Lines(lines), WorkerLogged)
    keeper._judge._told = {"A": WHY}
    await keeper._show()
    assert worker.orders == []
    assert lines == [f"board A is suspect: {WHY}", "board B is no longer suspect"]


@frozen
class Lines:
    """Keeps the lines of the journal."""

    lines: list[str]

    def heard(self, event: Event) -> None:
        assert isinstance(event, WorkerLogged)
        self.lines.append(event.message)
