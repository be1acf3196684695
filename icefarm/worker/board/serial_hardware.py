"""Boards at serial ports: how they are opened, their boot loader started, and an image written to them.

There are several ways, which are tried in order.  An image is written to the blocks of the boot drive; if that fails,
picotool loads it; if that fails too, it is copied to the mounted drive.  A boot loader is started by the touch at 1200
baud, and if the board ignores that, by picotool.  Virtual boards have a FIFO as their drive, and no other way.

No threads.  The drive of a virtual board is a FIFO, written through the reactor as the board takes it.
A real drive is a block device: writes and fsync can block for as long as the USB bus does (half a minute if the board
hangs), and its descriptor never shows that in advance; so a child process (``dd`` of coreutils) does that.  It waits
for the board at each block, and so reports how much the board has taken, not how much the kernel has buffered.  In
the end, what counts is that the board comes back and reports the written firmware in HELLO.
"""

from __future__ import annotations

import os
import re
import stat
import termios
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from attrs import Factory, define, field
from serial import Serial, SerialException
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ConnectionDone
from twisted.internet.fdesc import writeToFD
from twisted.internet.protocol import ProcessProtocol
from twisted.internet.serialport import SerialPort
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.prompt.icefarm_prompt import rest_of
from icefarm.usb.uf2 import BLOCK_SIZE
from icefarm.worker.board.hardware import Hardware
from icefarm.worker.flash.errors import FlashFailed
from icefarm.worker.flash.hub_power import HubPower
from icefarm.worker.flash.mounted_drive import Mounts
from icefarm.worker.flash.picotool import Picotool

__all__ = ["SerialHardware", "write_drive"]

#: Meaningless on USB, except that 1200 is the touch.
BAUD = 115_200
#: Seconds for writing the drive's blocks, and for copying to a mounted one. With picotool's own limit, less than
#: `icefarm.worker.board.states.WRITE_LIMIT`.
BLOCKS_LIMIT = 12.0
COPY_LIMIT = 5.0
#: Seconds after which a touched board that has not left counts as ignoring the touch; boards leave within 1.
TOUCH_LIMIT = 4.0
#: The image's name on a mounted drive; any will do.
_FILE = "firmware.uf2"
#: The baud rate that asks the firmware to start its boot loader (Arduino's convention, TinyUSB and pico-sdk's too).
TOUCH_BAUD = 1200
_DD = "dd"
#: Bytes per write to the drive, a page of the kernel's buffer.
_AT_ONCE = 4096
#: dd's last line, in the C locale: how much it has written.
_COPIED = re.compile(rb"^(\d+) bytes", re.MULTILINE)


@define(eq=False)
class SerialHardware(Hardware):
    """The ports, drives and hubs of one host, on a reactor."""

    _reactor: Any
    _picotool: Picotool | None = None
    _mounts: Mounts = Factory(lambda self: Mounts(self._reactor), takes_self=True)
    #: None: never touch the power of hub ports.
    _power: HubPower | None = field(default=None, kw_only=True)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker.protocol.board_client"))

    def open(self, path: str, protocol: Any) -> None:
        _OpenPort(protocol, path, self._reactor, baudrate=BAUD)

    @property
    def switches_power(self) -> bool:
        return self._power is not None

    def cycle_power(self, place: str, serial: str) -> Awaitable[None]:
        assert self._power is not None
        return self._power.cycle(place, serial)

    async def settled(self) -> None:
        if self._power is not None:
            await self._power.settled()

    async def write(self, drive: str, blocks: bytes, serial: str) -> None:
        """Write UF2 blocks to the board with this boot drive.  Raises `FlashFailed` with the error of each way."""
        if _is_fifo(drive):
            await write_drive(self._reactor, drive, blocks)
            return
        reasons = []
        for name, way in self._ways(drive, blocks, serial):
            try:
                await way()
            except FlashFailed as error:
                reasons.append(str(error))
                self._log.warn("{serial}: {way} failed: {reason}", serial=serial, way=name, reason=error)
            else:
                return
            if not _is_there(drive):
                reasons.append("it left meanwhile")
                break
        raise FlashFailed("; ".join(reasons))

    async def start_loader(self, port: str, serial: str, has_left: Callable[[], bool]) -> None:
        """Ask the board at a port to start its boot loader.  Raises `FlashFailed`."""
        try:
            touch(port)
        except FlashFailed as error:
            if self._picotool is None:
                raise
            self._log.warn("{serial}: {reason}; trying picotool", serial=serial, reason=error)
            await self._picotool.start_loader(serial)
            return
        if self._picotool is not None:
            await deferLater(self._reactor, TOUCH_LIMIT)
            if not has_left():
                await self._insist(self._picotool, serial)

    async def _insist(self, picotool: Picotool, serial: str) -> None:
        try:
            await picotool.start_loader(serial)
        except FlashFailed as error:
            # It may be leaving right now, after the touch.
            self._log.warn("{serial}: {reason}", serial=serial, reason=error)

    def _ways(self, drive: str, blocks: bytes, serial: str) -> Iterator[tuple[str, Callable[[], Awaitable[None]]]]:
        yield "writing to its boot drive", partial(self._write, drive, blocks, BLOCKS_LIMIT)
        if self._picotool is not None:
            yield "picotool", partial(self._picotool.load, serial, blocks)
        yield "copying to its mounted drive", partial(self._copy, drive, blocks)

    async def _write(self, path: str, blocks: bytes, limit: float) -> None:
        writing: Deferred[None] = write_drive(self._reactor, path, blocks)
        writing.addTimeout(limit, self._reactor)
        try:
            await writing
        except TimeoutError:
            raise FlashFailed(f"{path} took longer than {limit:g} s") from None

    async def _copy(self, drive: str, blocks: bytes) -> None:
        target = await self._mounts.point_of(drive) / _FILE
        _make(target)
        await self._write(str(target), blocks, COPY_LIMIT)


