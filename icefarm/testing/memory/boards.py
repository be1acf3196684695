"""In-memory boards, for tests of the worker without ptys: they speak the board protocol on the test's own clock."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from icefarm.bitstream import decompress
from icefarm.bitstream.transfer import restored
from icefarm.concurrency.clock import Clock
from icefarm.usb.usb_events import DriveAdded, DriveRemoved, TtyAdded, TtyRemoved, UsbEvent
from icefarm.worker.board.hardware import Hardware
from icefarm.worker.board.states import Firmware
from icefarm.worker.flash.errors import FlashFailed
from icefarm.worker.flash.hub_power import PowerFailed
from icefarm.worker.flash.images import FirmwareImage, Images
from icefarm.worker.protocol.frames import EVALUATE_MAX, Frame, FrameReader, FrameType, encode
from icefarm.worker.protocol.messages import PROTOCOL_VERSION, Encoding
from icefarm.worker.protocol.messages import Failure as Failed

__all__ = ["MemoryBoard", "MemoryHardware", "memory_images"]

_BLOCK = 512
#: The head of an EVALUATE (docs/protocol.md).
_FRONT = struct.Struct("<BBHI")


def memory_images(*names: str, version: str = "1.0") -> Images:
    """Return images that a `MemoryBoard` understands: one block that is the application's name."""
    made = {
        name: FirmwareImage(Firmware(name, version), f"{name} {version}".encode().ljust(_BLOCK, b"\0"))
        for name in names
    }
    return Images("boards in memory", made)


@define(eq=False, repr=False)
class _Port:
    """The transport that the worker's protocol gets."""

    board: MemoryBoard
    protocol: Any
    open: bool = True

    def write(self, data: bytes) -> None:
        if self.open:
            self.board.receive(data)

    def loseConnection(self) -> None:
        self.close(Failure(ConnectionDone()))

    def close(self, reason: Failure) -> None:
        if self.open:
            self.open = False
            self.board.port = None
            self.protocol.connectionLost(reason)


def _made_whole(frame: Frame, held: list[Frame]) -> Frame | Failed:
    """Return an EVALUATE with its whole bitstream, made of one that is held if it is a difference; or what is wrong."""
    encoding, slower, parameters, length = _FRONT.unpack_from(frame.payload)
    if encoding != Encoding.DIFFERENCE:
        return frame
    start = _FRONT.size + parameters
    base_id, check = struct.unpack_from("<II", frame.payload, start)
    bases = [_bitstream_of(each) for each in held if each.id == base_id]
    if not bases or len(bases[0]) != length:
        return Failed.UNKNOWN_BASE
    whole = restored(frame.payload[start + 8 :], bases[0])
    if zlib.crc32(whole) != check:
        return Failed.BAD_DIFFERENCE
    front = _FRONT.pack(Encoding.RAW, slower, parameters, length) + frame.payload[_FRONT.size : start]
    return Frame(frame.type, frame.id, front + whole)


def _bitstream_of(frame: Frame) -> bytes:
    """Return the bitstream of an EVALUATE that has all of it, decoded."""
    encoding, _, parameters, length = _FRONT.unpack_from(frame.payload)
    data = frame.payload[_FRONT.size + parameters :]
    return decompress(data, length) if encoding == Encoding.LZ4 else data


