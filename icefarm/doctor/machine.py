"""What the checks of a host examine: its files, programs, groups, database and farm; tests use recorded ones."""

from __future__ import annotations

import grp
import os
import subprocess
import sysconfig
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from attrs import field, frozen

from icefarm.doctor.database_probe import DatabaseFacts, look_at
from icefarm.doctor.sign_in_probe import SignedIn, sign_in
from icefarm.farm.postgres.programs import candidates
from icefarm.system.command import find
from icefarm.wamp.url import RouterUrl

__all__ = ["Machine", "this_machine"]

#: Seconds that a program may take to answer.
RUN_LIMIT = 10.0


@frozen
class Machine:
    """A host."""

    #: Under which /sys, /etc, /proc, /run and /dev are found.
    root: Path
    #: Path of a program, or None.
    which: Callable[[str], str | None]
    #: Runs a program: its exit code and its output (both streams).
    run: Callable[[Sequence[str]], tuple[int, str]]
    #: Whether this user may read and write a device.
    may_use: Callable[[Path], bool]
    #: This user's groups, and all existing groups.
    own_groups: frozenset[str]
    groups: frozenset[str]
    is_root: bool
    #: Examines a database, by its connection string.  Raises `DatabaseAway`.
    database: Callable[[str], DatabaseFacts] = look_at
    #: Directories where a PostgreSQL may be.
    postgres: Callable[[], Iterable[Path]] = candidates
    #: Connects to a router and disconnects.  Raises OSError, UnicodeError.
    reach: Callable[[RouterUrl], None] = RouterUrl.reach
    #: Signs in at a farm (URL, token, file of trusted certificates).  Raises `IcefarmError`.
    sign_in: Callable[[str, str, str | None], SignedIn] = sign_in
    #: The version of the firmware that this icefarm comes with; None if unknown.
    shipped_firmware: Callable[[], str | None] = field(default=lambda: _shipped_firmware())

    #: A variable of how this Python was built (sysconfig).
    python_variable: Callable[[str], object] = sysconfig.get_config_var

    def read(self, path: str) -> str | None:
        """Return the text of a file without blanks at its ends, or None if it can't be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None


def _run(command: Sequence[str], limit: float = RUN_LIMIT) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=limit,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return 1, str(error)
    return done.returncode, done.stdout.decode(errors="replace").strip()


def _shipped_firmware() -> str | None:
    from icefarm.virtual.images import MissingBoards, program

    try:
        code, said = _run([str(program()), "--version"])
    except MissingBoards:
        return None
    return said if code == 0 else None


def _group_names() -> dict[int, str]:
    return {group.gr_gid: group.gr_name for group in grp.getgrall()}


def this_machine(run_limit: float = RUN_LIMIT) -> Machine:
    """Return the host that this process runs on.  ``run_limit``: seconds that a program may take."""
    names = _group_names()
    return Machine(
        root=Path("/"),
        which=find,
        run=partial(_run, limit=run_limit),
        may_use=lambda path: os.access(path, os.R_OK | os.W_OK),
        own_groups=frozenset(names[gid] for gid in {*os.getgroups(), os.getegid()} if gid in names),
        groups=frozenset(names.values()),
        is_root=os.geteuid() == 0,
    )
