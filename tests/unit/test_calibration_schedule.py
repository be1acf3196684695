"""Which boards are to measure the reference circuits, and when."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from icefarm.contract import DeviceRecord, DeviceStatus, KindRecord, WorkerHello
from icefarm.control.inventory.calibration.interface import LastMeasured
from icefarm.control.inventory.calibration.schedule import (
    LEAST_APART,
    PERIOD,
    QUIET,
    Measurer,
    due,
    measurer,
    turn_of,
)

DAY = 86400.0
FIRMWARE = "pulse_count 1.1"
MEASURERS = {"w": Measurer("start 1", FIRMWARE)}
NOW = 1000 * DAY


def board(serial: str = "A", **fields: Any) -> DeviceRecord:
    usual = DeviceRecord(
        serial, "w", DeviceStatus.AVAILABLE, None, None, None, None, None, None, None, 0, 0, 0, None, NOW - DAY
    )
    return evolve(usual, **fields)


def last(at: float, **fields: str) -> dict[str, LastMeasured]:
    return {"A": evolve(LastMeasured(at, FIRMWARE, "start 1"), **fields)}


def test_a_board_that_never_measured_is_due() -> None:
    assert due([board()], MEASURERS, {}, NOW) == ["A"]


def test_only_a_board_that_has_been_free_for_a_while_is_due() -> None:
    busy = [
        board(status=DeviceStatus.FLASHING),
        board(reservation="r"),
        board(changed_at=NOW - QUIET + 1),
        board(worker="another"),
    ]
    assert [due([each], MEASURERS, {}, NOW) for each in busy] == [[]] * len(busy)
    assert due([board()], MEASURERS, {}, NOW, resting=["A"]) == []


@given(st.text(min_size=1), st.floats(0, 3 * PERIOD))
def test_a_board_is_due_once_in_each_period(serial: str, after: float) -> None:
    own = board(serial, changed_at=0.0)
    measured = {serial: LastMeasured(NOW, FIRMWARE, "start 1")}
    slot = (turn_of(serial) - NOW % PERIOD) % PERIOD or PERIOD
    first = slot if slot >= LEAST_APART else slot + PERIOD if after >= slot + PERIOD else max(slot, LEAST_APART)
    assert (due([own], MEASURERS, measured, NOW + after) == [serial]) == (after >= first)


def test_boards_are_spread_over_the_period() -> None:
    quarters = {int(turn_of(f"board {number}") // (PERIOD / 4)) for number in range(40)}
    assert quarters == {0, 1, 2, 3}


def test_a_board_measures_in_all_hours_of_the_day_and_within_a_day() -> None:
    assert {round(n * PERIOD / 3600) % 24 for n in range(24)} == set(range(24))
    assert PERIOD < DAY


def test_after_a_change_of_firmware_or_a_new_start_of_its_worker_a_board_is_due_but_not_again_and_again() -> None:
    soon, later = NOW + LEAST_APART - 1, NOW + LEAST_APART
    for changed in ({"firmware": "pulse_count 1.0"}, {"instance": "start 0"}):
        assert due([board()], MEASURERS, last(NOW, **changed), soon) == []
        assert due([board()], MEASURERS, last(NOW, **changed), later) == ["A"]


def test_who_has_waited_longest_comes_first() -> None:
    before = {
        serial: LastMeasured(NOW - days * DAY, FIRMWARE, "start 1") for serial, days in (("A", 3), ("B", 9), ("C", 5))
    }
    assert due([board("A"), board("B"), board("C"), board("D")], MEASURERS, before, NOW) == ["D", "B", "C", "A"]


def test_a_worker_of_an_earlier_version_and_one_without_the_kind_measure_nothing() -> None:
    kind = KindRecord("pulsecount", "", "pulse_count", "1.1", ["evaluate"])
    hello = WorkerHello("w", "start 1", "host", "1.0", [kind], [], references=True)
    assert measurer(hello) == MEASURERS["w"]
    assert measurer(evolve(hello, references=False)) is None
    assert measurer(evolve(hello, kinds=[])) is None
