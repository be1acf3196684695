"""The clock that a board gives to the FPGA's pin 35, as an option of the kinds that measure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Attribute

__all__ = ["CLOCKS", "DEFAULT_MHZ", "OFF", "known_clock"]

#: The option's value where the board does not drive the pin.
OFF = "off"
#: What circuits made for earlier firmware expect.
DEFAULT_MHZ: int | str = 48

#: What the option may be, with its value in the firmware's parameters (docs/protocol.md).
CLOCKS: Mapping[int | str, int] = {6: 6, 12: 12, 24: 24, 48: 48, OFF: 0xFFFF}


def known_clock(_: Any, attribute: Attribute[int | str], value: int | str) -> None:
    """Refuse a frequency that boards can't make (attrs validator).  Raises ValueError."""
    if value not in CLOCKS:
        raise ValueError(f"{attribute.name} must be 6, 12, 24, 48 or {OFF}, not {value!r}")
