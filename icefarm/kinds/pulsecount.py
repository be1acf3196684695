"""The device kind ``pulsecount``: how many pulses does a circuit give within a window of time?

Runs on the firmware ``pulse_count``, which counts rising edges on ICE_27 (docs/protocol.md has its parameters).
"""

from __future__ import annotations

import struct

from attrs import field, frozen
from attrs.validators import and_, ge, le

from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import DeviceHandle, Parameters, reservable
from icefarm.kinds.clock import CLOCKS, DEFAULT_MHZ, known_clock

__all__ = ["PulseCount"]

#: Maximum total time of all windows of one evaluation, seconds (docs/protocol.md).
LONGEST = 600.0
#: window in microseconds, repeats, clock at pin 35.
_PARAMETERS = struct.Struct("<IHH")
#: pulses, window as measured in microseconds; once for each repeat.
_COUNT = struct.Struct("<II")


@reservable("pulsecount", firmware="pulse_count", firmware_since="1.1", version="1.1")
class PulseCount:
    """Counts a circuit's pulses on pin ICE_27 within a window of time."""

    @frozen
    class Options:
        """Options of the reservation."""

        #: Seconds that pulses are counted for.
        window: float = field(default=1.0, validator=and_(ge(0.001), le(60.0)))
        #: Receive the next bitstream while counting pulses; without it the USB is quiet during windows.
        overlap: bool = True
        #: MHz of the clock that the board gives at the FPGA's pin 35: 6, 12, 24, 48, or "off".
        clock_mhz: int | str = field(default=DEFAULT_MHZ, validator=known_clock)

    @frozen
    class EvaluationOptions:
        """Options of one evaluation."""

        #: Consecutive windows after loading once; with more than 1, the value is a list.
        repeats: int = field(default=1, validator=and_(ge(1), le(256)))

    def __init__(self, _: DeviceHandle, options: Options) -> None:
        self._options = options
        self._clock = CLOCKS[options.clock_mhz]

    def parameters(self, options: EvaluationOptions) -> Parameters:
        """Return what the board is asked.  Raises `InvalidArgument` where that takes too long."""
        window, repeats = self._options.window, options.repeats
        if repeats * window > LONGEST:
            raise InvalidArgument(f"{repeats} windows of {window:g} s take more than {LONGEST:g} s")
        content = _PARAMETERS.pack(round(window * 1e6), repeats, self._clock)
        return Parameters(content, window * repeats, self._options.overlap)

    def decode(self, content: bytes, options: EvaluationOptions) -> int | list[int]:
        """Return the number of pulses, or that of each repeat."""
        if len(content) != options.repeats * _COUNT.size:
            raise DeviceFailed(f"the board returned {len(content)} bytes for {options.repeats} counts")
        pulses = [count for count, _ in _COUNT.iter_unpack(content)]
        return pulses[0] if options.repeats == 1 else pulses
