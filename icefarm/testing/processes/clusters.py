"""Databases of farms in tests: one is made for each version of the schema, and copied for each farm.

``ICEFARM_TEST_CLUSTERS`` names the directory where it is kept; without it, each farm makes its own.  A copy does not
wait for the disk: what is lost when the machine stops is of no use to a test.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from icefarm.control.storage.migrations import migrate, steps
from icefarm.farm.database import open_database
from icefarm.farm.postgres import server
from icefarm.farm.postgres.programs import candidates
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.farm.processes.privileges import unprivileged

__all__ = ["VARIABLE", "lay_cluster"]

#: The variable of the environment that names the directory.
VARIABLE = "ICEFARM_TEST_CLUSTERS"
#: Seconds for making one on a busy machine.
LIMIT = 240.0
_SETTINGS = "\n# A copy for tests.\nfsync = off\nfull_page_writes = off\n"


def lay_cluster(postgres: Path) -> bool:
    """Put a database with the schema, and nothing else, into the directory of a `PrivatePostgres` that has none.

    Returns whether there is one now; if not, the server makes an empty one when it starts.
    """
    kept = os.environ.get(VARIABLE)
    programs = next(candidates(), None)
    if not kept or programs is None or postgres.exists() or not postgres.parent.is_dir():
        return False
    identity = unprivileged(postgres, [programs, programs.parent / "share"])
    if identity is not None and not identity.namespace:
        # Root would give it to an account, which makes its own.
        return False
    name = _digest(programs)
    made = Path(kept) / name / "data"
    with _lock(Path(kept), fcntl.LOCK_SH):
        if made.is_dir():
            _copy(made, postgres)
            return True
    with _lock(Path(kept), fcntl.LOCK_EX):
        if not made.is_dir():
            _make(Path(kept), name)
        _copy(made, postgres)
    return True


def _copy(made: Path, postgres: Path) -> None:
    postgres.mkdir(mode=0o700)
    shutil.copytree(made, postgres / "data")


def _digest(programs: Path) -> str:
    """Return what the contents depend on, in short."""
    digest = hashlib.sha256("".join(step.checksum for step in steps()).encode())
    for file in (server.__file__, __file__):
        digest.update(Path(file).read_bytes())
    found = (programs / "postgres").stat()
    digest.update(f"{programs} {found.st_size} {found.st_mtime_ns}".encode())
    return digest.hexdigest()[:16]


@contextmanager
def _lock(kept: Path, how: int) -> Iterator[None]:
    kept.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (kept / "lock").open("w") as file:
        fcntl.flock(file, how)
        yield


def _make(kept: Path, name: str) -> None:
    """Make it in a process of its own, which has a reactor; those of other versions go."""
    for other in kept.iterdir():
        if other.is_dir():
            shutil.rmtree(other, ignore_errors=True)
    # Paths of sockets are short.
    place = Path(tempfile.mkdtemp(prefix="icefarm-"))
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", __name__, str(place / "postgres")],
            capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"no database could be made for tests: {done.stdout}{done.stderr}")
        shutil.copytree(place / "postgres" / "data", kept / f"{name}.new" / "data")
        (kept / f"{name}.new").rename(kept / name)
    finally:
        shutil.rmtree(place, ignore_errors=True)


async def _initialise(reactor: Any, directory: Path) -> None:
    postgres = PrivatePostgres(reactor, directory, directory.parent / "log", print)
    await postgres.start()
    try:
        async with open_database(reactor, postgres.dsn) as database:
            await migrate(database)
    finally:
        await postgres.stop()
    with (directory / "data" / "postgresql.conf").open("a") as file:
        file.write(_SETTINGS)


if __name__ == "__main__":
    from twisted.internet.task import react

    react(lambda reactor: Deferred.fromCoroutine(_initialise(reactor, Path(sys.argv[1]))))
