"""Pure: no I/O, no clock.  Bitstreams for transfer: as LZ4 blocks, and as differences from another one.

A block is in the LZ4 project's "LZ4 Block Format Description", without a size in front.  Sparse circuits shrink about
fiftyfold; a dense one may not shrink at all, and is then sent raw.

A difference is from another bitstream of the same length, its base.  It is runs of bytes that replace those of the
base.  Each run is a gap (the number of bytes that stay, from the end of the run before), its length, and its bytes.
Both numbers are LEB128: seven bits a byte, the lowest first, bit 7 set if another byte follows; three bytes at most.
20 bits that differ make some 80 bytes of 104,090.  Nothing is compressed, so that neither side needs more than some ten
microseconds.  Clients send circuits to workers like that, and workers to boards (docs/protocol.md).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import compress as chosen
from operator import eq, itemgetter, ne
from struct import Struct

import lz4.block

from icefarm.bitstream.up5k import LENGTH
from icefarm.errors import InvalidBitstream

__all__ = ["COMPRESSED_LIMIT", "PART", "best_difference", "compress", "decompress", "difference", "restored"]

#: Longest LZ4 block for LENGTH bytes ("LZ4_compressBound": length + length / 255 + 16).
COMPRESSED_LIMIT = LENGTH + LENGTH // 255 + 16
#: Bytes that are compared at a time.
_PIECE = 256
#: Equal bytes in a row from which two runs are shorter than one.
_LEAST_APART = 3
_APART = bytes(_LEAST_APART)
#: Bytes of a number, at most.
_NUMBER = 3
#: Where two bitstreams are compared to find out whether they are related: so many bytes at so many places.
_PLACES, _BYTES = 16, 256
#: A difference is worth it if it has at most this part of the bitstream as sent.
PART = 0.5


def compress(data: bytes) -> bytes:
    """Return ``data`` as one LZ4 block."""
    return bytes(lz4.block.compress(data, store_size=False))


def decompress(data: bytes, length: int = LENGTH) -> bytes:
    """Return the ``length`` bytes (1 to LENGTH) that the LZ4 block ``data`` holds.

    Raises InvalidBitstream if it is not such a block, or holds fewer or more bytes. Never takes more memory than that.
    """
    if not 0 < length <= LENGTH:
        raise InvalidBitstream(f"a length of {length:,} bytes is out of range: 1 to {LENGTH:,}")
    if not 0 < len(data) <= COMPRESSED_LIMIT:
        raise InvalidBitstream(f"an LZ4 block of {len(data):,} bytes is out of range: 1 to {COMPRESSED_LIMIT:,}")
    try:
        content = bytes(lz4.block.decompress(data, uncompressed_size=length))
    except lz4.block.LZ4BlockError:
        raise InvalidBitstream(f"the compressed bitstream is damaged, or holds more than {length:,} bytes") from None
    if len(content) != length:
        raise InvalidBitstream(f"the compressed bitstream holds {len(content):,} bytes instead of {length:,}")
    return content


@lru_cache(maxsize=8)
def _samples(length: int) -> itemgetter[tuple[bytes, ...]]:
    """Return what takes `_PLACES` samples of a bitstream."""
    step = max(_BYTES, length // _PLACES)
    return itemgetter(*(slice(at, at + _BYTES) for at in range(0, step * _PLACES, step)))  # type: ignore[arg-type]


def difference(data: bytes, base: bytes, limit: int = LENGTH) -> bytes | None:
    """Return the difference of ``data`` from ``base``; None if it is longer than ``limit``, or their lengths differ."""
    if len(data) != len(base):
        return None
    made, end = bytearray(), 0
    for start, stop in _runs(data, base):
        gap, length, end = start - end, stop - start, stop
        # Most gaps are two bytes, and most lengths one: there are some 40 of each, and a call for each would show.
        if 0x7F < gap <= 0x3FFF and length <= 0x7F:
            made.append(gap & 0x7F | 0x80)
            made.append(gap >> 7)
            made.append(length)
        else:
            made += _number(gap) + _number(length)
        made += data[start:stop]
        if len(made) > limit:
            return None
    return bytes(made)


def best_difference(data: bytes, bases: Sequence[bytes], size: int) -> tuple[int, bytes] | None:
    """Return which of the bases is most alike, the first of several, and the difference from it.

    None if no base is much alike, or the difference is longer than `PART` of ``size``, which the bitstream has as sent:
    the whole is better sent.
    """
    samples = _samples(len(data))
    own = samples(data)
    places = [sum(map(eq, own, samples(base))) for base in bases]
    best = places.index(max(places))
    made = None if places[best] < _PLACES // 2 else difference(data, bases[best], int(PART * size))
    return None if made is None else (best, made)


@lru_cache(maxsize=8)
def _pieces(length: int) -> Struct:
    """Return what divides a bitstream into pieces: one call, where slices would be hundreds."""
    whole, rest = divmod(length, _PIECE)
    return Struct(f"{_PIECE}s" * whole + (f"{rest}s" if rest else ""))


def _runs(data: bytes, base: bytes) -> Iterator[tuple[int, int]]:
    """Yield where runs begin and end."""
    divide, number = _pieces(len(data)).unpack, int.from_bytes
    ones, others = divide(data), divide(base)
    for place in chosen(range(len(ones)), map(ne, ones, others)):
        first = place * _PIECE
        bits = number(ones[place], "little") ^ number(others[place], "little")
        start, end = (bits & -bits).bit_length() - 1 >> 3, bits.bit_length() + 7 >> 3
        if end - start <= _LEAST_APART:
            yield first + start, first + end
        else:
            yield from _runs_of(bits.to_bytes(len(ones[place]), "little"), first)


def _runs_of(bits: bytes, first: int) -> Iterator[tuple[int, int]]:
    """Yield where runs begin and end in a piece from ``first`` on, of which these bits differ."""
    left = bits.lstrip(b"\0")
    while left:
        start = len(bits) - len(left)
        end = bits.find(_APART, start)
        if end < 0:
            end = len(bits.rstrip(b"\0"))
        yield first + start, first + end
        left = bits[end:].lstrip(b"\0")


def _number(number: int) -> bytes:
    made = bytearray()
    while number > 0x7F:
        made.append(number & 0x7F | 0x80)
        number >>= 7
    made.append(number)
    return bytes(made)


def restored(delta: bytes, base: bytes) -> bytes:
    """Return the bitstream that the difference makes of ``base``.

    Raises `InvalidBitstream` if it is not a difference.  Only its SHA-256 shows whether the bitstream is the right one.
    """
    data, at, end = bytearray(base), 0, 0
    size, most = len(delta), len(base)
    while at < size:
        # Most gaps are two bytes, and most lengths one.
        gap = delta[at]
        if gap < 0x80:
            at += 1
        elif at + 2 < size and delta[at + 1] < 0x80:
            gap, at = gap & 0x7F | delta[at + 1] << 7, at + 2
        else:
            gap, at = _read(delta, at)
        length, at = (delta[at], at + 1) if at < size and delta[at] < 0x80 else _read(delta, at)
        start = end + gap
        end = start + length
        if length == 0 or end > most or at + length > size:
            raise _damaged()
        data[start:end] = delta[at : at + length]
        at += length
    return bytes(data)


def _read(delta: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins there, and where it ends."""
    number = 0
    for place, byte in enumerate(delta[at : at + _NUMBER]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return number, at + place + 1
    raise _damaged()


def _damaged() -> InvalidBitstream:
    return InvalidBitstream("the difference from another bitstream is damaged")
