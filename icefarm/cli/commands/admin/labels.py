"""The verb ``label``: what operators note of boards and workers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from icefarm.cli.choosing import boards_where, where_option
from icefarm.cli.completing import complete_labels_of_boards, complete_workers
from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.names import for_boards, for_worker
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.tables import Output
from icefarm.cli.verb import farm_of, opened_screen, show
from icefarm.selectors.language import Selector

if TYPE_CHECKING:
    from icefarm.client import Farm
    from icefarm.contract import DeviceRecord

__all__ = ["label"]


@click.command()
@click.argument(
    "words",
    nargs=-1,
    required=True,
    metavar="[BOARDS]... NAME=VALUE|NAME-...",
    shell_complete=complete_labels_of_boards,
)
@click.option(
    "--worker",
    metavar="NAME",
    shell_complete=complete_workers,
    help="Label this worker, and thereby all of its boards.",
)
@where_option("Label the boards that this selects.")
@output_option
@with_access()
def label(access: SignIn, words: tuple[str, ...], worker: str | None, where: Selector | None, output: Output) -> None:
    """Label boards, or a worker and thereby its boards: lab=3 sets a label, lab- removes it (operators).

    Requests select boards by labels: icefarm reserve --where "lab=3 and healthy". If a board and its worker have a
    label of one name, the board's counts. Prints the boards.
    """
    serials, labels = _sorted_out(words)
    if not labels:
        raise click.UsageError("which labels? Write them as NAME=VALUE, or NAME- to take one away")
    if sum((bool(serials), worker is not None, where is not None)) != 1:
        raise click.UsageError("label what? Name boards, or a worker with --worker, or choose boards with --where")
    with opened_screen() as screen, farm_of(access.as_operator) as farm:
        found = farm.snapshot()
        chosen = serials if where is None else [each.serial for each in boards_where(where, found)]
        if where is not None and not chosen:
            screen.say(f"no board is {where}")
            return
        boards = _label(farm, labels, chosen, worker)
        show(screen, [columns.as_record(board) for board in boards], columns.BOARD_LABELS, output)


def _label(
    farm: Farm, labels: dict[str, str | None], serials: Sequence[str], worker: str | None
) -> Sequence[DeviceRecord]:
    if worker is not None:
        return for_worker(farm, worker, lambda name: farm.label(labels, worker=name))
    return for_boards(farm, serials, lambda names: farm.label(labels, serials=names))


def _sorted_out(words: Sequence[str]) -> tuple[list[str], dict[str, str | None]]:
    """Return the boards, and the labels with their values; None for one that is taken away."""
    serials: list[str] = []
    labels: dict[str, str | None] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if equals:
            labels[name] = value
        elif word.endswith("-"):
            labels[word[:-1]] = None
        else:
            serials.append(word)
    return list(dict.fromkeys(serials)), labels
