"""Pure: no I/O, no clock.  Lists of accounts in CSV: read with the place of each fault, and written.

The first line names the columns: ``name``, and if wanted ``group`` and any limit (`icefarm.control.sessions.limits`).
A cell of a limit that is empty means the farm's limit; a column that is not there leaves limits as they are.  Columns
are separated by commas, or by semicolons, as spreadsheets of some countries write them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping, Sequence

from attrs import Factory, field, frozen

from icefarm.contract import NAME_RULE, normal_name, valid_account
from icefarm.control.sessions.limits import LIMITS, checked_limits
from icefarm.errors import InvalidArgument
from icefarm.text.counts import counted

__all__ = ["MOST_ACCOUNTS", "RosterEntry", "parse_roster", "written_roster"]

#: Accounts in one list; a guard against files of another kind.
MOST_ACCOUNTS = 10_000


@frozen
class RosterEntry:
    """One account of a list."""

    name: str
    #: None: the list has no such column; empty: it belongs to no group.
    group: str | None = None
    #: Limits that are set; None: the farm's holds.
    limits: Mapping[str, float | None] = Factory(dict)
    #: Where it stands, for errors.
    line: int = field(default=0, eq=False)


def parse_roster(text: str) -> list[RosterEntry]:
    """Read a list of accounts.  Raises `InvalidArgument`, which names line and column."""
    lines = text.removeprefix("\ufeff").splitlines()
    if not lines or not lines[0].strip():
        raise InvalidArgument("line 1: it must name the columns, such as name,group,boards")
    separator = ";" if ";" in lines[0] and "," not in lines[0] else ","
    reader = csv.reader(io.StringIO("\n".join(lines)), delimiter=separator, strict=True)
    columns = [cell.strip().lower() for cell in next(reader)]
    _check_columns(columns)
    entries: dict[str, RosterEntry] = {}
    for entry in _entries(reader, columns):
        before = entries.get(entry.name)
        if before is not None:
            raise InvalidArgument(f"line {entry.line}, column name: {entry.name!a} is in line {before.line} already")
        entries[entry.name] = entry
        if len(entries) > MOST_ACCOUNTS:
            raise InvalidArgument(f"line {entry.line}: there are more than {MOST_ACCOUNTS:,} accounts")
    if not entries:
        raise InvalidArgument("there is no account below the names of the columns")
    return list(entries.values())


def written_roster(entries: Sequence[RosterEntry]) -> str:
    """Return a list of accounts as CSV, with those limits that one of them has of its own."""
    limits = [name for name in LIMITS if any(entry.limits.get(name) is not None for entry in entries)]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["name", "group", *limits])
    for entry in entries:
        values = (entry.limits.get(name) for name in limits)
        writer.writerow([entry.name, entry.group or "", *("" if value is None else f"{value:g}" for value in values)])
    return out.getvalue()


def _check_columns(columns: Sequence[str]) -> None:
    known = ("name", "group", *LIMITS)
    for place, column in enumerate(columns, start=1):
        if column not in known:
            raise InvalidArgument(
                f"line 1, column {place}: there is no column {column!a}; there are {', '.join(known)}"
            )
        if columns.index(column) != place - 1:
            raise InvalidArgument(f"line 1, column {place}: {column!a} is there twice")
    if "name" not in columns:
        raise InvalidArgument("line 1: there is no column 'name'")


def _entries(reader: Iterator[list[str]], columns: Sequence[str]) -> Iterator[RosterEntry]:
    line = 1
    while True:
        line += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise InvalidArgument(f"line {line}: it is not CSV: {error}") from None
        if cells is None:
            return
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) > len(columns):
            there = f"and the first line {counted(len(columns), 'column')}"
            raise InvalidArgument(f"line {line}: it has {counted(len(cells), 'cell')}, {there}")
        row = dict(zip(columns, [*cells, *[""] * len(columns)], strict=False))
        yield RosterEntry(_account(row, "name", line), _group(row, line), _limits(row, line), line)


def _account(row: Mapping[str, str], column: str, line: int) -> str:
    name = normal_name(row[column].strip())
    if not valid_account(name):
        raise InvalidArgument(f"line {line}, column {column}: must be {NAME_RULE}, and without '/', not {name!a:.100}")
    return name


def _group(row: Mapping[str, str], line: int) -> str | None:
    if "group" not in row:
        return None
    return _account(row, "group", line) if row["group"].strip() else ""


def _limits(row: Mapping[str, str], line: int) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for name in LIMITS:
        if name not in row:
            continue
        text = row[name].strip()
        try:
            found[name] = None if not text else checked_limits({name: float(text)})[name]
        except ValueError:
            raise InvalidArgument(f"line {line}, column {name}: must be a number, not {text!a:.100}") from None
        except InvalidArgument as error:
            raise InvalidArgument(f"line {line}, column {name}: {error}") from None
    return found
