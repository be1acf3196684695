"""Corrected values, the spread between boards, and the distributions behind both, in simple figures."""

from __future__ import annotations

from math import sqrt
from typing import Any

import pytest
from attrs import evolve, frozen

from icefarm.calibration.between_boards import spread_of
from icefarm.calibration.correcting import correction
from icefarm.calibration.correction import THERMOMETER_K, corrected, deviation_at
from icefarm.calibration.distributions import chi2_quantile, f_quantile, f_tail, t_quantile, t_tail
from icefarm.calibration.estimation import DAY
from icefarm.calibration.records import Calibration
from icefarm.errors import InvalidArgument

#: Without deviation, noise and uncertainty, but for what a test sets.
PERFECT = Calibration(
    id="c", serial="A", reference="crystal", offset_ppm=0.0, noise_ppm=0.0, session_noise_ppm=0.0,
    drift_ppm_per_day=0.0, ppm_per_kelvin=0.0, reference_time=0.0, reference_temperature_c=25.0, covariance=(0.0,) * 6,
    readings=1_000, degrees_of_freedom=7.0, coldest_c=20.0, hottest_c=32.0, first_time=0.0, valid_from=0.0,
)  # fmt: skip


# ---- a board's deviation


def test_a_deviation_and_its_variance_are_those_of_a_line_in_time_and_temperature() -> None:
    line = evolve(PERFECT, offset_ppm=100.0, drift_ppm_per_day=2.0, ppm_per_kelvin=3.0)
    known = evolve(line, covariance=(100.0, 1.0, 2.0, 5.0, 3.0, 7.0))
    found = deviation_at(known, 4 * DAY, 30.0)
    assert found.ppm == pytest.approx(100 + 2 * 4 + 3 * 5)
    variance = 100 + 5 * 4**2 + 7 * 5**2 + 2 * (1 * 4 + 2 * 5 + 3 * 4 * 5)
    assert found.standard_uncertainty == pytest.approx(sqrt(variance + THERMOMETER_K**2 * (3**2 + 7)))
    assert found.degrees_of_freedom == 7


def test_an_unknown_temperature_is_that_between_the_coldest_and_the_hottest() -> None:
    known = evolve(PERFECT, ppm_per_kelvin=3.0)
    found = deviation_at(known, 0.0, None)
    # 26 degrees, a kelvin above the reference, and anything from 20 to 32.
    assert (found.ppm, found.standard_uncertainty) == (pytest.approx(3), pytest.approx(3 * 12 / sqrt(12)))
    alike = evolve(known, coldest_c=25.0, hottest_c=25.0)
    assert deviation_at(alike, 0.0, None).standard_uncertainty == pytest.approx(3 * THERMOMETER_K)


def test_a_board_that_never_told_its_temperature_is_corrected_without() -> None:
    known = evolve(
        PERFECT, reference_temperature_c=None, coldest_c=None, hottest_c=None, covariance=(4.0, 0, 0, 0, 0, 1e6)
    )
    assert deviation_at(known, 0.0, 90.0).standard_uncertainty == 2


# ---- corrected values


def test_a_values_uncertainty_is_that_of_its_board_and_of_counting() -> None:
    known = evolve(PERFECT, covariance=(4.0, 0, 0, 0, 0, 0), noise_ppm=6.0, session_noise_ppm=5.0)
    found = corrected(1e6, known, time=0.0, temperature_c=25.0, windows=4, resolution=3.0)
    of_board = sqrt(4 + 36 / 4 + 25)
    assert found.value == 1e6
    assert found.standard_uncertainty == pytest.approx(sqrt(of_board**2 + 9 / 6 / 4))
    assert found.degrees_of_freedom == pytest.approx(7 * (found.standard_uncertainty / of_board) ** 4)
    one = corrected(1e6, known, time=0.0, temperature_c=25.0)
    assert one.standard_uncertainty == pytest.approx(sqrt(4 + 36 + 25 + 1 / 6))


def test_a_fast_boards_values_are_made_smaller() -> None:
    known = evolve(PERFECT, offset_ppm=250_000.0, covariance=(100.0, 0, 0, 0, 0, 0))
    found = corrected(1_000_000, known, time=0.0, temperature_c=25.0, resolution=0.0)
    assert found.value == pytest.approx(800_000)
    # A derivative of value / (1 + deviation).
    assert found.standard_uncertainty == pytest.approx(1_000_000 / 1.25**2 * 10e-6)
    assert found.degrees_of_freedom == pytest.approx(7)


