"""Pure: no I/O, no clock.  A bitstream as its difference from another one of the same length, its base.

The difference is what replaces blocks of the base: for each the number of the block (two bytes, the lower one first),
and its bytes, `BLOCK` of them; the last block of a bitstream is shorter.  20 bits that differ make at most 360 bytes of
104,090.  Nothing is compressed, so that neither side needs more than some 30 microseconds.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from icefarm.bitstream.up5k import LENGTH
from icefarm.errors import InvalidBitstream

__all__ = ["BLOCK", "difference", "restored"]

#: Bytes of a block.
BLOCK = 16
#: Bytes that are compared at a time, where the larger part differs.
_STEPS = (2048, 256, BLOCK)
_NUMBER = struct.Struct("<H")


def difference(data: bytes, base: bytes, limit: int = LENGTH) -> bytes | None:
    """Return the difference of ``data`` from ``base``; None if it is longer than ``limit``, or their lengths differ."""
    if len(data) != len(base):
        return None
    parts: list[bytes] = []
    size = 0
    for start in _differing(data, base, 0, len(data), 0):
        block = data[start : start + BLOCK]
        size += _NUMBER.size + len(block)
        if size > limit:
            return None
        parts += (_NUMBER.pack(start // BLOCK), block)
    return b"".join(parts)


def _differing(data: bytes, base: bytes, start: int, stop: int, level: int) -> Iterator[int]:
    """Yield where the blocks begin that differ."""
    step = _STEPS[level]
    for at in range(start, stop, step):
        end = min(at + step, stop)
        if data[at:end] != base[at:end]:
            if step == BLOCK:
                yield at
            else:
                yield from _differing(data, base, at, end, level + 1)


def restored(delta: bytes, base: bytes) -> bytes:
    """Return the bitstream whose difference from ``base`` it is.

    Raises `InvalidBitstream` if it is none.  Whether the bitstream is the right one, its SHA-256 tells.
    """
    data, at, length = bytearray(base), 0, len(base)
    while at < len(delta):
        start = at + _NUMBER.size
        first = _NUMBER.unpack_from(delta, at)[0] * BLOCK if start <= len(delta) else length
        size = min(BLOCK, length - first)
        if size <= 0 or start + size > len(delta):
            raise InvalidBitstream("the difference from another bitstream is damaged")
        data[first : first + size] = delta[start : start + size]
        at = start + size
    return bytes(data)
