"""The verb ``access``: which accounts may have which boards, for how long, and as what."""

from __future__ import annotations

from typing import Any

import click

from icefarm.cli.choosing import where_option
from icefarm.cli.completing import complete_accounts, complete_kinds
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.ui.exit_codes import Exit
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import ACCOUNT, NAME, SPAN
from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.selectors.language import Selector

__all__ = ["access"]


@click.group(invoke_without_command=True)
@click.option(
    "--account", type=ACCOUNT, shell_complete=complete_accounts, help="Show the rules of this account (operators)."
)
@output_option
@with_access()
@click.pass_context
def access(context: click.Context, access: SignIn, account: str | None, output: Output) -> None:
    """Show which boards your account may have, for how long, and as what; operators make the rules.

    The rules for an account and for its group apply to it, or else those for everybody; without any, it may have all
    boards. An account may have what one of its rules allows.
    """
    if context.invoked_subcommand is not None:
        return
    with opened_screen() as screen, farm_of(access if account is None else access.as_operator) as farm:
        found = farm.access(account)
        show(screen, [columns.as_record(rule) for rule in found.rules], columns.ACCESS_RULES, output)
        if not found.rules:
            screen.say(f"account {found.account} may have all boards")
        if found.group is not None:
            screen.say(f"account {found.account} is in group {found.group}")


@access.command("list")
@click.option("--groups", is_flag=True, help="List the groups and their accounts instead.")
@output_option
@with_access()
def list_(access: SignIn, groups: bool, output: Output) -> None:
    """List all rules (operators)."""
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        found = farm.access_list()
        if groups:
            rows = [{"group": name, "accounts": accounts} for name, accounts in found["groups"].items()]
            show(screen, rows, columns.ACCOUNT_GROUPS, output)
        else:
            show(screen, [columns.as_record(rule) for rule in found["rules"]], columns.ACCESS_RULES, output)


@access.command()
@click.option("--account", type=ACCOUNT, shell_complete=complete_accounts, help="For this account.")
@click.option("--group", type=NAME, help="For the accounts of this group.")
@click.option("--everybody", is_flag=True, help="For all accounts that have no rules of their own.")
@where_option("Allow the boards that this selects; without it, all boards.")
@click.option("--for", "seconds", type=SPAN, help="How long a reservation may last with all of its extensions.")
@click.option(
    "--kinds", metavar="KIND,...", shell_complete=complete_kinds, help="The device kinds to allow.  [default: all]"
)
@output_option
@with_access()
def add(
    access: SignIn,
    account: str | None,
    group: str | None,
    everybody: bool,
    where: Selector | None,
    seconds: float | None,
    kinds: str | None,
    output: Output,
) -> None:
    """Add a rule, and print it with its id (operators).

    It holds at once for new requests, waiting requests, and extensions.
    """
    if sum((account is not None, group is not None, everybody)) != 1:
        raise click.UsageError("a rule for whom? Give --account, --group or --everybody")
    rule: dict[str, Any] = {
        "account": account,
        "group": group,
        "where": None if where is None else str(where),
        "seconds": seconds,
        "kinds": None if kinds is None else [kind for kind in kinds.split(",") if kind],
    }
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        show(screen, [columns.as_record(farm.access_add(**rule))], columns.ACCESS_RULES, output)


@access.command()
@click.argument("ids", nargs=-1, required=True, type=click.IntRange(0), metavar="IDS...")
@output_option
@with_access()
def remove(access: SignIn, ids: tuple[int, ...], output: Output) -> None:
    """Remove rules by their ids, and print the removed ids (operators).

    Exits with 1 if one of them does not exist; the others are still removed.
    """
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        removed = farm.access_remove(ids)
        missing = sorted(set(ids) - set(removed))
        show(screen, [{"id": id} for id in removed], columns.REQUESTS, output)
        if missing:
            screen.say(f"there is no rule {', '.join(map(str, missing))}")
            click.get_current_context().exit(Exit.FAILED)


@access.command()
@click.argument("group_name", type=NAME, metavar="NAME")
@click.option("--add", type=ACCOUNT, multiple=True, shell_complete=complete_accounts, help="May be repeated.")
@click.option("--remove", type=ACCOUNT, multiple=True, shell_complete=complete_accounts, help="May be repeated.")
@output_option
@with_access()
def group(access: SignIn, group_name: str, add: tuple[str, ...], remove: tuple[str, ...], output: Output) -> None:
    """Put accounts into the group called NAME, take others out, and print its accounts (operators).

    An account is in one group at most.
    """
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        accounts = farm.access_group(group_name, add=add, remove=remove)
        show(screen, [{"group": group_name, "accounts": accounts}], columns.ACCOUNT_GROUPS, output)
