"""Examines a farm's PostgreSQL: its version, the schema in it, and what its user may do there."""

from __future__ import annotations

from attrs import frozen

__all__ = ["DatabaseAway", "DatabaseFacts", "look_at"]

#: Seconds for the connection, and for a query.
CONNECT_LIMIT = 5
QUERY_LIMIT_MS = 5000


class DatabaseAway(Exception):
    """The database can't be examined; the text is the error of PostgreSQL or its library."""


@frozen
class DatabaseFacts:
    """The facts about a database."""

    #: Major version of the server.
    version: int
    user: str
    #: Where tables are created; None if the search path names no existing schema.
    schema: str | None
    may_create: bool
    #: Applied steps of the schema: number and checksum; None if there is no table of them.
    steps: tuple[tuple[int, str], ...] | None
    #: Tables of the schema that the user may not read and write.
    closed_tables: tuple[str, ...]


def look_at(dsn: str) -> DatabaseFacts:
    """Connect and look, changing nothing.  Raises `DatabaseAway`."""
    try:
        import psycopg2
    except ImportError:
        raise DatabaseAway("this installation has no PostgreSQL client: pip install 'icefarm[control]'") from None
    try:
        connection = psycopg2.connect(dsn, connect_timeout=CONNECT_LIMIT)
        try:
            connection.set_session(readonly=True)
            with connection.cursor() as cursor:
                return _facts(connection, cursor)
        finally:
            connection.close()
    except psycopg2.Error as error:
        raise DatabaseAway(" ".join(str(error).split()) or type(error).__name__) from None


def _facts(connection: object, cursor: object) -> DatabaseFacts:
    def row(statement: str) -> tuple[object, ...]:
        cursor.execute(statement)  # type: ignore[attr-defined]
        return tuple(cursor.fetchone())  # type: ignore[attr-defined]

    def rows(statement: str) -> list[tuple[object, ...]]:
        cursor.execute(statement)  # type: ignore[attr-defined]
        return list(cursor.fetchall())  # type: ignore[attr-defined]

    row(f"SELECT set_config('statement_timeout', '{QUERY_LIMIT_MS}', false)")
    user, schema, may_create = row(
        "SELECT current_user, current_schema(), coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)"
    )
    closed = rows(
        "SELECT c.relname FROM pg_class c WHERE c.relkind IN ('r', 'p')"
        " AND c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
        " AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT')"
        " AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) ORDER BY 1"
    )
    closed_tables = tuple(str(name) for (name,) in closed)
    (has_steps,) = row("SELECT to_regclass('schema_version') IS NOT NULL")
    steps = None
    if has_steps and "schema_version" not in closed_tables:
        found = rows("SELECT version, checksum FROM schema_version ORDER BY version")
        steps = tuple((int(str(version)), str(checksum)) for version, checksum in found)
    return DatabaseFacts(
        version=connection.server_version // 10000,  # type: ignore[attr-defined]
        user=str(user),
        schema=None if schema is None else str(schema),
        may_create=bool(may_create),
        steps=steps,
        closed_tables=closed_tables,
    )
