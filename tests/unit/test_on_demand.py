"""Virtual boards on demand: how many there are to be, and how control brings workers to that."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.contract import DeviceRecord, DeviceStatus, PoolRecord, WorkerRecord
from icefarm.control.inventory.pools import IDLE, LATE
from icefarm.control.scheduling.on_demand import WARM, Pool, possible, present, surplus, unplugged, wanted
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.errors import Unavailable
from icefarm.selectors.boards import parse_boards
from icefarm.testing.memory.control_harness import MemoryControl, RecordingWorker

start = Deferred.fromCoroutine
POOL = Pool("w1", 2, 12, "simulated")
WORKERS = {"w1": WorkerRecord("w1", "online", False, "host", "1", ["counter"], 0, 0.0)}


def board(serial: str, *, held: bool = False, **changes: Any) -> DeviceRecord:
    made = DeviceRecord(
        serial, "w1", DeviceStatus.RESERVED if held else DeviceStatus.AVAILABLE, None, "ada" if held else None,
        f"r{serial}" if held else None, None, None, None, None, 0, 0, 0, None, 0.0, model="simulated",
    )  # fmt: skip
    return evolve(made, **changes)


def some(amount: int, where: str | None = None) -> ReservationRequest:
    return ReservationRequest("counter", amount=amount, where=None if where is None else parse_boards(where))


@pytest.mark.parametrize(
    ("held", "requests", "count"),
    [
        (0, [], 2),
        (3, [], 3 + WARM),
        (3, [some(4)], 3 + 4 + WARM),
        (3, [some(4), some(1, "virtual")], 3 + 5 + WARM),
        (3, [some(4, "real"), some(2, "landscape")], 3 + WARM),
        (11, [], 12),
        (0, [some(100)], 12),
    ],
)
def test_as_many_are_wanted_as_are_used_and_asked_for_and_a_few_more(
    held: int, requests: list[ReservationRequest], count: int
) -> None:
    devices = [board(f"V{n}", held=True) for n in range(held)]
    assert wanted([POOL], devices, WORKERS, requests) == {"w1": count}


def test_where_there_are_real_boards_only_requests_that_name_virtual_ones_count() -> None:
    real = board("R", model=None, worker="w2")
    assert wanted([POOL], [real], WORKERS, [some(4)]) == {"w1": 2}
    assert wanted([POOL], [real], WORKERS, [some(4, "virtual")]) == {"w1": 4 + WARM}


def test_what_one_worker_has_no_room_for_another_one_plugs_in() -> None:
    pools = [Pool("w1", 0, 3, "simulated"), Pool("w2", 0, 4, "simulated"), Pool("w3", 0, 9, "simulated")]
    workers = {name: evolve(WORKERS["w1"], name=name) for name in ("w1", "w2", "w3")}
    assert wanted(pools, [], workers, [some(2), some(3)]) == {"w1": WARM + 1, "w2": WARM + 2, "w3": WARM + 2}


def test_a_pools_boards_are_the_virtual_ones_of_its_worker_that_are_plugged_in() -> None:
    devices = [
        board("V1"),
        board("V2", held=True),
        board("gone", status=DeviceStatus.OFFLINE),
        board("held", held=True, status=DeviceStatus.OFFLINE),
        board("real", model=None),
        board("real and gone", model=None, status=DeviceStatus.OFFLINE),
        board("elsewhere", worker="w2"),
        board("gone elsewhere", worker="w2", status=DeviceStatus.OFFLINE),
    ]
    assert [device.serial for device in present(POOL, devices)] == ["V1", "V2"]
    # A reserved one may come back.
    assert unplugged(POOL, devices) == ["gone"]


@pytest.mark.parametrize(
    ("count", "leaving"), [(4, []), (3, ["V4"]), (2, ["V4", "V3"]), (0, ["V4", "V3", "V1"]), (9, [])]
)
def test_of_free_boards_the_last_ones_are_unplugged(count: int, leaving: list[str]) -> None:
    devices = [board("V3"), board("V1"), board("V2", held=True), board("V4")]
    assert surplus(POOL, devices, count) == leaving


def test_as_many_boards_are_possible_as_are_asked_for_and_there_is_room_for() -> None:
    devices = [board(f"V{number}") for number in range(10)]
    assert [each.serial for each in possible([POOL], devices, WORKERS, [some(9)])] == [
        "on demand 0 of w1",
        "on demand 1 of w1",
    ]
    (one,) = possible([POOL], devices, WORKERS, [some(1), ReservationRequest("counter", serials=("V1",))])
    assert (one.worker, one.status, one.model, one.labels) == ("w1", DeviceStatus.TESTING, "simulated", {})
    assert one.reason == "it is plugged in on demand"
    assert possible([POOL], devices, {"w1": evolve(WORKERS["w1"], status="offline")}, [some(1)]) == []
    assert possible([POOL], devices, {}, [some(1)]) == []


def test_a_worker_that_is_drained_gets_no_more() -> None:
    drained = {"w1": evolve(WORKERS["w1"], draining=True)}
    assert wanted([POOL], [], drained, [some(4)]) == {"w1": 2}
    assert possible([POOL], [], drained, [some(4)]) == []


counts = st.integers(0, 14)


@given(
    st.lists(st.tuples(st.booleans(), st.sampled_from(DeviceStatus)), max_size=12),
    st.lists(st.builds(some, st.integers(1, 20), st.sampled_from([None, "virtual", "real", "landscape"])), max_size=4),
    counts,
)
def test_bounds_hold_and_no_reserved_board_is_unplugged(
    boards: list[tuple[bool, DeviceStatus]], requests: list[ReservationRequest], count: int
) -> None:
    devices = [board(f"V{n:02}", held=held, status=status) for n, (held, status) in enumerate(boards)]
    assert POOL.least <= wanted([POOL], devices, WORKERS, requests)["w1"] <= POOL.most
    assert len(possible([POOL], devices, WORKERS, requests)) + len(present(POOL, devices)) <= POOL.most
    leaving = {*surplus(POOL, devices, count), *unplugged(POOL, devices)}
    assert not leaving & {device.serial for device in devices if device.reservation is not None}
    assert len(present(POOL, devices)) - len(surplus(POOL, devices, count)) >= min(count, len(present(POOL, devices)))


# --------------------------------------------------------------------------------------------------- at control


async def farm_with_pool(least: int = 2, most: int = 8) -> tuple[MemoryControl, RecordingWorker]:
    farm = MemoryControl()
    worker = RecordingWorker("w1", [f"V{n}" for n in range(least)], pool=PoolRecord(least, most, "simulated"))
    await farm.join(worker)
    return farm, worker


@ensureDeferred
async def test_a_request_that_does_not_wait_gets_boards_that_are_plugged_in_for_it() -> None:
    farm, worker = await farm_with_pool()
    client = await farm.client("ada")
    asked = start(client.call("reserve", 5, kind="pulsecount"))
    farm.pass_time(1)
    assert len(await asked) == 5
    farm.pass_time(1)
    assert len(worker.serials) == 5 + WARM
    with pytest.raises(Unavailable, match="4 boards of kind 'pulsecount' asked for"):
        await client.call("reserve", 4, kind="pulsecount")
    assert len(worker.serials) <= 8


@ensureDeferred
async def test_boards_that_nobody_uses_for_a_while_are_unplugged_and_forgotten_but_never_reserved_ones() -> None:
    farm, worker = await farm_with_pool()
    client = await farm.client("ada")
    asked = start(client.call("reserve", 6, kind="pulsecount"))
    farm.pass_time(1)
    records = await asked
    kept = records[0]["serial"]
    await client.call("end", [record["serial"] for record in records[1:]])
    for _ in range(int(IDLE + LATE) + 2):
        farm.pass_time(1)
        await worker.heartbeat()
        await client.call("heartbeat", "i")
    assert len(worker.serials) == 1 + WARM
    assert kept in worker.serials
    assert [device.serial for device in await farm.store.devices()] == sorted(worker.serials)


@ensureDeferred
async def test_a_board_that_a_late_report_brings_back_is_forgotten_again() -> None:
    farm, worker = await farm_with_pool()
    worker.serials.append("V9")
    worker.holds["V9"], worker.status["V9"] = None, DeviceStatus.OFFLINE
    await worker.report("V9")
    client = await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount")
    farm.pass_time(1)
    assert "V9" not in [device.serial for device in await farm.store.devices()]
