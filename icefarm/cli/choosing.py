"""The option ``--where``: boards, chosen by their labels and by what else is known of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from icefarm.cli.completing import complete_where
from icefarm.cli.ui.parameter_types import SELECTOR
from icefarm.selectors.boards import check_known, label_names, selects
from icefarm.selectors.language import Selector

if TYPE_CHECKING:
    from icefarm.client.session import Snapshot
    from icefarm.contract import DeviceRecord, WorkerRecord

__all__ = ["boards_where", "chosen_by", "where_option"]

F = TypeVar("F", bound=Callable[..., Any])


def where_option(words: str) -> Callable[[F], F]:
    """Add ``--where`` to a verb, as `Selector` ``where``; ``words`` say what it does there."""
    return click.option(
        "--where",
        type=SELECTOR,
        metavar="SELECTOR",
        shell_complete=complete_where,
        help=f'{words} For example "lab=3 and healthy".',
    )


def chosen_by(where: Selector, boards: Iterable[DeviceRecord], workers: Iterable[WorkerRecord]) -> list[DeviceRecord]:
    """Return the boards that are selected.  Raises `InvalidArgument` for names that the farm does not know."""
    found = list(boards)
    check_known(where, label_names([*found, *workers]))
    return [board for board in found if selects(where, board)]


def boards_where(where: Selector, found: Snapshot) -> list[DeviceRecord]:
    """Return the farm's boards that are selected.  Raises `InvalidArgument` as `chosen_by` does."""
    return chosen_by(where, found.devices, found.workers)
