"""The fit of a board's calibration, held against what textbooks say of simple cases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import sqrt
from random import Random
from statistics import NormalDist, fmean, pvariance, stdev, variance

import pytest

from icefarm.calibration.estimation import DAY, Prior, calibrate, counting_bias_variance, sessions_of
from icefarm.calibration.records import Calibration, Reading
from icefarm.errors import InvalidArgument

HOUR = 3_600.0
#: One count is 0.001 ppm, so counting is not seen.
FINE_HZ = 1e9
#: Slopes that can't be: the board has an offset alone.
FLAT = Prior(drift_ppm_per_day=1e-9, ppm_per_kelvin=1e-9)


def reading(ppm: float, time: float = 0.0, celsius: float | None = 25.0, hertz: float = FINE_HZ) -> Reading:
    return Reading("A", "crystal", hertz, hertz * (1 + ppm * 1e-6), 1_000_000, time, celsius)


def fitted(readings: Iterable[Reading], prior: Prior | None = None) -> Calibration:
    found = calibrate(readings) if prior is None else calibrate(readings, prior=prior)
    assert found is not None
    return found


def line_of(found: Calibration) -> tuple[float, float, float]:
    return found.offset_ppm, found.drift_ppm_per_day, found.ppm_per_kelvin


def at(found: Calibration, each: Reading) -> tuple[float, float, float]:
    """Return by what the line's parameters are multiplied for a reading."""
    assert each.temperature_c is not None
    assert found.reference_temperature_c is not None
    days = (each.time - found.reference_time) / DAY
    return 1.0, days, each.temperature_c - found.reference_temperature_c


def residuals(found: Calibration, readings: Sequence[Reading]) -> list[float]:
    return [each.ppm - sum(a * b for a, b in zip(line_of(found), at(found, each), strict=True)) for each in readings]


# ---- an offset alone


def test_of_equal_circumstances_the_offset_is_the_mean_with_the_standard_error_of_a_mean() -> None:
    values = [90.0, 110.0] * 5
    found = fitted([reading(ppm, second) for second, ppm in enumerate(values)], FLAT)
    assert found.offset_ppm == pytest.approx(100)
    assert found.noise_ppm == pytest.approx(stdev(values))
    assert found.offset_uncertainty_ppm == pytest.approx(stdev(values) / sqrt(10), rel=1e-4)
    assert found.degrees_of_freedom == pytest.approx(9)
    assert found.session_noise_ppm == 0


def test_counting_is_no_noise_of_the_board_but_of_its_offset() -> None:
    # One count is 100 ppm.
    values = [100.0, -100.0] * 8
    found = fitted([reading(ppm, second, hertz=1e4) for second, ppm in enumerate(values)], FLAT)
    assert found.noise_ppm == pytest.approx(sqrt(variance(values) - 100**2 / 6))
    assert found.offset_uncertainty_ppm == pytest.approx(stdev(values) / sqrt(16), rel=1e-4)


def test_readings_that_scatter_less_than_counts_do_have_no_noise() -> None:
    found = fitted([reading(ppm, second, hertz=1e4) for second, ppm in enumerate([1.0, -1.0] * 4)], FLAT)
    assert found.noise_ppm == 0
    # The mean of eight counts, and what rounding does where no noise averages it out.
    assert found.offset_uncertainty_ppm == pytest.approx(100 * sqrt(1 / 6 / 8 + counting_bias_variance(0)), rel=1e-6)


def test_what_noise_leaves_of_the_rounding_is_an_uncertainty_of_the_offset() -> None:
    # Noise of a fifth of a count.
    either = sqrt((20**2 + 100**2 / 6) * 15 / 16)
    found = fitted([reading(ppm, second, hertz=1e4) for second, ppm in enumerate([either, -either] * 8)], FLAT)
    assert found.noise_ppm == pytest.approx(20)
    rounding = 100**2 * counting_bias_variance(0.2)
    assert found.offset_uncertainty_ppm**2 == pytest.approx((20**2 + 100**2 / 6) / 16 + rounding, rel=1e-4)


def test_short_windows_count_less_by_the_variance_of_their_counting() -> None:
    fine = [reading(ppm, second, hertz=1e6) for second, ppm in enumerate([99.5, 100.5] * 3)]
    coarse = [reading(ppm, 10 + second, hertz=1e5) for second, ppm in enumerate([109.5, 110.5] * 3)]
    found = fitted([*fine, *coarse], FLAT)
    weights = [1 / (found.noise_ppm**2 + each.step_ppm**2 / 6) for each in (fine[0], coarse[0])]
    assert found.offset_ppm == pytest.approx((100 * weights[0] + 110 * weights[1]) / sum(weights), rel=1e-6)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.2, 0.3])