def test_a_count_of_nothing_is_certain_but_for_counting() -> None:
    found = corrected(0, evolve(PERFECT, noise_ppm=6.0), time=0.0, temperature_c=25.0)
    assert (found.value, found.standard_uncertainty) == (0, pytest.approx(sqrt(1 / 6)))
    assert found.degrees_of_freedom == 1e6


def test_a_board_that_is_off_by_half_is_corrected_and_by_more_is_not() -> None:
    half = evolve(PERFECT, offset_ppm=500_000.0)
    assert corrected(3, half, time=0.0, temperature_c=25.0).value == 2
    with pytest.raises(InvalidArgument) as caught:
        corrected(3, evolve(half, offset_ppm=500_001.0), time=0.0, temperature_c=25.0)
    assert str(caught.value) == "by calibration c board A is off by 500001 ppm; more than half can't be corrected"


# ---- corrected measurements


@frozen
class Measured:
    value: Any
    serial: str = "A"
    kind: str = "pulsecount"
    temperature_c: float | None = 25.0
    started_at: float | None = 0.0
    ended_at: float = 0.0
    calibration: str | None = "c"


def value_of(measured: Measured, known: Calibration) -> float:
    found = correction(measured, known)
    assert found.why_not is None
    assert found.corrected is not None
    return found.corrected.value


def test_a_measurement_is_corrected_for_its_temperature_and_the_time_when_it_began() -> None:
    warm = evolve(PERFECT, ppm_per_kelvin=100.0)
    assert value_of(Measured(1_001_000, temperature_c=35.0), warm) == pytest.approx(1_000_000)
    old = evolve(PERFECT, drift_ppm_per_day=1_000.0)
    assert value_of(Measured(1_001_000, started_at=DAY, ended_at=3 * DAY), old) == pytest.approx(1_000_000)
    # Without a time when it began, when it ended.
    assert value_of(Measured(1_003_000, started_at=None, ended_at=3 * DAY), old) == pytest.approx(1_000_000)


@pytest.mark.parametrize(
    ("measured", "why"),
    [
        (Measured(5, kind="variance"), "a value of kind variance is no count of pulses"),
        (Measured([]), "a value of kind pulsecount is no count of pulses"),
        (Measured([1, "2"]), "a value of kind pulsecount is no count of pulses"),
        (Measured([1, True]), "a value of kind pulsecount is no count of pulses"),
        (Measured(None), "a value of kind pulsecount is no count of pulses"),
        (
            Measured(5, temperature_c=1e6),
            "by calibration c board A is off by 999975 ppm; more than half can't be corrected",
        ),
    ],
)  # fmt: skip
def test_what_is_no_count_or_cannot_be_corrected_says_why(measured: Measured, why: str) -> None:
    found = correction(measured, evolve(PERFECT, ppm_per_kelvin=1.0))
    assert (found.corrected, found.why_not) == (None, why)


# ---- the spread between boards


def test_the_spread_of_three_boards_is_that_of_an_analysis_of_variance() -> None:
    found = spread_of({"A": [99, 101], "B": [109, 111], "C": [119, 121]})
    ppm = 1e6 / 110
    assert (found.mean, found.boards, found.repeats) == (110, 3, 2)
    # Mean squares: 200 between boards, 2 within them.
    assert found.noise_ppm == pytest.approx(ppm * sqrt(2))
    assert found.between_ppm == pytest.approx(ppm * sqrt((200 - 2) / 2))
    # Quantiles of F(2, 3) at 97.5 and 2.5 %: 16.0441 and 0.025533; of chi-squared(2): 7.37776 and 0.0506356.
    assert found.low_ppm == pytest.approx(ppm * sqrt((200 - 2 * 16.0441) / 7.37776), rel=1e-4)
    assert found.high_ppm == pytest.approx(ppm * sqrt((200 - 2 * 0.025533) / 0.0506356), rel=1e-4)
    narrower = spread_of({"A": [99, 101], "B": [109, 111], "C": [119, 121]}, level=0.5)
    assert found.low_ppm < narrower.low_ppm < narrower.high_ppm < found.high_ppm


