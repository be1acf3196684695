"""The verbs ``account`` and ``accounts``: limits and use of one, and many at once, from a list in CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
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
from icefarm.cli.commands.admin.tokens import make_private
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import ACCOUNT, SPAN
from icefarm.cli.ui.records.columns import LIMITS_OF_ACCOUNT, SHARES
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show
from icefarm.contract import Role
from icefarm.errors import InvalidArgument
from icefarm.system.files import write_whole
from icefarm.text.counts import counted

__all__ = ["account", "accounts"]


@click.group()
def accounts() -> None:
    """Create, list and remove many accounts at once."""


@accounts.command("import")
@click.argument("roster", metavar="FILE.csv", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--expires", type=SPAN, show_default="never", help="How long new tokens are valid, such as 120d.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the new tokens into this file, which only its owner may read; by default they are printed.",
)
@data_dir_option
@database_option
def import_(roster: Path, expires: float | None, out: Path | None, data_dir: Path, database: str | None) -> None:
    """Create the accounts that FILE.csv lists, all or none, and print their tokens: name,token.

    Its first line names the columns: name, and optionally group and any limit ("icefarm account limits" lists them).
    An existing account keeps its token, and gets the group and the limits of the list, so you may import a list
    again. An empty cell of a limit means the farm's limit.
    """
    from icefarm.control.sessions.roster import parse_roster
    from icefarm.control.sessions.sign_in.tokens import new_token, token_hash

    try:
        entries = parse_roster(_text_of(roster))
    except InvalidArgument as error:
        raise InvalidArgument(f"{roster}: {error.message}") from None
    if out is not None and out.exists():
        raise click.UsageError(f"{out} exists: tokens are never written over others; name another file")
    tokens = {entry.name: new_token() for entry in entries}
    hashes = {name: token_hash(token) for name, token in tokens.items()}

    async def import_all(opened: Any) -> list[str]:
        store = await with_schema(opened)
        made: list[str] = await store.import_accounts(entries, hashes, lasts=expires)
        detail = f"{counted(len(entries), 'account')}, {len(made)} of them new"
        await store.keep_audit([await audit_entry(store, "accounts_import", roster.name, detail)])
        return made

    try:
        made = with_database(data_dir, database, import_all, begins=True)
    except InvalidArgument as error:
        raise InvalidArgument(f"{roster}: {error.message}") from None
    _hand_out({name: tokens[name] for name in made}, out)
    there = len(entries) - len(made)
    new = f"{counted(len(made), 'account')} {'is' if len(made) == 1 else 'are'} new"
    click.echo(f"icefarm: {new}, {there} {'was' if there == 1 else 'were'} there", err=True)


def _text_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeError as error:
        raise InvalidArgument(f"it is not text in UTF-8: {error}") from None


def _hand_out(tokens: Mapping[str, str], out: Path | None) -> None:
    """Write new tokens, for their owner alone to read."""
    if not tokens:
        return
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["name", "token"])
    writer.writerows(tokens.items())
    if out is not None:
        write_whole(out, text.getvalue(), mode=0o600)
        return
    make_private()
    click.echo(text.getvalue(), nl=False)


_group_option = click.option("--group", type=ACCOUNT, help="Only accounts of this group.")


@accounts.command()
@_group_option
@data_dir_option
@database_option
def export(group: str | None, data_dir: Path, database: str | None) -> None:
    """Print the accounts that have a client's token, with groups and limits, as a list that import takes.

    It does not contain tokens: the farm keeps only their hashes.
    """
    from icefarm.control.sessions.roster import RosterEntry, written_roster

    async def read(opened: Any) -> list[RosterEntry]:
        store = await with_schema(opened)
        tokens, groups, limits = await store.list_tokens(), await store.account_groups(), await store.account_limits()
        names = sorted({token.account for token in tokens if token.role is Role.CLIENT} | groups.keys())
        return [
            RosterEntry(name, groups.get(name, ""), limits.get(name, {}))
            for name in names
            if group in (None, groups.get(name))
        ]

    found = with_database(data_dir, database, read)
    with opened_screen() as screen:
        screen.write(written_roster(found))


@accounts.command()
@click.argument("names", nargs=-1, metavar="[ACCOUNTS]...")
@click.option(
    "--from",
    "roster",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.csv",
    help="The accounts of this list.",
)
@_group_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@data_dir_option
@database_option
def remove(
    names: tuple[str, ...], roster: Path | None, group: str | None, yes: bool, data_dir: Path, database: str | None
) -> None:
    """Revoke the tokens of accounts, and delete their groups and limits, all or none.

    A running farm ends their sessions at once. Their measurements stay.
    """
    if sum((bool(names), roster is not None, group is not None)) != 1:
        raise click.UsageError("name accounts, or give --from FILE.csv or --group")
    listed = _listed(names, roster)
    if not yes:
        what = (
            f"the accounts of group {group}"
            if group is not None
            else f"{counted(len(listed), 'account')} ({_few(listed)})"
        )
        click.confirm(f"Remove {what}?", abort=True, err=True)

    stay: list[str] = []

    async def remove_all(opened: Any) -> dict[str, int]:
        store = await with_schema(opened)
        groups = await store.account_groups()
        chosen = listed if group is None else _of_group(group, groups)
        removed: dict[str, int] = await store.remove_accounts(chosen)
        empty = {groups[name] for name in chosen if name in groups} - set((await store.account_groups()).values())
        detail = _removed(removed)
        await store.keep_audit([await audit_entry(store, "accounts_remove", _few(chosen), detail)])
        stay.extend(each.id[:8] for each in await store.bookings() if each.account in {*chosen, *empty})
        return removed

    removed = with_database(data_dir, database, remove_all)
    click.echo(f"removed {_removed(removed)}")
    if stay:
        what = f"{counted(len(stay), 'booking')} of theirs {'stays' if len(stay) == 1 else 'stay'}"
        click.echo(f"icefarm: {what}; to cancel: icefarm cancel {' '.join(stay)} --any-account", err=True)


def _removed(tokens: Mapping[str, int]) -> str:
    return f"{counted(len(tokens), 'account')} with {counted(sum(tokens.values()), 'token')}"


def _of_group(group: str, groups: Mapping[str, str]) -> list[str]:
    found = sorted(name for name, each in groups.items() if each == group)
    if not found:
        raise InvalidArgument(f"there is no account of a group {group}")
    return found


def _listed(names: Sequence[str], roster: Path | None) -> list[str]:
    from icefarm.control.sessions.roster import parse_roster

    if roster is None:
        return list(dict.fromkeys(ACCOUNT.convert(name, None, None) for name in names))
    try:
        return [entry.name for entry in parse_roster(_text_of(roster))]
    except InvalidArgument as error:
        raise InvalidArgument(f"{roster}: {error.message}") from None


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"


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

    own = with_database(data_dir, database, work, begins=bool(changes))
    rows = [{"limit": each, "value": own.get(each), "bounds": what} for each, what in LIMITS.items()]
    with opened_screen() as screen:
        show(screen, rows, LIMITS_OF_ACCOUNT, output)
