"""Pure: no I/O, no clock.  What a board without any deviation would have measured.  Nothing is corrected by itself.

Results of a client, of the archive, and the lines of its files are corrected here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from attrs import frozen

from icefarm.calibration.correction import corrected
from icefarm.calibration.records import Calibration, Corrected
from icefarm.errors import InvalidArgument

__all__ = ["Correction", "correction"]

#: The device kinds that count pulses.
_COUNTING = ("pulsecount",)


@frozen
class Correction:
    """A corrected value, or why there is none."""

    corrected: Corrected | None = None
    why_not: str | None = None


class Correctable(Protocol):
    """The fields that a correction needs; `icefarm.contract.Measurement` and archived results have them."""

    @property
    def serial(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def value(self) -> Any: ...

    @property
    def temperature_c(self) -> float | None: ...

    @property
    def started_at(self) -> float | None: ...

    @property
    def ended_at(self) -> float: ...

    @property
    def calibration(self) -> str | None: ...


def correction(measured: Correctable, calibration: Calibration | None) -> Correction:
    """Return a measurement's value without its board's deviation, or why it cannot be corrected.

    Of several windows it is their mean.  ``calibration`` is the one that the measurement names, if that is known.
    """
    if measured.calibration is None:
        return Correction(why_not=f"board {measured.serial} had no calibration when it measured")
    if calibration is None:
        return Correction(why_not=f"calibration {measured.calibration} of board {measured.serial} is not known here")
    counts = _counts(measured.value) if measured.kind in _COUNTING else None
    if not counts:
        return Correction(why_not=f"a value of kind {measured.kind} is no count of pulses")
    try:
        value = corrected(
            sum(counts) / len(counts),
            calibration,
            time=measured.ended_at if measured.started_at is None else measured.started_at,
            temperature_c=measured.temperature_c,
            windows=len(counts),
        )
    except InvalidArgument as error:
        return Correction(why_not=error.message)
    except OverflowError:
        return Correction(why_not="the value is too large to be corrected")
    return Correction(value)


def _counts(value: Any) -> Sequence[float] | None:
    """Return the counts of a value: one, or one for each window."""
    counts = value if isinstance(value, list) else [value]
    return counts if all(isinstance(each, int | float) and not isinstance(each, bool) for each in counts) else None
