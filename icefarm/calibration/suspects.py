"""Pure: no I/O, no clock.  Boards that measure unlike the others, or unlike their own past.

A board is compared in two ways.  *With its history*: the mean of its last session with what its calibration, made of
earlier readings, predicts.  A deviation that most boards share on a day is no board's fault, and is subtracted.  *With
the others*: its offset and its noise with the median of all boards, in units of their scatter, which is the median
absolute deviation (MAD), so that a few odd boards don't hide themselves.  The limits are quantiles of Student's t, so
that few readings or few boards make a wide limit rather than false alarms.  docs/calibration.md has formulas and
figures.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import exp, log, sqrt
from statistics import NormalDist, fmean, median

from attrs import evolve, frozen

from icefarm.calibration.correction import Deviation, deviation_at
from icefarm.calibration.distributions import t_quantile
from icefarm.calibration.estimation import COUNT_VARIANCE, MAD_TO_SIGMA
from icefarm.calibration.records import Calibration, Reading

__all__ = [
    "HISTORY_ALARM",
    "OTHERS_ALARM",
    "Suspicion",
    "against_history",
    "against_others",
    "is_beyond",
    "session_deviation",
]

#: Probability that a healthy board's session is taken for a deviation; normal noise reaches it at 4.9 sigma.
#: At one session a day it makes a false alarm in 2,700 years of a board.
HISTORY_ALARM = 1e-6
#: The same of a comparison with the others, for normally distributed boards: 4 sigma.  It is not a new trial each day,
#: since a board's offset stays: of 16,000 healthy boards one is marked.
OTHERS_ALARM = 6.3e-5
#: With at least this many boards, their common deviation is subtracted.
_MANY = 5
#: The MAD of n normal values says as much of their scatter as the standard deviation of 0.37 n (Rousseeuw and Croux,
#: Journal of the American Statistical Association 88, 1993).
_MAD_EFFICIENCY = 0.37
#: A board's noise is compared if it has at least this many degrees of freedom.
_ENOUGH_FOR_NOISE = 10.0
#: Noise below this share of the median board's counts as that much: it may be 0, which has no logarithm.
_LEAST_NOISE_SHARE = 0.1
#: The standard deviation of a median is that of a mean times this.
_MEDIAN_TO_MEAN = 1.2533


@frozen
class Suspicion:
    """Why a board is suspect: a figure, what it was expected to be, and how far beyond the limit it is."""

    serial: str
    reference: str
    #: "history": it changed; "others": it is unlike the other boards.
    compared_with: str
    #: "offset_ppm" or "noise_ppm".
    figure: str
    value: float
    expected: float
    #: The standard deviation of the difference (of its logarithm for "noise_ppm").
    scatter: float
    #: The difference in units of it, and how large it may be.
    sigmas: float
    limit: float

    def __str__(self) -> str:
        what = {"offset_ppm": "offset", "noise_ppm": "noise"}[self.figure]
        whom = "its own history predicts" if self.compared_with == "history" else "the median of all boards is"
        return (
            f"{what} {self.value:.4g} ppm at {self.reference}, where {whom} {self.expected:.4g} ppm: "
            f"{self.sigmas:.1f} standard deviations apart, and the limit is {self.limit:.1f}"
        )


@frozen
class _Value:
    """A board's figure with its uncertainty."""

    value: float
    uncertainty: float
    freedom: float


def session_deviation(calibration: Calibration, session: Sequence[Reading]) -> Deviation:
    """Return how far a session's mean is from what an earlier calibration predicts."""
    count = len(session)
    time = fmean(reading.time for reading in session)
    temperatures = [reading.temperature_c for reading in session if reading.temperature_c is not None]
    predicted = deviation_at(calibration, time, fmean(temperatures) if temperatures else None)
    step = fmean(reading.step_ppm for reading in session)
    variance = (
        predicted.standard_uncertainty**2
        + (calibration.noise_ppm**2 + COUNT_VARIANCE * step**2) / count
        + calibration.session_noise_ppm**2
    )
    measured = fmean(reading.ppm for reading in session)
    return Deviation(measured - predicted.ppm, sqrt(variance), calibration.degrees_of_freedom)


def is_beyond(deviation: Deviation, alarm: float = HISTORY_ALARM) -> bool:
    """Tell whether a deviation is beyond the limit of `against_history`."""
    sigmas = abs(deviation.ppm) / deviation.standard_uncertainty
    return sigmas > _limit(sigmas, alarm, deviation.degrees_of_freedom)


