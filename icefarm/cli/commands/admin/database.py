"""The verbs ``migrate``, ``db``, ``account`` and ``token``: a farm's database, whether the farm runs or not."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import click
from twisted.internet.defer import ensureDeferred
from twisted.python.failure import Failure

from icefarm.cli.commands.admin.farm import data_dir_option
from icefarm.cli.connect import SignIn, user_here, with_access
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import ACCOUNT, NAME, SPAN
from icefarm.cli.ui.records.columns import LIMITS_OF_ACCOUNT, SHARES, TOKENS
from icefarm.cli.ui.records.formatting import moment
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show
from icefarm.contract import Role
from icefarm.errors import InvalidArgument
from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import DataDirectory
from icefarm.system.extras import require_control_packages

__all__ = [
    "account",
    "audit_entry",
    "data_dir_option",
    "database_option",
    "db",
    "make_private",
    "migrate",
    "token",
    "with_database",
    "with_schema",
]

T = TypeVar("T")

database_option = click.option(
    "--database", metavar="DSN", envvar="ICEFARM_DATABASE", help="Work on this PostgreSQL, not on the farm's own."
)


def with_database(data_dir: Path, dsn: str | None, work: Callable[[Any], Awaitable[T]]) -> T:
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
@database_option
def migrate(data_dir: Path, database: str | None) -> None:
    """Bring the schema of the farm's database up to date.

    Control also does so whenever it starts; use this to do it at a time of your choice.
    """
    require_control_packages("the farm's database")
    from icefarm.control.storage.migrations import SchemaMismatch
    from icefarm.control.storage.migrations import migrate as apply

    try:
        applied = with_database(data_dir, database, apply)
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


@click.group()
def token() -> None:
    """Work with the tokens with which clients, workers and operators sign in.

    The farm keeps only their hashes. Changes take effect at once.
    """


async def with_schema(database: Any) -> Any:
    """Return the store of a database that may be new."""
    from icefarm.control.storage.migrations import migrate as apply
    from icefarm.control.storage.postgres.store import PostgresStore

    await apply(database)
    return PostgresStore(database)


_expires_option = click.option(
    "--expires", type=SPAN, show_default="never", help="How long the token is valid, such as 90d or 12h."
)


@token.command()
@click.argument("name", type=NAME)
@click.option(
    "--role",
    type=click.Choice([role.value for role in (Role.CLIENT, Role.WORKER, Role.OPERATOR)]),
    required=True,
    help="The role to sign in with; an operator's token is valid for all roles.",
)
@click.option(
    "--account", type=ACCOUNT, show_default="NAME", help="The account of the token; an account may have several."
)
@_expires_option
@data_dir_option
@database_option
def add(name: str, role: str, account: str | None, expires: float | None, data_dir: Path, database: str | None) -> None:
    """Create a token called NAME and print it; it cannot be shown again.

    Its holder signs in as the account, or under a name inside the account: ACCOUNT/NAME. A worker's token is for the
    worker of that name. If you redirect the output to a file, only its owner may read it.
    """
    from icefarm.control.sessions.sign_in.tokens import new_token, token_hash

    made, owner = new_token(), ACCOUNT.convert(account or name, None, None)

    async def work(opened: Any) -> None:
        store = await with_schema(opened)
        await store.add_token(name, Role(role), token_hash(made), account=owner, lasts=expires)
        await store.keep_audit([await audit_entry(store, "token_add", name, f"{role} of account {owner}")])

    with_database(data_dir, database, work)
    _print_secret(made)


@token.command()
@click.argument("name", type=NAME)
@click.option("--overlap", type=SPAN, default="7d", show_default=True, help="How long the old token stays valid.")
@_expires_option
@data_dir_option
@database_option
def rotate(name: str, overlap: float, expires: float | None, data_dir: Path, database: str | None) -> None:
    """Create another token called NAME, for the same account and role, and print it.

    Both are valid until the old one expires, so you can change scripts and workers one by one.
    """
    from icefarm.control.sessions.sign_in.tokens import new_token, token_hash

    made = new_token()

    async def work(opened: Any) -> None:
        store = await with_schema(opened)
        await store.rotate_token(name, token_hash(made), overlap=overlap, lasts=expires)
        await store.keep_audit([await audit_entry(store, "token_rotate", name, None)])

    with_database(data_dir, database, work)
    _print_secret(made)


def make_private() -> None:
    """If the output goes into a file, let only its owner read it."""
    with suppress(OSError, ValueError):
        descriptor = sys.stdout.fileno()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchmod(descriptor, 0o600)


def _print_secret(text: str) -> None:
    """Print a token; if it goes into a file, only its owner may read that."""
    make_private()
    click.echo(text)


async def audit_entry(store: Any, action: str, token: str, detail: str | None) -> Any:
    """Return an entry of the audit log about a change that was made on the farm's host."""
    from icefarm.control.storage.interface import AuditEntry

    here = user_here()
    return AuditEntry(await store.now(), here, here, "command line", None, None, action, token, "done", detail)


