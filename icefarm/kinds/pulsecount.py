"""The device kind ``pulsecount``: how many pulses does a circuit give within a window of time?

Runs on the firmware ``pulse_count``, which counts rising edges on ICE_27 (docs/protocol.md has its parameters).
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, le

from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import DeviceHandle, Packed, register, reservable
from icefarm.kinds.clock import DEFAULT_MHZ, clock_parameter, known_clock

__all__ = ["PulseCount"]

#: Longest that all windows of one evaluation may take together, seconds (docs/protocol.md).
LONGEST = 600.0
#: window in microseconds, repeats, clock at pin 35.
_PARAMETERS = struct.Struct("<IHH")
#: pulses, window as measured in microseconds; once for each repeat.
_COUNT = struct.Struct("<II")


@frozen
class EvaluationOptions:
    """Options of one evaluation."""

    #: Windows to count in, one after the other, after loading once; with more than 1, the value is a list.
    repeats: int = field(default=1, validator=and_(ge(1), le(256)))


@reservable("pulsecount", firmware="pulse_count", firmware_since="1.1", version="1.1")
class PulseCount:
    """Counts a circuit's pulses on pin ICE_27 within a window of time."""

    @frozen
    class Options:
        """Options of the reservation."""

        #: Seconds that pulses are counted for.
        window: float = field(default=1.0, validator=and_(ge(0.001), le(60.0)))
        #: Receive the next bitstream while pulses are counted; without it the USB is quiet during windows.
        overlap: bool = True
        #: MHz of the clock that the board gives at the FPGA's pin 35: 6, 12, 24, 48, or "off".
        clock_mhz: int | str = field(default=DEFAULT_MHZ, validator=known_clock)

    def __init__(self, device: DeviceHandle, options: Options) -> None:
        self._device = device
        self._options = options

    @register("evaluate")
    async def evaluate(
        self,
        evaluation_id: str,
        bitstream: Packed | bytes,
        options: EvaluationOptions | None = None,
        attempt: int = 1,
    ) -> dict[str, Any]:
        """Count the pulses of a bitstream; the answer is a Measurement whose value is the number of pulses."""
        repeats = 1 if options is None else options.repeats
        if repeats * self._options.window > LONGEST:
            raise InvalidArgument(f"{repeats} windows of {self._options.window:g} s take more than {LONGEST:g} s")
        count = partial(self._count, bitstream, repeats, evaluation_id, attempt)
        return await self._device.once(evaluation_id, (bitstream, repeats), count)

    async def _count(self, bitstream: Packed | bytes, repeats: int, evaluation_id: str, attempt: int) -> dict[str, Any]:
        circuit = self._device.admit(bitstream)
        parameters = _PARAMETERS.pack(
            round(self._options.window * 1e6), repeats, clock_parameter(self._options.clock_mhz)
        )
        answer = await self._device.measure(
            circuit, parameters, window=self._options.window * repeats, overlap=self._options.overlap
        )
        if len(answer.content) != repeats * _COUNT.size:
            raise DeviceFailed(f"the board gave {len(answer.content)} bytes for {repeats} counts")
        pulses = [count for count, _ in _COUNT.iter_unpack(answer.content)]
        value = pulses[0] if repeats == 1 else pulses
        return self._device.measurement(
            answer, circuit, value, evaluation_id=evaluation_id, attempt=attempt, repeats=repeats
        )
