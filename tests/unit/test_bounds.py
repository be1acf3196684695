"""What workers say is cut to what the farm keeps."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from pytest_twisted import ensureDeferred

from icefarm.contract import BoardReading, DeviceReport, DeviceStatus, KindRecord, WorkerHello, to_wire
from icefarm.control.inventory.bounds import LARGEST_STEP, bounded_hello, bounded_report, plausible
from icefarm.errors import InvalidArgument, UnknownWorker
from icefarm.testing.memory.control_harness import PULSECOUNT, MemoryControl

REPORT = DeviceReport("A", DeviceStatus.AVAILABLE)


def test_a_hello_keeps_little_of_what_is_too_long() -> None:
    long = "h" * 8_000_000
    kind = KindRecord("pulsecount", long, long, long, [long], long)
    report = evolve(
        REPORT, reason=long, reservation=long, kind=long, firmware=long, firmware_version=long, usb_path=long
    )
    hello = bounded_hello(WorkerHello("w1", "i", long, long, [kind], [report]))
    assert len(json.dumps(to_wire(hello))) < 3000


@pytest.mark.parametrize(
    "changed",
    [
        {"instance": "i" * 300},
        {"kinds": [evolve(PULSECOUNT, name="k" * 101)]},
        {"kinds": [evolve(PULSECOUNT, name="k\n")]},
        {"kinds": [PULSECOUNT] * 100},
        {"kinds": [evolve(PULSECOUNT, methods=["m"] * 100)]},
        {"devices": [evolve(REPORT, serial="A\x1b")]},
        {"devices": [evolve(REPORT, evaluations=-1)]},
        {"devices": [evolve(REPORT, retries=10**30)]},
    ],
)
def test_a_hello_with_names_that_are_none_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        bounded_hello(evolve(WorkerHello("w1", "i", "host", "1.0", [PULSECOUNT], [REPORT]), **changed))


def test_a_report_that_is_in_order_stays_as_it_is() -> None:
    report = evolve(REPORT, reason="flashing", usb_path="1-2.3", evaluations=7)
    assert bounded_report(report) == report


@pytest.mark.parametrize(
    "reading",
    [
        BoardReading("A", evaluations=-1),
        BoardReading("A", evaluations=LARGEST_STEP + 2),
        BoardReading("A", load_s=float("nan")),
        BoardReading("A", window_s=float("inf")),
        BoardReading("A", temperature_c=float("nan")),
        BoardReading("A", temperature_c=5000.0),
        BoardReading("A", kind="k" * 101),
        BoardReading("A", kind='a"} 1\n'),
    ],
)
def test_a_reading_that_no_board_can_have_is_passed_over(reading: BoardReading) -> None:
    good = BoardReading("B", "pulsecount", 5, 1, 0, temperature_c=21.0)
    assert plausible([reading, good], {"A": BoardReading("A", evaluations=1)}) == [good]


@ensureDeferred
async def test_a_worker_speaks_of_its_own_boards_alone() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    liar = await farm.worker("w2", "B")
    client = await farm.client("ada")
    readings = [to_wire(BoardReading(serial, evaluations=100)) for serial in ("A", "B")]
    await liar.call("heartbeat", instance=liar.instance, readings=readings)
    assert set((await client.call("snapshot"))["readings"]) == {"B"}


@ensureDeferred
async def test_lines_of_a_worker_are_bounded() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    client = await farm.client("ada")
    for number in range(500):
        await worker.call("log", level="info", message=f"line {number} \x1b[31m")
    lines = [fields["message"] for topic, fields in client.events if topic == "log"]
    assert lines == [f"line {number} \ufffd[31m" for number in range(100)]
    farm.pass_time(6)
    await worker.call("log", level="info", message="later")
    assert client.events[-1][1]["message"] == "later"


@ensureDeferred
async def test_an_operator_forgets_a_worker_that_is_offline_and_its_boards() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    operator = farm.operator()
    with pytest.raises(InvalidArgument, match="is connected"):
        await operator.call("delete_worker", "w1")
    next(bus for bus in farm.router.sessions.values() if bus.authid == "w1").drop("gone")
    farm.pass_time(1)
    assert await operator.call("delete_worker", "w1") == ["A", "B"]
    snapshot = await operator.call("snapshot")
    assert (snapshot["workers"], snapshot["devices"]) == ([], [])
    with pytest.raises(UnknownWorker):
        await operator.call("delete_worker", "w1")
    await farm.worker("w2", "A")
    assert (await operator.call("available"))["serials"] == ["A"]
