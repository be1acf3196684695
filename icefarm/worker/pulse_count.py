"""Pure: no I/O, no clock.  Parameters and results of the application ``pulse_count`` (``docs/protocol.md``)."""

from __future__ import annotations

import struct

from attrs import frozen

from icefarm.worker.messages import MalformedReply

__all__ = ["REPEATS_MAX", "WINDOW_MAX_US", "Count", "counts", "parameters"]

#: Limits of the firmware: one window, and how many after one load.
WINDOW_MAX_US = 60_000_000
REPEATS_MAX = 256

_PARAMETERS = struct.Struct("<IHH")
_COUNT = struct.Struct("<II")


@frozen
class Count:
    """Rising edges seen in one window, and the window in microseconds as measured on the board."""

    pulses: int
    window_us: int


def parameters(window_us: int, repeats: int = 1) -> bytes:
    """Return what EVALUATE needs to count for ``window_us`` microseconds, ``repeats`` times after one load."""
    if not 1 <= window_us <= WINDOW_MAX_US or not 1 <= repeats <= REPEATS_MAX:
        raise ValueError(f"a window is 1 to {WINDOW_MAX_US} µs, and there are 1 to {REPEATS_MAX} of them")
    return _PARAMETERS.pack(window_us, repeats, 0)


def counts(value: bytes) -> tuple[Count, ...]:
    """Return the windows of a RESULT's application part.  Raises MalformedReply."""
    if not value or len(value) % _COUNT.size:
        raise MalformedReply(f"{len(value)} bytes are no list of counts")
    return tuple(Count(pulses, window_us) for pulses, window_us in _COUNT.iter_unpack(value))
