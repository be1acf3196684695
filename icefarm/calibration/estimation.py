"""Pure: no I/O, no clock.  A board's calibration, from readings of a reference circuit.

The readings' deviations are fitted to a line in time and temperature by weighted least squares, in which a reading
that lies more than three standard deviations off counts less (Huber 1964).  Slopes have wide priors, so that what the
readings don't determine (how a board drifts, on its first day) has a large uncertainty rather than none.  Readings of
one session share its circumstances: where sessions scatter more than the windows within them explain, the uncertainty
comes from the sessions.  docs/calibration.md has the formulas.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import exp, pi, sqrt
from statistics import fmean, median

from attrs import evolve, field, frozen

from icefarm.calibration.distributions import f_tail
from icefarm.calibration.records import Calibration, Reading, positive
from icefarm.errors import InvalidArgument

__all__ = [
    "COUNT_VARIANCE",
    "DAY",
    "LEAST_READINGS",
    "MAD_TO_SIGMA",
    "SESSION_GAP_S",
    "WINDOW_DAYS",
    "Prior",
    "calibrate",
    "counting_bias_variance",
    "sessions_of",
]

DAY = 86_400.0
#: Readings that are this much older than the last one are ignored: boards do not change linearly for so long.
WINDOW_DAYS = 90.0
#: The least number of readings for a calibration: two do not determine the noise.
LEAST_READINGS = 3
#: A pause of this many seconds begins another session.
SESSION_GAP_S = 3_600.0
#: Variance of a count whose window begins at any phase of the signal, in counts (a triangle of one either way).
COUNT_VARIANCE = 1 / 6
#: The standard deviation of normal values is their median absolute deviation times this.
MAD_TO_SIGMA = 1.4826
#: Beyond this many standard deviations a reading counts less.  With normal noise the estimate hardly changes.
_HUBER = 3.0
#: If sessions scatter beyond this significance level, they have a noise of their own.  A larger one would take chance
#: for that too often, and a board's uncertainty from a few sessions instead of from all windows.
_BY_CHANCE = 0.001
#: The fit repeats until the noise changes by less than this part; it takes 3 to 6 rounds.
_SETTLED = 1e-6
_MOST_ROUNDS = 30

_Vector = tuple[float, float, float]
_Matrix = list[list[float]]


@frozen
class Prior:
    """How much boards can drift and depend on temperature: standard deviations about 0.

    They matter only until readings say more.  Raises `InvalidArgument` for what is not above 0.
    """

    drift_ppm_per_day: float = field(default=100.0, validator=positive)
    ppm_per_kelvin: float = field(default=1000.0, validator=positive)


#: For boards without earlier knowledge.
_WIDE = Prior()


@frozen
class _Row:
    """A reading as a row of the fit."""

    x: _Vector
    ppm: float
    #: Variance of counting, ppm squared.
    counting: float
    session: int


@frozen
class _Fit:
    """A fitted line, and the scatter of the readings about it."""

    parameters: list[float]
    covariance: _Matrix
    #: Variance of single readings without that of counting.
    noise: float
    freedom: float
    #: Of each reading, for the line's residuals: how much it counts (1, or less for an outlier) and its residual.
    trust: list[float]
    residuals: list[float]
    #: Variance between sessions beyond that.
    session_noise: float = 0.0


def calibrate(
    readings: Iterable[Reading],
    *,
    prior: Prior = _WIDE,
    window_days: float = WINDOW_DAYS,
    since: float | None = None,
) -> Calibration | None:
    """Return the calibration from readings of one board and reference; None if they are too few.

    It uses the readings of the last ``window_days``, not before ``since``, with the last reading's firmware: another
    firmware may count differently.  Raises `InvalidArgument` for readings of several boards or references.
    """
    ordered = sorted(readings, key=lambda reading: reading.time)
    _check_same(ordered)
    used = _usable(ordered, window_days, since)
    if len(used) < LEAST_READINGS:
        return None
    last = used[-1]
    temperatures = [reading.temperature_c for reading in used if reading.temperature_c is not None]
    middle = fmean(temperatures) if temperatures else None
    rows = _rows(used, last.time, middle)
    fit = _with_sessions(_fit(rows, prior), rows, prior)
    covariance = fit.covariance
    step = fmean(reading.step_ppm for reading in used)
    covariance[0][0] += step**2 * counting_bias_variance(sqrt(fit.noise) / step)
    offset, drift, per_kelvin = fit.parameters
    return Calibration(
        id="",
        serial=last.serial,
        reference=last.reference,
        offset_ppm=offset,
        noise_ppm=sqrt(fit.noise),
        session_noise_ppm=sqrt(fit.session_noise),
        drift_ppm_per_day=drift,
        ppm_per_kelvin=per_kelvin,
        reference_time=last.time,
        reference_temperature_c=middle,
        covariance=[covariance[row][column] for row in range(3) for column in range(row, 3)],
        readings=len(used),
        degrees_of_freedom=max(1.0, fit.freedom),
        coldest_c=min(temperatures, default=None),
        hottest_c=max(temperatures, default=None),
        first_time=used[0].time,
        valid_from=last.time,
        firmware=last.firmware,
    ).with_id()


def sessions_of(readings: Sequence[Reading]) -> list[list[Reading]]:
    """Return readings, ordered by time, by their sessions: a pause begins another one."""
    sessions: list[list[Reading]] = []
    for reading in readings:
        if not sessions or reading.time - sessions[-1][-1].time > SESSION_GAP_S:
            sessions.append([])
        sessions[-1].append(reading)
    return sessions


def counting_bias_variance(noise_counts: float) -> float:
    """Return the variance, in counts, of what rounding does to the mean of many counts.

    Noise of half a count and more averages it out (dither); without noise each count is off by the same, and the mean
    is no better than one of them (1/12).  It is the Fourier series of the rounding error's mean, squared.
    """
    square = noise_counts**2
    return sum(exp(-4 * pi**2 * k**2 * square) / (2 * pi**2 * k**2) for k in range(1, 50))


def _check_same(readings: Sequence[Reading]) -> None:
    boards = {reading.serial for reading in readings}
    references = {reading.reference for reading in readings}
    if len(boards) > 1 or len(references) > 1:
        found = ", ".join(sorted(boards)), ", ".join(sorted(references))
        raise InvalidArgument(f"a calibration is of one board and one reference, not of {found[0]} and {found[1]}")


def _usable(readings: Sequence[Reading], window_days: float, since: float | None) -> list[Reading]:
    if not readings:
        return []
    last = readings[-1]
    begin = last.time - window_days * DAY if since is None else max(since, last.time - window_days * DAY)
    return [reading for reading in readings if reading.time >= begin and reading.firmware == last.firmware]


def _rows(readings: Sequence[Reading], time: float, temperature: float | None) -> list[_Row]:
    """Return the fit's rows.  A reading without a temperature has the mean temperature."""
    rows = []
    for number, session in enumerate(sessions_of(readings)):
        for reading in session:
            known = reading.temperature_c
            warmer = 0.0 if known is None or temperature is None else known - temperature
            x = (1.0, (reading.time - time) / DAY, warmer)
            rows.append(_Row(x, reading.ppm, COUNT_VARIANCE * reading.step_ppm**2, number))
    return rows


