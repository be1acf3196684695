"""What readings of boards say of them: calibrations, figures, and which boards are suspect."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from attrs import evolve

from icefarm.calibration.records import Reading
from icefarm.control.inventory.calibration.judging import Judge, readings_of
from icefarm.control.scheduling.availability import SuspectRule
from icefarm.errors import InvalidArgument

DAY = 86400.0
SERIALS = [f"board {number}" for number in range(12)]


def session(serial: str, day: float, ppm: float, random: Random, reference: str = "oscillator") -> list[Reading]:
    """Return the three readings of a day."""
    return [
        Reading(serial, reference, 3e6, round(3e6 * (1 + (ppm + random.gauss(0, 2)) * 1e-6)), 1_000_000,
                1e9 + day * DAY + second, 25.0 + random.gauss(0, 0.3), "pulse_count 1.1")
        for second in range(3)
    ]  # fmt: skip


def after(days: int, jump: float = 0.0) -> Judge:
    """Return what is known of a shelf of boards after some days, the last of which the first board has jumped on."""
    random, judge = Random(5), Judge()
    offsets = {serial: random.gauss(0, 300) for serial in SERIALS}
    past: dict[str, list[Reading]] = {serial: [] for serial in SERIALS}
    for day in range(days):
        for serial in SERIALS:
            jumped = jump if serial == SERIALS[0] and day == days - 1 else 0.0
            measured = session(serial, day, offsets[serial] + jumped, random)
            judge.measured((serial, "oscillator"), past[serial], measured)
            past[serial] += measured
    return judge


def test_healthy_boards_are_no_suspects() -> None:
    assert after(8).suspects(1e9 + 8 * DAY) == {}


def test_a_board_that_jumps_is_suspect_the_same_day_with_figures() -> None:
    found = after(8, jump=60.0).suspects(1e9 + 8 * DAY)
    assert list(found) == [SERIALS[0]]
    assert "ppm at oscillator, where its own history predicts" in found[SERIALS[0]]


def test_a_suspect_board_that_does_not_measure_again_stays_suspect() -> None:
    judge = after(8, jump=60.0)
    found = judge.suspects(1e9 + 8 * DAY)
    assert list(found) == [SERIALS[0]]
    assert judge.suspects(1e9 + 30 * DAY) == found


def test_a_board_that_stays_where_it_jumped_to_is_calibrated_anew() -> None:
    random, judge, past = Random(6), Judge(), []
    key = (SERIALS[0], "oscillator")
    for day in range(24):
        measured = session(SERIALS[0], day, 100.0 if day < 20 else 400.0, random)
        judge.measured(key, past, measured)
        past += measured
    assert (judge.present[key].readings, judge.present[key].first_time) == (12, 1e9 + 20 * DAY)
    assert abs(judge.present[key].offset_ppm - 400.0) < 10


def test_a_board_that_counts_in_another_way_with_another_firmware_is_no_suspect() -> None:
    random, judge, past = Random(7), Judge(), []
    key = (SERIALS[0], "oscillator")
    for day in range(12):
        measured = session(SERIALS[0], day, 100.0 if day < 8 else 400.0, random)
        if day >= 8:
            measured = [evolve(reading, firmware="pulse_count 1.2") for reading in measured]
        judge.measured(key, past, measured)
        past += measured
        assert judge.suspects(1e9 + day * DAY) == {}
    assert (judge.present[key].readings, judge.present[key].first_time) == (12, 1e9 + 8 * DAY)


def test_figures_are_those_of_the_oscillator_with_the_operators_rule() -> None:
    judge = after(8, jump=60.0)
    judge.rule = SuspectRule.SET_ASIDE
    random = Random(1)
    judge.measured((SERIALS[1], "ring"), [], session(SERIALS[1], 8, 0.0, random, "ring"))
    figures = judge.figures(1e9 + 8 * DAY)
    assert figures.keys() == set(SERIALS)
    assert {each.reference for each in figures.values()} == {"oscillator"}
    assert (figures[SERIALS[0]].suspect is not None, figures[SERIALS[0]].rule) == (True, "set-aside")
    assert figures[SERIALS[1]].temperature_c is not None


def test_why_a_board_is_suspect_is_remembered_until_it_measures_again() -> None:
    before = after(8, jump=60.0)
    figures = before.figures(1e9 + 8 * DAY)
    judge = Judge()
    judge.learn(before.present.values(), figures)
    assert judge.suspects(1e9 + 8 * DAY) == {SERIALS[0]: figures[SERIALS[0]].suspect}
    present = before.present[SERIALS[0], "oscillator"]
    again = session(SERIALS[0], 9, present.offset_ppm + present.drift_ppm_per_day, Random(2))
    judge.measured((SERIALS[0], "oscillator"), [], again)
    assert judge.suspects(1e9 + 9 * DAY) == {}


MEASURED = {
    "reference": "crystal", "serial": "A", "value": 3_000_001, "window_us": 1_000_000, "started_at": 5.0,
    "ended_at": 6.0, "temperature_c": None, "firmware": "pulse_count", "firmware_version": "1.1", "worker": "w",
    "evaluation_id": "e", "kind": "pulsecount", "options": {}, "sha256": "0", "load_us": 1, "usb_bytes_in_window": 0,
    "sequence": 1, "attempt": 1,
}  # fmt: skip


def test_what_is_no_count_of_a_reference_is_left_out() -> None:
    wrong = [{**MEASURED, "reference": "quartz"}, {**MEASURED, "value": [1, 2]}, {**MEASURED, "window_us": 0}]
    (reading,) = readings_of("A", [MEASURED, *wrong])
    assert (reading.reference, reading.expected_hz, reading.firmware) == ("crystal", 3e6, "pulse_count 1.1")
    assert abs(reading.ppm - 1 / 3) < 1e-6


@pytest.mark.parametrize("wrong", [{"serial": "B"}, {"value": None, "started_at": "now"}, {"window_us": "long"}])
def test_a_worker_that_answers_with_something_else_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        readings_of("A", [{**MEASURED, **wrong}])
