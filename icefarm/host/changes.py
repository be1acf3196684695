"""Pure: no I/O, no clock.  What installing files means for what is there, and what removing them means.

The record of an installation holds a digest of each file as it was written.  A file with that digest is ours: it may be
replaced and removed.  One with another digest was changed by hand, or was there before: it is never lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping

from attrs import frozen

__all__ = [
    "Action",
    "ChangedByHand",
    "HostFile",
    "Keep",
    "Leave",
    "Remove",
    "RunProgram",
    "Write",
    "digest_of",
    "installing",
    "removing",
]

#: What the copy of a file that was changed by hand has at the end of its name.
OLD = ".old"


class ChangedByHand(Exception):
    """Files would be replaced that somebody has changed; the message names them and says what to do."""


@frozen
class HostFile:
    """A file of an installation; ``path`` is below the root of the host, without a slash before it."""

    path: str
    content: bytes
    mode: int = 0o644
    #: Its content is not shown.
    secret: bool = False


@frozen
class Write:
    """Write a file; with ``kept``, what was there before is kept beside it."""

    file: HostFile
    kept: bool = False

    @property
    def line(self) -> str:
        return f"write /{self.file.path} (mode {self.file.mode:04o})" + self._where_the_old_one_is

    @property
    def _where_the_old_one_is(self) -> str:
        return f"; what is there becomes /{self.file.path}{OLD}" if self.kept else ""


@frozen
class Keep:
    """Do nothing: the file has this content already."""

    path: str

    @property
    def line(self) -> str:
        return f"keep /{self.path}, which is as it should be"


@frozen
class Remove:
    """Remove a file that was installed and is as it was then."""

    path: str

    @property
    def line(self) -> str:
        return f"remove /{self.path}"


@frozen
class Leave:
    """Do nothing: the file was changed after it had been installed."""

    path: str

    @property
    def line(self) -> str:
        return f"leave /{self.path}, which was changed by hand"


@frozen
class RunProgram:
    """Run a program of the host."""

    command: tuple[str, ...]
    #: It may fail, for instance because what it stops does not run.
    may_fail: bool = False

    @property
    def line(self) -> str:
        return f"run {' '.join(self.command)}"


Action = Write | Keep | Remove | Leave | RunProgram


def digest_of(content: bytes) -> str:
    """Return what the record keeps of a file: its SHA-256."""
    return hashlib.sha256(content).hexdigest()


def installing(
    wanted: Iterable[HostFile], there: Mapping[str, bytes], recorded: Mapping[str, str], *, force: bool = False
) -> list[Write | Keep]:
    """Return what to do so that each file has the content that is wanted.

    ``there``: the contents of files that exist.  ``recorded``: digests from the last installation.  With ``force``,
    files that were changed by hand are replaced, and kept beside the new ones.  Raises `ChangedByHand`.
    """
    actions: list[Write | Keep] = []
    changed: list[str] = []
    for file in wanted:
        content = there.get(file.path)
        if content == file.content:
            actions.append(Keep(file.path))
            continue
        by_hand = content is not None and recorded.get(file.path) != digest_of(content)
        if by_hand and not force:
            changed.append(f"/{file.path}")
        actions.append(Write(file, kept=by_hand))
    if changed:
        raise ChangedByHand(
            f"not written by icefarm host install, or changed since: {', '.join(changed)}; move them away, or use "
            f"--force, which keeps them as *{OLD}"
        )
    return actions


def removing(there: Mapping[str, bytes], recorded: Mapping[str, str]) -> list[Remove | Leave]:
    """Return what to do so that nothing is left of an installation but what somebody has changed."""
    return [
        Remove(path) if digest_of(there[path]) == digest else Leave(path)
        for path, digest in sorted(recorded.items())
        if path in there
    ]
