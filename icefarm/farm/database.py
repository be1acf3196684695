"""The farm's database as the command line uses it: opened, brought up to date, and closed again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from icefarm.control.sessions.operator_token import TOKEN_NAME, ensure_operator_token
from icefarm.control.storage.migrations import SchemaMismatch, migrate
from icefarm.control.storage.pool import Database, check_dsn
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.errors import Busy, InvalidArgument
from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import DataDirectory, DirectoryLock
from icefarm.farm.postgres.server import PrivatePostgres

__all__ = ["farm_database", "open_database", "prepare_database"]


@asynccontextmanager
async def open_database(reactor: Any, dsn: str) -> AsyncIterator[Database]:
    """Provide a connection to a database for the duration of an ``async with`` block.

    Raises `CannotStart` if no connection can be made.
    """
    try:
        database = Database(reactor, check_dsn(dsn), size=1)
    except InvalidArgument as error:
        raise CannotStart(f"--database: {error}") from None
    try:
        try:
            await database.start()
        except Busy as error:
            raise CannotStart(f"the database cannot be used: {_one_line(error)}; see --database") from None
        yield database
    finally:
        await database.stop()


@asynccontextmanager
async def farm_database(reactor: Any, directory: DataDirectory, dsn: str | None) -> AsyncIterator[Database]:
    """Provide the farm's database: the one that ``dsn`` names, else the private one, started if it does not run."""
    if dsn is not None:
        async with open_database(reactor, dsn) as database:
            yield database
        return
    directory.create()
    postgres = PrivatePostgres(reactor, directory.postgres, directory.log("postgres"))
    lock = DirectoryLock(directory.path / "lock")
    try:
        lock.acquire()
    except CannotStart:
        # A farm uses the directory, so its PostgreSQL runs.
        async with open_database(reactor, postgres.dsn) as database:
            yield database
        return
    try:
        await postgres.start()
        async with open_database(reactor, postgres.dsn) as database:
            yield database
    finally:
        await postgres.stop()
        lock.release()


async def prepare_database(reactor: Any, dsn: str, directory: DataDirectory, needs_tokens: bool) -> None:
    """Bring the database up to date and ensure the operator's token, before control starts.

    Raises `CannotStart`, also if other hosts can reach the farm and there is no token.
    """
    async with open_database(reactor, dsn) as database:
        try:
            await migrate(database)
        except SchemaMismatch as error:
            raise CannotStart(str(error)) from None
        store = PostgresStore(database)
        try:
            await ensure_operator_token(directory.path, store)
        except OSError as error:
            raise CannotStart(f"cannot write {directory.operator_token}: {error.strerror}") from None
        if needs_tokens and all(token.name == TOKEN_NAME for token in await store.list_tokens()):
            raise CannotStart(
                "other hosts can reach that address, and nobody has a token yet; make one first: "
                "icefarm token add NAME --role client|worker|operator (with the same --data-dir or --database)"
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
