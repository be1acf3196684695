"""Pure: no I/O, no clock.  Damages bytes as files and links do, and as somebody would who means it."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from random import Random

__all__ = ["mutated"]

#: Numbers at which code goes wrong.
_EDGES = (
    0,
    1,
    2,
    7,
    8,
    0x7F,
    0x80,
    0xFF,
    0x100,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x1_0000,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
)
#: Greatest number of mutations of one input.
_MOST = 6


def _flip(random: Random, data: bytearray) -> None:
    data[random.randrange(len(data))] ^= 1 << random.randrange(8)


def _overwrite(random: Random, data: bytearray) -> None:
    at, length = random.randrange(len(data)), random.randrange(1, 9)
    data[at : at + length] = random.randbytes(length)


def _edge(random: Random, data: bytearray) -> None:
    number, width = random.choice(_EDGES), random.choice((1, 2, 4))
    packed = struct.pack(random.choice("<>") + "I", number)
    at = random.randrange(len(data))
    data[at : at + width] = packed[:width]


def _cut(random: Random, data: bytearray) -> None:
    del data[random.randrange(len(data)) :]


def _remove(random: Random, data: bytearray) -> None:
    at = random.randrange(len(data))
    del data[at : at + random.randrange(1, 600)]


def _repeat(random: Random, data: bytearray) -> None:
    at, length = random.randrange(len(data)), random.randrange(1, 600)
    data[at:at] = data[at : at + length] * random.choice((1, 1, 2, 50))


def _move(random: Random, data: bytearray) -> None:
    length = random.randrange(1, 600)
    source, target = random.randrange(len(data)), random.randrange(len(data))
    data[target:target] = data[source : source + length]


def _digits(random: Random, data: bytearray) -> None:
    """Change a number of a text."""
    places = [at for at in range(min(len(data), 4000)) if 0x30 <= data[at] <= 0x39]
    if places:
        at = random.choice(places)
        data[at : at + 1] = random.choice((b"0", b"9", b"-1", b"99999", b"1e9", b"\xd9\xa1", b""))


def _ending(random: Random, data: bytearray) -> None:
    data += random.choice((b"\0", b"\n", b"\xff" * 600, random.randbytes(random.randrange(1, 100))))


_WAYS: Sequence[Callable[[Random, bytearray], None]] = (
    _flip, _flip, _overwrite, _edge, _cut, _remove, _repeat, _move, _digits, _ending,
)  # fmt: skip


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """Return one of the seeds, damaged; sometimes spliced with another one."""
    data = bytearray(random.choice(seeds))
    if random.random() < 0.1:
        other = random.choice(seeds)
        data[random.randrange(len(data) + 1) :] = other[random.randrange(len(other) + 1) :]
    for _ in range(random.randint(1, _MOST)):
        if not data:
            break
        random.choice(_WAYS)(random, data)
    return bytes(data)