@define(eq=False, repr=False)
class MemoryBoard:
    """A board: its firmware, the requests it received, and its faults.

    ``faults``: ``silent`` (never answers), ``garbled`` (damages its answers), ``cdone`` (loading fails), ``parameters``
    (refuses those of evaluations), ``stuck`` (the watchdog ends evaluations), ``fails_to_boot`` (does not come back
    after flashing), ``no_loader`` (does not mind the touch), ``faulty`` (its test fails), ``ganged`` (its hub can't
    switch its port), ``dead`` (does not come back from a cycle of its power), ``old_protocol`` (speaks another version
    of the board protocol, until it is flashed), ``forgets`` (holds no bitstream that a difference could be from).
    """

    clock: Clock
    serial: str
    tell: Callable[[UsbEvent], None]
    runs: str = "default 1.0"
    buffers: int = 2
    faults: set[str] = Factory(set)
    #: Evaluations are answered when the test calls `finish`.
    patient: bool = False
    #: Seconds that an evaluation takes, one after the other.
    takes: float = 0.0
    #: The latest version of the protocol that it speaks.
    protocol: int = PROTOCOL_VERSION
    #: The pulses of a circuit, as sent to the board or as made of a difference, within a window in µs; each further
    #: repeat gives one more.
    pulses: Callable[[bytes, int], int] = lambda _, __: 100
    #: How many of the next answers are damaged.
    garble: int = 0
    asked: list[int] = Factory(list)
    evaluating: list[Frame] = Factory(list)
    #: Bitstreams that it holds, the latest last: of each EVALUATE that waits, runs, or was answered with RESULT.
    held: list[Frame] = Factory(list)
    #: Ends the first of them, which is due then.
    timer: Any = None
    due: float = 0.0
    #: When the last evaluation arrived.
    arrived: float = 0.0
    sequence: int = 0
    flashed: int = 0
    port: _Port | None = None
    drive: bool = False
    plugged: bool = False
    _reader: FrameReader = field(factory=lambda: FrameReader(EVALUATE_MAX))

    @property
    def tty_path(self) -> str:
        return f"/dev/tty-{self.serial}"

    @property
    def drive_path(self) -> str:
        return f"/dev/drive-{self.serial}"

    def plug(self) -> None:
        """Plug it in: it shows its serial port."""
        self.plugged = True
        self.tell(TtyAdded(self.serial, self.tty_path, "00", "1-1"))

    def unplug(self) -> None:
        """Pull it out."""
        self.plugged = False
        if self.port is not None:
            self.port.close(Failure(ConnectionLost()))
        self.drop()
        if self.drive:
            self.drive = False
            self.tell(DriveRemoved(self.serial, self.drive_path))
        else:
            self.tell(TtyRemoved(self.serial, self.tty_path))

    def show(self) -> None:
        """Report its present port or drive to a new listener."""
        if self.drive:
            self.tell(DriveAdded(self.serial, self.drive_path, "1-1"))
        elif self.plugged:
            self.plug()

    def let_go(self) -> None:
        """The process that had its port open is gone, as when the worker is killed."""
        if self.port is not None:
            self.port.open = False
            self.port = None
        self.drop()

    def drop(self) -> None:
        """Forget all evaluations."""
        self.evaluating.clear()
        self.held.clear()
        self._begin()

    def receive(self, data: bytes) -> None:
        for frame in self._reader.feed(data):
            assert isinstance(frame, Frame)
            self.asked.append(frame.type)
            if "silent" not in self.faults:
                self._answer(frame)

    def finish(self) -> None:
        """Answer the oldest evaluation."""
        self._result(self.evaluating.pop(0))

    def say(self, data: bytes) -> None:
        """Send bytes to the worker, a moment later."""
        port = self.port
        self.clock.callLater(0, lambda: port.protocol.dataReceived(data) if port is not None and port.open else None)

    def _answer(self, frame: Frame) -> None:
        name, _, version = self.runs.partition(" ")
        match frame.type:
            case FrameType.HELLO:
                head = struct.pack(
                    "<BBHII16s",
                    self._version_for(frame),
                    self.buffers,
                    0,
                    EVALUATE_MAX,
                    104_090,
                    self.serial.encode(),
                )
                texts = b"".join(bytes([len(text)]) + text.encode() for text in (name, version))
                self._reply(FrameType.HELLO_REPLY, frame.id, head + texts)
            case FrameType.TEST:
                self.held = [each for each in self.held if each in self.evaluating]
                self._reply(FrameType.TESTED, frame.id, struct.pack("<I", "faulty" in self.faults) + frame.payload)
            case FrameType.STATUS:
                self._reply(FrameType.STATUS_REPLY, frame.id, struct.pack("<QhBBIIIII", 1, 2500, 2, 0, 1, 0, 0, 0, 0))
            case type_ if 0x40 <= type_ < 0x80:
                # An application message: echoed, then sent once more, unsolicited.
                self._reply(type_ | 0x80, frame.id, frame.payload)
                self._reply(type_ | 0x80, 0, frame.payload[::-1])
            case FrameType.EVALUATE:
                self._evaluate(frame)
            case FrameType.CANCEL:
                self._cancel(frame)

    def _version_for(self, hello: Frame) -> int:
        if "old_protocol" in self.faults:
            return PROTOCOL_VERSION + 1
        return min(self.protocol, hello.payload[0] if hello.payload else 1)

    def _evaluate(self, frame: Frame) -> None:
        whole = _made_whole(frame, self.held)
        free = [each for each in self.held if each not in self.evaluating]
        if len(self.held) >= self.buffers and free:
            self.held.remove(free[0])
        if isinstance(whole, Failed):
            self._reply(FrameType.FAILED, frame.id, struct.pack("<H", whole))
            return
        if "forgets" not in self.faults:
            self.held.append(whole)
        if not self.patient and self.takes == 0:
            self._result(whole)
            return
        self.evaluating.append(whole)
        self.arrived = self.clock.seconds()
        if len(self.evaluating) == 1:
            self._begin()

    def _begin(self, begun: float | None = None) -> None:
        """Carry out the first evaluation, if there is one, from a time on or from now."""
        if self.timer is not None and self.timer.active():
            self.timer.cancel()
        if self.evaluating and not self.patient:
            now = self.clock.seconds()
            self.due = (now if begun is None else begun) + self.takes
            self.timer = self.clock.callLater(max(0.0, self.due - now), self._done, self.port)

    def _done(self, port: _Port | None) -> None:
        if port is self.port:
            # A board that had the next evaluation by then has begun it, however late this process is.
            begun = max(self.due, self.arrived)
            self.finish()
            self._begin(begun)
        else:
            self.drop()

    def _cancel(self, frame: Frame) -> None:
        cancelled = [
            each for each in self.evaluating if struct.pack("<I", each.id) == frame.payload or not frame.payload
        ]
        begun = self.evaluating[:1]
        self.evaluating = [each for each in self.evaluating if each not in cancelled]
        if begun and begun[0] in cancelled:
            self._begin()
        self.held = [each for each in self.held if each not in cancelled]
        for each in cancelled:
            self._reply(FrameType.FAILED, each.id, struct.pack("<H", 8))
        self._reply(FrameType.CANCELLED, frame.id, struct.pack("<I", len(cancelled)))

    def _result(self, frame: Frame) -> None:
        for fault, code in (("parameters", 4), ("cdone", 6), ("stuck", 7)):
            if fault in self.faults:
                self.held = [each for each in self.held if each.id != frame.id]
                self._reply(FrameType.FAILED, frame.id, struct.pack("<H", code))
                return
        self.sequence += 1
        (parameters,) = struct.unpack_from("<H", frame.payload, 2)
        # The default firmware takes no parameters, and measures nothing.
        window_us, repeats = struct.unpack_from("<IH", frame.payload[8 : 8 + parameters]) if parameters else (0, 0)
        pulses = self.pulses(frame.payload[8 + parameters :], window_us)
        head = struct.pack("<IIQIIhH", self.sequence, 34_600, 5, window_us * repeats, 0, 2500, 0)
        counts = b"".join(struct.pack("<II", pulses + n, window_us) for n in range(repeats))
        self._reply(FrameType.RESULT, frame.id, head + counts)

    def _reply(self, type_: int, id_: int, payload: bytes) -> None:
        data = bytearray(encode(type_, id_, payload))
        if "garbled" in self.faults or self.garble > 0:
            self.garble -= 1
            data[-1] ^= 0xFF
        self.say(bytes(data))