@token.command("list")
@output_option
@data_dir_option
@database_option
def list_(output: Output, data_dir: Path, database: str | None) -> None:
    """List the valid tokens: their accounts, expiry, and when and from where each was last used."""

    async def work(opened: Any) -> Any:
        return await (await with_schema(opened)).list_tokens()

    rows = [
        {
            "name": found.name,
            "account": found.account,
            "role": found.role.value,
            "created_at": _time(found.created_at),
            "expires_at": _time(found.expires_at),
            "last_used_at": _time(found.last_used_at),
            "last_used_from": found.last_used_from,
            "replaced": found.replaced,
        }
        for found in with_database(data_dir, database, work)
    ]
    with opened_screen() as screen:
        show(screen, rows, TOKENS, output)


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else moment(seconds)


@token.command()
@click.argument("name", type=NAME)
@data_dir_option
@database_option
def revoke(name: str, data_dir: Path, database: str | None) -> None:
    """Revoke the token called NAME, and one that it replaced.

    A farm that runs ends the sessions that signed in with it at once.
    """

    async def work(opened: Any) -> None:
        store = await with_schema(opened)
        await store.revoke_token(name)
        await store.keep_audit([await audit_entry(store, "token_revoke", name, None)])

    with_database(data_dir, database, work)
    click.echo(f"revoked {name}")


@click.group()
def account() -> None:
    """Work with accounts."""


def _changes(given: Sequence[str]) -> dict[str, float | None]:
    """Read NAME=N, and NAME=default.  Raises `InvalidArgument`."""
    from icefarm.control.sessions.limits import checked_limits, parse_limits

    changes: dict[str, float | None] = {}
    for text in given:
        name, _, value = text.partition("=")
        if value == "default":
            checked_limits({name: 1})
            changes[name] = None
        else:
            changes |= parse_limits(text)
    return changes


@account.command("usage")
@output_option
@with_access()
def usage_(access: SignIn, output: Output) -> None:
    """List what accounts have used of the boards lately, which decides who is served next.

    The unit is board-hours (bh), which count half after each half-life: control's option --half-life.  "icefarm usage"
    lists the use within a period.
    """
    with opened_screen() as screen:
        found = Reader(access).snapshot()
        if "shares" not in found:
            raise InvalidArgument("this farm is older, and does not say what accounts used lately")
        show(screen, found["shares"], SHARES, output)


@account.command()
@click.argument("name", type=ACCOUNT)
@click.argument("limits", nargs=-1, metavar="[LIMIT=N]...")
@data_dir_option
@database_option
@output_option
def limits(name: str, limits: tuple[str, ...], data_dir: Path, database: str | None, output: Output) -> None:
    """Show the limits of the account NAME, and set them: boards=4 queue=10; boards=default means the farm's limit.

    A running farm follows at once. The account keeps what it has already.
    """
    from icefarm.control.sessions.limits import LIMITS, limits_text

    changes = _changes(limits)

    async def work(opened: Any) -> dict[str, float]:
        store = await with_schema(opened)
        if changes:
            await store.set_account_limits(name, changes)
            await store.keep_audit([await audit_entry(store, "account_limits", name, limits_text(changes))])
        found: dict[str, float] = (await store.account_limits()).get(name, {})
        return found

    own = with_database(data_dir, database, work)
    rows = [{"limit": each, "value": own.get(each), "bounds": what} for each, what in LIMITS.items()]
    with opened_screen() as screen:
        show(screen, rows, LIMITS_OF_ACCOUNT, output)