def test_rounding_biases_a_mean_of_counts_as_much_as_the_noise_leaves_of_it(noise: float) -> None:
    """The mean of round(x + noise), less x, over all x."""
    normal = NormalDist(0, noise or 1e-6)

    def bias(x: float) -> float:
        steps = range(-3, 4)
        return sum(step * (normal.cdf(step + 0.5 - x) - normal.cdf(step - 0.5 - x)) for step in steps) - x

    expected = pvariance([bias((place + 0.5) / 200 - 0.5) for place in range(200)])
    assert counting_bias_variance(noise) == pytest.approx(expected, rel=0.015)


# ---- outliers


def with_outlier(ppm: float) -> list[Reading]:
    return [reading(each, second) for second, each in enumerate([*[90.0, 110.0] * 10, ppm])]


def test_a_reading_far_off_pulls_as_one_that_is_three_standard_deviations_off() -> None:
    readings = with_outlier(5_000.0)
    found = fitted(readings, FLAT)
    apart = residuals(found, readings)[:-1]
    assert sum(apart) == pytest.approx(-3 * found.noise_ppm, rel=1e-4)
    # It counts as that one in the noise, too, and as a small part of a reading in the degrees of freedom.
    squares = sum(each**2 for each in apart) + (3 * found.noise_ppm) ** 2
    assert found.noise_ppm**2 == pytest.approx(squares / found.degrees_of_freedom, rel=1e-4)
    assert 19 < found.degrees_of_freedom < 19.02


def test_how_far_off_it_is_makes_no_difference() -> None:
    near, far = (fitted(with_outlier(ppm), FLAT) for ppm in (5_000.0, 50_000.0))
    assert far.offset_ppm == pytest.approx(near.offset_ppm, abs=0.05)
    assert far.noise_ppm == pytest.approx(near.noise_ppm, rel=0.01)


def test_a_reading_that_is_less_than_three_standard_deviations_off_counts_in_full() -> None:
    values = [*[90.0, 110.0] * 10, 125.0]
    found = fitted([reading(ppm, second) for second, ppm in enumerate(values)], FLAT)
    assert found.offset_ppm == pytest.approx(fmean(values))
    assert found.noise_ppm == pytest.approx(stdev(values))


# ---- the line


def test_a_drift_and_its_uncertainty_are_those_of_a_regression_line() -> None:
    days = range(11)
    values = [100.0 + 2 * day + (3 if day % 2 else -3) for day in days]
    found = fitted([reading(ppm, day * DAY) for day, ppm in zip(days, values, strict=True)], Prior(1e6, 1e6))
    slope = sum((day - 5) * ppm for day, ppm in zip(days, values, strict=True)) / 110
    scatter = sqrt(
        sum((ppm - fmean(values) - slope * (day - 5)) ** 2 for day, ppm in zip(days, values, strict=True)) / 9
    )
    assert found.drift_ppm_per_day == pytest.approx(slope)
    assert found.noise_ppm == pytest.approx(scatter)
    assert found.drift_uncertainty == pytest.approx(scatter / sqrt(110), rel=1e-4)
    # The offset is that of the last day, five days from the middle.
    assert found.offset_ppm == pytest.approx(fmean(values) + 5 * slope)
    assert found.offset_uncertainty_ppm == pytest.approx(scatter * sqrt(1 / 11 + 25 / 110), rel=1e-4)
    assert found.degrees_of_freedom == pytest.approx(9, rel=1e-4)


