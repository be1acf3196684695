"""What the checks of a host look at: its files, programs, groups, database and farm; tests hand in recorded ones."""

from __future__ import annotations

import grp
import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from attrs import field, frozen

from icefarm.command import find
from icefarm.doctor.database_probe import DatabaseFacts, look_at
from icefarm.doctor.sign_in_probe import sign_in
from icefarm.farm.postgres.programs import candidates
from icefarm.wamp.url import RouterUrl

__all__ = ["Machine", "this_machine"]

#: Seconds that a program which is asked something may take.
RUN_LIMIT = 10.0


@frozen
class Machine:
    """A host."""

    #: Under which /sys, /etc, /proc, /run and /dev are found.
    root: Path
    #: Path of a program, or None.
    which: Callable[[str], str | None]
    #: Runs a program: its exit code and what it said (both outputs).
    run: Callable[[Sequence[str]], tuple[int, str]]
    #: Whether a device may be read and written by who asks.
    may_use: Callable[[Path], bool]
    #: The groups of who asks, and all that there are.
    own_groups: frozenset[str]
    groups: frozenset[str]
    is_root: bool
    #: Looks at a database, by its connection string.  Raises `DatabaseAway`.
    database: Callable[[str], DatabaseFacts] = look_at
    #: Directories where a PostgreSQL may be.
    postgres: Callable[[], Iterable[Path]] = candidates
    #: Connects to a router and hangs up again.  Raises OSError, UnicodeError.
    reach: Callable[[RouterUrl], None] = RouterUrl.reach
    #: Signs in at a farm (URL, token, file of trusted certificates): versions of the workers that are there, by name.
    #: Raises `IcefarmError`.
    sign_in: Callable[[str, str, str | None], dict[str, str]] = sign_in
    #: The version of the firmware that this icefarm comes with; None where that can't be told.
    shipped_firmware: Callable[[], str | None] = field(default=lambda: _shipped_firmware())

    def read(self, path: str) -> str | None:
        """Return the text of a file without blanks at its ends, or None where it can't be read."""
        try:
            return (self.root / path).read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return None


def _run(command: Sequence[str]) -> tuple[int, str]:
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=RUN_LIMIT,
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


def this_machine() -> Machine:
    """Return the host that this process runs on."""
    names = _group_names()
    return Machine(
        root=Path("/"),
        which=find,
        run=_run,
        may_use=lambda path: os.access(path, os.R_OK | os.W_OK),
        own_groups=frozenset(names[gid] for gid in {*os.getgroups(), os.getegid()} if gid in names),
        groups=frozenset(names.values()),
        is_root=os.geteuid() == 0,
    )
