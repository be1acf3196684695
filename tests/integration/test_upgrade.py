"""A farm of an older icefarm, found by today's: its data directory opens, and all that was in it is there."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from pytest_twisted import blockon, ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import Deferred

from icefarm.client import Farm
from icefarm.control.sessions.sign_in.tokens import new_token, token_hash
from icefarm.control.storage.migrations import migrate, steps
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.farm.paths import DataDirectory
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.testing.processes.farm_process import FarmProcess

pytestmark = pytest.mark.integration

CIRCUIT = Path(__file__).resolve().parents[2] / "examples" / "circuits" / "square_2khz.bin"
TOKEN = new_token()
#: What a farm had when the schema was V1: a worker whose board somebody has, and one whose board is free and was used.
LIFE = """
INSERT INTO worker (name, host, version, kinds) VALUES ('w1', 'shelf', '0.9', '{pulsecount}');
INSERT INTO device (serial, worker, reported, reason, evaluations) VALUES ('A', 'w1', 'available', NULL, 7);
INSERT INTO device (serial, worker, reported, reason) VALUES ('B', 'w1', 'broken', 'silent');
INSERT INTO reservation (id, serial, worker, client, kind, options, expires_at)
     VALUES ('r1', 'A', 'w1', 'ada', 'pulsecount', '{"window": 1.0}', now() + interval '1 hour');
INSERT INTO reservation (serial, worker, client, kind, expires_at, ended_at, end_reason)
     VALUES ('B', 'w1', 'bob', 'pulsecount', now() + interval '1 hour', now(), 'ended by the client');
"""
TOKEN_UNTIL_V7 = "INSERT INTO token (name, role, hash) VALUES ('ada', 'client', %(hash)s)"
TOKEN_SINCE_V8 = "INSERT INTO token (name, role, hash, account) VALUES ('ada', 'client', %(hash)s, 'ada')"
VERSIONS = [step.version for step in steps()]


async def _live(database: Database, version: int) -> None:
    """Make the schema of that version, and live in it."""
    await migrate(database, [step for step in steps() if step.version <= version])
    life = LIFE + (TOKEN_UNTIL_V7 if version < 8 else TOKEN_SINCE_V8)
    await database.transaction(lambda transaction: transaction.rows(life, {"hash": token_hash(TOKEN)}))


@pytest.mark.parametrize("version", VERSIONS[:-1])
@ensureDeferred
async def test_what_an_older_farm_had_is_there_after_the_upgrade(postgres: str, version: int) -> None:
    database = Database(reactor, postgres)
    await database.start()
    try:
        await _live(database, version)
        assert await migrate(database) == [each for each in VERSIONS if each > version]
        store = PostgresStore(database)
        found = {record.serial: record for record in await store.devices()}
        assert {serial: record.client for serial, record in found.items()} == {"A": "ada", "B": None}
        assert (found["A"].evaluations, found["B"].reason) == (7, "silent")
        (active,) = await store.active()
        assert (active.id, active.client, active.options) == ("r1", "ada", {"window": 1.0})
        token = await store.token_by_hash(token_hash(TOKEN))
        assert token is not None
        assert token.name == "ada"
        assert [worker.name for worker in await store.workers()] == ["w1"]
        # It can be lived in: what was reserved is given back, and can be had again.
        assert [record.serial for record in await store.end(client="ada", serials=None, reason="done")] == ["A"]
        assert await store.active() == []
    finally:
        await database.stop()


async def _live_in(path: Path) -> None:
    directory = DataDirectory(path)
    directory.create()
    server = PrivatePostgres(reactor, directory.postgres, directory.log("postgres"))
    await server.start()
    database = Database(reactor, server.dsn)
    try:
        await database.start()
        await _live(database, VERSIONS[0])
    finally:
        await database.stop()
        await server.stop()


@pytest.fixture
def old_data_directory(short_directory: Path) -> Path:
    """The data directory of a farm that ran with the first schema."""
    path = short_directory / f"old-{uuid4().hex[:8]}"
    blockon(Deferred.fromCoroutine(_live_in(path)))
    return path


def test_icefarm_up_goes_on_with_the_data_directory_of_the_first_schema(old_data_directory: Path) -> None:
    arguments = ("--listen", "127.0.0.1:0", "--boards", "1", "--speed", "instant", "--name", "w2")
    with FarmProcess(old_data_directory, arguments) as farm:
        farm.wait_until_ready()
        with Farm(farm.url, "ada", token=TOKEN) as client:
            # Her reservation is hers still; its board is away with its worker.
            assert [record.client for record in client.reservations()] == ["ada"]
            assert {record.serial: record.worker for record in client.devices()}.items() >= {("A", "w1"), ("B", "w1")}
            with client.reserve(1) as boards:
                (result,) = boards.evaluate([CIRCUIT])
            assert result.value == 2000