@pytest.mark.parametrize("prior", [Prior(1e6, 1e6), Prior(0.5, 0.2)])
@pytest.mark.parametrize(("cold_hz", "warm_hz"), [(FINE_HZ, FINE_HZ), (2e5, 2e5), (2e5, 1e5)])
def test_no_other_line_fits_better_and_its_uncertainty_is_that_of_least_squares(
    prior: Prior, cold_hz: float, warm_hz: float
) -> None:
    random = Random(4)
    readings = [
        reading(100 + 2 * day - 3 * kelvin + random.choice((-4.0, 4.0)), day * DAY, 25 + kelvin,
                warm_hz if kelvin > 0 else cold_hz)
        for day, kelvin in ((day, random.uniform(-5, 5)) for day in range(30))
    ]  # fmt: skip
    found = fitted(readings, prior)
    rows = [at(found, each) for each in readings]
    counting = [each.step_ppm**2 / 6 for each in readings]
    weights = [1 / (found.noise_ppm**2 + each) for each in counting]
    precision = (0.0, prior.drift_ppm_per_day**-2, prior.ppm_per_kelvin**-2)
    left = residuals(found, readings)
    for place, (figure, known) in enumerate(zip(line_of(found), precision, strict=True)):
        # What the readings still pull at the line is what its prior holds.
        pull = sum(weight * row[place] * each for weight, row, each in zip(weights, rows, left, strict=True))
        assert pull == pytest.approx(known * figure, rel=1e-4, abs=1e-4 * sum(weights))
    normal = [
        [sum(weight * row[i] * row[j] for weight, row in zip(weights, rows, strict=True)) for j in range(3)]
        for i in range(3)
    ]
    oo, od, ok, dd, dk, kk = found.covariance
    # What rounding adds, which is no matter of the fit.
    step = fmean(each.step_ppm for each in readings)
    oo -= step**2 * counting_bias_variance(found.noise_ppm / step)
    covariance = [[oo, od, ok], [od, dd, dk], [ok, dk, kk]]
    for i in range(3):
        for j in range(3):
            product = sum((normal[i][k] + (precision[i] if i == k else 0)) * covariance[k][j] for k in range(3))
            assert product == pytest.approx(float(i == j), abs=1e-3)
    # What the prior determines takes no degree of freedom.
    determined = sum(covariance[i][j] * normal[j][i] for i in range(3) for j in range(3))
    assert found.degrees_of_freedom == pytest.approx(30 - determined, rel=1e-3)
    squares = sum(each**2 for each in left)
    assert found.noise_ppm**2 + fmean(counting) == pytest.approx(squares / found.degrees_of_freedom, rel=1e-4)


def test_three_readings_that_determine_a_line_leave_one_degree_of_freedom_at_least() -> None:
    readings = [reading(100, 0, 20), reading(120, DAY, 25), reading(90, 2 * DAY, 22)]
    found = fitted(readings, Prior(1e6, 1e6))
    assert found.degrees_of_freedom == 1
    assert residuals(found, readings) == pytest.approx([0, 0, 0], abs=1e-3)


def test_the_temperatures_of_readings_are_told_and_one_without_counts_as_their_mean() -> None:
    readings = [reading(100 + 2 * kelvin, kelvin, 20 + kelvin) for kelvin in (0.0, 2.0, 10.0)]
    found = fitted([*readings, reading(108, 11, None)])
    assert (found.coldest_c, found.hottest_c, found.reference_temperature_c) == (20, 30, 24)
    assert found.ppm_per_kelvin == pytest.approx(2, rel=1e-4)
    assert found.offset_ppm == pytest.approx(108, rel=1e-4)


# ---- which readings are used


def test_what_is_as_old_as_the_window_counts_and_what_is_older_does_not() -> None:
    new = [reading(100, 1e9 + second) for second in range(3)]
    last = new[-1].time
    found = fitted([reading(100, last - 90 * DAY), reading(100, last - 90 * DAY - 1), *new])
    assert (found.readings, found.first_time) == (4, last - 90 * DAY)
    assert (found.valid_from, found.reference_time) == (last, last)
    shorter = calibrate([reading(100, last - DAY), reading(100, last - DAY - 1), *new], window_days=1)
    assert shorter is not None
    assert shorter.first_time == last - DAY


def test_a_beginning_counts_where_it_is_later_than_that_of_the_window() -> None:
    readings = [reading(100, day * DAY) for day in range(100)]
    for since, first in ((95 * DAY, 95 * DAY), (0.0, 9 * DAY)):
        found = calibrate(readings, since=since)
        assert found is not None
        assert found.first_time == first


def test_readings_may_come_in_any_order() -> None:
    readings = [reading(100 + second, second * HOUR) for second in range(10)]
    assert fitted(reversed(readings)) == fitted(readings)


def test_readings_of_two_references_are_refused() -> None:
    other = Reading("A", "ring", 1e6, 1e6, 1_000_000, 0.0)
    with pytest.raises(InvalidArgument, match="of one board and one reference, not of A and crystal, ring"):
        calibrate([other, reading(1), reading(2)])


