"""What the application ``pulse_count`` takes and gives (docs/protocol.md), for tests that speak to boards directly."""

from __future__ import annotations

import struct

__all__ = ["counts", "parameters"]


def parameters(window_us: int, repeats: int = 1) -> bytes:
    return struct.pack("<IHH", window_us, repeats, 0)


def counts(value: bytes) -> list[tuple[int, int]]:
    """Return pulses and measured window, in microseconds, of each repeat."""
    return list(struct.iter_unpack("<II", value))
