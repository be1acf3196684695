"""The verbs ``migrate`` and ``db``: a farm's database, whether the farm runs or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from icefarm.cli.commands.admin.farm import data_dir_option
from icefarm.cli.connect import user_here
from icefarm.cli.verb import opened_screen
from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import DataDirectory
from icefarm.system.extras import require_control_packages

__all__ = ["audit_entry", "data_dir_option", "database_option", "db", "migrate", "with_database", "with_schema"]

T = TypeVar("T")

database_option = click.option(
    "--database", metavar="DSN", envvar="ICEFARM_DATABASE", help="Work on this PostgreSQL, not on the farm's own."
)


def with_database(data_dir: Path, dsn: str | None, work: Callable[[Any], Awaitable[T]], *, begins: bool = False) -> T:
    """Run ``work`` with the farm's database, in a reactor of its own, and return its result.

    With ``begins``, for what is done before a farm's first start, a new one is made if there is none, and that is said.
    """
    require_control_packages("the farm's database")
    from twisted.internet import reactor as module

    from icefarm.farm.database import farm_database

    directory = DataDirectory(data_dir)
    if begins and dsn is None and not directory.has_database and not directory.holds_farm:
        click.echo(f"icefarm: there is no farm in {data_dir} yet: this begins a new one", err=True)
    reactor: Any = module
    outcome: list[Any] = []

    async def run() -> T:
        async with farm_database(reactor, directory, dsn, begins=begins) as database:
            return await work(database)

    def begin() -> None:
        ensureDeferred(run()).addBoth(outcome.append).addBoth(lambda _: reactor.stop())

    reactor.callWhenRunning(begin)
    reactor.run()
    if not outcome:
        raise CannotStart("interrupted")
    (result,) = outcome
    if isinstance(result, Failure):
        result.raiseException()
    answer: T = result
    return answer


@click.command()
@data_dir_option
@database_option
def migrate(data_dir: Path, database: str | None) -> None:
    """Bring the schema of the farm's database up to date.

    Control also does so whenever it starts; use this to do it at a time of your choice.
    """
    require_control_packages("the farm's database")
    from icefarm.control.storage.migrations import SchemaMismatch
    from icefarm.control.storage.migrations import migrate as apply

    try:
        applied = with_database(data_dir, database, apply, begins=True)
    except SchemaMismatch as error:
        raise CannotStart(str(error)) from None
    for version in applied:
        click.echo(f"applied version {version}")
    if not applied:
        click.echo("nothing to do")


@click.group()
def db() -> None:
    """Work with the farm's database as a whole."""


@db.command("reset")
@data_dir_option
@database_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset_(data_dir: Path, database: str | None, yes: bool) -> None:
    """Empty the farm's database: delete boards, reservations, history and tokens.

    The farm must not run.
    """
    require_control_packages("the farm's database")
    from icefarm.control.storage.pool import describe_dsn
    from icefarm.control.storage.reset import reset

    where = f"the database of {data_dir}" if database is None else describe_dsn(database)
    if not yes:
        click.confirm(f"Forget all boards, reservations, history and tokens in {where}?", abort=True, err=True)
    applied = with_database(data_dir, database, reset)
    click.echo(f"recreated, up to version {max(applied)}")


@db.command()
@data_dir_option
@database_option
def size(data_dir: Path, database: str | None) -> None:
    """Show the size of the farm's database, and of the archive of measurements in it, day by day."""
    require_control_packages("the farm's database")
    from icefarm.control.archive.sizes import size_lines, sizes

    found = with_database(data_dir, database, sizes)
    with opened_screen() as screen:
        for line in size_lines(found):
            screen.write(line + "\n")


async def with_schema(database: Any) -> Any:
    """Return the store of a database that may be new."""
    from icefarm.control.storage.migrations import migrate as apply
    from icefarm.control.storage.postgres.store import PostgresStore

    await apply(database)
    return PostgresStore(database)


async def audit_entry(store: Any, action: str, token: str, detail: str | None) -> Any:
    """Return an entry of the audit log about a change that was made on the farm's host."""
    from icefarm.control.storage.interface import AuditEntry

    here = user_here()
    return AuditEntry(await store.now(), here, here, "command line", None, None, action, token, "done", detail)
