"""The options of every verb that prints records: their form, and which columns; click knows no output."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from icefarm.cli.ui.records.tables import Output

__all__ = ["output_option"]

_FORM = click.option(
    "-o",
    "--output",
    "form",
    type=click.Choice(["table", "wide", "json", "csv"]),
    default="table",
    show_default=True,
    help="Format of the output; wide: a table of all columns, even on a narrow terminal.",
)
_COLUMNS = click.option("--columns", metavar="NAME,...", help="Only these columns, in this order.")


def output_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """Add both options, and an argument ``output``, an `Output`."""

    @functools.wraps(function)
    def verb(form: str, columns: str | None, **rest: Any) -> Any:
        names = tuple(name for name in (columns or "").split(",") if name.strip())
        return function(output=Output(form, names), **rest)

    return _FORM(_COLUMNS(verb))
