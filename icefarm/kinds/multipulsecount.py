"""The device kind ``multipulsecount``: how many pulses does a circuit give on each of several pins in one window?

Runs on the firmware ``multi_pulse_count``, which counts rising edges on up to eight pins at once (docs/protocol.md has
its parameters).
"""

from __future__ import annotations

import struct
from typing import Any

from attrs import Attribute, field, frozen
from attrs.validators import and_, ge, le

from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import DeviceHandle, Parameters, reservable
from icefarm.kinds.clock import CLOCKS, DEFAULT_MHZ, known_clock

__all__ = ["DEFAULT_PINS", "PINS", "MultiPulseCount"]

#: Pins of the FPGA that lead to the RP2350, except the configuration port and the clock's (docs/hardware.md).
PINS = (9, 11, 18, 19, 20, 21, 23, 25, 26, 27)
#: What existing scripts expect, in this order.
DEFAULT_PINS = (9, 11, 25, 27)
#: Pins that the firmware counts at once.
MOST_PINS = 8
#: Maximum total time of all windows of one evaluation, seconds; as for pulsecount.
LONGEST = 600.0
#: Bytes of the firmware's result (docs/protocol.md).
RESULT_MAX = 4048
#: window in microseconds, repeats, clock at pin 35; then a byte for each pin.
_PARAMETERS = struct.Struct("<IHH")


def _known_pins(_: Any, attribute: Attribute[list[int]], value: list[int]) -> None:
    """Refuse pins that can't be counted together (attrs validator).  Raises ValueError."""
    name = attribute.name
    wrong = [pin for pin in value if pin not in PINS]
    if wrong:
        raise ValueError(f"{name} must be among {', '.join(map(str, PINS))}, not {wrong[0]}")
    if len(set(value)) < len(value):
        raise ValueError(f"{name} must differ from each other, not {value}")
    if not 1 <= len(value) <= MOST_PINS:
        raise ValueError(f"{name} must be 1 to {MOST_PINS} pins, not {len(value)}")


@reservable("multipulsecount", firmware="multi_pulse_count", firmware_since="1.1", version="1.0")
class MultiPulseCount:
    """Counts a circuit's pulses on several pins within one window of time."""

    @frozen
    class Options:
        """Options of the reservation."""

        #: Pins of the FPGA to count on; the value has a number for each, in this order.
        pins: list[int] = field(factory=lambda: list(DEFAULT_PINS), validator=_known_pins)
        #: Seconds that pulses are counted for.
        window: float = field(default=1.0, validator=and_(ge(0.001), le(60.0)))
        #: Receive the next bitstream while pulses are counted; without it the USB is quiet during windows.
        overlap: bool = True
        #: MHz of the clock that the board gives at the FPGA's pin 35: 6, 12, 24, 48, or "off".
        clock_mhz: int | str = field(default=DEFAULT_MHZ, validator=known_clock)

    @frozen
    class EvaluationOptions:
        """Options of one evaluation."""

        #: Windows to count in, one after the other, after loading once; with more than 1, the value is a list of lists.
        repeats: int = field(default=1, validator=and_(ge(1), le(506)))

    def __init__(self, _: DeviceHandle, options: Options) -> None:
        self._options = options
        #: window as measured in microseconds, pulses on each pin; once for each repeat.
        self._counts = struct.Struct(f"<I{len(options.pins)}I")

    def parameters(self, options: EvaluationOptions) -> Parameters:
        """Return what the board is asked.  Raises `InvalidArgument` for more than it can do at once."""
        window, repeats = self._options.window, options.repeats
        if repeats * window > LONGEST:
            raise InvalidArgument(f"{repeats} windows of {window:g} s take more than {LONGEST:g} s")
        most = RESULT_MAX // self._counts.size
        if repeats > most:
            raise InvalidArgument(f"a board holds {most} repeats of {len(self._options.pins)} pins, not {repeats}")
        content = _PARAMETERS.pack(round(window * 1e6), repeats, CLOCKS[self._options.clock_mhz])
        return Parameters(content + bytes(self._options.pins), window * repeats, self._options.overlap)

    def decode(self, content: bytes, options: EvaluationOptions) -> list[int] | list[list[int]]:
        """Return the number of pulses on each pin, or that list for each repeat."""
        if len(content) != options.repeats * self._counts.size:
            raise DeviceFailed(f"the board gave {len(content)} bytes for {options.repeats} counts")
        pulses = [list(counts) for _, *counts in self._counts.iter_unpack(content)]
        return pulses[0] if options.repeats == 1 else pulses
