"""Pure: no I/O, no clock.  Requests to a board and its replies: the payloads of ``docs/protocol.md``."""

from __future__ import annotations

import struct
from enum import IntEnum

from attrs import frozen

from icefarm.worker.protocol.frames import EVALUATE_MAX, REQUEST_MAX, Buffer, Frame, FrameType, encode

__all__ = [
    "DIFFERENCES_SINCE",
    "PROTOCOL_VERSION",
    "Cancelled",
    "Encoding",
    "Failure",
    "FailureReply",
    "Hello",
    "Log",
    "MalformedReply",
    "Message",
    "Nak",
    "NakCode",
    "Rebooting",
    "Reply",
    "ResultReply",
    "Status",
    "Tested",
    "cancel",
    "decode",
    "evaluate",
    "evaluate_difference",
    "hello",
    "message",
    "reboot",
    "status",
    "test",
]

#: A board answers with the greatest version that both speak.
PROTOCOL_VERSION = 2
#: The first version in which a board takes differences.
DIFFERENCES_SINCE = 2

_HELLO = struct.Struct("<BBHII16s")
_STATUS = struct.Struct("<QhBBIIIII")
_EVALUATE = struct.Struct("<BBHI")
_DIFFERENCE = struct.Struct("<II")
_RESULT = struct.Struct("<IIQIIhH")
_U32 = struct.Struct("<I")
_PARAMETERS_MAX = 256
_APPLICATION_TYPES = range(0x40, 0x80)


class Encoding(IntEnum):
    """How the bitstream in an EVALUATE is encoded: as it is, as one LZ4 block, or as a difference from another one."""

    RAW = 0
    LZ4 = 1
    DIFFERENCE = 2


class Failure(IntEnum):
    """Why a board could not carry out a correctly received request."""

    BAD_LENGTH = 1
    BAD_ENCODING = 2
    BAD_LZ4 = 3
    BAD_PARAMETERS = 4
    NOT_SUPPORTED = 5
    CDONE = 6
    WATCHDOG = 7
    CANCELLED = 8
    NOT_MEASURED = 9
    UNKNOWN_BASE = 10
    BAD_DIFFERENCE = 11


#: The origin of a result, by its number in RESULT; a later version's number is passed on unchanged.
_ORIGINS = ("measured", "simulated", "extrapolated", "landscape")


class NakCode(IntEnum):
    """Why a board did not accept a frame."""

    CORRUPT = 1
    TOO_LONG = 2
    TRUNCATED = 3
    DUPLICATE = 4
    BAD_FLAGS = 5


class MalformedReply(ValueError):
    """A reply arrived whole, but its content violates the protocol."""


@frozen
class Hello:
    """A board's identity.  ``max_payload`` and ``capacity`` (of a bitstream) in bytes."""

    protocol: int
    buffers: int
    max_payload: int
    capacity: int
    serial: str
    app: str
    version: str


@frozen
class Status:
    """A board's status.

    ``temperature`` in degrees Celsius; ``phase`` 0 idle, 1 loading, 2 measuring; counters wrap at 2**32.
    """

    uptime_us: int
    temperature: float
    buffers_free: int
    phase: int
    frames: int
    refused: int
    skipped: int
    evaluations: int
    watchdogs: int


@frozen
class ResultReply:
    """A measurement.

    ``start_us`` on the board's clock; ``window_us`` the total time that windows were open, as measured; ``received``
    bytes that arrived over USB meanwhile; ``temperature`` in degrees Celsius; ``value`` the application's part;
    ``origin`` how it came to be: "measured", or "simulated", "extrapolated" or "landscape" by a virtual board.
    """

    id: int
    sequence: int
    load_us: int
    start_us: int
    window_us: int
    received: int
    temperature: float
    value: bytes
    origin: str = _ORIGINS[0]


@frozen
class FailureReply:
    """A request could not be carried out; ``code`` is a ``Failure``, or a number of a later version."""

    id: int
    code: int
    text: str

    @property
    def reason(self) -> str:
        """The code's name in lower case, such as ``cdone``."""
        return Failure(self.code).name.lower() if self.code in Failure.__members__.values() else f"code {self.code}"


@frozen
class Nak:
    """A frame was not accepted; ``code`` is a ``NakCode``, or a number of a later version."""

    id: int
    code: int
    type: int


@frozen
class Tested:
    """The outcome of a self-test: ``failed`` has a bit for each test that failed; ``echo`` is what was sent."""

    id: int
    failed: int
    echo: bytes


@frozen
class Cancelled:
    """How many evaluations a CANCEL ended."""

    id: int
    amount: int


@frozen
class Rebooting:
    """The board leaves the bus now."""

    id: int


@frozen
class Log:
    """A text for the log, at a level of Python's ``logging``."""

    level: int
    text: str


@frozen
class Message:
    """An application's own reply, or with id 0 an unsolicited message."""

    id: int
    type: int
    payload: bytes


Reply = Hello | Status | ResultReply | FailureReply | Nak | Tested | Cancelled | Rebooting | Log | Message


def hello(id_: int) -> bytes:
    """Ask a board for its identity, and say which version of the protocol the worker speaks."""
    return encode(FrameType.HELLO, id_, bytes([PROTOCOL_VERSION]))


def status(id_: int) -> bytes:
    """Ask a board for its status."""
    return encode(FrameType.STATUS, id_)