def test_of_different_numbers_of_windows_the_harmonic_mean_counts() -> None:
    found = spread_of({"A": [100], "B": [109, 111], "empty": []})
    assert (found.mean, found.boards, found.repeats) == (105, 2, pytest.approx(4 / 3))
    assert found.noise_ppm == pytest.approx(1e6 / 105 * sqrt(2))


def test_what_noise_explains_is_no_spread() -> None:
    found = spread_of({"A": [90, 110], "B": [91, 111]})
    assert (found.between_ppm, found.low_ppm) == (0, 0)
    assert found.high_ppm > 0


# ---- distributions


@pytest.mark.parametrize("freedom", [5.0, 1e5])
def test_student_is_symmetric(freedom: float) -> None:
    assert t_tail(0.0, freedom) == pytest.approx(0.5)
    assert t_tail(-2.0, freedom) == pytest.approx(1 - t_tail(2.0, freedom))
    assert t_tail(2.0, freedom) < 0.06
    assert t_quantile(0.5, freedom) == pytest.approx(0, abs=1e-9)


def test_many_degrees_of_freedom_are_the_normal_distribution() -> None:
    assert t_tail(1.959964, 1e4) == pytest.approx(0.025, rel=1e-5)
    assert t_tail(1.959964, 9_999) == pytest.approx(0.025, rel=1e-3)


def test_every_ratio_of_variances_is_above_nothing() -> None:
    assert f_tail(0.0, 3, 10) == f_tail(-1.0, 3, 10) == 1
    assert f_tail(1e300, 3, 10) == pytest.approx(0, abs=1e-12)
    assert f_tail(1.0, 4, 4) == pytest.approx(0.5)
    assert f_quantile(0.5, 4, 4) == pytest.approx(1)


def test_with_two_degrees_of_freedom_the_tails_are_known_in_closed_form() -> None:
    # F(2, n): (1 + 2 f / n) ** (-n / 2).  Student with 2: 1/2 - t / (2 sqrt(2 + t * t)).  Chi-squared(2): twice log 2.
    for f in (0.01, 0.5, 1.0, 7.0, 400.0):
        assert f_tail(f, 2, 6) == pytest.approx((1 + f / 3) ** -3, rel=1e-9)
    for t in (0.01, 1.0, 30.0):
        assert t_tail(t, 2) == pytest.approx(0.5 - t / (2 * sqrt(2 + t * t)), rel=1e-7)
    assert chi2_quantile(0.5, 2) == pytest.approx(1.386294, rel=1e-5)


@pytest.mark.parametrize(("above", "below"), [(0.0, 1.0), (1.0, 0.0)])
def test_a_ratio_of_variances_needs_degrees_of_freedom_of_both(above: float, below: float) -> None:
    with pytest.raises(InvalidArgument, match=r"^degrees of freedom must be above 0, not 0.0$"):
        f_tail(1.0, above, below)
    with pytest.raises(InvalidArgument, match=r"^degrees of freedom must be above 0, not 0.0$"):
        f_quantile(0.5, above, below)


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_a_quantile_is_of_a_probability_between_0_and_1(probability: float) -> None:
    for quantile in (lambda: t_quantile(probability, 1.0), lambda: f_quantile(probability, 1.0, 1.0)):
        with pytest.raises(InvalidArgument, match=f"^a probability is between 0 and 1, not {probability}$"):
            quantile()


# ---- records


def test_a_covariance_is_six_finite_numbers() -> None:
    with pytest.raises(InvalidArgument, match=r"^covariance is 6 finite numbers, not \(1.0, 2.0\)$"):
        evolve(PERFECT, covariance=(1, 2))
    with pytest.raises(InvalidArgument, match=r"^covariance is 6 finite numbers, not \(inf, "):
        evolve(PERFECT, covariance=(float("inf"), 0, 0, 0, 0, 0))


def test_the_interval_of_a_value_is_in_its_own_unit() -> None:
    value = corrected(1e6, evolve(PERFECT, noise_ppm=1_000.0), time=0.0, temperature_c=25.0, resolution=0.0)
    # Student's t with 7 degrees of freedom at 97.5 %.
    assert value.interval() == pytest.approx((1e6 - 2.364624 * 1_000, 1e6 + 2.364624 * 1_000))
