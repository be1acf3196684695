"""Files that icefarm writes: a whole file appears at once, and a file that grows has one writer at a time."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import secrets
import socket
import time
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from attrs import define, field

from icefarm.system.writing import write_all
from icefarm.text.outside_json import parse_json

__all__ = ["FileLock", "Locked", "write_whole"]

#: What flock(2) answers on a file system that has no locks.
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
#: Longest description of a lock's holder that is read, in bytes.
_HOLDER_LIMIT = 1024


class Locked(Exception):
    """Another process writes to a file; the text says which one, and since when."""


def write_whole(path: str | os.PathLike[str], content: str | bytes, *, mode: int | None = None) -> None:
    """Write a file so that nobody ever reads a part of it; of two writers at once the last one's file stays.

    A link to a file stays a link.  Without ``mode``, a file keeps its permissions, and a new one gets the usual ones.
    """
    data = content.encode() if isinstance(content, str) else content
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        # A device or a pipe can't be replaced by a file.
        target.write_bytes(data)
        return
    kept = target.stat().st_mode & 0o777 if mode is None and target.exists() else mode
    # A name of its own: two writers must not share it, and the target's may be as long as a name can be.
    new = target.with_name(f".icefarm-{secrets.token_hex(8)}.new")
    try:
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if kept is None else kept)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None
    try:
        try:
            if kept is not None:
                os.fchmod(descriptor, kept)
            write_all(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(new, target)
    except BaseException:
        with suppress(OSError):
            new.unlink()
        raise


@define
class FileLock:
    """Says that this process writes to a file; ``FILE.lock`` beside it says so to others.

    The kernel gives the lock back when the process ends, however it ends; a ``FILE.lock`` that nobody holds means
    nothing.  On NFS the lock holds between hosts too (Linux 2.6.12 and later).
    """

    path: Path = field(converter=lambda path: Path(os.path.realpath(path)))
    _descriptor: int | None = field(init=False, default=None)

    @property
    def _lock_path(self) -> Path:
        return self.path.with_name(self.path.name + ".lock")

    def acquire(self) -> None:
        """Raises `Locked` where another process has the file, and OSError where it can't be locked."""
        while self._descriptor is None:
            descriptor = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            try:
                self._lock(descriptor)
                if self._is_current(descriptor):
                    _describe_holder(descriptor)
                    self._descriptor = descriptor
            finally:
                if self._descriptor is None:
                    os.close(descriptor)

    def release(self) -> None:
        """Let others write.  Harmless when it isn't held."""
        if self._descriptor is not None:
            # Removed before it is let go: nobody can hold a lock on a file that has no name any more.
            with suppress(OSError):
                self._lock_path.unlink()
            os.close(self._descriptor)
            self._descriptor = None

    def _lock(self, descriptor: int) -> None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Locked(f"{_holder(descriptor)} writes to it") from None
        except OSError as error:
            if error.errno in _NO_LOCKS:
                raise OSError(error.errno, "its file system has no locks; write to a local disk") from None
            raise

    def _is_current(self, descriptor: int) -> bool:
        """Tell whether the locked file still has its name: its previous holder may have removed it meanwhile."""
        try:
            named = os.stat(self._lock_path)
        except FileNotFoundError:
            return False
        return os.path.samestat(named, os.fstat(descriptor))


def _describe_holder(descriptor: int) -> None:
    holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.time()}
    os.ftruncate(descriptor, 0)
    write_all(descriptor, json.dumps(holder).encode() + b"\n")


def _holder(descriptor: int) -> str:
    try:
        holder = parse_json(os.pread(descriptor, _HOLDER_LIMIT, 0))
        since = datetime.fromtimestamp(float(holder["since"])).astimezone().isoformat(" ", "seconds")
        return f"process {int(holder['pid'])} on {holder['host']}, since {since},"
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return "another process"
