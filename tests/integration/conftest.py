"""Real parts for integration tests: they run once for all tests, on free ports and in a directory of their own."""

from __future__ import annotations

import shutil
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from pathlib import Path

import leftovers
import pytest
import pytest_twisted
from control_rig import Rig, Twistd
from links import Links
from psycopg2.extensions import make_dsn
from pytest_twisted import blockon
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from icefarm.control.storage.connection import DatabaseConnection
from icefarm.control.storage.migrations import migrate
from icefarm.control.storage.pool import Database
from icefarm.farm.database import open_database
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.testing.processes.clusters import lay_cluster
from icefarm.testing.processes.router import RealRouter

_directories = count(1)


@pytest.fixture(scope="module")
def short_directory() -> Iterator[Path]:
    """A directory for the tests of a file; its path is short enough for Unix sockets.

    Farms belong here: it may be in memory (`leftovers.place`).
    """
    path = leftovers.place() / str(next(_directories))
    path.mkdir()
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def router() -> Iterator[RealRouter]:
    running = blockon(ensureDeferred(RealRouter.start(reactor, leftovers.place() / "router")))
    yield running
    blockon(ensureDeferred(running.stop()))


@pytest_twisted.async_yield_fixture
async def links(router: RealRouter) -> AsyncIterator[Links]:
    links = Links(router)
    yield links
    await links.close()


_database_numbers = count(1)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PrivatePostgres]:
    """One private PostgreSQL for all tests; take `postgres` or `prepared` for a database of your own in it.

    Its own database has the schema, and nobody is connected to it.
    """
    directory = leftovers.place()
    lay_cluster(directory / "postgres")
    server = PrivatePostgres(reactor, directory / "postgres", directory / "postgres.log")
    blockon(ensureDeferred(server.start()))
    blockon(ensureDeferred(_migrated(server.dsn)))
    yield server
    blockon(ensureDeferred(server.stop()))


async def _migrated(dsn: str) -> None:
    async with open_database(reactor, dsn) as database:
        await migrate(database)


def _made(server: PrivatePostgres, template: str) -> str:
    """Make another database of a server, and return its connection string."""
    name = f"test_{next(_database_numbers)}"
    command = f"CREATE DATABASE {name} TEMPLATE {template}"
    blockon(ensureDeferred(_command(make_dsn(server.dsn, dbname="postgres"), command)))
    return make_dsn(server.dsn, dbname=name)


async def _command(dsn: str, statement: str) -> None:
    connection = DatabaseConnection(reactor)
    await connection.open(dsn, 10.0)
    try:
        await connection.cursor().execute(statement)
    finally:
        connection.drop("done")


@pytest.fixture
def postgres(postgres_server: PrivatePostgres) -> str:
    """The connection string of an empty database, for this test alone; it goes with the server's directory."""
    return _made(postgres_server, "template1")


@pytest.fixture
def prepared(postgres_server: PrivatePostgres) -> str:
    """The connection string of a database with the schema in it and nothing else, for this test alone."""
    return _made(postgres_server, "icefarm")


@pytest.fixture
def database(prepared: str) -> Iterator[Database]:
    """Connections to a database with the schema in it and nothing else, for this test alone."""
    running = Database(reactor, prepared)
    blockon(ensureDeferred(running.start()))
    yield running
    blockon(ensureDeferred(running.stop()))


@pytest_twisted.async_yield_fixture
async def rig(router: RealRouter, prepared: str, tmp_path: Path) -> AsyncIterator[Rig]:
    rig = Rig(router, prepared, tmp_path)
    try:
        yield rig
    finally:
        for link in rig.links:
            await link.stopService()
        await rig.stop()


@pytest_twisted.async_yield_fixture
async def run_control() -> AsyncIterator[Callable[..., Twistd]]:
    """Start control as a process; what still runs at the end of the test is killed."""
    started: list[Twistd] = []

    def start(script: str, *flags: str) -> Twistd:
        started.append(Twistd.start(script, *flags))
        return started[-1]

    yield start
    for control in started:
        if not control.ended.called:
            control.transport.signalProcess(signal.SIGKILL)
            await control.ended
