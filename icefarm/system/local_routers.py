"""The Unix sockets of a farm's routers on this host, which `icefarm up` notes in a file beside them.

A client that signs in at one of them reaches the other routers there as well: the URLs that control names may lead
through a proxy, or need a certificate that this host does not trust.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from icefarm.text.outside_json import parse_json

__all__ = ["NOTE", "noted_sockets", "sockets_beside", "sockets_in"]

#: The file in a farm's directory of sockets that says which farm runs.
NOTE = "farm.json"
_UNIX = "unix:"


def noted_sockets(directory: Path) -> dict[str, Path]:
    """Return the sockets that the note in a directory names, as `sockets_in` does; none where there is no note."""
    try:
        return sockets_in(parse_json((directory / NOTE).read_text()), directory)
    except (OSError, ValueError):
        return {}


def sockets_in(note: Any, directory: Path) -> dict[str, Path]:
    """Return the sockets of a farm's routers, by the URL at which others reach each; none where the note names none.

    A note does not count where other users may write, as in /tmp: clients show their tokens at these sockets.
    """
    try:
        if not _is_ours(directory):
            return {}
        # They are in this directory, whatever the note says.
        return {str(url): directory / Path(name).name for url, name in note["sockets"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}


def _is_ours(directory: Path) -> bool:
    found = directory.stat()
    return found.st_uid in (os.getuid(), 0) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def sockets_beside(url: str) -> dict[str, str]:
    """Return the URLs of a farm's sockets, if ``url`` is that of one of them, by the URLs at which others reach it."""
    if not url.startswith(_UNIX):
        return {}
    directory = Path(url.removeprefix(_UNIX)).parent
    return {router: f"{_UNIX}{socket}" for router, socket in noted_sockets(directory).items()}
