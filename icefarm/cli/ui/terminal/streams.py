"""The standard streams of ``icefarm``, which may be closed, full, or a pipe that nobody reads.

Data that can't be written ends a verb: with `NobodyReads` where the reader of a pipe has gone, as ``head`` does when it
has seen enough, and else with `CannotWrite`.  A message that can't be written ends nothing: the exit code says it too.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from typing import Any, TextIO

from icefarm.system.writing import CannotWrite, NobodyReads, write_all

__all__ = ["guard_streams"]


class _Guarded(io.RawIOBase):
    """A descriptor whose failures to take data are ``failed``'s to deal with; after the first one it takes no more."""

    def __init__(self, descriptor: int, failed: Callable[[OSError], None]) -> None:
        self._descriptor = descriptor
        self._failed = failed
        self._given_up = False

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def write(self, data: Any) -> int:
        if not self._given_up:
            try:
                write_all(self._descriptor, data)
            except OSError as error:
                self._given_up = True
                self._failed(error)
        return len(data)


def guard_streams() -> None:
    """Put guarded streams in the place of the process's own; those that a caller has put there stay."""
    # A file that is opened later must not become the standard output because that one is closed.
    for descriptor in (0, 1, 2):
        _occupy(descriptor)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(1, sys.stdout, _data_failed)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(2, sys.stderr, _message_failed)


def _occupy(descriptor: int) -> None:
    try:
        os.fstat(descriptor)
    except OSError:
        # The standard output refuses to be written to, as a closed one does; nobody misses what the others take.
        os.open(os.devnull, os.O_RDONLY if descriptor == 1 else os.O_RDWR)


def _guarded(descriptor: int, before: TextIO | None, failed: Callable[[OSError], None]) -> TextIO:
    raw = _Guarded(descriptor, failed)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if before is None else before.encoding,
        errors="backslashreplace" if before is None else before.errors,
        line_buffering=raw.isatty() or descriptor == 2,
    )


def _data_failed(error: OSError) -> None:
    if isinstance(error, BrokenPipeError):
        raise NobodyReads("nobody reads the standard output any more")
    raise CannotWrite(f"cannot write to the standard output: {error.strerror}")


def _message_failed(_: OSError) -> None:
    """Nothing can be said, about this least of all."""
