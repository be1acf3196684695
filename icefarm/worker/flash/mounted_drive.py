"""The last way to flash a board: copying the image to its boot drive, mounted already or by udisks."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from attrs import frozen

from icefarm.system.command import CommandFailed, find, run
from icefarm.worker.flash.errors import FlashFailed

__all__ = ["Mounts", "mount_point"]

#: Seconds for udisks.
MOUNT_LIMIT = 3.0
_MOUNTS = Path("/proc/self/mounts")
#: udisksctl's output: "Mounted /dev/sda1 at /media/ada/RP2350", with a full stop before version 2.10.
_MOUNTED = re.compile(r"^Mounted \S+ at (?P<point>.*?)\.?$", re.MULTILINE)
#: Blanks and the like in names (fstab(5)).
_ESCAPE = re.compile(r"\\([0-7]{3})")


def mount_point(mounts: str, drive: str) -> Path | None:
    """Return where a drive, or a partition of it, is mounted, from the text of /proc/self/mounts."""
    for line in mounts.splitlines():
        device, _, rest = line.partition(" ")
        if device == drive or (device.startswith(drive) and device.removeprefix(drive).isdigit()):
            return Path(_ESCAPE.sub(lambda found: chr(int(found[1], 8)), rest.partition(" ")[0]))
    return None


def _partition(drive: str) -> str:
    first = f"{drive}1"
    return first if Path(first).exists() else drive


@frozen
class Mounts:
    """Where boot drives are mounted."""

    _reactor: Any
    _table: Path = _MOUNTS

    async def point_of(self, drive: str) -> Path:
        """Return where a drive is mounted, mounting it if udisks is installed.  Raises `FlashFailed`."""
        found = mount_point(self._table.read_text(encoding="utf-8", errors="replace"), drive)
        if found is not None:
            return found
        program = find("udisksctl")
        if program is None:
            raise FlashFailed("it is not mounted")
        command = [program, "mount", "--no-user-interaction", "-b", _partition(drive)]
        try:
            said = await run(self._reactor, command, limit=MOUNT_LIMIT, environment={**os.environ, "LC_ALL": "C"})
        except CommandFailed as error:
            raise FlashFailed(f"it is not mounted ({error})") from None
        mounted = _MOUNTED.search(said)
        if mounted is None:
            raise FlashFailed(f"udisks mounted it but did not say where: {said}")
        return Path(mounted["point"])
