"""The farm's records in control's memory: a question about them costs the database nothing while nothing changes."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.contract import DeviceStatus
from icefarm.control.storage.mirror import STALE
from icefarm.control.storage.shared import FRESH
from icefarm.errors import Busy
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl
from icefarm.testing.memory.store import MemoryStore


class CountingStore:
    """Counts reads of the store behind it."""

    def __init__(self, farm: MemoryControl) -> None:
        self.reads: Counter[str] = Counter()
        self._store: MemoryStore = farm.store
        farm.database.store = self  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._store, name)

        async def counted(*args: Any, **kwargs: Any) -> Any:
            whole = name != "devices" or not (args or kwargs)
            self.reads[name if whole else "some devices"] += 1
            return await method(*args, **kwargs)

        return counted


async def free(client: MemoryClient) -> list[str]:
    serials: list[str] = (await client.call("available"))["serials"]
    return serials


@ensureDeferred
async def test_asking_for_free_boards_again_reads_nothing() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    assert await free(client) == ["A", "B"]
    store = CountingStore(farm)
    for _ in range(20):
        assert await free(client) == ["A", "B"]
    assert store.reads == {}


@ensureDeferred
async def test_a_report_changes_the_answer_without_a_read() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await free(client)
    store = CountingStore(farm)
    await worker.report("A", DeviceStatus.BROKEN, "no CDONE")
    assert await free(client) == ["B"]
    assert store.reads["devices"] == store.reads["some devices"] == store.reads["active"] == 0


@ensureDeferred
async def test_reservations_that_begin_and_end_are_seen_at_once_and_only_their_boards_are_read() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    await free(client)
    store = CountingStore(farm)
    await client.call("reserve", serials=["B"], kind="pulsecount")
    assert await free(client) == ["A", "C"]
    await client.call("end")
    assert await free(client) == ["A", "B", "C"]
    assert store.reads["devices"] == 0


@ensureDeferred
async def test_a_worker_that_is_drained_or_lost_and_boards_that_are_deleted_are_seen_at_once() -> None:
    farm = MemoryControl()
    worker, client, operator = await farm.worker("w1", "A", "B"), await farm.client("ada"), farm.operator()
    assert await free(client) == ["A", "B"]
    await operator.call("drain", "w1")
    assert await free(client) == []
    await operator.call("resume", "w1")
    assert await free(client) == ["A", "B"]
    assert worker.bus is not None
    worker.bus.drop("lost")
    assert await free(client) == []
    await operator.call("delete", ["A"])
    snapshot = await client.call("snapshot")
    assert [device["serial"] for device in snapshot["devices"]] == ["B"]


@ensureDeferred
async def test_what_somebody_changes_in_the_database_itself_is_seen_soon() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    client = await farm.client("ada")
    await free(client)
    await farm.store.worker_lost("w1", "by hand")
    farm.clock.advance(FRESH)
    await free(client)
    farm.clock.advance(FRESH)
    assert await free(client) == []


@ensureDeferred
async def test_while_the_database_is_away_the_answer_is_soon_that_it_is() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    await free(client)
    farm.database.away = True
    for _ in range(3):
        farm.clock.advance(FRESH)
        try:
            await free(client)
        except Busy:
            break
    with pytest.raises(Busy):
        await free(client)
    farm.database.away = False
    assert await free(client) == ["A"]


@ensureDeferred
async def test_records_that_nobody_asked_for_in_a_while_are_read_before_the_answer() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    await free(client)
    await farm.store.worker_lost("w1", "by hand")
    farm.clock.advance(STALE)
    assert await free(client) == []


@ensureDeferred
async def test_a_snapshot_says_when_workers_were_seen_last_also_if_nobody_has_asked_for_long() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await free(client)
    farm.clock.advance(STALE / 2)
    await worker.heartbeat()
    farm.clock.advance(FRESH)
    snapshot = await client.call("snapshot")
    assert snapshot["workers"][0]["last_seen"] == farm.clock.seconds() - FRESH


@ensureDeferred
async def test_a_change_during_the_read_of_everything_is_not_lost() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await free(client)
    farm.database.latency = 1.0
    farm.clock.advance(FRESH)
    asked = Deferred.fromCoroutine(free(client))
    farm.clock.advance(1.5)
    farm.database.latency = None
    await worker.report("A", DeviceStatus.BROKEN, "no CDONE")
    farm.pass_time(9)
    assert (await asked)[-1] == "B"
    assert await free(client) == ["B"]
