"""Calibrations: what readings say of a board, what a corrected value is worth, and who is suspect."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import sqrt
from random import Random
from statistics import fmean, stdev
from typing import Any

import attrs
import pytest
from attrs import evolve

from icefarm.arguments import from_wire, to_wire
from icefarm.calibration.between_boards import spread_of
from icefarm.calibration.correction import corrected, deviation_at
from icefarm.calibration.distributions import chi2_quantile, f_quantile, f_tail, t_quantile, t_tail
from icefarm.calibration.estimation import DAY, Prior, calibrate, counting_bias_variance, sessions_of
from icefarm.calibration.records import Calibration, Corrected, Reading
from icefarm.calibration.steps import begin_of_line
from icefarm.calibration.suspects import against_history, against_others
from icefarm.errors import InvalidArgument

#: 30 million pulses in a window: counting is not seen.
HERTZ, WINDOW_US = 30e6, 1_000_000
NOISE = 10.0


def reading(ppm: float, day: float = 0.0, celsius: float | None = 25.0, serial: str = "A", **others: Any) -> Reading:
    pulses = round(HERTZ * (1 + ppm * 1e-6))
    return Reading(serial, "oscillator", HERTZ, pulses, WINDOW_US, day * DAY, celsius, **{"firmware": "1", **others})


def board(
    serial: str = "A",
    *,
    seed: int = 1,
    days: Iterable[int] = range(20),
    offset: float = 100.0,
    drift: float = 0.0,
    per_kelvin: float = 0.0,
    noise: float = NOISE,
    session_noise: float = 0.0,
) -> list[Reading]:
    """Return five readings a day, from 20 to 30 degrees."""
    random = Random(f"{serial} {seed}")
    found = []
    for day in days:
        celsius, of_day = random.uniform(20, 30), random.gauss(0, session_noise)
        for _ in range(5):
            ppm = offset + drift * day + per_kelvin * (celsius - 25) + of_day + random.gauss(0, noise)
            found.append(reading(ppm, day, celsius, serial))
    return found


def calibrated(readings: Sequence[Reading], **options: Any) -> Calibration:
    found = calibrate(readings, **options)
    assert found is not None
    return found


# ---- distributions


@pytest.mark.parametrize(
    ("probability", "freedom", "value"),
    [(0.975, 1, 12.7062), (0.975, 4, 2.77645), (0.995, 10, 3.16927), (0.975, 2.5, 3.574655), (0.9995, 3, 12.9240)],
)
def test_quantiles_of_student_are_those_of_tables(probability: float, freedom: float, value: float) -> None:
    assert t_quantile(probability, freedom) == pytest.approx(value, rel=1e-4)
    assert t_tail(t_quantile(probability, freedom), freedom) == pytest.approx(1 - probability, rel=1e-4)
    assert t_quantile(1 - probability, freedom) == pytest.approx(-value, rel=1e-4)


def test_student_becomes_the_normal_distribution() -> None:
    assert t_quantile(0.975, 1e9) == pytest.approx(1.959964, rel=1e-6)
    assert t_quantile(0.975, 9_999) == pytest.approx(t_quantile(0.975, 10_001), rel=2e-4)


def test_quantiles_of_f_and_chi_squared_are_those_of_tables() -> None:
    assert f_quantile(0.95, 3, 10) == pytest.approx(3.70826, rel=1e-4)
    assert f_tail(3.70826, 3, 10) == pytest.approx(0.05, rel=1e-4)
    assert chi2_quantile(0.975, 5) == pytest.approx(12.8325, rel=1e-4)
    assert chi2_quantile(0.025, 5) == pytest.approx(0.831212, rel=1e-4)
    assert chi2_quantile(0.975, 1) == pytest.approx(5.02389, rel=1e-4)


@pytest.mark.parametrize(("probability", "freedom"), [(0.0, 1.0), (1.0, 1.0), (0.5, 0.0), (0.5, float("nan"))])
def test_a_probability_or_freedom_that_cannot_be_is_refused(probability: float, freedom: float) -> None:
    with pytest.raises(InvalidArgument):
        t_quantile(probability, freedom)


# ---- estimation


def test_a_board_without_noise_gives_its_line_exactly() -> None:
    found = calibrated(board(noise=0.0, offset=500, drift=2, per_kelvin=20))
    assert found.drift_ppm_per_day == pytest.approx(2, abs=0.002)
    assert found.ppm_per_kelvin == pytest.approx(20, abs=0.01)
    assert deviation_at(found, 10 * DAY, 27).ppm == pytest.approx(560, abs=0.1)


@pytest.mark.thorough
def test_an_estimate_lies_within_its_interval_as_often_as_it_says() -> None:
    held = 0
    for seed in range(400):
        found = calibrated(board(seed=seed, days=range(4), offset=300, drift=3, per_kelvin=5))
        at = deviation_at(found, 3 * DAY, 25.0)
        held += abs(at.ppm - 309) <= t_quantile(0.975, at.degrees_of_freedom) * at.standard_uncertainty
    assert 364 <= held <= 392  # 95 %, by four standard deviations


def test_noise_is_what_windows_of_a_session_scatter() -> None:
    found = calibrated(board(days=range(60)))
    assert found.noise_ppm == pytest.approx(NOISE, rel=0.15)
    assert found.session_noise_ppm < NOISE / 3


def test_scatter_between_sessions_makes_the_uncertainty_and_not_the_windows_within() -> None:
    found = calibrated(board(days=range(60), session_noise=50))
    assert found.noise_ppm == pytest.approx(NOISE, rel=0.2)
    assert found.session_noise_ppm == pytest.approx(50, rel=0.3)
    assert found.degrees_of_freedom < 60
    # Two parameters but for the offset share it: that of the end of a line is twice that of a mean.
    assert found.offset_uncertainty_ppm > 50 / sqrt(60)


def test_a_reading_far_off_moves_the_estimate_little() -> None:
    clean = board()
    spoilt = [*clean[:40], evolve(clean[40], pulses=0.9 * HERTZ), *clean[41:]]
    assert calibrated(spoilt).offset_ppm == pytest.approx(calibrated(clean).offset_ppm, abs=NOISE)


def test_what_the_first_day_does_not_say_is_uncertain() -> None:
    found = calibrated(board(days=[0]), prior=Prior(drift_ppm_per_day=7, ppm_per_kelvin=70))
    assert found.drift_uncertainty == pytest.approx(7, rel=0.01)
    assert found.kelvin_uncertainty == pytest.approx(70, rel=0.01)
    assert deviation_at(found, 2 * DAY, found.reference_temperature_c).standard_uncertainty > 14


def test_a_prior_of_no_width_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="ppm_per_kelvin must be above 0"):
        Prior(ppm_per_kelvin=0.0)


def test_two_readings_are_no_calibration() -> None:
    assert calibrate([]) is None
    assert calibrate([reading(1), reading(2)]) is None
    assert calibrate([reading(1), reading(2), reading(3)]) is not None


def test_readings_of_two_boards_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="not of A, B and oscillator"):
        calibrate([reading(1), reading(2, serial="B"), reading(3)])


def test_old_readings_and_those_of_another_firmware_do_not_count() -> None:
    new = board(days=range(100, 110), offset=50)
    others = board(days=range(5), offset=9_000), board(days=range(98, 100), offset=9_000)
    before = [*others[0], *(evolve(each, firmware="0") for each in others[1])]
    found = calibrated([*before, *new])
    assert found == calibrated(new)
    assert found.readings == 50
    assert calibrated([*new, *board(days=[112], offset=80)], since=111 * DAY).readings == 5


def test_a_board_that_cannot_tell_its_temperature_has_no_coefficient() -> None:
    found = calibrated([evolve(each, temperature_c=None) for each in board()])
    assert found.reference_temperature_c is None
    assert found.ppm_per_kelvin == 0
    assert deviation_at(found, found.reference_time, 90).ppm == pytest.approx(found.offset_ppm)


def test_equal_counts_are_not_better_than_one_count() -> None:
    # 3000 pulses: one is 333 ppm.
    same = [Reading("A", "slow", 3_000, 3_001, 1_000_000, day * DAY, 25.0) for day in range(50)]
    found = calibrated(same)
    assert found.offset_uncertainty_ppm >= 1e6 / 3_000 / sqrt(12)


def test_noise_of_half_a_count_averages_counting_out() -> None:
    assert counting_bias_variance(0) == pytest.approx(1 / 12, rel=0.02)
    assert counting_bias_variance(0.5) < 1e-5


def test_a_calibration_has_an_id_of_its_content_and_travels_as_json() -> None:
    found = calibrated(board())
    assert found.id == evolve(found, id="").with_id().id
    assert found.id != evolve(found, offset_ppm=found.offset_ppm + 1e-9).with_id().id
    assert from_wire(json.loads(json.dumps(to_wire(found))), Calibration, "a calibration") == found
    assert Calibration(**json.loads(json.dumps(attrs.asdict(found)))) == found


@pytest.mark.parametrize("wrong", [{"expected_hz": 0.0}, {"pulses": -1}, {"window_us": 0}, {"time": float("nan")}])
def test_a_reading_that_no_board_gives_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=next(iter(wrong))):
        evolve(reading(1), **wrong)


# ---- correction


def test_a_corrected_value_is_what_a_perfect_board_counts() -> None:
    found = calibrated(board(noise=0.0, offset=400, per_kelvin=20))
    fixed = corrected(1_000_500, found, time=19 * DAY, temperature_c=30.0)
    assert fixed.value == pytest.approx(1_000_000, abs=0.5)
    assert fixed.calibration == found.id


def test_the_parts_of_an_uncertainty_add_up_by_squares() -> None:
    found = calibrated(board())
    at = deviation_at(found, 19 * DAY, 25.0)
    fixed = corrected(1e6, found, time=19 * DAY, temperature_c=25.0, windows=4)
    board_ppm = sqrt(at.standard_uncertainty**2 + found.noise_ppm**2 / 4 + found.session_noise_ppm**2)
    assert fixed.standard_uncertainty == pytest.approx(sqrt(board_ppm**2 + 1 / 24), rel=1e-3)
    assert corrected(1e6, found, time=19 * DAY, temperature_c=25.0, resolution=0, windows=4).standard_uncertainty < (
        fixed.standard_uncertainty
    )


def test_an_unknown_temperature_makes_a_value_less_certain() -> None:
    found = calibrated(board(per_kelvin=50))
    known, unknown = (
        corrected(1e6, found, time=19 * DAY, temperature_c=celsius).standard_uncertainty for celsius in (25.0, None)
    )
    assert unknown > 5 * known
    assert unknown == pytest.approx(50 * 10 / sqrt(12), rel=0.2)


def test_a_value_long_after_the_last_reading_is_less_certain() -> None:
    found = calibrated(board())
    soon, late = (deviation_at(found, day * DAY, 25.0) for day in (20, 200))
    assert late.standard_uncertainty > 5 * soon.standard_uncertainty


def test_an_interval_is_wider_where_it_must_hold_more_often() -> None:
    value = Corrected(100.0, 1.0, "id", 4.0)
    assert value.interval() == pytest.approx((97.2236, 102.7764), abs=1e-3)
    assert value.interval(0.5)[0] > value.interval(0.9)[0]


def test_what_cannot_be_corrected_is_refused() -> None:
    found = calibrated(board())
    with pytest.raises(InvalidArgument, match="finite"):
        corrected(float("inf"), found, time=0, temperature_c=None)
    with pytest.raises(InvalidArgument, match="windows"):
        corrected(1, found, time=0, temperature_c=None, windows=0)
    with pytest.raises(InvalidArgument, match="more than half"):
        corrected(1, evolve(found, offset_ppm=-900_000), time=0, temperature_c=None)


# ---- suspects


def farm(count: int = 20, **options: Any) -> dict[str, list[Reading]]:
    random = Random(3)
    return {f"B{n:02}": board(f"B{n:02}", offset=random.gauss(0, 1_000), **options) for n in range(count)}


def moved(readings: Sequence[Reading], ppm: float) -> list[Reading]:
    return [evolve(each, pulses=each.pulses * (1 + ppm * 1e-6)) for each in readings]


def last_sessions(readings: dict[str, list[Reading]], ppm: dict[str, float]) -> list[tuple[Calibration, list[Reading]]]:
    """Return the last session of each, moved by so much, with the calibration from before."""
    return [(calibrated(each[:-5]), moved(each[-5:], ppm.get(serial, 0.0))) for serial, each in readings.items()]


def test_a_board_that_changed_is_suspect_with_its_figures() -> None:
    (found,) = against_history(last_sessions(farm(), {"B07": 5 * NOISE}))
    assert (found.serial, found.compared_with, found.figure) == ("B07", "history", "offset_ppm")
    assert found.value - found.expected == pytest.approx(5 * NOISE, abs=2 * NOISE)
    assert found.sigmas > found.limit > 4.8
    assert str(found).startswith("offset ")
    assert "its own history predicts" in str(found)


def test_what_all_boards_do_alike_is_no_boards_fault() -> None:
    readings = farm()
    assert against_history(last_sessions(readings, dict.fromkeys(readings, 300.0))) == []


def test_a_board_alone_is_compared_with_its_history_too() -> None:
    assert against_history(last_sessions({"A": board()}, {"A": 300.0})) != []


def test_a_board_unlike_the_others_is_suspect_and_its_oddity_does_not_hide_it() -> None:
    found = [calibrated(each) for each in farm(40).values()]
    odd = [evolve(each, offset_ppm=50_000.0) for each in found[:3]]
    suspects = against_others([*odd, *found[3:]])
    assert [each.serial for each in suspects] == ["B00", "B01", "B02"]
    assert "the median of all boards is" in str(suspects[0])


def test_a_noisy_board_is_suspect() -> None:
    readings = {**farm(30), "noisy": board("noisy", offset=0, noise=30 * NOISE)}
    (found,) = against_others([calibrated(each) for each in readings.values()])
    assert (found.serial, found.figure) == ("noisy", "noise_ppm")
    assert found.value == pytest.approx(30 * NOISE, rel=0.3)
    assert found.expected == pytest.approx(NOISE, rel=0.3)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_few_boards_accuse_none_of_them(count: int) -> None:
    calibrations = [calibrated(each) for each in farm(count).values()]
    calibrations[0] = evolve(calibrations[0], offset_ppm=20_000.0)
    assert against_others(calibrations) == []


def test_equal_boards_without_noise_are_no_suspects() -> None:
    calibrations = [calibrated(board(f"B{n}", noise=0.0)) for n in range(10)]
    assert against_others(calibrations) == []


# ---- steps


def followed(sessions: Iterable[Sequence[Reading]]) -> Calibration:
    """Return the calibration after sessions, each of which is estimated when it comes."""
    before, readings = None, []
    for session in sessions:
        readings += session
        before = calibrate(readings, since=begin_of_line(before, readings))
    assert before is not None
    return before


def test_after_a_step_that_stays_the_calibration_begins_anew() -> None:
    old, new = board(days=range(40), offset=100), board(days=range(40, 44), offset=100 + 12 * NOISE)
    sessions = sessions_of([*old, *new])
    found = followed(sessions)
    assert (found.readings, found.first_time) == (20, 40 * DAY)
    at = deviation_at(found, 43 * DAY, 25.0)
    assert abs(at.ppm - 100 - 12 * NOISE) < 4 * at.standard_uncertainty
    assert at.standard_uncertainty < 3 * NOISE


def test_one_odd_session_is_no_step() -> None:
    readings = board(days=range(40))
    sessions = sessions_of(readings)
    sessions[30] = moved(sessions[30], 500.0)
    found = followed(sessions)
    assert found.readings == 200
    assert found.offset_ppm == pytest.approx(calibrated(readings).offset_ppm, abs=NOISE)


def test_a_healthy_board_keeps_its_whole_history() -> None:
    assert {followed(sessions_of(board(seed=seed, drift=2, per_kelvin=9))).readings for seed in range(20)} == {100}


# ---- spread between boards


def measured(random: Random, boards: int, repeats: int, between: float, within: float) -> dict[str, list[float]]:
    """Return values of a circuit of 1 MHz; standard deviations are ppm."""
    values = {}
    for number in range(boards):
        centre = random.gauss(0, between)
        values[f"B{number}"] = [1e6 + centre + random.gauss(0, within) for _ in range(repeats)]
    return values


@pytest.mark.thorough
def test_a_spread_lies_within_its_interval_as_often_as_it_says() -> None:
    random = Random(5)
    found = [spread_of(measured(random, 8, 4, between=200, within=100)) for _ in range(300)]
    held = sum(each.low_ppm <= 200 <= each.high_ppm for each in found)
    assert 270 <= held <= 299  # at least 95 %, by four standard deviations
    assert fmean(each.noise_ppm or 0 for each in found) == pytest.approx(100, rel=0.05)


def test_boards_that_differ_by_noise_alone_have_no_spread() -> None:
    random = Random(6)
    found = [spread_of(measured(random, 8, 4, between=0, within=100)) for _ in range(200)]
    assert sum(each.low_ppm == 0 for each in found) >= 180
    assert all(each.between_ppm < 100 for each in found)


def test_without_repeats_the_spread_is_the_standard_deviation_of_the_values() -> None:
    values = measured(Random(7), 6, 1, between=200, within=0)
    found = spread_of(values)
    assert found.noise_ppm is None
    assert found.between_ppm == pytest.approx(stdev(each[0] for each in values.values()), rel=0.001)


def test_a_spread_of_one_board_or_of_a_silent_circuit_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="at least two boards"):
        spread_of({"A": [1.0, 2.0], "B": []})
    with pytest.raises(InvalidArgument, match="did not reach the pin"):
        spread_of({"A": [0.0], "B": [0.0]})
