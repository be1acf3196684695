"""Migrates the database to the schema of this version of icefarm: forward only, each step whole or not at all.

Steps are the files ``schema/V<number>__<name>.sql``, applied in numeric order, each in a transaction of its own under
one advisory lock: of several programs that start concurrently, one applies a step and the others find it done.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import partial
from importlib.resources import files
from pathlib import Path

from attrs import frozen
from psycopg2.errors import Error, InsufficientPrivilege, InterfaceError, OperationalError
from twisted.logger import Logger

from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.pool import Database
from icefarm.errors import InvalidArgument

__all__ = ["SchemaMismatch", "Step", "migrate", "next_step", "steps"]

#: Seconds that one step may take; a step over a long history may rewrite a table.
STEP_LIMIT = 900.0
#: Key of the advisory lock: "icefarm" in ASCII. Never change it: all versions must wait for each other.
_LOCK = 0x69636566_61726D
_FILE = re.compile(r"V([1-9][0-9]*)__([A-Za-z0-9_]+)\.sql")
_log = Logger()


class SchemaMismatch(Exception):
    """The database and this version of icefarm do not match; the message says what to do."""


@frozen
class Step:
    """One file of the schema."""

    version: int
    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 of the text, hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def steps(directory: Path | None = None) -> list[Step]:
    """Read the files of the schema; by default those installed with icefarm.

    Raises `SchemaMismatch` if there are none, or two with the same number.
    """
    found: dict[int, Step] = {}
    for entry in (directory or Path(str(files("icefarm") / "data" / "schema"))).iterdir():
        match = _FILE.fullmatch(entry.name)
        if match is None:
            continue
        step = Step(int(match[1]), match[2], entry.read_text())
        if step.version in found:
            raise SchemaMismatch(f"two files of the schema have the number {step.version}: this icefarm is broken")
        found[step.version] = step
    if not found:
        raise SchemaMismatch("the files of the database's schema are missing: install icefarm again")
    return [found[version] for version in sorted(found)]


def next_step(known: Sequence[Step], applied: Sequence[tuple[int, str]]) -> Step | None:
    """Return the step to apply next to a database with these (version, checksum), None if it has all.

    Raises `SchemaMismatch`.
    """
    by_version = {step.version: step for step in known}
    newest = max((version for version, _ in applied), default=0)
    for version, checksum in applied:
        if version not in by_version:
            raise SchemaMismatch(
                f"the database has version {newest} of the schema, which this icefarm does not know (it goes up to "
                f"{max(by_version)}): install the icefarm that made it, or a newer one"
            )
        if by_version[version].checksum != checksum:
            raise SchemaMismatch(
                f"V{version}__{by_version[version].name}.sql is not what was applied to this database: "
                "steps never change once released; put the file back, and make a new step for what it shall change"
            )
    missing = [step for step in known if step.version not in dict(applied)]
    if missing and missing[0].version < newest:
        raise SchemaMismatch(
            f"V{missing[0].version}__{missing[0].name}.sql comes before version {newest}, which the database has: "
            "give it a higher number"
        )
    return missing[0] if missing else None


async def migrate(database: Database, known: Sequence[Step] | None = None) -> list[int]:
    """Apply all steps that the database lacks; returns their numbers.

    Raises `SchemaMismatch`, and `Busy` if the database is away; the steps applied until then remain.
    """
    known = steps() if known is None else known
    done: list[int] = []
    while True:
        step = await database.transaction(partial(_apply_next, known), limit=STEP_LIMIT)
        if step is None:
            return done
        _log.info("applied V{version}__{name} to the database", version=step.version, name=step.name)
        done.append(step.version)


async def _apply_next(known: Sequence[Step], transaction: Transaction) -> Step | None:
    step = None
    try:
        await transaction.rows(f"SET LOCAL statement_timeout = '{STEP_LIMIT:.0f}s'")
        await transaction.rows("SELECT pg_advisory_xact_lock(%(key)s)", {"key": _LOCK})
        step = next_step(known, await _applied(transaction))
        if step is not None:
            await _apply(transaction, step)
    except InsufficientPrivilege as error:
        raise SchemaMismatch(
            f"the database's user may not make the schema ({_first_line(error)}): "
            "make that user the owner of the database"
        ) from error
    except (OperationalError, InterfaceError):
        raise
    except (Error, InvalidArgument) as error:
        if step is None:
            raise
        raise SchemaMismatch(f"V{step.version}__{step.name}.sql failed: {_first_line(error)}") from error
    return step


async def _applied(transaction: Transaction) -> list[tuple[int, str]]:
    exists = await transaction.rows("SELECT to_regclass('schema_version') IS NOT NULL")
    if not exists[0][0]:
        await transaction.rows(
            "CREATE TABLE schema_version ("
            "version integer PRIMARY KEY, name text NOT NULL, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now());"
            "COMMENT ON TABLE schema_version IS 'The files of schema/ that were applied to this database.'"
        )
    rows = await transaction.rows("SELECT version, checksum FROM schema_version ORDER BY version")
    return [(version, checksum) for version, checksum in rows]


async def _apply(transaction: Transaction, step: Step) -> None:
    await transaction.rows(step.sql)
    await transaction.rows(
        "INSERT INTO schema_version (version, name, checksum) VALUES (%(version)s, %(name)s, %(checksum)s)",
        {"version": step.version, "name": step.name, "checksum": step.checksum},
    )


def _first_line(error: Exception) -> str:
    # The others repeat the statement.
    return str(error).strip().splitlines()[0]
