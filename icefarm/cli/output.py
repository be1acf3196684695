"""How verbs print what they found: as a table for people, as JSON or CSV for programs (``-o``)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import click

__all__ = ["output_option", "rendered"]

output_option: Callable[..., Any] = click.option(
    "-o",
    "--output",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    show_default=True,
    help="Form of the output.",
)


def rendered(rows: Sequence[Mapping[str, Any]], columns: Sequence[str], form: str) -> str:
    """Return rows as text in one of the forms; only the named columns, in their order (JSON: all there is)."""
    if form == "json":
        return json.dumps([dict(row) for row in rows], indent=2, default=str)
    table = [[_cell(row.get(column)) for column in columns] for row in rows]
    if form == "csv":
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([list(columns), *table])
        return text.getvalue().rstrip("\n")
    head = [column.replace("_", " ").upper() for column in columns]
    widths = [max(len(line[index]) for line in (head, *table)) for index in range(len(columns))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in (head, *table))


def _cell(value: object) -> str:
    if value is None:
        return ""
    # Names come from others: no control characters on a terminal.
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in str(value))
