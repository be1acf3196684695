"""Pure: no I/O, no clock.  Student's t, F and chi-squared: quantiles for any degrees of freedom, whole or not."""

from __future__ import annotations

from collections.abc import Callable
from math import exp, inf, lgamma, log
from statistics import NormalDist

from icefarm.errors import InvalidArgument

__all__ = ["chi2_quantile", "f_quantile", "f_tail", "t_quantile", "t_tail"]

#: From here on t is the normal distribution, to four digits of its quantiles.
_NORMAL_FROM = 10_000.0
#: Chi-squared is F with infinite degrees of freedom in the denominator; this many give five digits.
_ALMOST_INFINITE = 1e6
#: The continued fraction of the incomplete beta function ends when a term changes less than this.
_PRECISION = 1e-14
#: It needs about the root of its larger parameter.
_MOST_TERMS = 2_000
#: A smaller probability is taken for this one.
_LEAST_TAIL = 1e-12


def t_tail(t: float, freedom: float) -> float:
    """Return the probability of a value above ``t``.  Raises `InvalidArgument` without degrees of freedom."""
    _check_freedom(freedom)
    if t < 0:
        return 1 - t_tail(-t, freedom)
    if freedom >= _NORMAL_FROM:
        return NormalDist().cdf(-t)
    return _incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2


def t_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of Student's distribution.

    Raises `InvalidArgument` for a probability that is not between 0 and 1, and without degrees of freedom.
    """
    _check_probability(probability)
    _check_freedom(freedom)
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if freedom >= _NORMAL_FROM:
        return NormalDist().inv_cdf(probability)
    return _crossing(lambda t: t_tail(t, freedom), 1 - probability)


def f_tail(f: float, above: float, below: float) -> float:
    """Return the probability of a ratio of variances above ``f``.  Raises `InvalidArgument` as `t_tail` does."""
    _check_freedom(above)
    _check_freedom(below)
    return 1.0 if f <= 0 else _incomplete_beta(below / 2, above / 2, below / (below + above * f))


def f_quantile(probability: float, above: float, below: float) -> float:
    """Return the quantile of the F distribution.  Raises `InvalidArgument` as `t_quantile`."""
    _check_probability(probability)
    _check_freedom(above)
    _check_freedom(below)
    return _crossing(lambda f: f_tail(f, above, below), 1 - probability)


def chi2_quantile(probability: float, freedom: float) -> float:
    """Return the quantile of chi-squared, to five digits.  Raises `InvalidArgument` likewise."""
    return freedom * f_quantile(probability, freedom, _ALMOST_INFINITE)


def _crossing(tail: Callable[[float], float], wanted: float) -> float:
    """Return where a falling tail function has a probability, by bisection."""
    wanted = max(wanted, _LEAST_TAIL)
    low, high = 0.0, 1.0
    while tail(high) > wanted:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if tail(middle) > wanted else (low, middle)
    return (low + high) / 2


def _check_probability(probability: float) -> None:
    if not 0 < probability < 1:
        raise InvalidArgument(f"a probability is between 0 and 1, not {probability}")


def _check_freedom(freedom: float) -> None:
    if not 0 < freedom <= inf:
        raise InvalidArgument(f"degrees of freedom must be above 0, not {freedom}")


def _incomplete_beta(a: float, b: float, x: float) -> float:
    """Return the regularised incomplete beta function I_x(a, b)."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log(1 - x))
    # The continued fraction converges fast on this side; the function is symmetric.
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(a, b, x) / a
    return 1 - front * _fraction(b, a, 1 - x) / b


def _fraction(a: float, b: float, x: float) -> float:
    """Return the continued fraction of I_x(a, b), by Lentz's method (Press et al., Numerical Recipes, 6.4)."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    result = d
    for n in range(1, _MOST_TERMS):
        even = n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n))
        odd = -(a + n) * (a + b + n) * x / ((a + 2 * n) * (a + 2 * n + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            result *= c * d
        if abs(c * d - 1) < _PRECISION:
            break
    return result


def _not_zero(value: float) -> float:
    return value if abs(value) > 1e-300 else 1e-300
