"""Pure: no I/O, no clock.  A batch of rows as COPY reads it, and what it adds to the sums of boards.

This is code of each evaluation.  So it works on columns: what holds for a whole column is asked once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from itertools import repeat
from typing import Any

from attrs import define, evolve

from icefarm.control.archive.interface import ExperimentKey
from icefarm.control.archive.rows import OWN, STAMPED, OwnedRows, Owner, each_once
from icefarm.runs.canonical import moment

__all__ = ["COPIED", "STEP", "StepSums", "as_arrays", "as_text", "id_ranges", "sums_of"]

#: Seconds of the steps that sums are kept of.
STEP = 16
#: The columns of the text, in its order: what the reservation says, what the stamp has, then the row's own.
_STAMPED = tuple(name for name in STAMPED if name != "experiment")
COPIED = ("experiment", "worker", "client", *_STAMPED, *OWN)
#: What the text form of COPY has another sign for.
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
_NULL = "\\N"
_HEXADECIMAL = b"0123456789abcdef"
#: Characters of a run's number, and of the ids of its evaluations.
_RUN, _ID = 32, 44


def as_text(worker: str, rows: OwnedRows, ids: Mapping[ExperimentKey, int]) -> str:
    """Return rows in the text form of COPY, with the columns `COPIED`; ``ids`` are those of their experiments."""
    begins = {owner: _begin(worker, owner, ids[owner.key]) for owner in set(rows.owners)}
    texts: list[Iterable[str]] = [[begins[owner] for owner in rows.owners]]
    times = {"started_at": rows.started, "ended_at": rows.ended}
    texts += (_column(times.get(name) or rows.column(name)) for name in OWN)
    lines = map("\t".join, zip(*texts, strict=False))
    return "\n".join(lines) + "\n"


def _begin(worker: str, owner: Owner, id: int) -> str:
    stamped = map(_copied, (getattr(owner.stamp, name) for name in _STAMPED))
    return "\t".join((str(id), _copied(worker), _copied(owner.client), *stamped))


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

    def with_(self, other: StepSums) -> StepSums:
        """Return the sums of both: one board had two reservations, or its firmware changed."""
        return evolve(
            self,
            first=min(self.first, other.first),
            last=max(self.last, other.last),
            done=self.done + other.done,
            failed=self.failed + other.failed,
            numbers=self.numbers + other.numbers,
            sum=_of_both(sum, self.sum, other.sum),
            least=_of_both(min, self.least, other.least),
            most=_of_both(max, self.most, other.most),
        )


def _of_both(function: Callable[[Sequence[float]], float], one: float | None, other: float | None) -> float | None:
    numbers = [each for each in (one, other) if each is not None]
    return function(numbers) if numbers else None


def sums_of(rows: OwnedRows, ids: Mapping[ExperimentKey, int]) -> list[StepSums]:
    """Sum up rows, which are in the order of their ends, by experiment, day, step and board."""
    ends, days, errors, numbers = map(rows.column, ("ended_at", "day", "error", "number"))
    steps = [int(end // STEP) for end in ends]
    groups: dict[tuple[Owner, date, int], list[int]] = {}
    for place, group in enumerate(zip(rows.owners, days, steps, strict=True)):
        groups.setdefault(group, []).append(place)
    sums: dict[tuple[ExperimentKey, date, int, str], StepSums] = {}
    for (owner, day, step), places in groups.items():
        failed = sum(errors[place] is not None for place in places)
        some = [numbers[place] for place in places if numbers[place] is not None]
        found = StepSums(
            ids[owner.key], day, step, owner.stamp.serial, ends[places[0]], ends[places[-1]], len(places) - failed,
            failed, len(some), sum(some) if some else None, min(some, default=None), max(some, default=None),
        )  # fmt: skip
        where = owner.key, day, step, owner.stamp.serial
        sums[where] = sums[where].with_(found) if where in sums else found
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
