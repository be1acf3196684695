"""Pure: no I/O, no clock.  A batch of rows as COPY reads it, and what it adds to the sums of boards.

This is code of each evaluation.  So it works on columns: what holds for a whole column is asked once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import repeat
from operator import attrgetter
from typing import Any

from attrs import define

from icefarm.control.archive.interface import ExperimentKey
from icefarm.control.archive.rows import ArchiveRow, OwnedRow, each_once
from icefarm.runs.canonical import moment, moments

__all__ = ["COPIED", "STEP", "StepSums", "as_arrays", "as_text", "id_ranges", "sums_of"]

#: Seconds of the steps that sums are kept of.
STEP = 16
#: The columns of the text, in its order: what the reservation says, then the row's own.
COPIED = ("experiment", "worker", "client", *(name for name in ArchiveRow._fields if name != "experiment"))
#: What the text form of COPY has another sign for.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = "\\N"
_HEXADECIMAL = b"0123456789abcdef"
#: Characters of a run's number, and of the ids of its evaluations.
_RUN, _ID = 32, 44
_row_of = attrgetter("row")


def as_text(worker: str, rows: Sequence[OwnedRow], ids: Mapping[ExperimentKey, int]) -> str:
    """Return rows in the text form of COPY, with the columns `COPIED`; ``ids`` are those of their experiments."""
    owners = [(each.key, each.client) for each in rows]
    begins = {
        (key, client): "\t".join((str(ids[key]), _copied(worker), _copied(client))) for key, client in set(owners)
    }
    columns = dict(zip(ArchiveRow._fields, zip(*map(_row_of, rows), strict=True), strict=True))
    texts: list[Iterable[str]] = [[begins[owner] for owner in owners]]
    for name in COPIED[3:]:
        values = columns[name]
        texts.append(_column(moments(values) if name.endswith("ed_at") else values))
    lines = map("\t".join, zip(*texts, strict=False))
    return "\n".join(lines) + "\n"


def _column(values: Sequence[Any]) -> Iterable[str]:
    """Return values of a column as COPY reads them."""
    types = set(map(type, values))
    if types == {type(None)}:
        return repeat(_NULL, len(values))
    if types == {str}:
        return values if _is_plain("".join(values)) else map(_copied, values)
    if types == {date}:
        return each_once(str, values)
    if type(None) not in types and str not in types:
        return map(str, values)
    return map(_copied, values)


def _is_plain(text: str) -> bool:
    return text.isprintable() and "\\" not in text


def _copied(value: Any) -> str:
    """Return a value as COPY reads it."""
    if value is None:
        return _NULL
    if value.__class__ is not str:
        return str(value)
    return value if _is_plain(value) else value.translate(_ESCAPES)


def id_ranges(ids: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return ranges that have all of these ids of evaluations in them: the first id and the last one of each.

    There is one for each run.  An id that was chosen in another way is a range of its own, since its place in the
    order of a database depends on the database's language.
    """
    joined = "".join(ids).encode("utf-8", "replace")
    if set(map(len, ids)) != {_ID} or joined.translate(None, _HEXADECIMAL):
        return list(ids), list(ids)
    runs: dict[str, list[str]] = {}
    for id in ids:
        runs.setdefault(id[:_RUN], []).append(id)
    return list(map(min, runs.values())), list(map(max, runs.values()))


@define
class StepSums:
    """What a batch adds to a step of a board."""

    experiment: int
    day: date
    step: int
    serial: str
    first: float
    last: float
    done: int = 0
    failed: int = 0
    numbers: int = 0
    sum: float | None = None
    least: float | None = None
    most: float | None = None

    def add(self, row: ArchiveRow) -> None:
        """Add a row; it ended after those that were added before."""
        self.last = row.ended_at
        if row.error is not None:
            self.failed += 1
        else:
            self.done += 1
        number = row.number
        if number is None:
            return
        self.numbers += 1
        self.sum = number if self.sum is None else self.sum + number
        self.least = number if self.least is None or number < self.least else self.least
        self.most = number if self.most is None or number > self.most else self.most


def sums_of(rows: Sequence[OwnedRow], ids: Mapping[ExperimentKey, int]) -> list[StepSums]:
    """Sum up rows, which are in the order of their ends, by experiment, day, step and board."""
    sums: dict[tuple[ExperimentKey, date, int, str], StepSums] = {}
    for each in rows:
        row = each.row
        step = int(row.ended_at // STEP)
        place = each.key, row.day, step, row.serial
        found = sums.get(place)
        if found is None:
            found = sums[place] = StepSums(ids[each.key], row.day, step, row.serial, row.ended_at, row.ended_at)
        found.add(row)
    return list(sums.values())


def as_arrays(sums: Sequence[StepSums]) -> dict[str, str]:
    """Return sums as columns, each in the text form of an array.

    A list would cost psycopg2 and PostgreSQL a microsecond or two for each of its values.
    """
    return {
        "experiments": _array(each.experiment for each in sums),
        "days": _array(each.day for each in sums),
        "steps": _array(each.step for each in sums),
        "serials": _array(_quoted(each.serial) for each in sums),
        "firsts": _array(moment(each.first) for each in sums),
        "lasts": _array(moment(each.last) for each in sums),
        "done": _array(each.done for each in sums),
        "failed": _array(each.failed for each in sums),
        "numbers": _array(each.numbers for each in sums),
        "sums": _array(each.sum for each in sums),
        "least": _array(each.least for each in sums),
        "most": _array(each.most for each in sums),
    }


def _array(values: Iterable[Any]) -> str:
    """Return numbers, times and quoted texts as an array; None is a null."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", r"\\").replace('"', r"\"")
    return f'"{escaped}"'
