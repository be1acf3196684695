"""Pure: no I/O, no clock.  Readings of reference circuits, calibrations made of them, and corrected values.

Everywhere here: times are seconds since the epoch, temperatures degrees Celsius, frequencies hertz, relative
deviations ppm (millionths), and uncertainties are standard ones (one standard deviation), as in the GUM
(JCGM 100:2008).  Records hold only plain numbers, texts and tuples, so `attrs.asdict` gives JSON.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from math import isfinite
from typing import Any

import attrs
from attrs import Attribute, field, frozen

from icefarm.arguments import passes_over_unknown
from icefarm.calibration.distributions import t_quantile
from icefarm.errors import InvalidArgument

__all__ = ["Calibration", "Corrected", "Reading", "positive"]

#: Hexadecimal digits of a calibration's id.
_ID_DIGITS = 16
#: Numbers of a covariance of three parameters.
_TRIANGLE = 6


def _finite(_: object, attribute: Attribute[Any], value: float | None) -> None:
    if value is not None and not isfinite(value):
        raise InvalidArgument(f"{attribute.name} must be a finite number, not {value}")


def positive(_: object, attribute: Attribute[Any], value: float) -> None:
    """Refuse what is not above 0 (validator of attrs)."""
    if not (isfinite(value) and value > 0):
        raise InvalidArgument(f"{attribute.name} must be above 0, not {value}")


def _not_negative(_: object, attribute: Attribute[Any], value: float) -> None:
    if not (isfinite(value) and value >= 0):
        raise InvalidArgument(f"{attribute.name} must be at least 0, not {value}")


def _triangle(values: Iterable[float]) -> tuple[float, ...]:
    given = tuple(float(value) for value in values)
    if len(given) != _TRIANGLE or not all(map(isfinite, given)):
        raise InvalidArgument(f"covariance is {_TRIANGLE} finite numbers, not {given}")
    return given


@passes_over_unknown
@frozen
class Reading:
    """One window of a reference circuit on one board.

    Raises `InvalidArgument` for numbers that no board gives.
    """

    serial: str
    #: The reference circuit's name.
    reference: str
    #: The frequency that a perfect board shows.
    expected_hz: float = field(validator=positive)
    #: Rising edges that were counted; a whole number, or the mean of several windows' counts.
    pulses: float = field(validator=_not_negative)
    #: The window, microseconds, as the board measured it.
    window_us: int = field(validator=positive)
    #: When the window began.
    time: float = field(validator=_finite)
    #: Of the board; None if it can't tell.
    temperature_c: float | None = field(default=None, validator=_finite)
    #: Name and version of the board's firmware, such as ``pulse_count 1.4``.
    firmware: str = ""

    @property
    def ppm(self) -> float:
        """The deviation of the measured frequency from the expected one, ppm."""
        return (self.pulses / self.expected_pulses - 1) * 1e6

    @property
    def expected_pulses(self) -> float:
        """What a perfect board counts in this window."""
        return self.expected_hz * self.window_us * 1e-6

    @property
    def step_ppm(self) -> float:
        """What one count is worth, ppm."""
        return 1e6 / self.expected_pulses


@passes_over_unknown
@frozen
class Calibration:
    """A board's deviation, estimated from readings of one reference circuit.

    The board's relative deviation at a time and temperature is::

        offset_ppm + drift_ppm_per_day * days since reference_time
                   + ppm_per_kelvin * kelvins above reference_temperature_c

    ``id`` names the content: equal calibrations have equal ids (`with_id`).
    """

    id: str
    serial: str
    reference: str
    #: Deviation at the reference time and temperature, ppm.
    offset_ppm: float = field(validator=_finite)
    #: Standard deviation of single windows within a session, without that of counting, ppm.
    noise_ppm: float = field(validator=_not_negative)
    #: Standard deviation from session to session about the line, beyond what `noise_ppm` explains, ppm.
    session_noise_ppm: float = field(validator=_not_negative)
    #: Change with time, ppm a day.
    drift_ppm_per_day: float = field(validator=_finite)
    #: Change with temperature, ppm per kelvin.
    ppm_per_kelvin: float = field(validator=_finite)
    #: Of the last reading.
    reference_time: float = field(validator=_finite)
    #: None: no reading has a temperature, and `ppm_per_kelvin` is 0.
    reference_temperature_c: float | None = field(validator=_finite)
    #: Covariance of offset, drift and ppm per kelvin: the upper triangle, by rows (oo, od, ok, dd, dk, kk), in the
    #: products of their units.
    covariance: tuple[float, ...] = field(converter=_triangle)
    #: The number of readings that it uses.
    readings: int
    #: The degrees of freedom that remain after the fit (for Student's t); at least 1.
    degrees_of_freedom: float = field(validator=positive)
    #: Coldest and hottest of the readings; equal to the reference temperature if there is only one; None as above.
    coldest_c: float | None = field(validator=_finite)
    hottest_c: float | None = field(validator=_finite)
    #: The time of the first reading that it uses.
    first_time: float = field(validator=_finite)
    #: When it takes effect: the time of the reading that completed it.
    valid_from: float = field(validator=_finite)
    #: Of the readings.
    firmware: str = ""

    @property
    def offset_uncertainty_ppm(self) -> float:
        """Standard uncertainty of `offset_ppm`."""
        return float(self.covariance[0] ** 0.5)

    @property
    def drift_uncertainty(self) -> float:
        """Standard uncertainty of `drift_ppm_per_day`."""
        return float(self.covariance[3] ** 0.5)

    @property
    def kelvin_uncertainty(self) -> float:
        """Standard uncertainty of `ppm_per_kelvin`."""
        return float(self.covariance[5] ** 0.5)

    def with_id(self) -> Calibration:
        """Return this calibration with the id that its content gives it."""
        content = attrs.asdict(self, filter=attrs.filters.exclude("id"))
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return attrs.evolve(self, id=hashlib.sha256(text.encode()).hexdigest()[:_ID_DIGITS])


@frozen
class Corrected:
    """A value as a perfect board would have measured it, in the value's own unit."""

    value: float
    #: Of calibration, noise and counting together.
    standard_uncertainty: float
    #: The id of the calibration that was applied.
    calibration: str
    #: Of the uncertainty, effective (Welch-Satterthwaite).
    degrees_of_freedom: float

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Return the interval that contains the value with this confidence (Student's t).  Raises `InvalidArgument`."""
        half = t_quantile((1 + level) / 2, self.degrees_of_freedom) * self.standard_uncertainty
        return self.value - half, self.value + half
