"""What the farm was like, as PostgreSQL keeps it."""

from __future__ import annotations

import pytest
from pytest_twisted import ensureDeferred

from icefarm.contract import DeviceReport, DeviceStatus, WorkerHello
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.history import BoardSample, FarmSample, HistoryBatch, LogLine, StateChange
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.history import PostgresHistory
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.testing.memory.control_harness import PULSECOUNT

pytestmark = pytest.mark.integration

NOW = 1_800_000_000.0


def sample(time: float, available: int) -> FarmSample:
    states = {status.value: 0 for status in DeviceStatus} | {"available": available}
    return FarmSample(time, states, 2.5, 0.5, 3, 60.0)


@ensureDeferred
async def test_samples_are_averaged_over_the_step_that_is_asked_for(database: Database) -> None:
    history = PostgresHistory(database)
    await history.keep(
        HistoryBatch(samples=[sample(NOW + seconds, available) for seconds, available in ((0, 2), (10, 4), (60, 6))])
    )
    fine = await history.samples(NOW, 10.0)
    assert [(each.time - NOW, each.states["available"]) for each in fine] == [(0, 2), (10, 4), (60, 6)]
    coarse = await history.samples(NOW, 60.0)
    assert [(each.time - NOW, each.states["available"], each.waiting) for each in coarse] == [(0, 3, 3), (60, 6, 3)]


@ensureDeferred
async def test_a_boards_past_begins_with_the_state_that_it_had(database: Database) -> None:
    history = PostgresHistory(database)
    hostile = "<b>'; DROP TABLE sample --"
    states = [StateChange("A", NOW + at, "w", "available", hostile, None) for at in (-100, -50, 10)]
    boards = [BoardSample("A", NOW + 60, 1.5, None, 250.0, None, 1, 2), BoardSample("B", NOW + 60, 1, 1, 1, 1, 0, 0)]
    await history.keep(
        HistoryBatch(boards=boards, states=states, log=[LogLine(NOW + 1, "w", "A", "warn", "flash retry")])
    )
    past = await history.board("A", NOW)
    assert past.states == states[1:]
    assert past.samples == boards[:1]
    assert [line.message for line in past.log] == ["flash retry"]


@ensureDeferred
async def test_the_journal_has_the_last_of_everything(database: Database) -> None:
    store, history = PostgresStore(database), PostgresHistory(database)
    report = DeviceReport("A", DeviceStatus.AVAILABLE)
    await store.hello(WorkerHello("w", "i", "host", "1", [PULSECOUNT], [report]))
    await store.reserve("ada", ReservationRequest(kind="pulsecount", amount=1, serials=None, options={}), 60.0)
    now = await store.now()
    await history.keep(HistoryBatch(states=[StateChange("A", now + n, "w", "available", None, None) for n in range(5)]))
    journal = await history.journal(now - 60, 3)
    assert [state.time - now for state in journal.states] == pytest.approx([2, 3, 4])
    assert [record.client for record in journal.reservations] == ["ada"]


@ensureDeferred
async def test_what_is_older_is_forgotten(database: Database) -> None:
    history = PostgresHistory(database)
    await history.keep(
        HistoryBatch(samples=[sample(NOW, 1), sample(NOW + 100, 2)], log=[LogLine(NOW, "w", None, "info", "old")])
    )
    await history.forget(NOW + 50)
    assert [each.time - NOW for each in await history.samples(0, 10.0)] == [100]
    assert (await history.journal(0, 10)).log == []
