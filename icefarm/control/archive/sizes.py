"""How much the database of a farm takes, for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.pool import Database
from icefarm.text.counts import counted

__all__ = ["size_lines", "sizes"]

#: What is measured, and its bytes; the whole database first.
Sizes = Sequence[tuple[str, int]]

_SIZES = """
    SELECT 'database', pg_database_size(current_database())
    UNION ALL
    (SELECT to_char(to_date(substr(c.relname, 13), 'YYYYMMDD'), 'YYYY-MM-DD'), pg_total_relation_size(c.oid)
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = to_regclass('measurement') AND c.relname ~ '^measurement_[0-9]{8}$' ORDER BY c.relname)
"""


async def sizes(database: Database) -> list[tuple[str, int]]:
    """Return the size of the whole database, and of each day of the archive."""

    async def work(transaction: Transaction) -> list[tuple[str, int]]:
        return [(str(what), int(size)) for what, size in await transaction.rows(_SIZES)]

    return await database.transaction(work)


def size_lines(found: Sizes) -> Iterator[str]:
    """Say it in lines."""
    days = [(what, size) for what, size in found if what != "database"]
    for what, size in found:
        if what == "database":
            yield f"database      {_megabytes(size)}"
    yield f"archive       {_megabytes(sum(size for _, size in days))}, {counted(len(days), 'day')}"
    for day, size in days:
        yield f"  {day}  {_megabytes(size)}"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:10,.1f} MB"
