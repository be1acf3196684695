"""A database that is reset has the farm's tables, and nothing in them."""

from __future__ import annotations

from typing import Any

import pytest
from click.testing import CliRunner
from pytest_twisted import ensureDeferred
from twisted.internet import reactor

from icefarm.cli import main
from icefarm.contract import Role
from icefarm.control.storage.migrations import migrate, steps
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.control.storage.reset import made_by, reset
from icefarm.errors import Busy

pytestmark = pytest.mark.integration


async def _opened(dsn: str) -> Database:
    database = Database(reactor, dsn, size=1)
    await database.start()
    return database


async def _names(database: Database) -> list[Any]:
    async def ask(transaction: Any) -> Any:
        return await transaction.rows(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace ORDER BY 1"
        )

    names: list[Any] = await database.transaction(ask)
    return names


@ensureDeferred
async def test_a_reset_empties_the_farms_tables_and_leaves_others_alone(postgres: str) -> None:
    database = await _opened(postgres)
    try:
        await migrate(database)
        await PostgresStore(database).add_token("shelf", Role.WORKER, "0" * 64)
        await database.transaction(lambda transaction: transaction.rows("CREATE TABLE somebody_elses (x integer)"))
        before = await _names(database)
        assert await reset(database) == [step.version for step in steps()]
        assert await PostgresStore(database).list_tokens() == []
        assert await _names(database) == before
        assert ("somebody_elses",) in [tuple(row) for row in before]
    finally:
        await database.stop()


@ensureDeferred
async def test_an_empty_database_can_be_reset(postgres: str) -> None:
    database = await _opened(postgres)
    try:
        assert await reset(database) == [step.version for step in steps()]
    finally:
        await database.stop()


@ensureDeferred
async def test_a_database_in_use_is_not_reset(postgres: str) -> None:
    database, other = await _opened(postgres), await _opened(postgres)
    try:
        await migrate(database)
        with pytest.raises(Busy, match="1 other connections"):
            await reset(database)
        assert ("token",) in [tuple(row) for row in await _names(database)]
    finally:
        await database.stop()
        await other.stop()


def test_views_are_dropped_before_tables() -> None:
    kinds = [kind for kind, _ in made_by(steps())]
    assert kinds == sorted(kinds, key=("VIEW", "TABLE", "FUNCTION").index)
    assert ("TABLE", "schema_version") in made_by(steps())


def test_nothing_is_done_without_a_yes(tmp_path: Any) -> None:
    result = CliRunner().invoke(main, ["db", "reset", "--data-dir", str(tmp_path / "none")], input="n\n")
    assert result.exit_code == 1
    assert not (tmp_path / "none").exists()
