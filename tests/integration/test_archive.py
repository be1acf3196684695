"""The archive in a real PostgreSQL."""

from __future__ import annotations

import pytest
from archive_rules import RULES, World
from pytest_twisted import ensureDeferred

from icefarm.control.archive.postgres import PostgresArchive
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", RULES)
@ensureDeferred
async def test_the_archive_in_postgresql(database: Database, name: str) -> None:
    archive = PostgresArchive(database)
    try:
        world = World(archive, PostgresStore(database))
        await RULES[name](await world.begin())
    finally:
        archive.stop()
