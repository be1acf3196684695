"""Pure: no I/O, no clock.  How much a circuit's values differ between boards, beyond the noise of each.

The boards are a sample of all boards (a random effect): the variance between them is that of their means, less what
noise contributes to it (one-way analysis of variance).  Its confidence interval is Williams' (Biometrika 49, 1962).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from statistics import fmean

from attrs import frozen

from icefarm.calibration.distributions import chi2_quantile, f_quantile
from icefarm.errors import InvalidArgument

__all__ = ["BoardSpread", "spread_of"]

#: Without repeats, noise counts as 0, known with this many degrees of freedom: practically certain.
_CERTAIN = 1e6


@frozen
class BoardSpread:
    """What one circuit did on several boards.  Standard deviations are ppm of the mean."""

    mean: float
    boards: int
    #: Windows on each board; the mean if the numbers differ.
    repeats: float
    #: Standard deviation between boards, without noise; 0 if noise explains all of it.
    between_ppm: float
    #: Its confidence interval.
    low_ppm: float
    high_ppm: float
    #: Standard deviation of windows on one board; None without repeats: then it is in the spread between boards.
    noise_ppm: float | None


def spread_of(values: Mapping[str, Sequence[float]], level: float = 0.95) -> BoardSpread:
    """Return how far a circuit's values spread between boards; ``values`` has each board's windows, by serial.

    Raises `InvalidArgument` for fewer than two boards with values, and for a mean that is not above 0.
    """
    boards = [[float(value) for value in windows] for windows in values.values() if windows]
    if len(boards) < 2:
        raise InvalidArgument(f"a spread between boards needs values of at least two boards; there are {len(boards)}")
    means = [fmean(windows) for windows in boards]
    mean = fmean(means)
    if not mean > 0:
        raise InvalidArgument(f"a spread in ppm needs a mean above 0, not {mean}: the circuit did not reach the pin")
    between_freedom = len(boards) - 1
    within_freedom = sum(map(len, boards)) - len(boards)
    # If the numbers of windows differ, their harmonic mean counts (analysis of unweighted means).
    repeats = len(boards) / sum(1 / len(windows) for windows in boards)
    between = repeats * sum((each - mean) ** 2 for each in means) / between_freedom
    squares = sum((value - each) ** 2 for each, windows in zip(means, boards, strict=True) for value in windows)
    within = squares / within_freedom if within_freedom else 0.0
    low, high = _interval(between, within, between_freedom, within_freedom or _CERTAIN, level)
    part = 1e6 / mean
    return BoardSpread(
        mean=mean,
        boards=len(boards),
        repeats=repeats,
        between_ppm=part * sqrt(max(0.0, between - within) / repeats),
        low_ppm=part * sqrt(low / repeats),
        high_ppm=part * sqrt(high / repeats),
        noise_ppm=part * sqrt(within) if within_freedom else None,
    )


def _interval(between: float, within: float, above: float, below: float, level: float) -> tuple[float, float]:
    """Return the interval of the variance between boards times the repeats."""
    tails = (1 + level) / 2, (1 - level) / 2
    limits = []
    for tail in tails:
        share = between - within * f_quantile(tail, above, below)
        limits.append(max(0.0, above * share / chi2_quantile(tail, above)))
    return limits[0], limits[1]
