"""The farm's database as the command line uses it: opened, brought up to date, and closed again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from icefarm.contract import Role, account_of
from icefarm.control.sessions.sign_in.operator_token import TOKEN_NAME, ensure_operator_token, ensure_token_file
from icefarm.control.storage.migrations import SchemaMismatch, migrate
from icefarm.control.storage.pool import Database, check_dsn
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.errors import Busy, InvalidArgument
from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import DataDirectory, DirectoryLock
from icefarm.farm.postgres.server import PrivatePostgres

__all__ = ["farm_database", "open_database", "prepare_database"]

#: How the name of a token ends that the farm made for its own worker.
_OF_UP = "(icefarm up)"


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
async def farm_database(
    reactor: Any, directory: DataDirectory, dsn: str | None, *, begins: bool = False
) -> AsyncIterator[Database]:
    """Provide the farm's database: the one that ``dsn`` names, else the private one, started if it does not run.

    With ``begins`` a directory without any farm gets a new database.  Raises `CannotStart` where there is none
    otherwise: what is read there, or written, would be about a farm that nobody has.
    """
    if dsn is not None:
        async with open_database(reactor, dsn) as database:
            yield database
        return
    if not directory.has_database and (directory.holds_farm or not begins):
        raise CannotStart(
            f"there is no farm's database in {directory.path}; do this where the farm runs, name its directory "
            "with --data-dir, or, if its PostgreSQL is run by others, that with --database"
        )
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


async def prepare_database(
    reactor: Any, dsn: str, directory: DataDirectory, *, worker: str | None, reachable: bool
) -> None:
    """Bring the database up to date and see to the farm's own tokens, before control starts.

    ``worker`` is the name of a worker that needs a token; ``reachable`` tells whether other hosts reach the farm.
    Raises `CannotStart`, also where they do and nobody has a token.
    """
    async with open_database(reactor, dsn) as database:
        try:
            await migrate(database)
        except SchemaMismatch as error:
            raise CannotStart(str(error)) from None
        store = PostgresStore(database)
        try:
            await ensure_operator_token(directory.path, store)
            if worker is not None:
                account = account_of(worker)
                own = f"{worker} {_OF_UP}"
                await ensure_token_file(directory.worker_token, store, own, Role.WORKER, account)
        except OSError as error:
            raise CannotStart(f"cannot write a token into {directory.path}: {error.strerror}") from None
        made = [token.name for token in await store.list_tokens()]
        if reachable and all(name == TOKEN_NAME or name.endswith(_OF_UP) for name in made):
            raise CannotStart(
                "other hosts can reach that address, and nobody has a token yet; make one first: "
                "icefarm token add NAME --role client|worker|operator (with the same --data-dir or --database)"
            )


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
