"""Loads images and starts boot loaders with picotool (github.com/raspberrypi/picotool, 2.0 and later), if installed.

It uses the boot loader's other interface (PICOBOOT), so it works if the boot drive does not; and it can restart boards
with the plain SDK's USB console, which ignore the touch at 1200 baud.
"""

from __future__ import annotations

import os
from tempfile import NamedTemporaryFile
from typing import Any

from attrs import frozen

from icefarm.system.command import CommandFailed, run
from icefarm.worker.flash.errors import FlashFailed

__all__ = ["Picotool"]

#: Seconds for loading and verifying an image (400 kB take 3 s), and for a restart.
LOAD_LIMIT = 10.0
REBOOT_LIMIT = 5.0


@frozen
class Picotool:
    """picotool, at one path."""

    _reactor: Any
    _program: str

    async def load(self, serial: str, blocks: bytes) -> None:
        """Write UF2 blocks to the board in its boot loader, verify them, and start them.  Raises `FlashFailed`."""
        # It recognises a file's format by its name.
        with NamedTemporaryFile(prefix="icefarm-", suffix=".uf2") as file:
            file.write(blocks)
            file.flush()
            await self._run(LOAD_LIMIT, "load", "-v", "-x", file.name, "--ser", serial)

    async def start_loader(self, serial: str) -> None:
        """Make a board start its boot loader.  Raises `FlashFailed`."""
        await self._run(REBOOT_LIMIT, "reboot", "-f", "-u", "--ser", serial)

    async def _run(self, limit: float, *arguments: str) -> None:
        environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
        try:
            await run(self._reactor, [self._program, *arguments], limit=limit, environment=environment)
        except CommandFailed as error:
            raise FlashFailed(f"picotool: {_reason(error)}") from None


def _reason(error: CommandFailed) -> str:
    """Return the line with the reason; later ones are about other devices."""
    for line in error.said.splitlines():
        for begin in ("ERROR: ", "No accessible"):
            if line.startswith(begin):
                return line.removeprefix("ERROR: ").rstrip(".")
    return str(error)
