"""Migrations against a real PostgreSQL: whole or not at all, once only, and clear words where they can't be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from psycopg2.extensions import make_dsn
from pytest_twisted import ensureDeferred
from twisted.internet import defer, reactor

from icefarm.control.storage.migrations import SchemaMismatch, Step, migrate, next_step, steps
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore

pytestmark = pytest.mark.integration

ONE = Step(1, "one", "CREATE TABLE one (n integer)")
TWO = Step(2, "two", "CREATE TABLE two (n integer); INSERT INTO one VALUES (2)")
TEN = Step(10, "ten", "INSERT INTO two VALUES (10)")
BROKEN = Step(3, "broken", "CREATE TABLE three (n integer); INSERT INTO nothing VALUES (1)")


async def rows(database: Database, statement: str) -> list[tuple[Any, ...]]:
    return await database.transaction(lambda transaction: transaction.rows(statement))


async def opened(dsn: str) -> Database:
    database = Database(reactor, dsn)
    await database.start()
    return database


@ensureDeferred
async def test_steps_are_applied_in_numeric_order_and_once(postgres: str) -> None:
    database = await opened(postgres)
    try:
        assert await migrate(database, [ONE, TWO]) == [1, 2]
        assert await migrate(database, [ONE, TWO, TEN]) == [10]
        assert await migrate(database, [ONE, TWO, TEN]) == []
        assert await rows(database, "SELECT version, name FROM schema_version ORDER BY version") == [
            (1, "one"),
            (2, "two"),
            (10, "ten"),
        ]
    finally:
        await database.stop()


@ensureDeferred
async def test_of_several_starters_at_once_one_applies_a_step(postgres: str) -> None:
    databases = [await opened(postgres) for _ in range(4)]
    try:
        starts = [defer.ensureDeferred(migrate(database)) for database in databases]
        applied = await defer.gatherResults(starts)
        assert sorted(version for versions in applied for version in versions) == [step.version for step in steps()]
        assert await rows(databases[0], "SELECT serial FROM device") == []
    finally:
        for database in databases:
            await database.stop()


@ensureDeferred
async def test_a_step_that_fails_leaves_nothing_of_itself_and_all_before_it(postgres: str) -> None:
    database = await opened(postgres)
    try:
        with pytest.raises(SchemaMismatch, match=r"V3__broken\.sql failed: relation .nothing. does not exist"):
            await migrate(database, [ONE, BROKEN])
        assert await rows(database, "SELECT to_regclass('one') IS NULL, to_regclass('three') IS NULL") == [
            (False, True)
        ]
        assert await rows(database, "SELECT version FROM schema_version") == [(1,)]
    finally:
        await database.stop()


@ensureDeferred
async def test_a_database_of_a_newer_icefarm_is_refused(postgres: str) -> None:
    database = await opened(postgres)
    try:
        await migrate(database, [ONE, TWO])
        with pytest.raises(SchemaMismatch, match=r"has version 2 .* goes up to 1\).* newer one"):
            await migrate(database, [ONE])
    finally:
        await database.stop()


@ensureDeferred
async def test_a_user_who_may_not_make_tables_is_told_so(postgres: str) -> None:
    owner = await opened(postgres)
    try:
        await rows(owner, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
        await rows(owner, "DO $$ BEGIN CREATE ROLE guest LOGIN; EXCEPTION WHEN duplicate_object THEN END $$")
        guest = await opened(make_dsn(postgres, user="guest"))
        try:
            with pytest.raises(SchemaMismatch, match=r"may not make the schema .* owner"):
                await migrate(guest)
        finally:
            await guest.stop()
    finally:
        await owner.stop()


def test_a_step_that_was_changed_after_its_release_is_refused() -> None:
    with pytest.raises(SchemaMismatch, match=r"V1__one\.sql is not what was applied"):
        next_step([Step(1, "one", "-- something else")], [(1, ONE.checksum)])


def test_a_step_that_comes_too_late_is_refused() -> None:
    applied = [(1, ONE.checksum), (10, TEN.checksum)]
    with pytest.raises(SchemaMismatch, match="comes before version 10"):
        next_step([ONE, TWO, TEN], applied)


def test_files_are_read_in_numeric_order_and_others_passed_over(tmp_path: Path) -> None:
    for name in ("V10__ten.sql", "V2__two.sql", "V1__one.sql", "README.md", "V3_wrong.sql", "V04__zero.sql"):
        (tmp_path / name).write_text(f"-- {name}")
    assert [step.version for step in steps(tmp_path)] == [1, 2, 10]


def test_an_installation_without_its_schema_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match="install icefarm again"):
        steps(tmp_path)


@ensureDeferred
async def test_tokens_from_before_accounts_get_an_account_of_their_own(postgres: str) -> None:
    database = await opened(postgres)
    try:
        await migrate(database, [step for step in steps() if step.version < 8])
        names = [("ada", "1" * 64), ("lab/ada", "2" * 64), ("lab-ada", "3" * 64)]
        for name, digest in names:
            await rows(database, f"INSERT INTO token (hash, name, role) VALUES ('{digest}', '{name}', 'client')")
        await migrate(database)
        found = {token.name: token.account for token in await PostgresStore(database).list_tokens()}
        assert found == {"ada": "ada", "lab/ada": "lab-ada-22222222", "lab-ada": "lab-ada"}
    finally:
        await database.stop()
