"""The farms that tests of faults run on, and how tests name them.

A test runs on a farm with one router and one control, unless it says otherwise.
"""

from __future__ import annotations

import pytest
from attrs import frozen

__all__ = ["ONE_OF_EACH", "ON_BOTH", "ON_SEVERAL", "SEVERAL", "Shape"]


@frozen
class Shape:
    """How many routers and controls a farm has."""

    routers: int
    controls: int

    def __str__(self) -> str:
        return f"{self.routers} of each"


ONE_OF_EACH, SEVERAL = Shape(1, 1), Shape(2, 2)

_SLOW_ON_SEVERAL = pytest.param(SEVERAL, marks=pytest.mark.slow)
#: Marks of tests that run on both farms, on the second one in `make faults` only, and of those that need that one.
ON_BOTH = pytest.mark.parametrize(
    "running_farm", [ONE_OF_EACH, _SLOW_ON_SEVERAL], indirect=True, scope="session", ids=str
)
ON_SEVERAL = pytest.mark.parametrize("running_farm", [SEVERAL], indirect=True, scope="session", ids=str)
