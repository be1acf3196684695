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
#: Bytes that are compared at a time, and where they differ.
_LARGE, _SMALL = 4096, 512
_NUMBER = struct.Struct("<H")


def difference(data: bytes, base: bytes, limit: int = LENGTH) -> bytes | None:
    """Return the difference of ``data`` from ``base``; None if it is longer than ``limit``, or their lengths differ."""
    if len(data) != len(base):
        return None
    parts: list[bytes] = []
    size = 0
    for start in _differing(data, base):
        block = data[start : start + BLOCK]
        size += _NUMBER.size + len(block)
        if size > limit:
            return None
        parts += (_NUMBER.pack(start // BLOCK), block)
    return b"".join(parts)


def _differing(data: bytes, base: bytes) -> Iterator[int]:
    """Yield where the blocks begin that differ: what is the same is compared in large pieces."""
    for large in range(0, len(data), _LARGE):
        if data[large : large + _LARGE] == base[large : large + _LARGE]:
            continue
        for start in range(large, large + _LARGE, _SMALL):
            one, other = data[start : start + _SMALL], base[start : start + _SMALL]
            if one != other:
                yield from _blocks(int.from_bytes(one, "little") ^ int.from_bytes(other, "little"), start)


def _blocks(bits: int, start: int) -> Iterator[int]:
    """Yield where the blocks begin that have any of these bits."""
    while bits:
        block = ((bits & -bits).bit_length() - 1) // (8 * BLOCK)
        start += block * BLOCK
        yield start
        start += BLOCK
        bits >>= (block + 1) * 8 * BLOCK


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
