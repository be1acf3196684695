"""Keys that are pressed while a picture is on the terminal; `rich` only draws, and click waits for a key."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from attrs import frozen

__all__ = ["Keys", "keys_pressed"]

#: What terminals send (ECMA-48 and xterm), and what it is called here.
_NAMES = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up",
    b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"b": "page up",
    b"\x1b[6~": "page down", b" ": "page down",
    b"\x1b[H": "home", b"\x1bOH": "home", b"\x1b[1~": "home", b"g": "home",
    b"\x1b[F": "end", b"\x1bOF": "end", b"\x1b[4~": "end", b"G": "end",
    b"q": "quit",
}  # fmt: skip


def names_of(data: bytes) -> list[str]:
    """Return the names of the keys in what a terminal sent; others are left out."""
    found = []
    while data:
        match = next((keys for keys in sorted(_NAMES, key=len, reverse=True) if data.startswith(keys)), None)
        if match is not None:
            found.append(_NAMES[match])
        data = data[len(match or b"x") :]
    return found


@frozen
class Keys:
    """The keyboard; None: there is none to read."""

    descriptor: int | None

    def pressed(self) -> Sequence[str]:
        """Return the names of the keys that were pressed since the last call, without waiting."""
        if self.descriptor is None or not select.select([self.descriptor], [], [], 0)[0]:
            return ()
        return names_of(os.read(self.descriptor, 1024))


@contextmanager
def keys_pressed() -> Iterator[Keys]:
    """Read keys one by one, without showing them; the terminal is as before afterwards."""
    descriptor = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
    if descriptor is None:
        yield Keys(None)
        return
    before = termios.tcgetattr(descriptor)
    # Ctrl-C stays a signal.
    tty.setcbreak(descriptor, termios.TCSANOW)
    try:
        yield Keys(descriptor)
    finally:
        termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
