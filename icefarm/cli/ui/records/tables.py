"""Records as a table for users, as JSON or CSV for programs; all at once, or one by one as they arrive.

A table is drawn only on a terminal.  Otherwise its fields are separated by tabs, under a header line and with ``-``
for an empty field, as ``cut`` and ``awk`` expect.

`rich` has tables too, but folds serials instead of leaving columns out, and takes as long to import as the farm takes
to answer; `rich.cells` measures the cells here, and `click` colours them.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, TypeVar

import attrs
import click
from attrs import evolve, frozen

from icefarm.cli.ui.records.formatting import shown
from icefarm.cli.ui.records.layout import GAP, Extent, fitted
from icefarm.cli.ui.suggestions import did_you_mean, list_of
from icefarm.errors import InvalidArgument

__all__ = ["Column", "Output", "Record", "Rows", "Shape", "column", "fields_of", "rendered", "table_lines"]

Record = Mapping[str, Any]
T = TypeVar("T")

#: Styles of words for a state, for `click.style`; others have none.
STYLES: Mapping[str, Mapping[str, Any]] = {
    "available": {"fg": "green"},
    "online": {"fg": "green"},
    "reserved": {"fg": "cyan"},
    "flashing": {"fg": "yellow"},
    "testing": {"fg": "yellow"},
    "draining": {"fg": "yellow"},
    "broken": {"fg": "red", "bold": True},
    "offline": {"fg": "red"},
}


@frozen
class Column:
    """A column of a table.

    ``least``: a terminal that is too narrow may cut longer cells down to so many characters; 0: they stay whole.
    ``priority``: which columns a narrow terminal shows first; 0: always.  Rows that are printed one by one reserve
    ``width``; with ``elided`` a longer cell loses its beginning there (ends tell paths apart), not its end.
    """

    title: str
    cell: Callable[[Record], Any]
    width: int = 0
    right: bool = False
    elided: bool = False
    priority: int = 5
    least: int = 0

    def extent(self, natural: int) -> Extent:
        """Return the room that it takes where its widest cell is so wide."""
        widest = max(natural, len(self.title))
        return Extent(widest, max(self.least, len(self.title)) if self.least else widest, self.priority)

    def padded(self, cell: str, width: int) -> str:
        """Return a cell in ``width`` characters; it stays whole if it may not be cut."""
        if len(cell) > width and self.elided:
            cell = "…" + cell[len(cell) - width + 1 :]
        elif len(cell) > width and self.least:
            cell = cell[: width - 1] + "…"
        return cell.rjust(width) if self.right else cell.ljust(width)


def column(title: str, name: str, priority: int = 5, *, right: bool = False, least: int = 0) -> Column:
    """Return the column of a field."""
    return Column(title, itemgetter(name), right=right, priority=priority, least=least)


@frozen
class Output:
    """The form of a verb's output: table, wide, json or csv; and which columns, by their names, empty for all."""

    form: str = "table"
    columns: tuple[str, ...] = ()

    @property
    def is_table(self) -> bool:
        return self.form in ("table", "wide")

    @property
    def fits(self) -> bool:
        """Whether a terminal shows only what fits it."""
        return self.form == "table" and not self.columns


def fields_of(record: Any) -> tuple[str, ...]:
    """Return the names of the fields of a class of records."""
    return tuple(each.name for each in attrs.fields(record))


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

    def chosen(self, output: Output) -> Shape:
        """Return it with the columns that were asked for, in their order.  Raises `InvalidArgument`."""
        if not output.columns:
            return self
        if not output.is_table:
            known = {name.lower(): name for name in self.fields}
            return evolve(self, fields=[_named(name, known) for name in output.columns])
        titles = {column.title.lower(): column for column in self.columns}
        fields = {name.lower(): Column(name.upper(), itemgetter(name)) for name in self.fields}
        return evolve(self, columns=[_named(name, {**fields, **titles}) for name in output.columns])


def _named(name: str, known: Mapping[str, T]) -> T:
    found = known.get(name.strip().lower().replace("-", "_"))
    if found is None:
        raise InvalidArgument(
            f"--columns: there is no column {name!r}{did_you_mean(name, known) or list_of(list(known))}"
        )
    return found


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
    """Return all records as text: ``table`` or ``wide`` (with tabs), ``json`` (one list) or ``csv``."""
    if form == "json":
        return "[" + ",".join("\n  " + _json(record, shape) for record in records) + ("\n]\n" if records else "]\n")
    rows = Rows(shape, form)
    return rows.head() + "".join(rows.row(record) for record in records)


def table_lines(
    records: Sequence[Record], shape: Shape, room: int | None = None, *, styled: bool = False
) -> Iterator[str]:
    """Yield all records as lines for a terminal: of the columns that fit ``room`` characters, or of all.

    The last line names columns that are left out.
    """
    from rich.cells import cell_len, set_cell_size

    rows = [shape.cells(record) for record in records]
    naturals = [max((cell_len(row[index]) for row in rows), default=0) for index in range(len(shape.columns))]
    extents = [column.extent(natural) for column, natural in zip(shape.columns, naturals, strict=True)]
    widths = fitted(extents, sum(each.natural + GAP for each in extents) if room is None else room)

    def line(cells: Sequence[str], style: Callable[[str], Mapping[str, Any]]) -> str:
        parts = []
        for index, width in widths.items():
            cell, wide = cells[index], cell_len(cells[index])
            if wide > width:
                cell, wide = set_cell_size(cell, width - 1) + "…", width
            blanks = " " * (width - wide)
            words = click.style(cell, **found) if styled and (found := style(cells[index])) else cell
            parts.append(blanks + words if shape.columns[index].right else words + blanks)
        return (" " * GAP).join(parts).rstrip()

    yield line(shape.titles, lambda _: {"bold": True})
    for row in rows:
        yield line(row, lambda cell: STYLES.get(cell, {}))
    dropped = [column.title for index, column in enumerate(shape.columns) if index not in widths]
    if dropped:
        note = f"not shown: {', '.join(dropped)} (-o wide)"
        if room is not None and len(note) > room:
            note = note[: room - 1] + "…"
        yield click.style(note, dim=True) if styled else note


@frozen
class Rows:
    """Records one by one: JSON Lines, CSV, or a table, aligned to fit ``room`` characters or else with tabs."""

    shape: Shape
    form: str
    room: int | None = None

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
        if self.room is None:
            return "\t".join(cells) + "\n"
        widths = fitted([column.extent(column.width) for column in self.shape.columns], self.room)
        parts = (self.shape.columns[index].padded(cells[index], width) for index, width in widths.items())
        return (" " * GAP).join(parts).rstrip() + "\n"
