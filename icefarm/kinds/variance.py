"""The device kind ``variance``: how much does the analog output of a circuit move?

Runs on the firmware ``variance``, which samples ADC1 (docs/protocol.md has its parameters).
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, le

from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import DeviceHandle, Packed, register, reservable

__all__ = ["Variance"]

#: Longest that the samples of one evaluation may take, seconds: 2,000 of them at 100 a second.
LONGEST = 20.0
#: delay in microseconds, samples a second, samples, flags (1: the samples as well).
_PARAMETERS = struct.Struct("<IIHH")
#: sum of absolute differences, samples, samples that follow.
_HEAD = struct.Struct("<IHH")


@frozen
class EvaluationOptions:
    """Options of one evaluation; what is left out is as the reservation has it."""

    #: Give the samples as well: the value is then [fitness, samples].
    waveform: bool | None = None


@reservable("variance", firmware="variance")
class Variance:
    """Measures how much neighbouring samples of the analog pin differ, on average."""

    @frozen
    class Options:
        """Options of the reservation."""

        #: Samples, and how many of them a second.
        samples: int = field(default=500, validator=and_(ge(2), le(2000)))
        rate_hz: int = field(default=10_000, validator=and_(ge(100), le(100_000)))
        #: Seconds from the end of loading to the first sample.
        delay: float = field(default=0.1, validator=and_(ge(0.0), le(10.0)))
        #: Give the samples as well: the value is then [fitness, samples].
        waveform: bool = False
        #: Receive the next bitstream while samples are taken; without it the USB is quiet meanwhile.
        overlap: bool = True

    def __init__(self, device: DeviceHandle, options: Options) -> None:
        self._device = device
        self._options = options

    @property
    def _window(self) -> float:
        return self._options.samples / self._options.rate_hz

    @register("evaluate")
    async def evaluate(
        self,
        evaluation_id: str,
        bitstream: Packed | bytes,
        options: EvaluationOptions | None = None,
        attempt: int = 1,
    ) -> dict[str, Any]:
        """Sample what a bitstream puts out; the answer is a Measurement.

        Its value is the sum of the absolute differences of neighbouring samples (0 to 4095 each), divided by the
        number of samples; with ``waveform`` a list of that and the list of samples.
        """
        if self._window > LONGEST:
            raise InvalidArgument(f"the samples take {self._window:g} s, and may take {LONGEST:g} s")
        asked = None if options is None else options.waveform
        waveform = self._options.waveform if asked is None else asked
        sample = partial(self._sample, bitstream, waveform, evaluation_id, attempt)
        return await self._device.once(evaluation_id, (bitstream, waveform), sample)

    async def _sample(
        self, bitstream: Packed | bytes, waveform: bool, evaluation_id: str, attempt: int
    ) -> dict[str, Any]:
        circuit = self._device.admit(bitstream)
        options = self._options
        parameters = _PARAMETERS.pack(round(options.delay * 1e6), options.rate_hz, options.samples, waveform)
        answer = await self._device.measure(
            circuit, parameters, window=options.delay + self._window, overlap=options.overlap
        )
        fitness, samples = _read(answer.content, options.samples, waveform)
        value = [fitness, samples] if waveform else fitness
        return self._device.measurement(
            answer, circuit, value, evaluation_id=evaluation_id, attempt=attempt, waveform=waveform
        )


def _read(content: bytes, samples: int, waveform: bool) -> tuple[float, list[int]]:
    """Return fitness and samples of the firmware's answer.  Raises `DeviceFailed` where it is not what was asked."""
    following = samples if waveform else 0
    if len(content) != _HEAD.size + 2 * following or _HEAD.unpack_from(content)[1:] != (samples, following):
        raise DeviceFailed(f"the board gave {len(content)} bytes for {samples} samples")
    differences: int = _HEAD.unpack_from(content)[0]
    return differences / samples, list(struct.unpack_from(f"<{following}H", content, _HEAD.size))