@define(eq=False, repr=False)
class MemoryHardware(Hardware):
    """Ports and drives of in-memory boards."""

    boards: list[MemoryBoard] = Factory(list)
    #: Drives whose write does not end until the test fires the Deferred.
    writing: dict[str, Deferred[None]] = Factory(dict)
    patient: bool = False
    #: Whether hubs switch the power of single ports; where power was cycled, and which faults that cures.
    switches_power: bool = False
    cycled: list[str] = Factory(list)
    cures: set[str] = Factory(set)

    def open(self, path: str, protocol: Any) -> None:
        board = next((board for board in self.boards if board.tty_path == path and board.plugged), None)
        if board is None:
            raise FileNotFoundError(path)
        assert board.port is None, "a port is opened twice"
        board._reader = FrameReader(EVALUATE_MAX)
        board.drop()
        board.port = _Port(board, protocol)
        protocol.makeConnection(board.port)

    def start_loader(self, port: str, serial: str, has_left: Callable[[], bool]) -> Deferred[None]:  # noqa: ARG002
        board = next((board for board in self.boards if board.tty_path == port and board.plugged), None)
        if board is None:
            return fail(FlashFailed("could not be touched"))
        assert board.port is None, "a port is touched while it is open"
        if "no_loader" not in board.faults:
            board.clock.callLater(0.1, self._load, board)
        return succeed(None)

    def write(self, drive: str, blocks: bytes, serial: str) -> Deferred[None]:  # noqa: ARG002
        board = next((board for board in self.boards if board.drive_path == drive and board.drive), None)
        if board is None:
            return fail(FlashFailed("there is no such drive"))
        if self.patient:
            self.writing[drive] = Deferred()
            return self.writing[drive]
        board.flashed += 1
        board.faults.discard("old_protocol")
        board.runs = blocks.rstrip(b"\0").decode()
        board.clock.callLater(0.1, self._boot, board)
        return succeed(None)

    def cycle_power(self, place: str, serial: str) -> Deferred[None]:
        board = next((board for board in self.boards if board.serial == serial), None)
        self.cycled.append(place)
        if board is None or "ganged" in board.faults:
            return fail(PowerFailed("its hub switches all ports at once"))
        if board.plugged:
            board.unplug()
        board.faults -= self.cures
        if "dead" not in board.faults:
            board.clock.callLater(0.1, board.plug)
        return succeed(None)

    async def settled(self) -> None:
        """Power is back at once here."""

    def _load(self, board: MemoryBoard) -> None:
        if board.plugged and not board.drive:
            board.tell(TtyRemoved(board.serial, board.tty_path))
            board.drive = True
            board.tell(DriveAdded(board.serial, board.drive_path, "1-1"))

    def _boot(self, board: MemoryBoard) -> None:
        if board.plugged and board.drive:
            board.drive = False
            board.tell(DriveRemoved(board.serial, board.drive_path))
            if "fails_to_boot" not in board.faults:
                board.plug()