def test(id_: int, echo: bytes) -> bytes:
    """Ask a board to test itself and send ``echo`` back.  Raises ValueError if it is longer than 1,024 bytes."""
    if len(echo) > REQUEST_MAX:
        raise ValueError(f"a test's echo is at most {REQUEST_MAX} bytes, not {len(echo)}")
    return encode(FrameType.TEST, id_, echo)


def cancel(id_: int, evaluation: int | None = None) -> bytes:
    """End one evaluation, or all."""
    return encode(FrameType.CANCEL, id_, b"" if evaluation is None else _U32.pack(evaluation))


def reboot(id_: int, *, to_loader: bool) -> bytes:
    """Restart a board, with its application or in the boot loader."""
    return encode(FrameType.REBOOT, id_, b"\x01" if to_loader else b"\x00")


def message(type_: int, id_: int, payload: bytes) -> bytes:
    """Send something to the application.  Raises ValueError for a type that is not 0x40 to 0x7F, or a long payload."""
    if type_ not in _APPLICATION_TYPES or len(payload) > REQUEST_MAX:
        raise ValueError(f"an application message has a type of 0x40 to 0x7F and at most {REQUEST_MAX} bytes")
    return encode(type_, id_, payload)


def evaluate(id_: int, bitstream: Buffer, length: int, encoding: Encoding, parameters: bytes, slower: int = 1) -> bytes:
    """Load a bitstream and measure.

    ``bitstream`` is encoded as ``encoding`` says, and ``length`` bytes long once decoded; ``parameters`` are the
    application's; the configuration clock is divided by ``slower`` (1 to 16).  Raises ValueError when
    it is more than a board accepts.
    """
    head = _EVALUATE.pack(encoding, slower if slower > 1 else 0, len(parameters), length)
    size = len(head) + len(parameters) + memoryview(bitstream).nbytes
    if size > EVALUATE_MAX or len(parameters) > _PARAMETERS_MAX:
        raise ValueError(f"a request of {size} bytes is more than a board takes ({EVALUATE_MAX})")
    return encode(FrameType.EVALUATE, id_, head, parameters, bitstream)


def evaluate_difference(
    id_: int, base: int, runs: bytes, check: int, length: int, parameters: bytes, slower: int = 1
) -> bytes:
    """Load and measure a bitstream that differs little from that of the EVALUATE with the id ``base``.

    ``runs`` replace bytes of the base (`icefarm.bitstream.transfer`); ``check`` is the CRC-32 of the bitstream.
    """
    fields = _DIFFERENCE.pack(base, check)
    return evaluate(id_, fields + runs, length, Encoding.DIFFERENCE, parameters, slower)


def decode(frame: Frame) -> Reply:
    """Return what a reply says.  Raises MalformedReply."""
    if frame.type - 0x80 in _APPLICATION_TYPES:
        return Message(frame.id, frame.type, frame.payload)
    try:
        return _decode(frame)
    except (struct.error, IndexError, UnicodeDecodeError) as error:
        raise MalformedReply(f"a reply of type {frame.type:#04x} is malformed: {error}") from error


def _decode(frame: Frame) -> Reply:
    payload = frame.payload
    match frame.type:
        case FrameType.RESULT:
            return _result(frame)
        case FrameType.FAILED:
            return FailureReply(
                frame.id, int.from_bytes(_exactly(payload, 2), "little"), payload[2:].decode(errors="replace")
            )
        case FrameType.NAK:
            return Nak(frame.id, payload[0], payload[1])
        case FrameType.HELLO_REPLY:
            return _hello(payload)
        case FrameType.STATUS_REPLY:
            uptime, temperature, free, phase, *counters = _STATUS.unpack_from(payload)
            return Status(uptime, temperature / 100, free, phase, *counters)
        case FrameType.TESTED:
            return Tested(frame.id, _U32.unpack_from(payload)[0], payload[4:])
        case FrameType.CANCELLED:
            return Cancelled(frame.id, _U32.unpack_from(payload)[0])
        case FrameType.REBOOTING:
            return Rebooting(frame.id)
        case FrameType.LOG:
            return Log(payload[0], payload[1:].decode(errors="replace"))
    raise MalformedReply(f"no reply has type {frame.type:#04x}")


def _exactly(payload: bytes, size: int) -> bytes:
    if len(payload) < size:
        raise IndexError(f"{len(payload)} bytes are too few")
    return payload[:size]


def _result(frame: Frame) -> ResultReply:
    sequence, load_us, start_us, window_us, received, temperature, number = _RESULT.unpack_from(frame.payload)
    value = frame.payload[_RESULT.size :]
    origin = _ORIGINS[number] if number < len(_ORIGINS) else f"origin {number}"
    return ResultReply(frame.id, sequence, load_us, start_us, window_us, received, temperature / 100, value, origin)


def _hello(payload: bytes) -> Hello:
    protocol, buffers, _, max_payload, capacity, serial = _HELLO.unpack_from(payload)
    app, rest = _text(payload[_HELLO.size :])
    version, _ = _text(rest)
    return Hello(protocol, buffers, max_payload, capacity, serial.decode("ascii"), app, version)


def _text(payload: bytes) -> tuple[str, bytes]:
    size = payload[0] + 1
    return _exactly(payload, size)[1:].decode(), payload[size:]
