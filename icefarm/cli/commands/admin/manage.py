"""The verbs that change something: ``end``, ``extend``, ``reboot``, and those for operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from icefarm.cli.completing import complete_accounts, complete_serials, complete_workers
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.names import for_boards, for_worker
from icefarm.cli.ui.exit_codes import Exit
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import ACCOUNT, LENGTH
from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.formatting import duration
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.verb import farm_of, opened_screen, show

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["delete", "dismiss", "drain", "end", "extend", "reboot", "resume", "retest"]

_some = click.argument("serials", nargs=-1, metavar="[SERIALS]...", shell_complete=complete_serials)
_needed = click.argument("serials", nargs=-1, required=True, metavar="SERIALS...", shell_complete=complete_serials)
_workers = click.argument("workers", nargs=-1, required=True, metavar="WORKERS...", shell_complete=complete_workers)


def _with_name(access: SignIn) -> SignIn:
    """Reservations belong to a name; the one generated for this call has none."""
    if not access.named:
        raise click.UsageError("whose reservations? Name the client that holds them with --name")
    return access


def _change(access: SignIn, output: Output, change: Callable[[Farm], Sequence[str]], nothing: str) -> None:
    """Do something to boards and list those affected."""
    with opened_screen() as screen, farm_of(access) as farm:
        _list(screen, output, change(farm), nothing)


def _list(screen: Screen, output: Output, done: Sequence[str], nothing: str) -> None:
    """List boards, or say that there are none."""
    show(screen, [{"serial": serial} for serial in done], columns.SERIALS, output)
    if not done:
        screen.say(nothing)


@click.command()
@_some
@click.option("--any-client", is_flag=True, help="End reservations of any client (operators).")
@click.option(
    "--account",
    "accounts",
    multiple=True,
    type=ACCOUNT,
    shell_complete=complete_accounts,
    help="End all reservations and requests of this account or group (operators); may be repeated.",
)
@output_option
@with_access(named=True)
def end(access: SignIn, serials: tuple[str, ...], any_client: bool, accounts: tuple[str, ...], output: Output) -> None:
    """End reservations of a disconnected client, all of them if you name no boards.

    While that client is signed in, its name is in use, and only an operator can end its reservations (--any-client).
    """
    nothing = "there was nothing to end"
    if accounts:
        if serials or any_client:
            raise click.UsageError("--account ends all that an account has: name no boards beside it")
        _change(access.as_operator, output, lambda farm: farm.end_accounts(accounts), nothing)
    elif any_client:
        if not serials:
            raise click.UsageError("--any-client needs the serials of the boards")
        _change(access.as_operator, output, lambda farm: for_boards(farm, serials, farm.end_any), nothing)
    else:
        _change(
            _with_name(access),
            output,
            lambda farm: for_boards(farm, serials, lambda names: farm.end(names or None)),
            nothing,
        )


@click.command()
@_some
@click.option("--seconds", type=LENGTH, help="How long they last from now.  [default: as long as a new reservation]")
@output_option
@with_access(named=True)
def extend(access: SignIn, serials: tuple[str, ...], seconds: float | None, output: Output) -> None:
    """Extend reservations of a disconnected client, all of them if you name no boards; never shortens one.

    The farm still ends them if their client does not reconnect within its grace period.
    """
    with opened_screen() as screen, farm_of(_with_name(access)) as farm:
        done = for_boards(farm, serials, lambda names: farm.extend(names or None, seconds))
        _list(screen, output, done, "there was nothing to extend")
        if done:
            grace = farm.snapshot().farm.get("grace_s")
            within = f" within {duration(grace)}" if isinstance(grace, int | float) else ""
            screen.say(f"they still end unless {access.name!r} signs in again{within}")


@click.command()
@_needed
@click.option("--own", is_flag=True, help="Act as the client --name that has reserved them, not as operator.")
@output_option
@with_access(named=True)
def reboot(access: SignIn, serials: tuple[str, ...], own: bool, output: Output) -> None:
    """Restart and reflash boards; reservations and waiting evaluations stay (operators)."""
    chosen = _with_name(access) if own else access.as_operator
    _change(chosen, output, lambda farm: for_boards(farm, serials, farm.reboot), "there was nothing to reboot")


@click.command()
@_needed
@output_option
@with_access()
def delete(access: SignIn, serials: tuple[str, ...], output: Output) -> None:
    """Forget boards that are offline or broken (operators)."""
    _change(
        access.as_operator, output, lambda farm: for_boards(farm, serials, farm.delete), "there was nothing to delete"
    )


@click.command()
@_needed
@output_option
@with_access()
def retest(access: SignIn, serials: tuple[str, ...], output: Output) -> None:
    """Test broken boards again; boards that pass return to service (operators)."""
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        done = for_boards(farm, serials, farm.retest)
        _list(screen, output, done, "there was nothing to test")
        if done:
            boards = "1 board is" if len(done) == 1 else f"{len(done)} boards are"
            screen.say(f'{boards} being tested: those that pass become available; "icefarm devices" shows it')


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="IDS...")
@output_option
@with_access()
def dismiss(access: SignIn, ids: tuple[str, ...], output: Output) -> None:
    """Remove requests from the queue ("icefarm queue" lists them); their clients get an error (operators).

    Exits with 1 if one of them no longer waits; the others are still removed.
    """
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        done = farm.dismiss(ids)
        show(screen, [{"id": id} for id in done], columns.REQUESTS, output)
        missing = [id for id in dict.fromkeys(ids) if id not in done]
        if missing:
            screen.say(f"no request waits under {', '.join(missing)}")
            click.get_current_context().exit(Exit.FAILED)


def _set_draining(access: SignIn, output: Output, workers: Sequence[str], change: Callable[[Farm, str], Any]) -> None:
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        records: list[Any] = []
        try:
            for worker in dict.fromkeys(workers):
                records.append(for_worker(farm, worker, partial(change, farm)))
        finally:
            # If one is unknown, the results for those before it are still shown.
            if records:
                show(screen, records, columns.workers(max(record["last_seen"] for record in records)), output)
        for record in records:
            if record["draining"]:
                screen.say(_waits_for(farm, record["name"], leaving=record["leaving"]))


def _drain(farm: Farm, worker: str) -> Any:
    return farm.drain(worker, leave=False)


def _drain_and_leave(farm: Farm, worker: str) -> Any:
    return farm.drain(worker, leave=True)


def _resume(farm: Farm, worker: str) -> Any:
    return farm.resume(worker)


def _waits_for(farm: Farm, worker: str, *, leaving: bool) -> str:
    """Say which reservations must end before a drained worker can be stopped, or leaves."""
    found = farm.snapshot()
    held = [record for record in found.reservations if record.worker == worker and record.ended_at is None]
    if not held:
        return f"none of {worker}'s boards is reserved: it {'leaves' if leaving else 'can be stopped'}"
    counts = Counter(record.client for record in held)
    last = max(record.expires_at for record in held) - found.time
    clients = ", ".join(f"{client} ({count})" for client, count in sorted(counts.items()))
    return f"it waits for {clients}; the last reservation ends in {duration(max(0.0, last))} unless extended"


@click.command()
@_workers
@click.option("--leave", is_flag=True, help="The worker exits, with code 0, when none of its boards is reserved.")
@output_option
@with_access()
def drain(access: SignIn, workers: tuple[str, ...], leave: bool, output: Output) -> None:
    """Stop giving out the boards of workers; present reservations go on (operators)."""
    _set_draining(access, output, workers, _drain_and_leave if leave else _drain)


@click.command()
@_workers
@output_option
@with_access()
def resume(access: SignIn, workers: tuple[str, ...], output: Output) -> None:
    """Resume giving out the boards of drained workers (operators)."""
    _set_draining(access, output, workers, _resume)
