"""The device kind ``variance``: how much does the analog output of a circuit vary?

Runs on the firmware ``variance``, which samples ADC1 (docs/protocol.md has its parameters).
"""

from __future__ import annotations

import struct
from typing import Any

from attrs import field, frozen
from attrs.validators import and_, ge, le

from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import DeviceHandle, Parameters, reservable
from icefarm.kinds.clock import CLOCKS, DEFAULT_MHZ, known_clock

__all__ = ["Variance"]

#: Maximum time of the samples of one evaluation, seconds: 2,000 of them at 100 a second, once.
LONGEST = 20.0
#: Maximum total time of all repeats of one evaluation, seconds; as in pulsecount.
LONGEST_IN_ALL = 600.0
#: Bytes of the firmware's result: heads, and the samples that are sent or, for one repeat, kept (docs/protocol.md).
RESULT_MAX = 4048
#: delay in microseconds, samples a second, samples, flags (1: the samples as well), repeats, clock at pin 35.
_PARAMETERS = struct.Struct("<IIHHHH")
#: sum of absolute differences, samples, samples that follow; once for each repeat, each with its samples.
_HEAD = struct.Struct("<IHH")


@reservable("variance", firmware="variance", firmware_since="1.1", version="1.1")
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
        #: Receive the next bitstream while sampling; without it the USB is quiet meanwhile.
        overlap: bool = True
        #: MHz of the clock that the board gives at the FPGA's pin 35: 6, 12, 24, 48, or "off".
        clock_mhz: int | str = field(default=DEFAULT_MHZ, validator=known_clock)

    @frozen
    class EvaluationOptions:
        """Options of one evaluation; the reservation's are the defaults."""

        #: Give the samples as well: the value is then [fitness, samples].
        waveform: bool | None = None
        #: How often to take all samples after loading once; with more than 1, the value is a list.
        repeats: int = field(default=1, validator=and_(ge(1), le(256)))

    def __init__(self, _: DeviceHandle, options: Options) -> None:
        self._options = options

    def parameters(self, options: EvaluationOptions) -> Parameters:
        """Return the parameters.  Raises `InvalidArgument` if a board can't hold the samples or they take long."""
        reserved, waveform = self._options, self._waveform(options)
        self._check(waveform, options.repeats)
        clock, delay_us = CLOCKS[reserved.clock_mhz], round(reserved.delay * 1e6)
        content = _PARAMETERS.pack(delay_us, reserved.rate_hz, reserved.samples, waveform, options.repeats, clock)
        return Parameters(content, reserved.delay + self._window * options.repeats, reserved.overlap)

    def decode(self, content: bytes, options: EvaluationOptions) -> Any:
        """Return the sum of the absolute differences of neighbouring samples, divided by the number of samples.

        Samples are 0 to 4095 each.  With ``waveform`` it is a list of that and the list of samples; with more than one
        of ``repeats`` a list of such values.
        """
        waveform = self._waveform(options)
        taken = _read(content, self._options.samples, waveform, options.repeats)
        values = [[fitness, samples] if waveform else fitness for fitness, samples in taken]
        return values[0] if options.repeats == 1 else values

    @property
    def _window(self) -> float:
        return self._options.samples / self._options.rate_hz

    def _waveform(self, options: EvaluationOptions) -> bool:
        return self._options.waveform if options.waveform is None else options.waveform

    def _check(self, waveform: bool, repeats: int) -> None:
        samples = self._options.samples
        if self._window > LONGEST:
            raise InvalidArgument(f"the samples take {self._window:g} s, and may take {LONGEST:g} s")
        if repeats * self._window > LONGEST_IN_ALL:
            raise InvalidArgument(f"{repeats} times {self._window:g} s is more than {LONGEST_IN_ALL:g} s")
        each = _HEAD.size + (2 * samples if waveform else 0)
        most = (RESULT_MAX - (0 if waveform else 2 * samples)) // each
        if repeats > most:
            with_waveform = " with their waveform" if waveform else ""
            raise InvalidArgument(f"a board holds {most} repeats of {samples} samples{with_waveform}, not {repeats}")


def _read(content: bytes, samples: int, waveform: bool, repeats: int) -> list[tuple[float, list[int]]]:
    """Return fitness and samples of each repeat.  Raises `DeviceFailed` if the answer does not match the request."""
    following = samples if waveform else 0
    size = _HEAD.size + 2 * following
    places = range(0, repeats * size, size)
    if len(content) != repeats * size or any(
        _HEAD.unpack_from(content, place)[1:] != (samples, following) for place in places
    ):
        raise DeviceFailed(f"the board returned {len(content)} bytes for {repeats} times {samples} samples")
    waves = (list(struct.unpack_from(f"<{following}H", content, place + _HEAD.size)) for place in places)
    return [(_HEAD.unpack_from(content, place)[0] / samples, wave) for place, wave in zip(places, waves, strict=True)]
