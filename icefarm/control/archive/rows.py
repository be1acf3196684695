"""Pure: no I/O, no clock.  Rows for the archive as workers send them, checked.

A row that is wrong is left out and counted: it must not keep the others from being stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from itertools import repeat
from operator import contains
from typing import Any, NamedTuple

from attrs import frozen

# It reads rows in half of the time.
try:
    from orjson import loads
except ImportError:  # a platform for which there is no wheel
    loads = None  # type: ignore[assignment]

from icefarm.contract import ARCHIVE_FIELDS, LONGEST_NAME, MAX_CIRCUIT_NAME, account_of, default_experiment, valid_name
from icefarm.text.one_line import one_line
from icefarm.text.outside_json import parse_strict_json
from icefarm.text.repeated_json import repeated_json

__all__ = [
    "ArchiveRow",
    "OwnedRow",
    "Parsed",
    "day_of",
    "each_once",
    "newest_attempts",
    "owned",
    "parse_rows",
]

#: Seconds of a day, and how far a worker's clock may be ahead of control's.
DAY = 86400
AHEAD = 86400.0
#: Longest ids and messages, in characters.
LONGEST_ID, LONGEST_MESSAGE = 64, 400
#: Largest whole number; attempts are of the database's type integer; the latest time is in the year 3058.
LARGEST, MOST_ATTEMPTS, LATEST = 2**53, 2**31 - 1, 2**35
#: Largest value as one number: the sum of any that a database has room for is a number, too.
LARGEST_NUMBER = 1e280

#: Rows that are looked at together where one of a batch is wrong.
PART = 32

#: Types of JSON.
_Types = frozenset[type]
_NOTHING = type(None)
_TEXT: _Types = frozenset((str,))
_MAYBE_TEXT: _Types = frozenset((str, _NOTHING))
_MAYBE_COUNT: _Types = frozenset((int, _NOTHING))
_MAYBE_NUMBER: _Types = frozenset((int, float, _NOTHING))
_MAYBE_MAPPING: _Types = frozenset((dict, _NOTHING))
_ANYTHING: _Types = frozenset((dict, list, str, int, float, bool, _NOTHING))
#: The types of each field, as JSON has them: a number is no bool.
_TYPES: Mapping[str, _Types] = {
    **dict.fromkeys(("evaluation_id", "reservation", "serial", "kind"), _TEXT),
    "options": frozenset((dict,)),
    "value": _ANYTHING,
    **dict.fromkeys(("error", "message", "sha256", "circuit", "experiment", "origin"), _MAYBE_TEXT),
    **dict.fromkeys(("firmware", "firmware_version"), _MAYBE_TEXT),
    "labels": _MAYBE_MAPPING,
    **dict.fromkeys(("window_us", "load_us", "sequence"), _MAYBE_COUNT),
    "temperature_c": _MAYBE_NUMBER,
    "attempt": frozenset((int,)),
    "started_at": _MAYBE_NUMBER,
    "ended_at": frozenset((int, float)),
    "board_labels": _MAYBE_MAPPING,
    "calibration": _MAYBE_TEXT,
}
#: The fields that workers of earlier versions do not send.
_ADDED = ("board_labels", "calibration")
_CHECKS = tuple(_TYPES[name] for name in ARCHIVE_FIELDS)
#: Names; words that many rows have; and what numbers are at most.
_NAMES = ("reservation", "serial", "kind", "experiment")
_WORDS = ("error", "firmware", "firmware_version", "origin", "calibration")
_MOST: Mapping[str, float] = {
    **dict.fromkeys(("window_us", "load_us", "temperature_c", "sequence"), LARGEST),
    "attempt": MOST_ATTEMPTS,
    **dict.fromkeys(("started_at", "ended_at"), LATEST),
}
_default_experiment = lru_cache(maxsize=1024)(default_experiment)
#: Makes a number that is too long for 64 bits one that is easily found.
_DIGITS = bytes.maketrans(b"123456789[: \t\r-", b"000000000,,,,,,")
_LONG_NUMBER = b"," + 19 * b"0"
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class ArchiveRow(NamedTuple):
    """One evaluation, for the archive."""

    evaluation_id: str
    reservation: str
    serial: str
    kind: str
    #: JSON.
    options: str
    value: str | None
    number: float | None
    error: str | None
    message: str | None
    sha256: str | None
    circuit: str | None
    experiment: str | None
    labels: str | None
    firmware: str | None
    firmware_version: str | None
    origin: str | None
    window_us: int | None
    load_us: int | None
    temperature_c: float | None
    sequence: int | None
    attempt: int
    started_at: float | None
    ended_at: float
    day: date
    board_labels: str | None = None
    calibration: str | None = None


class OwnedRow(NamedTuple):
    """A row with what its reservation says: whose it is."""

    row: ArchiveRow
    client: str
    #: The experiment's account and name.
    key: tuple[str, str]


@frozen
class Parsed:
    """A batch, and how many of its rows were wrong."""

    rows: Sequence[ArchiveRow]
    wrong: int


def parse_rows(batch: bytes, now: float, days: float) -> Parsed:
    """Parse a batch, one row on each line.  A row older than ``days``, or of the future, belongs to today."""
    found = _decoded(batch)
    rows = _rows(found, now, days)
    if rows is None:
        # Rarely: a row by itself costs five times as much.
        rows = [row for part in _parts(found) for row in _right_rows(part, now, days)]
    return Parsed(rows, len(found) - len(rows))


def _parts(found: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (found[place : place + PART] for place in range(0, len(found), PART))


def _right_rows(found: Sequence[Any], now: float, days: float) -> list[ArchiveRow]:
    """Return the rows that are not wrong."""
    rows = _rows(found, now, days)
    if rows is None:
        rows = [row for each in found if _may_be_row(each) for row in _rows([each], now, days) or ()]
    return rows


def _decoded(batch: bytes) -> list[Any]:
    """Decode the lines of a batch; None for each that is no JSON."""
    together = _quickly_decoded(batch)
    if together is not None:
        return together
    lines = batch.split(b"\n")
    try:
        # One call for all costs less than one for each.
        together = parse_strict_json(f"[{b','.join(lines).decode('ascii')}]")
        if len(together) == len(lines):
            return list(together)
    except ValueError:
        pass
    return [_decoded_line(line) for line in lines]


def _quickly_decoded(batch: bytes) -> list[Any] | None:
    """Decode the lines of a batch; None where the standard library may see something else in it.

    That is a whole number that takes more than 64 bits, and half of a pair of surrogates.
    """
    if loads is None or not batch.isascii() or _LONG_NUMBER in batch.translate(_DIGITS):
        return None
    try:
        together = loads(b"[%s]" % batch.replace(b"\n", b","))
    except ValueError:
        return None
    return together if len(together) == batch.count(b"\n") + 1 else None


def _decoded_line(line: bytes) -> Any:
    try:
        return parse_strict_json(line.decode("ascii"))
    except ValueError:
        return None


def newest_attempts(rows: Sequence[ArchiveRow]) -> list[ArchiveRow]:
    """Return the rows of a batch without those that another one of it succeeds or repeats."""
    if len({row.evaluation_id for row in rows}) == len(rows):
        return list(rows)
    newest: dict[tuple[str, str], ArchiveRow] = {}
    for row in rows:
        before = newest.get((row.reservation, row.evaluation_id))
        if before is None or row.attempt > before.attempt:
            newest[row.reservation, row.evaluation_id] = row
    return list(newest.values())


def owned(rows: Sequence[ArchiveRow], reservations: Mapping[str, tuple[str, str]]) -> list[OwnedRow]:
    """Return the rows of these reservations, whose board and client are known by their ids; no others."""
    found = []
    for row in newest_attempts(rows):
        serial, client = reservations.get(row.reservation, ("", ""))
        if serial == row.serial:
            # A client of this version names it when its run begins; others may not.
            name = row.experiment or _default_experiment(client, row.day)
            found.append(OwnedRow(row, client, (account_of(client), name)))
    return found


@lru_cache(maxsize=1024)
def day_of(number: int) -> date:
    """Return the day that is so many days after 1970-01-01."""
    return datetime.fromtimestamp(number * DAY, UTC).date()


def _may_be_row(fields: Any) -> bool:
    """Tell whether fields have the types of a row; row after row has the same."""
    return isinstance(fields, list) and _are_types(tuple(map(type, fields[: len(_CHECKS)])))


@lru_cache(maxsize=1024)
def _are_types(types: tuple[type, ...]) -> bool:
    return len(types) >= len(_CHECKS) - len(_ADDED) and all(map(contains, _CHECKS, types))


def _rows(found: Sequence[Any], now: float, days: float) -> list[ArchiveRow] | None:
    """Return rows of their fields; None if any of them is wrong.

    This is code of each evaluation.  So it works on columns: what holds for a whole column is asked once.
    """
    try:
        columns = _columns(found)
        return None if columns is None else list(map(ArchiveRow._make, zip(*_cells(columns, now, days), strict=False)))
    except (ValueError, RecursionError):
        # A number that JSON has no form for: 1e999.
        return None


def _columns(found: Sequence[Any]) -> Mapping[str, Sequence[Any]] | None:
    """Return fields of rows by their names; None if any of them is wrong."""
    if set(map(type, found)) != {list}:
        return None
    lengths = set(map(len, found))
    if lengths != {len(_CHECKS)}:
        if min(lengths) < len(_CHECKS) - len(_ADDED):
            return None
        # A newer worker may know more fields.
        found = [[*each[: len(_CHECKS)], *[None] * (len(_CHECKS) - len(each))] for each in found]
    columns: dict[str, Sequence[Any]] = dict(zip(ARCHIVE_FIELDS, zip(*found, strict=True), strict=True))
    return columns if all(map(_has_types, _CHECKS, columns.values())) and _are_bounded(columns) else None


def _has_types(types: _Types, values: Sequence[Any]) -> bool:
    return types.issuperset(map(type, values))


def _are_bounded(columns: Mapping[str, Sequence[Any]]) -> bool:
    """Tell whether ids and names are some, and the database has room for numbers."""
    ids = columns["evaluation_id"]
    lengths = set(map(len, ids))
    return (
        min(lengths) > 0
        and max(lengths) <= LONGEST_ID
        and "".join(ids).isprintable()
        and all(_are_names(*each) for each in set(zip(*map(columns.__getitem__, _NAMES), strict=True)))
        and all(_are_within(columns[name], most) for name, most in _MOST.items())
    )


def _are_within(values: Sequence[float | None], most: float) -> bool:
    numbers = [value for value in values if value is not None]
    return not numbers or (min(numbers) >= -most and max(numbers) <= most)


def _cells(columns: Mapping[str, Sequence[Any]], now: float, days: float) -> list[Iterable[Any]]:
    """Return columns with what an `ArchiveRow` has, in its order.  Raises ValueError for what JSON has no form for."""
    # As the database gives times back: to the microsecond.
    ended = [round(end * 1e6) / 1e6 for end in columns["ended_at"]]
    errors, values = columns["error"], columns["value"]
    cells: dict[str, Iterable[Any]] = {
        **columns,
        "options": repeated_json(_ENCODE, columns["options"]),
        "value": _unless_failed(_texts_of_values(values), errors),
        "number": _unless_failed(_numbers_of(values), errors),
        "message": _texts(columns["message"], LONGEST_MESSAGE),
        "sha256": _texts(columns["sha256"], LONGEST_NAME),
        "circuit": _texts(columns["circuit"], MAX_CIRCUIT_NAME),
        "labels": _mappings(columns["labels"]),
        "board_labels": _mappings(columns["board_labels"]),
        "started_at": [None if start is None else round(start * 1e6) / 1e6 for start in columns["started_at"]],
        "ended_at": ended,
        "day": _days(ended, now, days),
    }
    cells.update((name, each_once(_word, columns[name])) for name in _WORDS)
    return [cells[name] for name in ArchiveRow._fields]


def _days(ended: Sequence[float], now: float, days: float) -> Sequence[date]:
    today, first, last = int(now // DAY), now - days * DAY, now + AHEAD
    least, most = min(ended), max(ended)
    if first < least and most < last and least // DAY == most // DAY:
        return [day_of(int(least // DAY))] * len(ended)
    return each_once(day_of, [int(end // DAY) if first < end < last else today for end in ended])


def _unless_failed(values: Iterable[Any], errors: Sequence[str | None]) -> Iterable[Any]:
    if set(errors) == {None}:
        return values
    return [None if error is not None else value for value, error in zip(values, errors, strict=True)]


def each_once(function: Callable[[Any], Any], values: Sequence[Any]) -> list[Any]:
    """Return what a function makes of each value; it is asked once for those that are equal."""
    made = {value: function(value) for value in set(values)}
    return list(map(made.__getitem__, values))


def _texts(values: Sequence[Any], longest: int) -> Sequence[str | None]:
    """Return texts as `one_line` does, and none for empty ones."""
    try:
        lengths = set(map(len, values))
        if min(lengths) > 0 and max(lengths) <= longest and "".join(values).isprintable():
            return values
    except TypeError:
        # Some are none.
        pass
    return each_once(lambda text: one_line(text, longest) if text else None, values)


def _mappings(values: Sequence[Mapping[str, Any] | None]) -> Iterable[str | None]:
    if not any(values):
        return repeat(None)
    return repeated_json(_ENCODE, [value or None for value in values])


@lru_cache(maxsize=4096)
def _are_names(reservation: str, serial: str, kind: str, experiment: str | None) -> bool:
    """Tell whether these are names; row after row has the same."""
    return all(map(valid_name, (reservation, serial, kind))) and (experiment is None or valid_name(experiment))


def _texts_of_values(values: Sequence[Any]) -> Iterable[str]:
    return map(str, values) if set(map(type, values)) == {int} else map(_json, values)


def _json(value: Any) -> str:
    # As json.dumps writes it: ASCII, and so free of what PostgreSQL refuses.
    return str(value) if value.__class__ is int else _ENCODE(value)


def _word(text: str | None) -> str | None:
    """Return a text that many rows have; an empty one is none, as in the database."""
    return one_line(text, LONGEST_NAME) if text else None


def _numbers_of(values: Sequence[Any]) -> Iterable[float | None]:
    if set(map(type, values)) == {int} and _are_within(values, LARGEST):
        return map(float, values)
    return map(_number_of, values)


def _number_of(value: Any) -> float | None:
    """Return a value as one number: the mean of several; what a kind measured, where its samples follow it.

    None without any, and for numbers that are too large to be summed up.
    """
    numbers = [value] if value.__class__ in (int, float) else list(_numbers(value))
    try:
        mean = sum(numbers) / len(numbers) if numbers else None
    except OverflowError:
        return None
    return mean if mean is not None and abs(mean) <= LARGEST_NUMBER else None


def _numbers(value: Any) -> Iterator[float]:
    match value:
        case bool():
            return
        case int() | float():
            yield value
        case [int() | float() as first, list()]:
            yield first
        case [*values]:
            for each in values:
                if isinstance(each, list) and each and isinstance(each[0], int | float):
                    yield each[0]
                elif isinstance(each, int | float):
                    yield each
