"""The program that runs virtual boards, and the firmware images that it makes for them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

from twisted.internet.utils import getProcessOutputAndValue

from icefarm.usb import uf2

__all__ = ["BoardsFailed", "MissingBoards", "firmware_version", "image", "program"]

#: Making an image takes a few milliseconds; on a machine that swaps, longer.
PROGRAM_LIMIT = 10.0


class MissingBoards(Exception):
    """The virtual boards were not built: install a C compiler (apt-get install gcc), and icefarm again from its source
    (pip install --force-reinstall --no-deps --no-binary icefarm icefarm, or the same with the folder that it is in)."""

    def __init__(self) -> None:
        super().__init__((type(self).__doc__ or "").strip())


class BoardsFailed(Exception):
    """The program that runs the virtual boards failed; its own message follows."""


def program() -> Path:
    """Return where the program is.  Raises MissingBoards."""
    path = Path(str(files("icefarm.virtual"))) / "bin" / "icefarm-boards"
    if not path.is_file():
        raise MissingBoards
    return path


async def _output(reactor: Any, *arguments: str) -> bytes:
    running = getProcessOutputAndValue(str(program()), arguments, reactor=reactor)
    running.addTimeout(PROGRAM_LIMIT, reactor)
    out, err, code = await running
    if code != 0:
        raise BoardsFailed(err.decode(errors="replace").strip())
    return out


async def image(reactor: Any, app: str, version: str | None = None) -> bytes:
    """Return the UF2 file that makes a virtual board run an application, such as ``pulse_count``.

    The board then reports ``version`` in HELLO; by default the firmware's own.  Raises MissingBoards, or BoardsFailed
    for an unknown application.
    """
    arguments = ("--image", app) if version is None else ("--image", app, "--image-version", version)
    file = await _output(reactor, *arguments)
    uf2.parse(file)
    return file


async def firmware_version(reactor: Any) -> str:
    """Return the version of the firmware in the virtual boards, such as ``1.0.0``.  Raises MissingBoards."""
    return (await _output(reactor, "--version")).decode().strip()
