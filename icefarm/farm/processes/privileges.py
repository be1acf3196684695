"""The user for a program that refuses to run as root, when the farm runs as root."""

from __future__ import annotations

import os
import pwd
import stat
from collections.abc import Sequence
from pathlib import Path

from attrs import frozen

from icefarm.farm.errors import CannotStart

__all__ = ["UnprivilegedUser", "may_reach", "unprivileged"]

#: Accounts to use, the first that exists; the program needs one with an entry in /etc/passwd.
_ACCOUNTS = ("postgres", "nobody")


@frozen
class UnprivilegedUser:
    """A user and a group; with ``namespace`` by name only (`icefarm.farm.processes.child.child_command`)."""

    uid: int
    gid: int
    namespace: bool = False


def unprivileged(directory: Path, needed: Sequence[Path]) -> UnprivilegedUser | None:
    """Choose the user that works in ``directory`` (which may not exist yet) and reads ``needed``; None: this one.

    An existing directory keeps its owner. Otherwise root gives it to an unprivileged account if that can reach
    everything; if not (for example below a home of mode 0700), the program runs in a user namespace.
    Raises `CannotStart`.
    """
    if os.geteuid() != 0:
        return None
    account = _account()
    if directory.exists():
        owner = directory.stat()
        if owner.st_uid != 0:
            return UnprivilegedUser(owner.st_uid, owner.st_gid)
    elif all(may_reach(path, account.uid, account.gid) for path in (directory.parent, *needed)):
        return account
    return UnprivilegedUser(account.uid, account.gid, namespace=True)


def _account() -> UnprivilegedUser:
    for name in _ACCOUNTS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return UnprivilegedUser(entry.pw_uid, entry.pw_gid)
    raise CannotStart(
        f"PostgreSQL does not run as root and there is no user {' or '.join(_ACCOUNTS)}; make one of them"
    )


def may_reach(path: Path, uid: int, gid: int) -> bool:
    """Tell whether that user may enter every directory down to ``path``, and read what is there."""
    real = path.resolve()
    return all(_allowed(each, uid, gid, 0o1) for each in real.parents) and _allowed(real, uid, gid, 0o5)


def _allowed(path: Path, uid: int, gid: int, wanted: int) -> bool:
    try:
        found = path.stat()
    except OSError:
        return False
    shift = 6 if found.st_uid == uid else 3 if found.st_gid == gid else 0
    return (stat.S_IMODE(found.st_mode) >> shift) & wanted == wanted
