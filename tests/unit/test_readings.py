"""What boards count: on the worker, on its way, and what control makes of it."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred

from icefarm.contract import READING_TOPIC, BoardReading, DeviceStatus, to_wire
from icefarm.control.telemetry.counting import difference, rates
from icefarm.kinds.handle import Answer
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker
from icefarm.worker.protocol.health import Tally
from icefarm.worker.reservation.counters import BoardCounters

ANSWER = Answer(b"", 1, 34_000, 1_000_000, 0, 31.5, 100.0, 101.25)


class Unmoved:
    """A `TallyListener` that lets a board be."""

    def did_well(self) -> None: ...

    def did_badly(self, why: str, again: bool) -> None: ...


def readings() -> st.SearchStrategy[BoardReading]:
    counts, sums = st.integers(0, 10**9), st.floats(0, 1e9)
    return st.builds(
        BoardReading, st.just("A"), st.none(), counts, counts, counts, counts, sums, counts, sums, sums, sums, st.none()
    )


async def beat(worker: RecordingWorker, *said: BoardReading) -> None:
    await worker.call("heartbeat", instance=worker.instance, readings=[to_wire(reading) for reading in said])


async def watched(client: MemoryClient) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    await client.bus.subscribe(READING_TOPIC, lambda _, __, fields: told.append(dict(fields)))
    return told


def test_a_tally_adds_up_what_a_board_measured() -> None:
    tally = Tally(Unmoved())
    tally.measured(ANSWER)
    tally.measured(ANSWER)
    tally.flashed(2.5)
    reading = tally.reading("A", "pulsecount")
    assert (reading.measured, reading.load_s, reading.window_s, reading.measured_s) == (2, 0.068, 2.0, 2.5)
    assert (reading.flashes, reading.flash_s, reading.temperature_c) == (1, 2.5, 31.5)


def test_a_heartbeat_has_only_what_control_does_not_know() -> None:
    said, board = BoardCounters(), BoardReading("A", evaluations=1)
    assert said.news([board]) == [board]
    assert said.news([board]) == [board]
    said.told([board])
    assert said.news([board]) == []
    said.forget()
    assert said.news([board]) == [board]


@given(readings(), readings())
def test_no_difference_is_negative(before: BoardReading, now: BoardReading) -> None:
    done = difference(before, now)
    assert min(done.evaluations, done.failures, done.retries, done.flashes, done.measured) >= 0
    assert min(done.flash_s, done.load_s, done.window_s, done.measured_s) >= 0


@given(readings())
def test_nothing_was_done_where_the_past_is_unknown(now: BoardReading) -> None:
    assert difference(None, now) == BoardReading("A", temperature_c=now.temperature_c)


def test_a_worker_that_started_anew_did_all_that_it_says() -> None:
    before = BoardReading("A", "pulsecount", evaluations=100, measured=100)
    assert difference(before, BoardReading("A", "pulsecount", evaluations=3, measured=3)).evaluations == 3


def test_what_was_done_is_counted_for_the_kind_that_the_board_served_last() -> None:
    before = BoardReading("A", "uart", evaluations=1)
    assert difference(before, BoardReading("A", "pulsecount", evaluations=2)).kind == "pulsecount"


def test_means_are_of_what_was_measured_and_none_of_nothing() -> None:
    done = BoardReading("A", evaluations=10, measured=4, load_s=0.2, window_s=1.0)
    found = rates(done, evolve(done, evaluations=50), 5.0)
    assert (found.rate, found.load_ms, found.window_ms, found.evaluations) == (2.0, 50.0, 250.0, 50)
    assert rates(BoardReading("A"), done, 5.0).load_ms is None


@ensureDeferred
async def test_evaluations_per_second_are_told_with_each_heartbeat() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    told = await watched(client)
    farm.clock.advance(5)
    await beat(worker, BoardReading("A", "pulsecount", evaluations=20, measured=20))
    assert told[-1]["boards"]["A"]["rate"] == 4.0
    snapshot = await client.call("snapshot")
    assert snapshot["readings"]["A"]["evaluations"] == 20


@ensureDeferred
async def test_a_board_that_stops_is_told_once() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    told = await watched(client)
    farm.clock.advance(5)
    await beat(worker, BoardReading("A", evaluations=20))
    for _ in range(3):
        farm.clock.advance(5)
        await beat(worker)
    assert [event["boards"]["A"]["rate"] for event in told] == [4.0, 0.0]


@ensureDeferred
async def test_a_lost_workers_boards_do_nothing() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    farm.clock.advance(5)
    await beat(worker, BoardReading("A", evaluations=20))
    assert worker.bus is not None
    worker.bus.drop("power cut")
    assert (await client.call("snapshot"))["readings"]["A"]["rate"] == 0.0


@ensureDeferred
async def test_a_deleted_board_is_told_and_forgotten() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await beat(worker, BoardReading("A", evaluations=20))
    await worker.report("A", DeviceStatus.OFFLINE)
    await farm.operator().call("delete", ["A"])
    assert ("deleted", {"serials": ["A"]}) in client.events
    assert "A" not in (await client.call("snapshot"))["readings"]