class _OpenPort(SerialPort):
    """A serial port that writes at once, and closes at once, in whatever state the other end is."""

    _gone = False

    def write(self, data: bytes) -> None:
        """Write what the port takes; the rest follows when it takes more."""
        super().write(rest_of(self, data))

    def loseConnection(self, _connDone: Any = None) -> None:
        """Close without waiting for unwritten data: a board that does not read would block that forever."""
        if self._gone:
            return
        with suppress(termios.error, OSError, SerialException):
            self._serial.reset_output_buffer()
        self.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure) -> None:
        # The reactor may report the end of a descriptor that was closed while it was being read.
        if self._gone:
            return
        FileDescriptor.connectionLost(self, reason)
        # Only now: the reactor finds the descriptor to forget by its number.
        self._gone = True
        self._serial.close()
        # What a reactor takes for a descriptor that is closed; pyserial leaves None, which none takes.
        self._serial.fd = -1
        self.protocol.connectionLost(reason)


def _make(path: Path) -> None:
    try:
        path.touch()
    except OSError as error:
        raise FlashFailed(f"{path} could not be made: {error.strerror}") from None


def _is_there(path: str) -> bool:
    return Path(path).exists()


def _is_fifo(path: str) -> bool:
    try:
        return stat.S_ISFIFO(Path(path).stat().st_mode)
    except OSError:
        return False


def touch(path: str) -> None:
    """Ask a board to start its boot loader.  The port must not be open.  Raises `FlashFailed`."""
    try:
        # The board acts only on the closing; what it sends meanwhile does not matter.
        Serial(path, TOUCH_BAUD).close()
    except OSError as error:
        raise FlashFailed(f"could not be touched at 1200 baud: {error}") from None


def write_drive(reactor: Any, path: str, blocks: bytes) -> Deferred[None]:
    """Write whole UF2 blocks to a boot drive; fires when the last one is handed over.

    The board restarts then, so an error after the last block is not one.  Cancelling stops the writing.
    Fails with `FlashFailed`.
    """
    if not blocks or len(blocks) % BLOCK_SIZE:
        raise ValueError(f"{len(blocks)} bytes are not whole blocks")
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):
            # Without a reader this fails at once instead of waiting for one.
            descriptor = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
            return _FifoWriter(reactor, descriptor, blocks).done
        return _spawn_writer(reactor, path, blocks)
    except OSError as error:
        raise FlashFailed(f"its boot drive {path} could not be opened: {error.strerror}") from None


class _FifoWriter(FileDescriptor):
    """Writes everything to a descriptor as it takes it, then closes it."""

    connected = 1

    def __init__(self, reactor: Any, descriptor: int, content: bytes) -> None:
        super().__init__(reactor)
        self._descriptor = descriptor
        self._given_up = False
        self.done: Deferred[None] = Deferred(self._cancel)
        self.write(content)
        self.loseConnection()

    def fileno(self) -> int:
        return self._descriptor

    def writeSomeData(self, data: bytes) -> int | Exception:
        result: int | Exception = writeToFD(self._descriptor, data)
        return result

    def _cancel(self, _: Deferred[None]) -> None:
        self._given_up = True
        self.connectionLost(Failure(ConnectionDone()))

    def connectionLost(self, reason: Failure) -> None:
        if self._descriptor < 0:
            return
        super().connectionLost(reason)
        os.close(self._descriptor)
        self._descriptor = -1
        if self.done.called or self._given_up:
            return
        if reason.check(ConnectionDone):
            self.done.callback(None)
        else:
            self.done.errback(FlashFailed("left while its firmware was being written"))


def _spawn_writer(reactor: Any, path: str, blocks: bytes) -> Deferred[None]:
    writer = _ChildWriter(blocks)
    arguments = [_DD, f"of={path}", f"bs={_AT_ONCE}", "iflag=fullblock", "oflag=dsync", "conv=nocreat,notrunc,fsync"]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    reactor.spawnProcess(writer, _DD, arguments, environment)
    return writer.done


class _ChildWriter(ProcessProtocol):
    """Feeds the child that writes to a block device, and judges how it ended."""

    transport: Any

    def __init__(self, blocks: bytes) -> None:
        self._blocks = blocks
        self._said = b""
        self.done: Deferred[None] = Deferred(self._cancel)

    def connectionMade(self) -> None:
        self.transport.write(self._blocks)
        self.transport.closeStdin()

    def errReceived(self, data: bytes) -> None:
        self._said += data

    def processEnded(self, reason: Failure) -> None:
        if self.done.called:
            return
        copied = _COPIED.search(self._said)
        if copied is not None and int(copied[1]) == len(self._blocks):
            # Everything was taken: an error after that means that the board has left to restart.
            self.done.callback(None)
            return
        said = self._said.decode(errors="replace").strip().partition("\n")[0] or reason.getErrorMessage()
        self.done.errback(FlashFailed(f"its boot drive could not be written: {said}"))

    def _cancel(self, _: Deferred[None]) -> None:
        if self.transport.pid is not None:
            self.transport.signalProcess("KILL")
