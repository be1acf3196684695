"""The verb ``token``: with what clients, workers and operators sign in; on the farm's database."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import click

from icefarm.cli.commands.admin.database import (
    audit_entry,
    data_dir_option,
    database_option,
    with_database,
    with_schema,
)
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import ACCOUNT, NAME, SPAN
from icefarm.cli.ui.records.columns import TOKENS
from icefarm.cli.ui.records.formatting import moment
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show
from icefarm.contract import Role

__all__ = ["make_private", "token"]

_expires_option = partial(click.option, "--expires", type=SPAN, help="How long the token is valid, such as 90d or 12h.")


@click.group()
def token() -> None:
    """Work with the tokens with which clients, workers and operators sign in.

    The farm keeps only their hashes. Changes take effect at once.
    """


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
@_expires_option(show_default="never")
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

    with_database(data_dir, database, work, begins=True)
    _print_secret(made)


@token.command()
@click.argument("name", type=NAME)
@click.option("--overlap", type=SPAN, default="7d", show_default=True, help="How long the old token stays valid.")
@_expires_option(show_default="as long as the old one")
@data_dir_option
@database_option
def rotate(name: str, overlap: float, expires: float | None, data_dir: Path, database: str | None) -> None:
    """Create another token called NAME, for the same account and role, and print it.

    Both are valid until the old one expires, so you can change scripts and workers one by one. For a token that never
    expires in place of one that does, revoke that and add another.
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
