"""The verbs ``book``, ``bookings`` and ``cancel``: boards that are kept for an account, for a time to come."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from zoneinfo import ZoneInfo

import click

from icefarm.cli.choosing import where_option
from icefarm.cli.completing import complete_accounts, complete_bookings, complete_kinds, complete_serials
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.names import for_boards
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import ACCOUNT, BOARDS, SPAN
from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.ui.zone import zone_option
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.contract import BookingRecord, to_wire
from icefarm.errors import IcefarmError
from icefarm.selectors.language import Selector
from icefarm.text.local_time import in_zone, parse_time, written

__all__ = ["book", "bookings", "cancel"]


@contextmanager
def _errors_in(zone: ZoneInfo) -> Iterator[None]:
    """Write the times in errors of the farm, which are in UTC, in the user's zone."""
    try:
        yield
    except IcefarmError as error:
        error.message = in_zone(error.message, zone)
        error.args = (error.message,)
        raise


@click.command()
@click.argument("amount", type=BOARDS, required=False, metavar="[AMOUNT]")
@click.option(
    "--board", "boards", multiple=True, metavar="SERIAL", shell_complete=complete_serials, help="This board; repeat it."
)
@click.option("--at", "at", required=True, metavar="TIME", help="When it begins, such as '2026-12-01 10:00'.")
@click.option("--for", "seconds", type=SPAN, required=True, help="How long, such as 2h or 90m.")
@click.option(
    "--account",
    type=ACCOUNT,
    shell_complete=complete_accounts,
    help="Book for this account, or group of accounts (operators).  [default: your own]",
)
@click.option("--kind", shell_complete=complete_kinds, help="Book boards that can run this kind.  [default: any]")
@where_option("Boards that this selects; by default any.")
@zone_option
@output_option
@with_access(named=True)
def book(
    access: SignIn,
    amount: int | None,
    boards: tuple[str, ...],
    at: str,
    seconds: float,
    account: str | None,
    kind: str | None,
    where: Selector | None,
    zone: ZoneInfo,
    output: Output,
) -> None:
    """Keep AMOUNT boards, or those of --board, for an account, for a later time.

    During that time, requests of the account get them before all others. When it begins, others' reservations end if
    the booking needs their boards. Boards that nobody takes for ten minutes are released.
    """
    if (amount is None) == (not boards):
        raise click.UsageError("say how many boards, or name them with --board")
    try:
        starts_at = parse_time(at, zone)
    except IcefarmError as error:
        raise click.BadParameter(str(error), param_hint="'--at'") from None
    chosen = access if account is None else access.as_operator
    with opened_screen() as screen, farm_of(chosen) as farm, _errors_in(zone):

        def make(names: Sequence[str]) -> BookingRecord:
            return farm.book(
                amount,
                at=starts_at,
                seconds=seconds,
                serials=names or None,
                account=account,
                kind=kind,
                where=None if where is None else str(where),
            )

        made = for_boards(farm, boards, make)
        show(screen, [to_wire(made)], columns.bookings(zone), output)
        boards_are = "1 board is" if made.amount == 1 else f"{made.amount} boards are"
        screen.say(f"{boards_are} kept for {made.account} from {written(made.starts_at, zone)} on")


@click.command()
@click.option("--account", shell_complete=complete_accounts, help="Only bookings of this account or group.")
@click.option("--all", "past", is_flag=True, help="Include bookings of the last week that are over or cancelled.")
@zone_option
@output_option
@with_access()
def bookings(access: SignIn, account: str | None, past: bool, zone: ZoneInfo, output: Output) -> None:
    """List the bookings: by whom, for whom, from when until when."""
    with opened_screen() as screen:
        found = Reader(access).bookings(time.time() - 7 * 86400 if past else None)
        chosen = [each for each in found if account in (None, each["account"])]
        show(screen, chosen, columns.bookings(zone), output)


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="IDS...", shell_complete=complete_bookings)
@click.option("--any-account", is_flag=True, help="Cancel bookings of any account (operators).")
@output_option
@with_access(named=True)
def cancel(access: SignIn, ids: tuple[str, ...], any_account: bool, output: Output) -> None:
    """Cancel bookings of your account; IDS may be the beginnings of some ("icefarm bookings" lists them).

    Reservations under the booking go on.
    """
    with opened_screen() as screen, farm_of(access.as_operator if any_account else access) as farm:
        known = [each.id for each in farm.bookings()]
        done = farm.cancel_bookings(_whole_ids(ids, known))
        show(screen, [{"id": id} for id in done], columns.REQUESTS, output)
        if not done:
            screen.say("there was nothing to cancel")


def _whole_ids(ids: Sequence[str], known: Sequence[str]) -> list[str]:
    """Return the whole ids for these beginnings; an unknown one stays as it is."""
    chosen = []
    for given in ids:
        found = [id for id in known if id.startswith(given)]
        if len(found) > 1 and given not in found:
            raise click.UsageError(f"{given} is the beginning of {len(found)} bookings: {', '.join(found)}")
        chosen.append(given if len(found) != 1 else found[0])
    return chosen
