"""Pure: no I/O, no clock.  Rows for the archive as workers send them, checked.

A row that is wrong is left out and counted: it must not keep the others from being stored.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from functools import lru_cache
from math import isfinite
from typing import Any, NoReturn

from attrs import define, frozen

from icefarm.contract import ARCHIVE_FIELDS, LONGEST_NAME, MAX_CIRCUIT_NAME, account_of, default_experiment, valid_name
from icefarm.control.inventory.bounds import clean

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

_NUMBER, _COUNT, _TEXT = (int, float), (int,), (str,)
_MAYBE_TEXT, _MAYBE_COUNT, _MAYBE_NUMBER = (str, type(None)), (int, type(None)), (int, float, type(None))
#: The type of each field; None: any.
_TYPES: Mapping[str, tuple[type, ...] | None] = {
    **dict.fromkeys(("evaluation_id", "reservation", "serial", "kind"), _TEXT),
    "options": (dict,),
    "value": None,
    **dict.fromkeys(("error", "message", "sha256", "circuit", "experiment", "origin"), _MAYBE_TEXT),
    **dict.fromkeys(("firmware", "firmware_version"), _MAYBE_TEXT),
    "labels": (dict, type(None)),
    **dict.fromkeys(("window_us", "load_us", "sequence"), _MAYBE_COUNT),
    "temperature_c": _MAYBE_NUMBER,
    "attempt": _COUNT,
    "started_at": _MAYBE_NUMBER,
    "ended_at": _NUMBER,
    "board_labels": (dict, type(None)),
    "calibration": _MAYBE_TEXT,
}
#: The fields that workers of earlier versions do not send.
_ADDED = ("board_labels", "calibration")
#: The largest number in each field from ``window_us`` on.
_MOST = (LARGEST, LARGEST, LARGEST, LARGEST, MOST_ATTEMPTS, LATEST, LATEST)
_CHECKS = tuple((_TYPES[name] or (object,)) for name in ARCHIVE_FIELDS)
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
    repeated = _Repeated(), _Repeated()
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


@define
class _Repeated:
    """A mapping that row after row has, and its JSON: it is not written each time."""

    value: Any = None
    types: tuple[type, ...] = ()
    text: str = ""

    def json(self, value: Mapping[str, Any]) -> str:
        # 1, 1.0 and True are equal, and written differently; what is in lists is not looked at.
        types = tuple(map(type, value.values()))
        if value != self.value or types != self.types or list in types or dict in types:
            self.value, self.types, self.text = value, types, _ENCODE(value)
        return self.text


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


@lru_cache(maxsize=4096)
def _is_name(name: str) -> bool:
    return valid_name(name)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is none of JSON's numbers")


_DECODE = json.JSONDecoder(parse_constant=_refuse).decode


def _row(fields: Any, now: float, days: float, options_of: _Repeated, labels_of: _Repeated) -> ArchiveRow | None:
    """Return a row of its fields; None if they are wrong."""
    try:
        return _checked_row(fields, now, days, options_of, labels_of)
    except (ValueError, RecursionError):
        # A number that JSON has no form for: 1e999.
        return None


def _checked_row(
    fields: Any, now: float, days: float, options_of: _Repeated, labels_of: _Repeated
) -> ArchiveRow | None:
    # A newer worker may know more fields.
    if not isinstance(fields, list) or len(fields) < len(_CHECKS) - len(_ADDED):
        return None
    fields = [*fields[: len(_CHECKS)], *[None] * (len(_CHECKS) - len(fields))]
    if not all(map(isinstance, fields, _CHECKS)) or not _plausible(fields):
        return None
    (
        evaluation_id, reservation, serial, kind, options, value, error, message, sha256, circuit, experiment, labels,
        firmware, firmware_version, origin, window_us, load_us, temperature_c, sequence, attempt, started_at, ended_at,
        board_labels, calibration,
    ) = fields  # fmt: skip
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
        None if error is None else _word(error),
        None if message is None else clean(message, LONGEST_MESSAGE),
        None if sha256 is None else clean(sha256, LONGEST_NAME),
        None if circuit is None else clean(circuit, MAX_CIRCUIT_NAME),
        experiment,
        labels_of.json(labels) if labels else None,
        None if firmware is None else _word(firmware),
        None if firmware_version is None else _word(firmware_version),
        None if origin is None else _word(origin),
        window_us,
        load_us,
        temperature_c,
        sequence,
        attempt,
        started_at,
        ended_at,
        day_of(own if now - days * DAY < ended_at < now + AHEAD else today),
        _json(board_labels) if board_labels else None,
        None if calibration is None else _word(calibration),
    )


def _plausible(fields: list[Any]) -> bool:
    evaluation_id, reservation, serial, kind = fields[:4]
    experiment = fields[10]
    if not 0 < len(evaluation_id) <= LONGEST_ID or not evaluation_id.isprintable():
        return False
    if not (_is_name(reservation) and _is_name(serial) and _is_name(kind)):
        return False
    if experiment is not None and not _is_name(experiment):
        return False
    for value, most in zip(fields[15:22], _MOST, strict=True):
        # NaN is not below anything.
        if value is not None and (value.__class__ is bool or not abs(value) <= most):
            return False
    return True


def _json(value: Any) -> str:
    # As json.dumps writes it: ASCII, and so free of what PostgreSQL refuses.
    return str(value) if value.__class__ is int else _ENCODE(value)


@lru_cache(maxsize=4096)
def _word(text: str) -> str:
    """Return a text that many rows have."""
    return clean(text, LONGEST_NAME)


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