def _fit(rows: Sequence[_Row], prior: Prior) -> _Fit:
    """Fit the line, and estimate the noise about it."""
    fit = _solved(rows, [1.0] * len(rows), prior, _robust_variance([row.ppm for row in rows]))
    noise = _robust_variance(fit.residuals)
    for _ in range(_MOST_ROUNDS):
        trust = [_trust(r, noise + row.counting) for r, row in zip(fit.residuals, rows, strict=True)]
        fit = _solved(rows, trust, prior, noise)
        settled = abs(fit.noise - noise) <= _SETTLED * (noise + rows[0].counting)
        noise = fit.noise
        if settled:
            break
    return fit


def _trust(residual: float, variance: float) -> float:
    limit = _HUBER * sqrt(variance)
    return 1.0 if abs(residual) <= limit else limit / abs(residual)


def _robust_variance(values: Sequence[float]) -> float:
    middle = median(values)
    return (MAD_TO_SIGMA * median(abs(value - middle) for value in values)) ** 2


def _solved(rows: Sequence[_Row], trust: list[float], prior: Prior, noise: float, scale: float = 1.0) -> _Fit:
    """Solve the normal equations for readings of this noise (variance), times ``scale``."""
    normal, right = _normal_equations(rows, trust, noise, scale)
    precision = (0.0, prior.drift_ppm_per_day**-2, prior.ppm_per_kelvin**-2)
    whole = [[normal[i][j] + (precision[i] if i == j else 0.0) for j in range(3)] for i in range(3)]
    covariance = _inverse(whole)
    line = [sum(covariance[i][j] * right[j] for j in range(3)) for i in range(3)]
    residuals = [row.ppm - sum(a * b for a, b in zip(line, row.x, strict=True)) for row in rows]
    # The effective number of parameters that the readings determine; the prior determines the rest.
    determined = sum(covariance[i][j] * normal[j][i] for i in range(3) for j in range(3))
    total = sum(trust)
    freedom = max(total - determined, 0.5)
    # Outliers are cut to the limit here (Huber's proposal 2), or they would raise their own limit.
    squares = sum((t * r) ** 2 for t, r in zip(trust, residuals, strict=True))
    counting = sum(t * row.counting for t, row in zip(trust, rows, strict=True)) / total
    return _Fit(line, covariance, max(0.0, squares / freedom - counting), freedom, trust, residuals)


