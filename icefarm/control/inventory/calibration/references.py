"""The reference circuits: what a board is asked to measure, and what a board without any deviation would show."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from attrs import frozen

from icefarm.contract import ReferenceCircuit

__all__ = ["MAIN", "REFERENCES", "WINDOW", "WINDOWS", "Reference", "circuits_for"]

#: Seconds of a window, and windows of each reference circuit at a time.
WINDOW, WINDOWS = 1.0, 5


@frozen
class Reference:
    """A reference circuit of the project's own."""

    name: str
    #: What it measures, for people.
    what: str
    expected_hz: float
    #: Whether virtual boards can measure it.
    virtual: bool = True


#: The reference whose figures are in the boards' records, and to which results refer.
MAIN = "oscillator"
REFERENCES: Mapping[str, Reference] = MappingProxyType(
    {
        each.name: each
        for each in (
            Reference(MAIN, "the FPGA's own oscillator", 48e6 / 16),
            Reference("crystal", "the board's crystal, at pin 35", 48e6 / 16),
            # Only what is common to all boards matters: theirs are compared with each other.
            Reference("ring", "the speed of the fabric", 400e3, virtual=False),
        )
    }
)


def circuits_for(*, virtual: bool) -> list[ReferenceCircuit]:
    """Return what a board is asked to measure."""
    return [
        ReferenceCircuit(each.name, _bitstream(each.name), WINDOWS)
        for each in REFERENCES.values()
        if each.virtual or not virtual
    ]


@cache
def _bitstream(name: str) -> bytes:
    return (files("icefarm") / "data" / "circuits" / "references" / f"{name}.bin").read_bytes()
