"""The verbs ``experiments``, ``experiment`` and ``results``: what the farm's archive has."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from itertools import chain
from typing import Any

import click

from icefarm.cli.completing import complete_experiments, complete_serials
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.reading import Answer, Reader
from icefarm.cli.results.conditions import fits, need_corrected
from icefarm.cli.results.rows_file import write_rows
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.parameter_types import CONDITION, SPAN
from icefarm.cli.ui.records import archive_columns
from icefarm.cli.ui.records.formatting import duration, shown
from icefarm.cli.ui.records.tables import Output, Rows, Shape
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.verb import opened_screen, room_of, show
from icefarm.selectors.language import Selector
from icefarm.text.counts import counted

__all__ = [
    "account_option",
    "board_option",
    "experiment",
    "experiment_argument",
    "experiments",
    "results",
    "since_option",
]

experiment_argument = click.argument("experiment_name", metavar="NAME", shell_complete=complete_experiments)
account_option = click.option(
    "--account", show_default="your own, else the only one", help="The account that it belongs to."
)
board_option = click.option(
    "--board",
    "serials",
    multiple=True,
    metavar="SERIAL",
    shell_complete=complete_serials,
    help="Only of this board; may be repeated.",
)
since_option = click.option("--since", type=SPAN, help="Only results of this last time, such as 30m or 7d.")


@click.command()
@click.option("--account", help="Only experiments of this account.")
@click.option("--since", type=SPAN, help="Only experiments that were active in this last time, such as 30m or 7d.")
@output_option
@with_access()
def experiments(access: SignIn, output: Output, account: str | None, since: float | None) -> None:
    """List the experiments that you may read, the most recently active first."""
    now = time.time()
    with opened_screen() as screen:
        found = Reader(access).experiments(account, None if since is None else now - since)
        show(screen, found, archive_columns.experiments(now), output)


@click.command()
@experiment_argument
@account_option
@output_option
@with_access()
def experiment(access: SignIn, output: Output, experiment_name: str, account: str | None) -> None:
    """Show an experiment: its progress, rate, time left, failures by error, and what each board did.

    With "-o json" it is one object; with "-o csv" the boards.
    """
    with opened_screen() as screen:
        found = Reader(access).experiment(experiment_name, account)
        if output.form == "json":
            screen.write(json.dumps(found, indent=2) + "\n")
            return
        if output.is_table:
            screen.write("".join(_summary(found)) + "\n")
        show(screen, found["boards"], archive_columns.experiment_boards(found["time"]), output)


def _summary(found: Answer) -> Iterator[str]:
    record, now = found["experiment"], found["time"]
    left = archive_columns.seconds_left(record)
    failures = ", ".join(f"{count} {error}" for error, count in found["failures"].items())
    lines = {
        "experiment": record["name"],
        "account": record["account"],
        "done": record["done"],
        "failed": f"{record['failed']}: {failures}" if failures else record["failed"],
        "total": record["total"],
        "progress": archive_columns.progress(record),
        "rate": f"{record['rate']:.3g}/s",
        "time left": None if left is None else duration(left),
        "boards": record["boards"],
        "active": None if record["last_at"] is None else f"{duration(now - record['last_at'])} ago",
        "shared": record["shared"],
    }
    for name, value in lines.items():
        yield f"{name + ':':<12}{shown(value)}\n"


@click.command()
@experiment_argument
@account_option
@board_option
@since_option
@click.option(
    "--where",
    "conditions",
    type=CONDITION,
    multiple=True,
    metavar="CONDITION",
    help="Only matching results: 'number>1000 and error=null', label.generation=3, board.lab=3; may be repeated.",
)
@click.option("--failed/--ok", "failed", default=None, help="Only failures, or only values.")
@click.option(
    "--corrected", is_flag=True, help="Add each value without its board's deviation, and its standard uncertainty."
)
@click.option("--follow", is_flag=True, help="Print new results as they arrive, until Ctrl-C.")
@click.option("--out", type=click.Path(), metavar="FILE", help="Write to FILE instead (.csv, .jsonl, .parquet).")
@output_option
@with_access()
def results(
    access: SignIn,
    output: Output,
    experiment_name: str,
    account: str | None,
    serials: tuple[str, ...],
    since: float | None,
    conditions: tuple[Selector, ...],
    failed: bool | None,
    corrected: bool,
    follow: bool,
    out: str | None,
) -> None:
    """Print the results of an experiment, in the order in which they arrived at the farm.

    With "-o json" each line is one result (JSON Lines).
    """
    if follow and out is not None:
        raise click.UsageError("--follow prints; redirect it into a file instead of --out")
    query: dict[str, Any] = {"since": None if since is None else time.time() - since, "failed": failed}
    with opened_screen() as screen:
        rows = Reader(access).results(
            experiment_name,
            account,
            serials=list(serials) or None,
            follow=follow,
            corrected=corrected or need_corrected(conditions),
            **query,
        )
        chosen = (row for row in rows if fits(row, conditions))
        if out is not None:
            count = write_rows(out, chosen, corrected=corrected)
            screen.say(f"wrote {counted(count, 'result')} to {out}")
        else:
            shape = archive_columns.CORRECTED_RESULTS if corrected else archive_columns.RESULTS
            _print(screen, chosen, shape, output, one_by_one=follow)


#: Rows that are printed at once.
TOGETHER = 200


def _print(screen: Screen, found: Iterator[Answer], shape: Shape, output: Output, *, one_by_one: bool) -> None:
    # Before anything is printed: an error then comes alone.
    first = next(found, None)
    rows = Rows(shape.chosen(output), output.form, room_of(screen, output))
    waiting = [rows.head()]
    try:
        for row in () if first is None else chain([first], found):
            waiting.append(rows.row(row))
            if one_by_one or len(waiting) >= TOGETHER:
                screen.write("".join(waiting))
                waiting.clear()
    finally:
        # Also what came before an error, and before Ctrl-C.
        screen.write("".join(waiting))
