"""The device kind ``frequency``: how fast does a circuit's output on pin ICE_27 change?

Runs on the firmware ``pulse_count``, whose parameters and results are in icefarm's docs/protocol.md.
"""

from __future__ import annotations

import struct

from attrs import field, frozen
from attrs.validators import and_, ge, le

from icefarm.errors import DeviceFailed
from icefarm.kinds import DeviceHandle, Parameters, reservable

#: window in microseconds, windows, the clock's default.
_PARAMETERS = struct.Struct("<IHH")
#: pulses, window as measured in microseconds; once for each window.
_COUNT = struct.Struct("<II")


@reservable("frequency", firmware="pulse_count")
class Frequency:
    """Measures the frequency of a circuit's output, in hertz."""

    @frozen
    class Options:
        """Options of the reservation."""

        #: Seconds.
        window: float = field(default=0.1, validator=and_(ge(0.001), le(1.0)))

    @frozen
    class EvaluationOptions:
        """Options of one evaluation."""

        #: Windows to measure in, one after the other.
        windows: int = field(default=1, validator=and_(ge(1), le(100)))

    def __init__(self, _: DeviceHandle, options: Options) -> None:
        self._window = options.window

    def parameters(self, options: EvaluationOptions) -> Parameters:
        """Return what the board is asked."""
        content = _PARAMETERS.pack(round(self._window * 1e6), options.windows, 0)
        return Parameters(content, window=self._window * options.windows)

    def decode(self, content: bytes, options: EvaluationOptions) -> list[float]:
        """Return the frequency in each window."""
        if len(content) != options.windows * _COUNT.size:
            raise DeviceFailed(f"the board gave {len(content)} bytes for {options.windows} windows")
        return [pulses / measured_us * 1e6 for pulses, measured_us in _COUNT.iter_unpack(content)]
