"""Pure: no I/O, no clock.  Rows for the archive as workers send them, checked.

A row that is wrong is left out and counted: it must not keep the others from being stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from operator import contains
from typing import Any

from attrs import frozen

# It reads rows in half of the time.
try:
    from orjson import loads
except ImportError:  # a platform for which there is no wheel
    loads = None  # type: ignore[assignment]

from icefarm.contract import ARCHIVE_FIELDS, LONGEST_NAME, MAX_CIRCUIT_NAME, valid_name
from icefarm.control.archive.rows import OWN, STAMPED, ArchiveRows, Stamp, each_once
from icefarm.text.one_line import one_line
from icefarm.text.outside_json import parse_strict_json
from icefarm.text.repeated_json import repeated_json

__all__ = ["Parsed", "day_of", "parse_rows"]

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
#: In the order of a row.
_CHECKS = tuple(_TYPES[name] for name in ARCHIVE_FIELDS)
#: The fields that workers of earlier versions do not send.
_ADDED = ("board_labels", "calibration")
#: What numbers are at most.
_MOST: Mapping[str, float] = {
    **dict.fromkeys(("window_us", "load_us", "temperature_c", "sequence"), LARGEST),
    "attempt": MOST_ATTEMPTS,
    **dict.fromkeys(("started_at", "ended_at"), LATEST),
}
#: Makes a number that is too long for 64 bits one that is easily found.
_DIGITS = bytes.maketrans(b"123456789[: \t\r-", b"000000000,,,,,,")
_LONG_NUMBER = b"," + 19 * b"0"
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@frozen
class Parsed:
    """A batch, and how many of its rows were wrong."""

    rows: ArchiveRows
    wrong: int


def parse_rows(batch: bytes, now: float, days: float) -> Parsed:
    """Parse a batch, one row on each line.  A row older than ``days``, or of the future, belongs to today."""
    found = _decoded(batch)
    reader = _Reader(now, days)
    rows = reader.rows(found)
    if rows is None:
        # Rarely: a row by itself costs five times as much.
        rows = ArchiveRows.joined([right for part in _parts(found) for right in reader.right_rows(part)])
    return Parsed(rows, len(found) - len(rows))


def _parts(found: Sequence[Any]) -> Iterator[Sequence[Any]]:
    return (found[place : place + PART] for place in range(0, len(found), PART))


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


@lru_cache(maxsize=1024)
def day_of(number: int) -> date:
    """Return the day that is so many days after 1970-01-01."""
    return datetime.fromtimestamp(number * DAY, UTC).date()


@frozen
class _Reader:
    """Makes rows of their fields, `icefarm.contract.ARCHIVE_FIELDS`."""

    now: float
    days: float

    def right_rows(self, found: Sequence[Any]) -> list[ArchiveRows]:
        """Return the rows that are not wrong."""
        together = self.rows(found)
        if together is not None:
            return [together]
        single = (self.rows([each]) for each in found if _may_be_row(each))
        return [rows for rows in single if rows is not None]

    def rows(self, found: Sequence[Any]) -> ArchiveRows | None:
        """Return rows; None if any of them is wrong.

        This is code of each evaluation.  So it works on columns: what holds for a whole column is asked once.
        """
        try:
            columns = _columns(found)
            if columns is None or not _are_bounded(columns):
                return None
            stamps = _stamps(columns)
            return None if None in stamps else ArchiveRows(stamps, _own(columns, self.now, self.days))
        except (ValueError, RecursionError):
            # A number that JSON has no form for: 1e999.
            return None


def _may_be_row(fields: Any) -> bool:
    """Tell whether fields have the types of a row; row after row has the same."""
    return isinstance(fields, list) and _are_types(tuple(map(type, fields[: len(_CHECKS)])))


@lru_cache(maxsize=1024)
def _are_types(types: tuple[type, ...]) -> bool:
    return len(types) >= len(_CHECKS) - len(_ADDED) and all(map(contains, _CHECKS, types))


def _columns(found: Sequence[Any]) -> Mapping[str, Sequence[Any]] | None:
    """Return fields of rows by their names; None if any of them is wrong."""
    if set(map(type, found)) != {list}:
        return None
    most = len(_CHECKS)
    lengths = set(map(len, found))
    if lengths != {most}:
        if min(lengths) < most - len(_ADDED):
            return None
        # A newer worker may know more fields.
        found = [[*each[:most], *[None] * (most - len(each))] for each in found]
    columns = dict(zip(ARCHIVE_FIELDS, zip(*found, strict=True), strict=True))
    are_right = all(
        types.issuperset(map(type, values)) for types, values in zip(_CHECKS, columns.values(), strict=True)
    )
    return columns if are_right else None


def _are_bounded(columns: Mapping[str, Sequence[Any]]) -> bool:
    """Tell whether ids are some, and the database has room for numbers."""
    ids = columns["evaluation_id"]
    lengths = set(map(len, ids))
    return (
        min(lengths) > 0
        and max(lengths) <= LONGEST_ID
        and "".join(ids).isprintable()
        and all(_are_within(columns[name], most) for name, most in _MOST.items())
    )


def _are_within(values: Sequence[float | None], most: float) -> bool:
    numbers = [value for value in values if value is not None]
    return not numbers or (min(numbers) >= -most and max(numbers) <= most)


def _stamps(columns: Mapping[str, Sequence[Any]]) -> list[Any]:
    """Return the stamp of each row; None for one that is wrong.  Raises ValueError for what JSON has no form for."""
    cells = {
        **columns,
        "options": repeated_json(_ENCODE, columns["options"]),
        "board_labels": _mappings(columns["board_labels"]),
    }
    return each_once(_stamp, list(zip(*map(cells.__getitem__, STAMPED), strict=True)))


def _stamp(fields: Sequence[Any]) -> Stamp | None:
    reservation, serial, kind, options, experiment, firmware, version, origin, board_labels, calibration = fields
    if not all(map(valid_name, (reservation, serial, kind))) or not (experiment is None or valid_name(experiment)):
        return None
    firmware, version, origin, calibration = map(_word, (firmware, version, origin, calibration))
    return Stamp(
        reservation, serial, kind, options, experiment, firmware, version, origin, board_labels, calibration
    )  # fmt: skip


def _own(columns: Mapping[str, Sequence[Any]], now: float, days: float) -> Mapping[str, Sequence[Any]]:
    """Return the columns that rows have of their own.  Raises ValueError for what JSON has no form for."""
    # As the database gives times back: to the microsecond.
    ended = [round(end * 1e6) / 1e6 for end in columns["ended_at"]]
    errors, values = columns["error"], columns["value"]
    cells: Mapping[str, Sequence[Any]] = {
        **columns,
        "value": _unless_failed(_texts_of_values(values), errors),
        "number": _unless_failed(_numbers_of(values), errors),
        "error": each_once(_word, errors),
        "message": _texts(columns["message"], LONGEST_MESSAGE),
        "sha256": _texts(columns["sha256"], LONGEST_NAME),
        "circuit": _texts(columns["circuit"], MAX_CIRCUIT_NAME),
        "labels": _mappings(columns["labels"]),
        "started_at": [None if start is None else round(start * 1e6) / 1e6 for start in columns["started_at"]],
        "ended_at": ended,
        "day": _days(ended, now, days),
    }
    return {name: cells[name] for name in OWN}


def _days(ended: Sequence[float], now: float, days: float) -> Sequence[date]:
    today, first, last = int(now // DAY), now - days * DAY, now + AHEAD
    least, most = min(ended), max(ended)
    if first < least and most < last and least // DAY == most // DAY:
        return [day_of(int(least // DAY))] * len(ended)
    return each_once(day_of, [int(end // DAY) if first < end < last else today for end in ended])


def _unless_failed(values: Sequence[Any], errors: Sequence[str | None]) -> Sequence[Any]:
    if set(errors) == {None}:
        return values
    return [None if error is not None else value for value, error in zip(values, errors, strict=True)]


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


def _mappings(values: Sequence[Mapping[str, Any] | None]) -> Sequence[str | None]:
    if not any(values):
        return [None] * len(values)
    return repeated_json(_ENCODE, [value or None for value in values])


def _texts_of_values(values: Sequence[Any]) -> Sequence[str]:
    return list(map(str if set(map(type, values)) == {int} else _json, values))


def _json(value: Any) -> str:
    # As json.dumps writes it: ASCII, and so free of what PostgreSQL refuses.
    return str(value) if value.__class__ is int else _ENCODE(value)


def _word(text: str | None) -> str | None:
    """Return a text that many rows have; an empty one is none, as in the database."""
    return one_line(text, LONGEST_NAME) if text else None


def _numbers_of(values: Sequence[Any]) -> Sequence[float | None]:
    if set(map(type, values)) == {int} and _are_within(values, LARGEST):
        return values
    return list(map(_number_of, values))


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
