"""Records as a table for users, as JSON or CSV for programs; all at once, or one by one as they arrive.

A table is drawn only on a terminal.  Otherwise its fields are separated by tabs, under a header line and with ``-``
for an empty field, as ``cut`` and ``awk`` expect.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen

from icefarm.cli.ui.formatting import shown

__all__ = ["Column", "Record", "Rows", "Shape", "drawn", "rendered"]

Record = Mapping[str, Any]

#: Styles of words for a state; others have none.
STYLES = {
    "available": "green",
    "online": "green",
    "reserved": "cyan",
    "flashing": "yellow",
    "testing": "yellow",
    "draining": "yellow",
    "broken": "bold red",
    "offline": "red",
}


@frozen
class Column:
    """A column of a table.

    One-by-one output on a terminal reserves ``width`` for it.  A longer value loses its beginning if ``elided``
    (ends tell paths apart), and otherwise overflows its column.
    """

    title: str
    cell: Callable[[Record], Any]
    width: int = 0
    right: bool = False
    elided: bool = False

    def fitted(self, cell: str) -> str:
        if self.elided and len(cell) > self.width:
            cell = "…" + cell[len(cell) - self.width + 1 :]
        return cell.rjust(self.width) if self.right else cell.ljust(self.width)


@frozen
class Shape:
    """How records of one sort are shown: ``fields`` in CSV and JSON, ``columns`` in tables."""

    fields: Sequence[str]
    columns: Sequence[Column]

    @property
    def titles(self) -> list[str]:
        return [column.title for column in self.columns]

    def cells(self, record: Record) -> list[str]:
        return [shown(column.cell(record)) for column in self.columns]


def _json(record: Record, shape: Shape, **layout: Any) -> str:
    # ASCII, since a file's name may hold bytes that are not text.
    return json.dumps({name: record.get(name) for name in shape.fields}, default=str, **layout)


#: With what a cell begins that spreadsheets take for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def _csv(values: Iterable[object]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([_csv_value(value) for value in values])
    return text.getvalue()


def _csv_value(value: object) -> object:
    """Nothing for None, JSON for lists and mappings, `true` and `false`; other values unchanged.

    Text that a spreadsheet would take for a formula gets an apostrophe, which makes it text there.
    """
    if isinstance(value, bool | list | tuple | Mapping):
        return json.dumps(value, default=str)
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def rendered(records: Sequence[Record], shape: Shape, form: str) -> str:
    """Return all records as text: ``table`` (with tabs), ``json`` (one list) or ``csv``."""
    if form == "json":
        return "[" + ",".join("\n  " + _json(record, shape) for record in records) + ("\n]\n" if records else "]\n")
    rows = Rows(shape, form, aligned=False)
    return rows.head() + "".join(rows.row(record) for record in records)


def drawn(records: Sequence[Record], shape: Shape) -> Any:
    """Return all records as a table for `rich`."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in shape.columns:
        table.add_column(column.title, justify="right" if column.right else "left", overflow="fold")
    for record in records:
        # Text: content from outside must not count as markup.
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in shape.cells(record)))
    return table


@frozen
class Rows:
    """Records one by one: JSON Lines, CSV, or a table, ``aligned`` for a terminal or else with tabs."""

    shape: Shape
    form: str
    aligned: bool

    def head(self) -> str:
        """Return the header, if there is one."""
        if self.form == "json":
            return ""
        return _csv(self.shape.fields) if self.form == "csv" else self._line(self.shape.titles)

    def row(self, record: Record) -> str:
        """Return one record, with its line end."""
        if self.form == "json":
            return _json(record, self.shape) + "\n"
        if self.form == "csv":
            return _csv(record.get(name) for name in self.shape.fields)
        return self._line(self.shape.cells(record))

    def _line(self, cells: Sequence[str]) -> str:
        if not self.aligned:
            return "\t".join(cells) + "\n"
        parts = (column.fitted(cell) for cell, column in zip(cells, self.shape.columns, strict=True))
        return "  ".join(parts).rstrip() + "\n"
