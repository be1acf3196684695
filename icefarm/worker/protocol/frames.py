"""Pure: no I/O, no clock.  Frames of the board protocol: written whole, read from any split of the bytes.

``docs/protocol.md`` specifies it; ``firmware/core`` is the board's side.  What is in the payloads is in ``messages``.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum

from attrs import Factory, define, frozen

__all__ = [
    "EVALUATE_MAX",
    "REPLY_MAX",
    "REQUEST_MAX",
    "Buffer",
    "Damaged",
    "Frame",
    "FrameReader",
    "FrameType",
    "encode",
]

#: Bytes that need not be copied to be read.
Buffer = bytes | bytearray | memoryview

#: Maximum payload of EVALUATE, of every other request, and of a reply, in bytes.
EVALUATE_MAX = 104_960
REQUEST_MAX = 1_024
REPLY_MAX = 65_536

_MAGIC = b"\xc5\x1f"
_HEAD = struct.Struct("<2sBBII")
_CHECK = struct.Struct("<I")
_HEADER_SIZE = _HEAD.size + _CHECK.size


class FrameType(IntEnum):
    """Types of frames; a reply has bit 7 set."""

    HELLO = 0x01
    STATUS = 0x02
    EVALUATE = 0x03
    CANCEL = 0x04
    REBOOT = 0x05
    TEST = 0x06
    HELLO_REPLY = 0x81
    STATUS_REPLY = 0x82
    RESULT = 0x83
    CANCELLED = 0x84
    REBOOTING = 0x85
    TESTED = 0x86
    FAILED = 0x90
    NAK = 0x91
    LOG = 0x92


@frozen
class Frame:
    """A frame whose checks were right."""

    type: int
    id: int
    payload: bytes
    flags: int = 0


@frozen
class Damaged:
    """A frame with a correct header whose payload was damaged, or is longer than any reply."""

    type: int
    id: int


def encode(type_: int, id_: int, *parts: Buffer, flags: int = 0) -> bytes:
    """Return the frame whose payload is the parts one after another; they are copied once.

    Raises ``struct.error`` for a type or an id that does not fit its field.
    """
    length = sum(memoryview(part).nbytes for part in parts)
    head = _HEAD.pack(_MAGIC, type_, flags, id_, length)
    check = zlib.crc32(head)
    header_check = _CHECK.pack(check)
    for part in parts:
        check = zlib.crc32(part, check)
    return b"".join((head, header_check, *parts, _CHECK.pack(check)))


@define(eq=False)
class FrameReader:
    """Takes bytes in any split, returns frames.  A damaged frame is never returned as ``Frame``."""

    _max_payload: int = REPLY_MAX
    _buffer: bytearray = Factory(bytearray)
    #: Bytes skipped so far while searching for a frame.
    skipped: int = 0

    @property
    def partial(self) -> bool:
        """Whether a partial frame, or what may be one, waits for more bytes."""
        return bool(self._buffer)

    def drop_partial(self) -> None:
        """Discard a partial frame: its sender stopped."""
        self.skipped += len(self._buffer)
        self._buffer.clear()

    def feed(self, data: Buffer) -> list[Frame | Damaged]:
        """Take the next bytes and return the frames that they complete, in order."""
        buffer = self._buffer
        buffer += data
        found: list[Frame | Damaged] = []
        at = 0
        while (start := self._find(at)) is not None:
            self.skipped += start - at
            at = start
            size, frame = self._take(at)
            if size == 0:
                break
            at += size
            if frame is not None:
                found.append(frame)
        else:
            self.skipped += len(buffer) - at
            at = len(buffer)
        del buffer[:at]
        return found

    def _find(self, at: int) -> int | None:
        """Return where the next frame may begin, or None if nowhere in the received bytes."""
        start = self._buffer.find(_MAGIC, at)
        if start >= 0:
            return start
        return len(self._buffer) - 1 if len(self._buffer) > at and self._buffer[-1] == _MAGIC[0] else None

    def _take(self, at: int) -> tuple[int, Frame | Damaged | None]:
        """Return how many bytes from ``at`` on are consumed (0: more must come first), and their content."""
        buffer = self._buffer
        if len(buffer) - at < _HEADER_SIZE:
            return 0, None
        _, type_, flags, id_, length = _HEAD.unpack_from(buffer, at)
        (header_check,) = _CHECK.unpack_from(buffer, at + _HEAD.size)
        if zlib.crc32(memoryview(buffer)[at : at + _HEAD.size]) != header_check:
            self.skipped += 1
            return 1, None
        if length > self._max_payload:
            return _HEADER_SIZE, Damaged(type_, id_)
        start, end = at + _HEADER_SIZE, at + _HEADER_SIZE + length
        if len(buffer) < end + _CHECK.size:
            return 0, None
        payload = bytes(memoryview(buffer)[start:end])
        size = _HEADER_SIZE + length + _CHECK.size
        if zlib.crc32(payload, header_check) != _CHECK.unpack_from(buffer, end)[0]:
            return size, Damaged(type_, id_)
        return size, Frame(type_, id_, payload, flags)