def test_a_calibration_says_what_it_is_of() -> None:
    found = fitted(Reading("A", "crystal", 1e6, 1e6, 1_000_000, second, 25.0, "count 1.4") for second in range(3))
    assert (found.serial, found.reference, found.firmware, found.readings) == ("A", "crystal", "count 1.4", 3)
    assert found.id == found.with_id().id


# ---- sessions


def test_a_pause_of_more_than_an_hour_begins_another_session() -> None:
    times = (0.0, HOUR, 2 * HOUR, 3 * HOUR + 1, 3 * HOUR + 2)
    found = sessions_of([reading(1, time) for time in times])
    assert [[each.time for each in session] for session in found] == [list(times[:3]), list(times[3:])]
    assert sessions_of([]) == []


def sessions(means: Sequence[float], within: float, each: int = 10) -> list[Reading]:
    """Return readings of sessions two hours apart, which scatter by so much either way about their means."""
    return [
        reading(mean + (within if number % 2 else -within), place * 2 * HOUR + number)
        for place, mean in enumerate(means)
        for number in range(each)
    ]


def test_sessions_that_scatter_more_than_their_windows_explain_are_what_the_uncertainty_comes_from() -> None:
    """One-way analysis of variance, with random effects."""
    means = [95.0, 105.0, 90.0, 110.0, 100.0, 100.0]
    found = fitted(sessions(means, within=1), FLAT)
    assert found.offset_ppm == pytest.approx(100)
    assert found.offset_uncertainty_ppm == pytest.approx(stdev(means) / sqrt(6), rel=1e-4)
    assert found.degrees_of_freedom == pytest.approx(5)
    within = 60 / 54  # squares of ±1, with a degree of freedom less for each session
    assert found.noise_ppm == pytest.approx(sqrt(within), rel=1e-4)
    assert found.session_noise_ppm == pytest.approx(sqrt(variance(means) - within / 10), rel=1e-4)


@pytest.mark.parametrize(("either", "noise"), [(60.0, sqrt(60**2 * 60 / 54 - 100**2 / 6)), (30.0, 0.0)])
def test_of_the_scatter_within_sessions_what_counting_explains_is_no_noise(either: float, noise: float) -> None:
    readings = [
        reading(mean + (either if number % 2 else -either), place * 2 * HOUR + number, hertz=1e4)
        for place, mean in enumerate([-500.0, 500.0] * 3)
        for number in range(10)
    ]
    assert fitted(readings, FLAT).noise_ppm == pytest.approx(noise, rel=1e-3)


def test_sessions_that_scatter_as_their_windows_do_are_one() -> None:
    # Means of ten values of ±10 scatter by 3.3: these do by 2.
    readings = sessions([98.0, 102.0] * 3, within=10)
    found = fitted(readings, FLAT)
    assert found.session_noise_ppm == 0
    assert found.noise_ppm == pytest.approx(stdev(each.ppm for each in readings), rel=1e-4)
    assert found.offset_uncertainty_ppm == pytest.approx(found.noise_ppm / sqrt(60), rel=1e-4)


def test_two_sessions_say_little_of_their_scatter_unless_it_is_plain() -> None:
    # F(1, 18) exceeds 15.4 once in a thousand times; F is the squared difference of the means over 2 * 11.1 / 10.
    within = 10 / 9
    by_chance, beyond = (sqrt(f * within / 10 * 2) for f in (15.0, 15.8))
    assert fitted(sessions([0.0, by_chance], within=1), FLAT).session_noise_ppm == 0
    assert fitted(sessions([0.0, beyond], within=1), FLAT).session_noise_ppm > 0


def test_sessions_of_one_window_each_can_not_be_told_from_noise() -> None:
    found = fitted(sessions([95.0, 105.0, 90.0, 110.0], within=0, each=1), FLAT)
    assert found.session_noise_ppm == 0
    assert found.degrees_of_freedom == pytest.approx(3)


def test_one_window_more_than_sessions_is_enough_to_tell_them_apart() -> None:
    # F(1, 1) exceeds 1,300,000 in 0.06 % of cases.
    apart = fitted([reading(0, 0), reading(1, 1), reading(1_000, 2 * HOUR)], FLAT)
    assert apart.session_noise_ppm > 500
    assert apart.noise_ppm == pytest.approx(sqrt(0.5), rel=1e-3)
    assert fitted([reading(0, 0), reading(1, 1), reading(100, 2 * HOUR)], FLAT).session_noise_ppm == 0