def against_history(
    sessions: Iterable[tuple[Calibration, Sequence[Reading]]], alarm: float = HISTORY_ALARM
) -> list[Suspicion]:
    """Return the boards whose last session is unlike their history.

    ``sessions`` are boards' last sessions of about the same time, each with the board's calibration from before it.
    """
    pairs = [(calibration, session) for calibration, session in sessions if session]
    deviations = [session_deviation(calibration, session) for calibration, session in pairs]
    common, of_common = _common(deviations)
    found = []
    for (calibration, session), deviation in zip(pairs, deviations, strict=True):
        scatter = sqrt(deviation.standard_uncertainty**2 + of_common**2)
        sigmas = abs(deviation.ppm - common) / scatter
        limit = _limit(sigmas, alarm, deviation.degrees_of_freedom)
        if sigmas > limit:
            measured = fmean(reading.ppm for reading in session)
            expected = measured - deviation.ppm + common
            figures = (measured, expected, scatter, sigmas, limit)
            found.append(Suspicion(calibration.serial, calibration.reference, "history", "offset_ppm", *figures))
    return found


def _limit(sigmas: float, alarm: float, freedom: float) -> float:
    """Return the limit; the normal distribution's, which is the lowest, where that is enough to pass."""
    lowest = NormalDist().inv_cdf(1 - alarm / 2)
    return lowest if sigmas <= lowest else t_quantile(1 - alarm / 2, freedom)


def _common(deviations: Sequence[Deviation]) -> tuple[float, float]:
    """Return the common deviation of boards, and its uncertainty."""
    if len(deviations) < _MANY:
        return 0.0, 0.0
    typical = median(deviation.standard_uncertainty for deviation in deviations)
    return median(deviation.ppm for deviation in deviations), _MEDIAN_TO_MEAN * typical / sqrt(len(deviations))


def against_others(calibrations: Iterable[Calibration], alarm: float = OTHERS_ALARM) -> list[Suspicion]:
    """Return the boards that are unlike the others, by each board's present calibration of one reference.

    Offsets are those at each board's own mean temperature: a board's first days don't say what another one would do.
    """
    boards = {calibration.serial: calibration for calibration in calibrations}
    offsets = {
        serial: _Value(each.offset_ppm, each.offset_uncertainty_ppm, each.degrees_of_freedom)
        for serial, each in boards.items()
    }
    noisy = _outliers(boards, _noises(boards.values()), "noise_ppm", alarm)
    # A quiet board is not suspect; and the logarithm of an estimate from few readings is easily too low.
    noisy = [_in_ppm(each) for each in noisy if each.value > each.expected]
    return _outliers(boards, offsets, "offset_ppm", alarm) + noisy


def _noises(calibrations: Iterable[Calibration]) -> dict[str, _Value]:
    """Return the logarithms of noise, whose scatter is symmetric, for boards with enough readings."""
    enough = [each for each in calibrations if each.degrees_of_freedom >= _ENOUGH_FOR_NOISE]
    floor = _LEAST_NOISE_SHARE * median([each.noise_ppm for each in enough] or [0.0])
    return {
        each.serial: _Value(
            log(max(each.noise_ppm, floor)), 1 / sqrt(2 * each.degrees_of_freedom), each.degrees_of_freedom
        )
        for each in enough
        if floor > 0
    }


def _in_ppm(suspicion: Suspicion) -> Suspicion:
    return evolve(suspicion, value=exp(suspicion.value), expected=exp(suspicion.expected))


def _outliers(
    boards: Mapping[str, Calibration], values: Mapping[str, _Value], figure: str, alarm: float
) -> list[Suspicion]:
    if len(values) < 3:
        return []
    middle = median(each.value for each in values.values())
    spread = MAD_TO_SIGMA * median(abs(each.value - middle) for each in values.values())
    # The scatter of the values includes their usual uncertainty; an uncertainty beyond that is added.
    usual = median(each.uncertainty for each in values.values()) ** 2
    freedom = max(1.0, _MAD_EFFICIENCY * (len(values) - 1))
    found = []
    for serial, each in sorted(values.items()):
        own = max(0.0, each.uncertainty**2 - usual) if spread else each.uncertainty**2
        scatter = sqrt(spread**2 + own)
        if not scatter:
            continue
        sigmas = abs(each.value - middle) / scatter
        limit = _limit(sigmas, alarm, scatter**4 / (spread**4 / freedom + own**2 / each.freedom))
        if sigmas > limit:
            reference = boards[serial].reference
            found.append(Suspicion(serial, reference, "others", figure, each.value, middle, scatter, sigmas, limit))
    return found
