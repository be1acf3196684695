"""Ways to write an image to a board and to start its boot loader, in order.

It writes an image to the blocks of the boot drive; if that fails, picotool loads it; if that fails too, it copies the
image to the mounted drive.  It starts a boot loader by the touch at 1200 baud, and if the board ignores that, by
picotool.  Virtual boards have a FIFO as their drive, and no other way.
"""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from icefarm.worker.flash.drive_writer import FlashFailed, touch, write_drive
from icefarm.worker.flash.mounted_drive import Mounts
from icefarm.worker.flash.picotool import Picotool

__all__ = ["Loading"]

#: Seconds for writing the drive's blocks, and for copying to a mounted one. With picotool's own limit, less than
#: `icefarm.worker.board.states.WRITE_LIMIT`.
BLOCKS_LIMIT = 12.0
COPY_LIMIT = 5.0
#: Seconds after which a touched board that has not left counts as ignoring the touch; boards leave within 1.
TOUCH_LIMIT = 4.0
#: The image's name on a mounted drive; any will do.
_FILE = "firmware.uf2"


@define(eq=False)
class Loading:
    """The ways of one host."""

    _reactor: Any
    _picotool: Picotool | None = None
    _mounts: Mounts = Factory(lambda self: Mounts(self._reactor), takes_self=True)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker.protocol.board_client"))

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
