"""Pure: no I/O, no clock.  The option ``--limit NAME=VALUE``: which limits are control's, and which the router's."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from attrs import Factory, frozen

from icefarm.control.sessions.limits import LIMITS, checked_limits
from icefarm.errors import InvalidArgument

__all__ = ["GUARD_LIMITS", "GivenLimits", "farm_limits"]

#: The limits that the guard at the router's public port holds, by name, and the least value of each.
#: `icefarm_guard.limits.Limits` says what they bound, and has the defaults.
GUARD_LIMITS: Mapping[str, float] = {
    "sign_in": 0.5,
    "connections": 1,
    "pending": 1,
    "unsigned": 4096,
    "request": 4096,
    "unanswered": 1,
    "unread": 65536,
    "stalled": 1,
    "share": 0.01,
}
#: Limits in whole numbers.
_WHOLE = frozenset(("connections", "pending", "unsigned", "request", "unanswered", "unread"))


@frozen
class GivenLimits:
    """What an operator has set for the farm."""

    #: Of each account.
    account: Mapping[str, float] = Factory(dict)
    #: Of connections at the router.
    guard: Mapping[str, float] = Factory(dict)


def farm_limits(given: Sequence[tuple[str, float]]) -> GivenLimits:
    """Sort limits by who holds them.  Raises `InvalidArgument`."""
    account: dict[str, float] = {}
    guard: dict[str, float] = {}
    for name, value in given:
        if name in LIMITS:
            account |= checked_limits({name: value})
        elif name in GUARD_LIMITS:
            guard[name] = _guard_limit(name, value)
        else:
            known = ", ".join((*LIMITS, *GUARD_LIMITS))
            raise InvalidArgument(f"there is no limit {name!a:.100}; there are {known}")
    return GivenLimits(account, guard)


def _guard_limit(name: str, value: float) -> float:
    least = GUARD_LIMITS[name]
    # No comparison with a NaN is true.
    if not least <= value < math.inf or (name == "share" and value > 1):
        most = " and at most 1" if name == "share" else ""
        raise InvalidArgument(f"the limit {name} must be a number of at least {least:g}{most}, not {value:g}")
    if name in _WHOLE and value != int(value):
        raise InvalidArgument(f"the limit {name} must be a whole number, not {value:g}")
    return int(value) if name in _WHOLE else value
