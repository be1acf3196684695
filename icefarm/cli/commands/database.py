"""The verbs ``migrate``, ``db`` and ``token``, which work on a farm's database whether the farm runs or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from icefarm.cli.commands.farm import data_dir_option
from icefarm.cli.ui.columns import TOKENS
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import NAME
from icefarm.cli.verb import opened_screen, show
from icefarm.contract import Role
from icefarm.extras import require_control_packages
from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import DataDirectory

__all__ = ["db", "migrate", "token"]

T = TypeVar("T")

_database_option = click.option(
    "--database", metavar="DSN", envvar="ICEFARM_DATABASE", help="Work on this PostgreSQL, not on the farm's own."
)


def _with_database(data_dir: Path, dsn: str | None, work: Callable[[Any], Awaitable[T]]) -> T:
    """Run ``work`` with the farm's database, in a reactor of its own, and return its result."""
    require_control_packages("the farm's database")
    from twisted.internet import reactor as module

    from icefarm.farm.database import farm_database

    reactor: Any = module
    outcome: list[Any] = []

    async def run() -> T:
        async with farm_database(reactor, DataDirectory(data_dir), dsn) as database:
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
@_database_option
def migrate(data_dir: Path, database: str | None) -> None:
    """Bring the schema of the farm's database up to date.

    Control also does so whenever it starts; use this to do it at a time of your choice.
    """
    require_control_packages("the farm's database")
    from icefarm.control.storage.migrations import SchemaMismatch
    from icefarm.control.storage.migrations import migrate as apply

    try:
        applied = _with_database(data_dir, database, apply)
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
@_database_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def reset_(data_dir: Path, database: str | None, yes: bool) -> None:
    """Empty the farm's database: it forgets boards, reservations, history and tokens.

    The farm must not run.
    """
    require_control_packages("the farm's database")
    from icefarm.control.storage.pool import describe_dsn
    from icefarm.control.storage.reset import reset

    where = f"the database of {data_dir}" if database is None else describe_dsn(database)
    if not yes:
        click.confirm(f"Forget all boards, reservations, history and tokens in {where}?", abort=True, err=True)
    applied = _with_database(data_dir, database, reset)
    click.echo(f"recreated, up to version {max(applied)}")


@click.group()
def token() -> None:
    """Work with the tokens with which clients, workers and operators sign in.

    The farm keeps only their hashes. Adding and revoking take effect at once.
    """


async def _with_schema(database: Any) -> Any:
    """Return the store of a database that may be new."""
    from icefarm.control.storage.migrations import migrate as apply
    from icefarm.control.storage.postgres.store import PostgresStore

    await apply(database)
    return PostgresStore(database)


@token.command()
@click.argument("name", type=NAME)
@click.option(
    "--role",
    type=click.Choice([role.value for role in (Role.CLIENT, Role.WORKER, Role.OPERATOR)]),
    required=True,
    help="The role that its holder may sign in with; an operator's token admits to all.",
)
@data_dir_option
@_database_option
def add(name: str, role: str, data_dir: Path, database: str | None) -> None:
    """Create a token called NAME and print it; it cannot be shown again."""
    from icefarm.control.sessions.tokens import new_token, token_hash

    made = new_token()

    async def work(opened: Any) -> None:
        await (await _with_schema(opened)).add_token(name, Role(role), token_hash(made))

    _with_database(data_dir, database, work)
    click.echo(made)


@token.command("list")
@output_option
@data_dir_option
@_database_option
def list_(output: str, data_dir: Path, database: str | None) -> None:
    """List the valid tokens: names and roles."""

    async def work(opened: Any) -> Any:
        return await (await _with_schema(opened)).list_tokens()

    rows = [
        {"name": found.name, "role": found.role.value, "created_at": _time(found.created_at)}
        for found in _with_database(data_dir, database, work)
    ]
    with opened_screen() as screen:
        show(screen, rows, TOKENS, output)


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@token.command()
@click.argument("name", type=NAME)
@data_dir_option
@_database_option
def revoke(name: str, data_dir: Path, database: str | None) -> None:
    """Revoke the token called NAME."""

    async def work(opened: Any) -> None:
        await (await _with_schema(opened)).revoke_token(name)

    _with_database(data_dir, database, work)
    click.echo(f"revoked {name}")
