"""The verb ``usage``: who used which boards, for how long, and for what."""

from __future__ import annotations

import time

import click

from icefarm.cli.connect import SignIn, own_farm, with_access
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import SPAN
from icefarm.cli.ui.records import archive_columns
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import opened_screen, show

__all__ = ["usage"]


@click.command()
@click.option(
    "--by",
    type=click.Choice(["account", "board", "experiment"]),
    multiple=True,
    default=("account",),
    show_default=True,
    help="A row for each of these; may be repeated.",
)
@click.option("--since", type=SPAN, default="7d", show_default=True, help="How far to look back, such as 12h or 30d.")
@click.option("--account", help="Only this account (operators).")
@click.option("--all", "all_", is_flag=True, help="All accounts, with an operator's token.")
@output_option
@with_access()
def usage(access: SignIn, output: Output, by: tuple[str, ...], since: float, account: str | None, all_: bool) -> None:
    """List who used which boards, for how long and for what, the longest time first.

    Operators, and users who can read the farm's data directory on this host, see all accounts; others see their own.
    The time is that of reservations; by experiment, it runs from the first result of each day to the last, on each
    board.  Evaluations are counted by whole days (UTC).
    """
    names = list(dict.fromkeys(by))
    with opened_screen() as screen:
        # The operator's token of a farm on this host can be read here.
        sees_all = all_ or own_farm(access, access.where) is not None
        reader = Reader(access.as_operator if sees_all else access)
        found = reader.usage(",".join(names), time.time() - since, account)
        show(screen, found, archive_columns.usage(names), output)
        if not found and not sees_all:
            screen.say("nothing was used under your account in that time; operators see all accounts (--all)")