def _normal_equations(
    rows: Sequence[_Row], trust: Sequence[float], noise: float, scale: float
) -> tuple[_Matrix, _Vector]:
    oo = od = ok = dd = dk = kk = yo = yd = yk = 0.0
    for row, trusted in zip(rows, trust, strict=True):
        weight = trusted / ((noise + row.counting) * scale)
        _, days, kelvin = row.x
        oo += weight
        od += weight * days
        ok += weight * kelvin
        dd += weight * days * days
        dk += weight * days * kelvin
        kk += weight * kelvin * kelvin
        yo += weight * row.ppm
        yd += weight * row.ppm * days
        yk += weight * row.ppm * kelvin
    return [[oo, od, ok], [od, dd, dk], [ok, dk, kk]], (yo, yd, yk)


def _inverse(m: _Matrix) -> _Matrix:
    """Return the inverse of a symmetric positive definite matrix of three rows, by its cofactors.

    Rows and columns are scaled first: days and kelvin differ by orders of magnitude.  Then the diagonal is 1.
    """
    scale = [1 / sqrt(m[i][i]) for i in range(3)]
    b, c, e = m[0][1] * scale[0] * scale[1], m[0][2] * scale[0] * scale[2], m[1][2] * scale[1] * scale[2]
    cofactors = [
        [1 - e * e, c * e - b, b * e - c],
        [c * e - b, 1 - c * c, b * c - e],
        [b * e - c, b * c - e, 1 - b * b],
    ]
    determinant = cofactors[0][0] + b * cofactors[0][1] + c * cofactors[0][2]
    return [[cofactors[i][j] * scale[i] * scale[j] / determinant for j in range(3)] for i in range(3)]


def _with_sessions(fit: _Fit, rows: Sequence[_Row], prior: Prior) -> _Fit:
    """Return the fit with the uncertainty from the scatter between sessions, if that is larger.

    It is Birge's ratio: the variance of the sessions' means against what the windows within sessions explain.
    """
    variance = [fit.noise + row.counting for row in rows]
    count = rows[-1].session + 1
    weights, means = [0.0] * count, [0.0] * count
    total = 0.0
    for row, trusted, residual, each in zip(rows, fit.trust, fit.residuals, variance, strict=True):
        weights[row.session] += trusted / each
        means[row.session] += trusted / each * residual
        total += (trusted * residual) ** 2 / each
    between = sum(mean**2 / weight for mean, weight in zip(means, weights, strict=True))
    within_freedom = sum(fit.trust) - count
    freedom = fit.freedom - within_freedom
    if within_freedom < 1 or freedom < 1:
        return fit
    within = max((total - between) / within_freedom, 1e-9)
    if f_tail(between / freedom / within, freedom, within_freedom) > _BY_CHANCE:
        return fit
    scaled = _solved(rows, fit.trust, prior, fit.noise, scale=between / freedom)
    typical = fmean(variance)
    counting = fmean(row.counting for row in rows)
    return evolve(
        fit,
        parameters=scaled.parameters,
        covariance=scaled.covariance,
        noise=max(0.0, within * typical - counting),
        freedom=freedom,
        residuals=scaled.residuals,
        session_noise=(between / freedom - within) * typical * count / len(rows),
    )
