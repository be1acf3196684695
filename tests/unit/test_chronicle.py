"""History, journal and metrics of control in memory."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import defer

from icefarm.contract import BoardReading, DeviceStatus, to_wire
from icefarm.control.telemetry.recorder import INTERVAL, KEPT
from icefarm.errors import Busy, InvalidArgument, NotAuthorized, Unavailable
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker


async def busy_minute(farm: MemoryControl, worker: RecordingWorker, client: MemoryClient) -> None:
    """Let board A evaluate for a minute, 4 times a second, and fail twice."""
    for beat in range(1, 14):
        farm.pass_time(5)
        reading = BoardReading(
            "A", "pulsecount", evaluations=20 * beat, failures=2, measured=20 * beat, load_s=0.04 * 20 * beat,
            window_s=0.25 * 20 * beat, measured_s=beat, flashes=1, flash_s=1.5, temperature_c=30.0,
        )  # fmt: skip
        await worker.call("heartbeat", instance=worker.instance, readings=[to_wire(reading)])
        await client.call("heartbeat", "i")


@ensureDeferred
async def test_the_farm_is_sampled_every_few_seconds() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await worker.report("B", DeviceStatus.BROKEN)
    for _ in range(3):
        farm.pass_time(INTERVAL)
        await worker.heartbeat()
    history = await client.call("history", 3600.0)
    assert history["states"]["available"] == [1, 1, 1]
    assert history["states"]["broken"] == [1, 1, 1]
    assert len(history["time"]) == 3


@ensureDeferred
async def test_a_boards_page_has_its_states_samples_and_lines() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    await worker.call("log", level="warn", message="flash retry", serial="A")
    await busy_minute(farm, worker, client)
    past = await client.call("device_history", "A")
    assert [state["status"] for state in past["states"]][:2] == ["available", "reserved"]
    assert past["states"][1]["client"] == "ada"
    assert past["log"][0]["message"] == "flash retry"
    samples = past["samples"]
    assert samples["load_ms"][0] == pytest.approx(40.0)
    assert samples["window_ms"][0] == pytest.approx(250.0)
    assert sum(samples["failures"]) == 2
    assert max(samples["rate"]) == pytest.approx(4.0, rel=0.2)


@ensureDeferred
async def test_changes_of_counters_alone_are_no_states() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    for _ in range(3):
        await worker.report("A")
    assert len((await client.call("device_history", "A"))["states"]) == 1


@ensureDeferred
async def test_the_journal_has_what_happened_before_one_came() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    await worker.call("log", level="info", message="hello", serial=None)
    journal = await (await farm.client("late")).call("journal")
    assert [state["serial"] for state in journal["states"]] == ["A"]
    assert [line["message"] for line in journal["log"]] == ["hello"]


@ensureDeferred
async def test_history_is_kept_for_a_day_and_no_longer() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    farm.pass_time(3 * INTERVAL)
    farm.clock.advance(2 * KEPT)
    farm.pass_time(700)
    assert all(sample.time > farm.clock.seconds() - KEPT for sample in farm.history.kept.samples)


@ensureDeferred
async def test_what_cannot_be_written_is_written_when_the_database_is_back() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    recorder = farm.control.parts.recorder
    kept, recorder.history = recorder.history, _Away()
    await worker.call("log", level="warn", message="meanwhile", serial="A")
    farm.pass_time(2 * INTERVAL)
    recorder.history = kept
    farm.pass_time(2 * INTERVAL)
    assert [line.message for line in farm.history.kept.log] == ["meanwhile"]


class _Away:
    """A history whose database is away."""

    async def keep(self, _: object) -> None:
        raise Busy()


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9])
@ensureDeferred
async def test_a_span_without_end_is_refused(seconds: float) -> None:
    client = await MemoryControl().client("ada")
    with pytest.raises(InvalidArgument):
        await client.call("history", seconds)


@ensureDeferred
async def test_an_operator_removes_a_request_from_the_queue() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob = await farm.client("ada"), await farm.client("bob")
    await ada.call("reserve", 1, kind="pulsecount")
    waiting = defer.ensureDeferred(bob.call("reserve", 1, kind="pulsecount", wait=True))
    farm.pass_time(1)
    (record,) = (await ada.call("snapshot"))["queue"]
    with pytest.raises(NotAuthorized):
        await ada.call("dismiss", [record["id"]])
    assert await farm.operator().call("dismiss", [record["id"]]) == [record["id"]]
    with pytest.raises(Unavailable, match="operator"):
        await waiting
    assert (await ada.call("snapshot"))["queue"] == []


async def metrics(farm: MemoryControl) -> dict[str, float]:
    text, kind = await farm.control.metrics_page()
    assert kind.startswith("text/plain")
    lines = (line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


@ensureDeferred
async def test_metrics_count_boards_evaluations_and_durations() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await client.call("reserve", serials=["A"], kind="pulsecount")
    await busy_minute(farm, worker, client)
    found = await metrics(farm)
    assert found['icefarm_boards{state="reserved"}'] == 1
    assert found['icefarm_boards{state="available"}'] == 1
    assert found['icefarm_evaluations_total{kind="pulsecount"}'] == 260
    assert found['icefarm_evaluation_failures_total{kind="pulsecount"}'] == 2
    assert found['icefarm_load_seconds_sum{kind="pulsecount"}'] == pytest.approx(10.4)
    assert found["icefarm_flash_seconds_count"] == 1
    assert found['icefarm_worker_hellos_total{worker="w1"}'] == 1
    assert found['icefarm_reservations_total{kind="pulsecount"}'] == 1


@ensureDeferred
async def test_metrics_without_the_database_say_so_and_go_on() -> None:
    farm = MemoryControl()
    farm.database.away = True
    found = await metrics(farm)
    assert found["icefarm_database_connected"] == 0
    assert found['icefarm_router_sessions_total{router=""}'] == 1
    assert not any(name.startswith("icefarm_boards") for name in found)
