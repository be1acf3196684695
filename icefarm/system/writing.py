"""Writing all of something, and what is raised where that fails."""

from __future__ import annotations

import os

__all__ = ["CannotWrite", "NobodyReads", "write_all"]


class CannotWrite(Exception):
    """What a person asked for can't be written; the text is one line that says where to, and why."""


class NobodyReads(CannotWrite):
    """The reader of the pipe has closed it."""


def write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes, however many the kernel takes at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
