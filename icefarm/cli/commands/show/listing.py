"""The verbs ``devices``, ``workers``, ``reservations``, ``queue`` and ``audit``, which list what the farm has."""

from __future__ import annotations

from operator import itemgetter

import click

from icefarm.cli.choosing import chosen_by, where_option
from icefarm.cli.completing import complete_accounts, complete_workers
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.names import for_worker
from icefarm.cli.reading import Reader
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import SPAN
from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.formatting import moment
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.contract import DeviceRecord, DeviceStatus, WorkerRecord, from_wire
from icefarm.selectors.language import Selector

__all__ = ["audit", "devices", "queue", "reservations", "workers"]


@click.command()
@click.option(
    "--status", type=click.Choice([str(status) for status in DeviceStatus]), help="Only boards in this state."
)
@where_option("Only the boards that this selects.")
@output_option
@with_access()
def devices(access: SignIn, output: Output, status: str | None, where: Selector | None) -> None:
    """List the boards, with their state and its reason."""
    with opened_screen() as screen:
        found = Reader(access).snapshot()
        records = [each for each in found["devices"] if status in (None, each["status"])]
        if where is not None:
            boards = [from_wire(each, DeviceRecord, "a board") for each in records]
            workers = [from_wire(each, WorkerRecord, "a worker") for each in found["workers"]]
            chosen = {board.serial for board in chosen_by(where, boards, workers)}
            records = [each for each in records if each["serial"] in chosen]
        show(screen, records, columns.devices(found["time"]), output)


@click.group(invoke_without_command=True)
@output_option
@with_access()
@click.pass_context
def workers(context: click.Context, access: SignIn, output: Output) -> None:
    """List the workers, which are the hosts that boards are plugged into."""
    if context.invoked_subcommand is not None:
        return
    with opened_screen() as screen:
        found = Reader(access).snapshot()
        show(screen, found["workers"], columns.workers(found["time"]), output)


@workers.command("delete")
@click.argument("worker", metavar="NAME", shell_complete=complete_workers)
@output_option
@with_access()
def delete_(access: SignIn, worker: str, output: Output) -> None:
    """Forget a worker that is offline, and its boards (operators); prints the boards.

    Their past reservations stay. A worker that connects again is listed again.
    """
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        serials = for_worker(farm, worker, farm.delete_worker)
        show(screen, [{"serial": serial} for serial in serials], columns.SERIALS, output)
        screen.say(f"forgot worker {worker}")


@click.command()
@output_option
@with_access()
def reservations(access: SignIn, output: Output) -> None:
    """List the active reservations of all clients."""
    with opened_screen() as screen:
        found = Reader(access).snapshot()
        records = [each for each in found["reservations"] if each["ended_at"] is None]
        show(screen, records, columns.reservations(found["time"]), output)


@click.command()
@output_option
@with_access()
def queue(access: SignIn, output: Output) -> None:
    """List the requests that wait for boards, the next one first, and why each of them waits."""
    with opened_screen() as screen:
        found = Reader(access).snapshot()
        records = sorted(found["queue"], key=itemgetter("place"))
        show(screen, records, columns.queue(found["time"]), output)


@click.command()
@click.option("--last", type=SPAN, default="1d", show_default=True, help="How far to look back, such as 30m or 7d.")
@click.option("--account", help="Only actions of this account.", shell_complete=complete_accounts)
@click.option("--action", help="Only this action, such as sign_in, reserve or token_revoke.")
@click.option(
    "--limit", type=click.IntRange(1, 5000), default=300, show_default=True, help="The largest number of entries."
)
@output_option
@with_access()
def audit(access: SignIn, last: float, account: str | None, action: str | None, limit: int, output: Output) -> None:
    """List who signed in, was refused, reserved, ended, rebooted, drained, deleted, or changed tokens (operators)."""
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        found = farm.audit(last, account=account, action=action, limit=limit)
        records = [{**entry, "time": moment(entry["time"])} for entry in found]
        show(screen, records, columns.AUDIT, output)
