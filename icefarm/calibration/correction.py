"""Pure: no I/O, no clock.  Values as a perfect board would have measured them.

The uncertainties of the calibration, of the board's noise and of counting are combined as the GUM says (JCGM
100:2008, 5.1.2 and G.4).
"""

from __future__ import annotations

from math import inf, isfinite, sqrt

from attrs import frozen

from icefarm.calibration.estimation import COUNT_VARIANCE, DAY
from icefarm.calibration.records import Calibration, Corrected
from icefarm.errors import InvalidArgument

__all__ = ["THERMOMETER_K", "Deviation", "corrected", "deviation_at"]

#: Standard uncertainty of a board's temperature: its thermometer has steps of half a kelvin.
THERMOMETER_K = 0.5 / sqrt(12)
#: A board that deviates by half does not measure the reference; oscillators inside FPGAs deviate by up to a tenth.
_MOST_PPM = 500_000.0
#: Above this number, degrees of freedom no longer matter.
_ENOUGH_FREEDOM = 1e6


@frozen
class Deviation:
    """A board's deviation at some time and temperature, ppm, with its standard uncertainty."""

    ppm: float
    standard_uncertainty: float
    degrees_of_freedom: float = inf


def deviation_at(calibration: Calibration, time: float, temperature_c: float | None) -> Deviation:
    """Return a board's deviation at a time and temperature.

    An unknown temperature counts as uniform between the coldest and the hottest of the calibration's readings.
    """
    days = (time - calibration.reference_time) / DAY
    kelvin, spread = _warmth(calibration, temperature_c)
    oo, od, ok, dd, dk, kk = calibration.covariance
    ppm = calibration.offset_ppm + calibration.drift_ppm_per_day * days + calibration.ppm_per_kelvin * kelvin
    variance = oo + dd * days**2 + kk * kelvin**2 + 2 * (od * days + ok * kelvin + dk * days * kelvin)
    # The slope's own uncertainty matters if the temperature is uncertain.
    variance += spread**2 * (calibration.ppm_per_kelvin**2 + kk)
    return Deviation(ppm, sqrt(max(variance, 0.0)), calibration.degrees_of_freedom)


def _warmth(calibration: Calibration, temperature_c: float | None) -> tuple[float, float]:
    """Return the kelvins above the calibration's reference temperature, and their standard uncertainty."""
    middle, coldest, hottest = calibration.reference_temperature_c, calibration.coldest_c, calibration.hottest_c
    if middle is None or coldest is None or hottest is None:
        return 0.0, 0.0
    if temperature_c is None:
        return (coldest + hottest) / 2 - middle, max((hottest - coldest) / sqrt(12), THERMOMETER_K)
    return temperature_c - middle, THERMOMETER_K


def corrected(
    value: float,
    calibration: Calibration,
    *,
    time: float,
    temperature_c: float | None,
    resolution: float = 1.0,
    windows: int = 1,
) -> Corrected:
    """Return a value as a perfect board would have measured it, with its uncertainty.

    ``value`` is a count or a frequency, or the mean of so many ``windows``; ``resolution`` is what one count is worth
    in its unit (0: it is no count).  Raises `InvalidArgument` for a value that is no finite number, for no windows,
    and for a calibration by which the board is off by more than half.
    """
    if not isfinite(value):
        raise InvalidArgument(f"a value that is corrected must be a finite number, not {value}")
    if windows < 1 or resolution < 0:
        raise InvalidArgument(f"windows must be at least 1 and resolution at least 0, not {windows} and {resolution}")
    deviation = deviation_at(calibration, time, temperature_c)
    if abs(deviation.ppm) > _MOST_PPM:
        raise InvalidArgument(
            f"by calibration {calibration.id} board {calibration.serial} is off by {deviation.ppm:.0f} ppm; "
            "more than half can't be corrected"
        )
    factor = 1 + deviation.ppm * 1e-6
    noise = calibration.noise_ppm**2 / windows + calibration.session_noise_ppm**2
    of_board = abs(value) / factor**2 * sqrt(deviation.standard_uncertainty**2 + noise) * 1e-6
    of_counting = resolution / factor * sqrt(COUNT_VARIANCE / windows)
    uncertainty = sqrt(of_board**2 + of_counting**2)
    freedom = calibration.degrees_of_freedom * (uncertainty / of_board) ** 4 if of_board > 0 else inf
    return Corrected(value / factor, uncertainty, calibration.id, min(freedom, _ENOUGH_FREEDOM))
