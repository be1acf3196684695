"""Empties a farm's database: drops everything that the steps of the schema created, and creates it again."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial

from icefarm.control.storage.migrations import Step, migrate, steps
from icefarm.control.storage.pool import Database, Transaction
from icefarm.errors import Busy

__all__ = ["made_by", "reset"]

#: What a step makes that has a name of its own; indexes and triggers go with their tables.
_MADE = re.compile(r"^CREATE (?:OR REPLACE )?(TABLE|VIEW|FUNCTION) (?:IF NOT EXISTS )?([a-z_]+)", re.MULTILINE)
#: Views before the tables that they show.
_ORDER = ("VIEW", "TABLE", "FUNCTION")


def made_by(known: Sequence[Step]) -> list[tuple[str, str]]:
    """Return what steps make, as (TABLE, name), in an order in which it can be dropped."""
    found = {made for step in known for made in _MADE.findall(step.sql)} | {("TABLE", "schema_version")}
    return sorted(found, key=lambda made: (_ORDER.index(made[0]), made[1]))


async def reset(database: Database) -> list[int]:
    """Drop the farm's tables with all their rows, recreate them, and return the numbers of the steps.

    What else is in the database stays, unless it depends on a table of the farm's.  Raises `Busy` while anybody else is
    connected to it, and as `icefarm.control.storage.migrations.migrate` does.
    """
    await database.transaction(partial(_drop, made_by(steps())))
    return await migrate(database)


async def _drop(made: Sequence[tuple[str, str]], transaction: Transaction) -> None:
    ((others,),) = await transaction.rows(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    if others:
        raise Busy(f"the database has {others} other connections; stop the farm and other users of it first")
    for kind, name in made:
        await transaction.rows(f"DROP {kind} IF EXISTS {name} CASCADE")
