"""Boot drives that behave as a board's do: an error after the last block is none, one before it is.

Devices of the kernel stand in for a drive: /dev/null takes everything and refuses the fsync behind it, as a board does
that has left to restart; /dev/full takes nothing; a FIFO whose reader leaves stands for a board that is pulled out.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError

from icefarm.usb.uf2 import BLOCK_SIZE
from icefarm.worker.board.serial_hardware import write_drive
from icefarm.worker.flash.errors import FlashFailed

pytestmark = pytest.mark.integration

#: More than a pipe holds (64 kB, pipe(7)).
BLOCKS = b"\x01" * BLOCK_SIZE * 1000


def test_the_stand_in_for_a_late_error_has_one() -> None:
    done = subprocess.run(["dd", "of=/dev/null", "conv=fsync"], input=b"x", capture_output=True, check=False)
    assert done.returncode != 0


@ensureDeferred
async def test_an_error_after_the_last_block_is_the_board_that_restarts() -> None:
    await write_drive(reactor, "/dev/null", BLOCKS)


@ensureDeferred
async def test_an_error_before_the_last_block_fails_the_flash() -> None:
    with pytest.raises(FlashFailed, match="could not be written: dd: "):
        await write_drive(reactor, "/dev/full", BLOCKS)


@pytest.fixture
def fifo(tmp_path: Path) -> Iterator[tuple[Path, int]]:
    path = tmp_path / "drive"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    yield path, reader
    try:
        os.close(reader)
    except OSError:
        return  # The test has closed it.


@ensureDeferred
async def test_a_board_that_leaves_in_the_middle_fails_the_flash(fifo: tuple[Path, int]) -> None:
    path, reader = fifo
    writing = write_drive(reactor, str(path), BLOCKS)
    os.close(reader)
    with pytest.raises(FlashFailed, match="left while"):
        await writing


@ensureDeferred
async def test_a_drive_that_takes_nothing_can_be_given_up(fifo: tuple[Path, int]) -> None:
    path, _ = fifo
    writing = write_drive(reactor, str(path), BLOCKS)
    writing.cancel()
    with pytest.raises(CancelledError):
        await writing


@pytest.mark.parametrize("length", [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE + 1])
def test_what_is_no_whole_block_is_never_written(length: int) -> None:
    with pytest.raises(ValueError, match="not whole blocks"):
        write_drive(reactor, "/dev/null", b"\x01" * length)
