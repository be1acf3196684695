"""The clock that a board gives to the FPGA's pin 35, as an option of the kinds that measure."""

from __future__ import annotations

from typing import Any

from attrs import Attribute

__all__ = ["DEFAULT_MHZ", "OFF", "clock_parameter", "known_clock"]

#: The option's value where the board does not drive the pin.
OFF = "off"
#: What circuits made for earlier firmware expect.
DEFAULT_MHZ: int | str = 48

_VALUES = (6, 12, 24, 48, OFF)
#: What the firmware takes for `OFF` (docs/protocol.md).
_NO_CLOCK = 0xFFFF


def known_clock(_: Any, attribute: Attribute[int | str], value: int | str) -> None:
    """Refuse a frequency that boards can't make (attrs validator).  Raises ValueError."""
    if value not in _VALUES:
        raise ValueError(f"{attribute.name} must be 6, 12, 24, 48 or {OFF}, not {value!r}")


def clock_parameter(value: int | str) -> int:
    """Return the value in the firmware's parameters for an option's value."""
    return value if isinstance(value, int) else _NO_CLOCK
