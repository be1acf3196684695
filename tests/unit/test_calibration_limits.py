"""Where the limits lie beyond which a board is suspect, in simple figures."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, log, sqrt
from typing import Any

import pytest
from attrs import evolve

from icefarm.calibration.correction import THERMOMETER_K, Deviation
from icefarm.calibration.distributions import t_quantile
from icefarm.calibration.estimation import DAY, MAD_TO_SIGMA
from icefarm.calibration.records import Calibration, Reading
from icefarm.calibration.steps import begin_of_line
from icefarm.calibration.suspects import (
    HISTORY_ALARM,
    OTHERS_ALARM,
    Suspicion,
    against_history,
    against_others,
    is_beyond,
    session_deviation,
)

#: Known to be without deviation, noise and uncertainty, but for what a test sets.
PERFECT = Calibration(
    id="c", serial="A", reference="crystal", offset_ppm=0.0, noise_ppm=0.0, session_noise_ppm=0.0,
    drift_ppm_per_day=0.0, ppm_per_kelvin=0.0, reference_time=0.0, reference_temperature_c=25.0, covariance=(0.0,) * 6,
    readings=1_000, degrees_of_freedom=1e9, coldest_c=20.0, hottest_c=30.0, first_time=0.0, valid_from=0.0,
)  # fmt: skip


def calibration(variance: float = 0.0, **others: Any) -> Calibration:
    """Return a calibration whose offset has this variance, ppm squared."""
    return evolve(PERFECT, covariance=(variance, 0.0, 0.0, 0.0, 0.0, 0.0), **others)


def reading(ppm: float, time: float = 0.0, celsius: float | None = 25.0, hertz: float = 1e9) -> Reading:
    return Reading("A", "crystal", hertz, hertz * (1 + ppm * 1e-6), 1_000_000, time, celsius)


# ---- how far a session is from its history


def test_a_session_is_compared_by_its_mean_with_what_is_predicted_for_its_mean_time_and_temperature() -> None:
    known = calibration(offset_ppm=100.0, drift_ppm_per_day=2.0, ppm_per_kelvin=3.0)
    # On the mean of days 4 and 6, and 2 K warmer than at its calibration: 100 + 2 * 5 + 3 * 2.
    session = [reading(120.0, 4 * DAY, 26.0), reading(130.0, 6 * DAY, 28.0)]
    assert session_deviation(known, session).ppm == pytest.approx(125 - 116)
    # A reading without temperature says nothing of it.
    unknown = [reading(120.0, 4 * DAY, 27.0), reading(130.0, 6 * DAY, None)]
    assert session_deviation(known, unknown).ppm == pytest.approx(125 - 116)


def test_a_session_whose_temperature_is_unknown_may_have_been_as_cold_or_warm_as_those_before() -> None:
    known = calibration(ppm_per_kelvin=3.0)
    found = session_deviation(known, [reading(0.0, 0.0, None)])
    assert found.standard_uncertainty == pytest.approx(3 * 10 / sqrt(12), rel=1e-6)
    told = session_deviation(known, [reading(0.0)])
    assert told.standard_uncertainty == pytest.approx(3 * THERMOMETER_K, rel=1e-6)


def test_the_uncertainties_of_history_windows_counts_and_sessions_add_up_by_squares() -> None:
    known = calibration(4.0, noise_ppm=3.0, session_noise_ppm=5.0, degrees_of_freedom=7.0)
    # One count is 6 ppm, whose variance is 6; of nine windows the mean has a ninth of it, and of their noise.
    found = session_deviation(known, [reading(0.0, hertz=1e6 / 6)] * 9)
    assert found.standard_uncertainty == pytest.approx(sqrt(4 + 9 / 9 + 6 / 9 + 25))
    assert found.degrees_of_freedom == 7


# ---- the limit


@pytest.mark.parametrize(
    ("sigmas", "freedom", "beyond"),
    [(4.88, inf, False), (4.90, inf, True), (4.90, 20.0, False), (7.0, 20.0, True), (20.0, 5.0, False)],
)
def test_the_limit_is_a_quantile_of_student_both_ways(sigmas: float, freedom: float, beyond: bool) -> None:
    for sign in (1, -1):
        assert is_beyond(Deviation(sign * sigmas * 10.0, 10.0, freedom)) is beyond


def test_with_another_probability_of_a_false_alarm_the_limit_is_another() -> None:
    two = Deviation(20.0, 10.0)
    assert is_beyond(two, alarm=0.05)
    assert not is_beyond(two, alarm=0.04)


# ---- against its history


def pairs(*means: float, freedom: float = 1e9) -> list[tuple[Calibration, Sequence[Reading]]]:
    """Return sessions of such means, of boards whose history predicts 0 with a standard deviation of 2 ppm."""
    return [
        (calibration(4.0, serial=f"B{number}", degrees_of_freedom=freedom), [reading(mean)])
        for number, mean in enumerate(means)
    ]


def test_of_five_boards_what_the_middle_one_deviates_by_is_common_to_all() -> None:
    (found,) = against_history(pairs(20.0, 20.0, 20.0, 20.0, 60.0))
    assert (found.serial, found.reference) == ("B4", "crystal")
    assert (found.compared_with, found.figure) == ("history", "offset_ppm")
    # The uncertainty of a median of five adds to its own.
    scatter = 2 * sqrt(1 + 1.2533**2 / 5)
    assert (found.value, found.expected) == (pytest.approx(60), pytest.approx(20))
    assert found.scatter == pytest.approx(scatter, rel=1e-6)
    assert found.sigmas == pytest.approx(40 / scatter, rel=1e-6)
    assert found.limit == pytest.approx(4.8916, abs=1e-3)


def test_of_four_boards_each_is_compared_with_its_own_history_alone() -> None:
    found = against_history(pairs(20.0, 20.0, 20.0, -60.0))
    assert [(each.serial, round(each.sigmas, 3)) for each in found] == [("B0", 10), ("B1", 10), ("B2", 10), ("B3", 30)]
    assert [each.expected for each in found] == pytest.approx([0] * 4, abs=1e-6)


def test_the_common_deviations_uncertainty_is_that_of_a_usual_board() -> None:
    sure = pairs(0.0, 0.0, 0.0, 0.0, 60.0)
    unsure = [(evolve(sure[0][0], covariance=(100.0, 0.0, 0.0, 0.0, 0.0, 0.0)), sure[0][1]), *sure[1:]]
    assert against_history(unsure) == against_history(sure)


def test_a_short_history_makes_a_wide_limit() -> None:
    assert against_history(pairs(40.0, freedom=5.0)) == []
    (found,) = against_history(pairs(60.0, freedom=5.0))
    assert found.limit == pytest.approx(t_quantile(1 - HISTORY_ALARM / 2, 5.0))
    assert against_history(pairs(40.0, freedom=5.0), alarm=0.01) != []


def test_a_board_that_has_not_measured_takes_no_part() -> None:
    four = pairs(20.0, 20.0, 20.0, 20.0)
    assert len(against_history([*four, (calibration(1.0, serial="silent"), [])])) == 4


# ---- against the others


def shelf(offsets: Sequence[float], **others: Any) -> list[Calibration]:
    return [calibration(serial=f"B{number:03}", offset_ppm=ppm, **others) for number, ppm in enumerate(offsets)]


def test_an_offset_is_compared_with_the_median_in_units_of_the_median_absolute_deviation() -> None:
    # The median of all is 5.5, and half of them are no more than 1 off.
    offsets = [*[4.0, 6.0] * 50, 5.0, 60.0]
    (found,) = against_others(shelf(offsets))
    assert (found.serial, found.compared_with, found.figure) == ("B101", "others", "offset_ppm")
    assert (found.value, found.expected) == (60, 5.5)
    assert found.scatter == pytest.approx(MAD_TO_SIGMA)
    assert found.sigmas == pytest.approx((60 - 5.5) / MAD_TO_SIGMA)
    # So many boards say as much of their scatter as 0.37 times as many would by their standard deviation.
    assert found.limit == pytest.approx(t_quantile(1 - OTHERS_ALARM / 2, 0.37 * 101), rel=1e-6)


def test_a_board_below_the_others_is_as_suspect_as_one_above() -> None:
    found = against_others(shelf([*[-1.0, 1.0] * 50, 0.0, 50.0, -50.0]))
    assert [each.value for each in found] == [50, -50]


def test_an_uncertain_board_is_compared_with_room_for_its_uncertainty() -> None:
    sure = shelf([*[-1.0, 1.0] * 50, 0.0], variance=1.0)
    # The scatter of the others holds their usual uncertainty; what this one's is beyond that comes on top.
    odd = calibration(25.0, serial="odd", offset_ppm=50.0)
    (found,) = against_others([*sure, odd])
    assert found.scatter == pytest.approx(sqrt(MAD_TO_SIGMA**2 + 24))
    quiet = calibration(0.25, serial="odd", offset_ppm=50.0)
    (found,) = against_others([*sure, quiet])
    assert found.scatter == pytest.approx(MAD_TO_SIGMA)


def test_boards_that_are_all_equal_are_compared_by_their_own_uncertainty() -> None:
    equal = shelf([0.0] * 4, variance=1.0)
    (found,) = against_others([*equal, calibration(4.0, serial="odd", offset_ppm=20.0)])
    assert (found.scatter, found.sigmas, found.expected) == (2, 10, 0)
    # Of a board without any uncertainty nothing can be told; of those after it, it can.
    sure = evolve(equal[0], covariance=(0.0,) * 6)
    odd = calibration(4.0, serial="odd", offset_ppm=20.0)
    assert [each.serial for each in against_others([sure, *equal[1:], odd])] == ["odd"]
    assert against_others([*shelf([0.0] * 4), calibration(serial="odd", offset_ppm=20.0)]) == []


def test_the_freedom_of_a_scatter_of_two_parts_is_that_of_welch_and_satterthwaite() -> None:
    sure = shelf([*[-1.0, 1.0] * 50, 0.0])
    odd = calibration(100.0, serial="odd", offset_ppm=500.0, degrees_of_freedom=6.0)
    (found,) = against_others([*sure, odd])
    spread, own = MAD_TO_SIGMA**2, 100.0
    freedom = (spread + own) ** 2 / (spread**2 / (0.37 * 101) + own**2 / 6)
    assert found.limit == pytest.approx(t_quantile(1 - OTHERS_ALARM / 2, freedom), rel=1e-6)


def test_with_another_alarm_less_is_suspect() -> None:
    offsets = [*[-1.0, 1.0] * 50, 0.0, 5.0]
    assert against_others(shelf(offsets)) == []
    assert [each.value for each in against_others(shelf(offsets), alarm=0.01)] == [5]


def test_of_two_boards_nobody_can_say_which_is_odd() -> None:
    assert against_others(shelf([0.0, 1_000.0], variance=1.0)) == []
    three = shelf([0.0, 0.0, 1_000.0], variance=1.0)
    assert [each.serial for each in against_others(three)] == ["B002"]


def test_the_scatter_of_three_boards_is_that_of_one_degree_of_freedom() -> None:
    assert against_others(shelf([0.0, 1.0, 10_000.0])) == []
    (found,) = against_others(shelf([0.0, 1.0, 20_000.0]))
    assert found.limit == pytest.approx(t_quantile(1 - OTHERS_ALARM / 2, 1.0))
    assert found.limit < found.sigmas < 14_000


def test_noise_is_compared_by_its_logarithm_and_told_in_ppm() -> None:
    # The median is the root of 8 by the logarithm, and half of the boards are no more than a factor of 2 off.
    noises = [*[1.0, 4.0] * 50, 2.0, 2_000.0]
    boards = [evolve(each, noise_ppm=ppm) for each, ppm in zip(shelf([0.0] * 102), noises, strict=True)]
    (found,) = against_others(boards)
    assert (found.serial, found.figure, found.compared_with) == ("B101", "noise_ppm", "others")
    assert (found.value, found.expected) == (pytest.approx(2_000), pytest.approx(sqrt(8)))
    assert found.scatter == pytest.approx(MAD_TO_SIGMA * log(2), rel=1e-6)
    assert found.sigmas == pytest.approx(log(2_000 / sqrt(8)) / found.scatter)


def test_a_quiet_board_is_no_suspect() -> None:
    noises = [*[100.0, 102.0] * 50, 101.0, 1e-3]
    boards = [evolve(each, noise_ppm=ppm) for each, ppm in zip(shelf([0.0] * 102), noises, strict=True)]
    assert against_others(boards) == []


def test_the_noise_of_few_readings_is_not_compared() -> None:
    boards = [evolve(each, noise_ppm=1.0, degrees_of_freedom=1_000.0) for each in shelf([0.0] * 9)]
    noisy = calibration(serial="noisy", noise_ppm=1e6)
    assert against_others([*boards, evolve(noisy, degrees_of_freedom=9.9)]) == []
    (found,) = against_others([*boards, evolve(noisy, degrees_of_freedom=10.0)])
    # Of n degrees of freedom, a logarithm of a standard deviation has one of 1 / sqrt(2 n).
    assert found.scatter == pytest.approx(1 / sqrt(20))
    assert found.sigmas == pytest.approx(log(1e6) * sqrt(20))


def test_boards_without_any_noise_are_no_reason_to_suspect_others() -> None:
    silent = shelf([0.0] * 9)
    assert against_others([*silent, calibration(serial="noisy", noise_ppm=1e6)]) == []


# ---- what is said


def test_a_suspicion_says_what_was_found_expected_and_allowed() -> None:
    found = Suspicion("A", "crystal", "history", "offset_ppm", 30.0, 10.0, 4.0, 5.0, 4.89)
    assert str(found) == (
        "offset 30 ppm at crystal, where its own history predicts 10 ppm: "
        "5.0 standard deviations apart, and the limit is 4.9"
    )
    other = evolve(found, compared_with="others", figure="noise_ppm", value=1234567.0)
    assert str(other).startswith("noise 1.235e+06 ppm at crystal, where the median of all boards is 10 ppm: ")


# ---- steps


def sessions_at(*days_and_ppm: tuple[float, float]) -> list[Reading]:
    return [reading(ppm, day * DAY + second) for day, ppm in days_and_ppm for second in range(3)]


#: A history from day 0 on that predicts 0 with a standard deviation of 1 ppm.
HISTORY = calibration(1.0)


@pytest.mark.parametrize(
    ("last", "begin"),
    [
        # Two sessions beyond the limit, to the same side.
        (((1, 10.0), (2, 10.0)), DAY),
        (((1, -10.0), (2, -10.0)), DAY),
        (((1, 10.0), (2, -10.0)), 0.0),
        (((1, 10.0), (2, 1.0)), 0.0),
        (((1, 1.0), (2, 10.0)), 0.0),
        (((1, 1.0), (2, 1.0)), 0.0),
        # One session alone.
        (((1, 10.0),), 0.0),
        # Only the last two matter.
        (((1, 10.0), (2, 10.0), (3, 1.0)), 0.0),
        (((1, 1.0), (2, 10.0), (3, 10.0)), 2 * DAY),
    ],
)
def test_two_sessions_in_a_row_beyond_the_limit_to_one_side_are_a_step(
    last: Sequence[tuple[float, float]], begin: float
) -> None:
    readings = sessions_at(*last)
    assert begin_of_line(HISTORY, readings) == begin
    assert begin_of_line(HISTORY, reversed(readings)) == begin


def test_a_line_does_not_reach_back_beyond_an_earlier_step() -> None:
    again = evolve(HISTORY, first_time=2 * DAY)
    assert begin_of_line(again, sessions_at((1, 10.0), (2, 10.0))) == 2 * DAY
    assert begin_of_line(None, sessions_at((1, 10.0), (2, 10.0))) is None
