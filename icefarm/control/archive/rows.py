"""Pure: no I/O, no clock.  Rows for the archive as workers send them, checked.

A row that is wrong is left out and counted: it must not keep the others from being stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from math import isfinite
from operator import contains
from typing import Any, NoReturn

from attrs import define, frozen

from icefarm.contract import ARCHIVE_FIELDS, LONGEST_NAME, MAX_CIRCUIT_NAME, account_of, default_experiment, valid_name
from icefarm.control.inventory.bounds import clean
from icefarm.text.repeated_json import RepeatedJson

__all__ = [
    "ArchiveRow",
    "OwnedRow",
    "Parsed",
    "day_of",
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
_default_experiment = lru_cache(maxsize=1024)(default_experiment)
_ENCODE = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


@define
class ArchiveRow:
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


@frozen
class OwnedRow:
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
    repeated = RepeatedJson(_ENCODE), RepeatedJson(_ENCODE)
    found = [_row(fields, now, days, *repeated) for fields in _decoded(batch)]
    rows = [row for row in found if row is not None]
    return Parsed(rows, len(found) - len(rows))


def _decoded(batch: bytes) -> list[Any]:
    """Decode the lines of a batch; None for each that is no JSON."""
    lines = batch.split(b"\n")
    try:
        # One call for all costs less than one for each.
        together = _DECODE(f"[{b','.join(lines).decode('ascii')}]")
        if len(together) == len(lines):
            return list(together)
    except (ValueError, RecursionError):
        pass
    return [_decoded_line(line) for line in lines]


def _decoded_line(line: bytes) -> Any:
    try:
        return _DECODE(line.decode("ascii"))
    except (ValueError, RecursionError):
        return None


def newest_attempts(rows: Sequence[ArchiveRow]) -> list[ArchiveRow]:
    """Return the rows of a batch without those that another one of it succeeds or repeats."""
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


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is not a number of JSON")


#: Of every row that arrives: its callers catch RecursionError, too.
_DECODE = json.JSONDecoder(parse_constant=_refuse).decode  # noqa: TID251


def _row(fields: Any, now: float, days: float, options_of: RepeatedJson, labels_of: RepeatedJson) -> ArchiveRow | None:
    """Return a row of its fields; None if they are wrong."""
    try:
        return _checked_row(fields, now, days, options_of, labels_of)
    except (ValueError, RecursionError):
        # A number that JSON has no form for: 1e999.
        return None


def _checked_row(
    fields: Any, now: float, days: float, options_of: RepeatedJson, labels_of: RepeatedJson
) -> ArchiveRow | None:
    # A newer worker may know more fields.
    if not isinstance(fields, list) or len(fields) < len(_CHECKS) - len(_ADDED):
        return None
    if len(fields) != len(_CHECKS):
        fields = [*fields[: len(_CHECKS)], *[None] * (len(_CHECKS) - len(fields))]
    if not _are_types(tuple(map(type, fields))):
        return None
    (
        evaluation_id, reservation, serial, kind, options, value, error, message, sha256, circuit, experiment, labels,
        firmware, firmware_version, origin, window_us, load_us, temperature_c, sequence, attempt, started_at, ended_at,
        board_labels, calibration,
    ) = fields  # fmt: skip
    if not (
        0 < len(evaluation_id) <= LONGEST_ID
        and evaluation_id.isprintable()
        and _are_names(reservation, serial, kind, experiment)
        and _are_within(window_us, load_us, temperature_c, sequence, attempt, started_at, ended_at)
    ):
        return None
    ended_at = _to_the_microsecond(ended_at)
    today = int(now // DAY)
    own = int(ended_at // DAY)
    return ArchiveRow(
        evaluation_id,
        reservation,
        serial,
        kind,
        options_of.json(options),
        None if error is not None else _json(value),
        None if error is not None else _number_of(value),
        _word(error),
        clean(message, LONGEST_MESSAGE) if message else None,
        clean(sha256, LONGEST_NAME) if sha256 else None,
        clean(circuit, MAX_CIRCUIT_NAME) if circuit else None,
        experiment,
        labels_of.json(labels) if labels else None,
        _word(firmware),
        _word(firmware_version),
        _word(origin),
        window_us,
        load_us,
        temperature_c,
        sequence,
        attempt,
        None if started_at is None else _to_the_microsecond(started_at),
        ended_at,
        day_of(own if now - days * DAY < ended_at < now + AHEAD else today),
        _json(board_labels) if board_labels else None,
        _word(calibration),
    )


@lru_cache(maxsize=1024)
def _are_types(types: tuple[type, ...]) -> bool:
    """Tell whether fields have the types that they may have; row after row has the same."""
    return all(map(contains, _CHECKS, types))


@lru_cache(maxsize=4096)
def _are_names(reservation: str, serial: str, kind: str, experiment: str | None) -> bool:
    """Tell whether these are names; row after row has the same."""
    return all(map(valid_name, (reservation, serial, kind))) and (experiment is None or valid_name(experiment))


def _are_within(
    window_us: int | None,
    load_us: int | None,
    temperature_c: float | None,
    sequence: int | None,
    attempt: int,
    started_at: float | None,
    ended_at: float,
) -> bool:
    """Tell whether the database has room for these numbers."""
    return (
        (window_us is None or -LARGEST <= window_us <= LARGEST)
        and (load_us is None or -LARGEST <= load_us <= LARGEST)
        and (temperature_c is None or -LARGEST <= temperature_c <= LARGEST)
        and (sequence is None or -LARGEST <= sequence <= LARGEST)
        and -MOST_ATTEMPTS <= attempt <= MOST_ATTEMPTS
        and (started_at is None or -LATEST <= started_at <= LATEST)
        and -LATEST <= ended_at <= LATEST
    )


def _to_the_microsecond(seconds: float) -> float:
    """Return a time as the database gives it back."""
    return round(seconds * 1e6) / 1e6


def _json(value: Any) -> str:
    # As json.dumps writes it: ASCII, and so free of what PostgreSQL refuses.
    return str(value) if value.__class__ is int else _ENCODE(value)


@lru_cache(maxsize=4096)
def _word(text: str | None) -> str | None:
    """Return a text that many rows have; an empty one is none, as in the database."""
    return clean(text, LONGEST_NAME) if text else None


def _number_of(value: Any) -> float | None:
    """Return a value as one number: the mean of several; what a kind measured, where its samples follow it.

    None without any, and for numbers that are too large for a float.
    """
    if value.__class__ is float:
        return float(value)
    numbers = [value] if value.__class__ is int else list(_numbers(value))
    try:
        mean = sum(numbers) / len(numbers) if numbers else None
    except OverflowError:
        return None
    return mean if mean is not None and isfinite(mean) else None


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
