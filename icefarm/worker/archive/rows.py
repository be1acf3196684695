"""Pure: no I/O, no clock.  Rows of the archive, and what a client notes of an evaluation.

A row is a JSON array with the fields of `icefarm.contract.ARCHIVE_FIELDS`.  This is code of each evaluation, so it is
written for speed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import isfinite
from typing import Any

from attrs import frozen

from icefarm.contract import ARCHIVE_FIELDS, MAX_CIRCUIT_NAME, MAX_LABELS, NAME_RULE, valid_name
from icefarm.errors import IcefarmError, InvalidArgument

# A worker writes a few rows at a time, between messages, when hardly anything is in the processor's caches: that takes
# the standard library 14 microseconds a row, and orjson 6.
try:
    from orjson import dumps
except ImportError:  # a platform for which there is no wheel
    dumps = None  # type: ignore[assignment]

__all__ = ["MAX_ROW", "Note", "failure_row", "measurement_row", "note_from_wire"]

#: Bytes of a row.  Boards' answers are shorter; a kind of another author may answer with anything, and a client may
#: note long labels.  The spool reads no longer ones back, and loses what comes after them.
MAX_ROW = 256 * 1024
#: Longest message of an error, and SHA-256 in hexadecimal, in characters.
MAX_MESSAGE, MAX_SHA256 = 400, 64


@frozen
class Note:
    """What a client says of an evaluation, beside what to evaluate."""

    experiment: str | None = None
    #: The client's name for the circuit.
    circuit: str | None = None
    labels: Mapping[str, Any] | None = None
    #: Whether the farm keeps the measurement.
    archive: bool = True
    #: SHA-256 that the client stated, for failures; and which attempt the call is.
    sha256: str | None = None
    attempt: int = 1


@lru_cache(maxsize=1024)
def _is_experiment(name: str) -> bool:
    return valid_name(name)


def note_from_wire(value: Any, bitstream: Any = None, attempt: Any = 1) -> Note:
    """Check a note that arrived.  Raises `InvalidArgument`."""
    digest = bitstream.get("sha256") if isinstance(bitstream, Mapping) else None
    sha256 = digest[:MAX_SHA256] if isinstance(digest, str) else None
    number = attempt if isinstance(attempt, int) else 1
    if value is None:
        return Note(sha256=sha256, attempt=number)
    if not isinstance(value, Mapping):
        raise InvalidArgument("note must be a mapping with experiment, circuit, labels and archive")
    experiment, labels = value.get("experiment"), value.get("labels")
    if experiment is not None and not (isinstance(experiment, str) and _is_experiment(experiment)):
        raise InvalidArgument(f"note: experiment must be {NAME_RULE}, not {experiment!a:.120}")
    circuit = value.get("circuit")
    if circuit is not None and not isinstance(circuit, str):
        raise InvalidArgument("note: circuit must be text")
    if labels is not None:
        _check_labels(labels)
    return Note(
        experiment,
        None if circuit is None else circuit[-MAX_CIRCUIT_NAME:],
        labels or None,
        value.get("archive") is not False,
        sha256,
        number,
    )


#: Types of a label's value; made once, since each evaluation has labels.
_LABEL = (str, int, float, type(None))


def _check_labels(labels: Any) -> None:
    if not isinstance(labels, Mapping) or len(labels) > MAX_LABELS:
        raise InvalidArgument(f"note: labels must be a mapping of at most {MAX_LABELS} names")
    for name, value in labels.items():
        if not isinstance(name, str) or not isinstance(value, _LABEL) or (type(value) is float and not isfinite(value)):
            raise InvalidArgument("note: labels must have text for names, and text or finite numbers as values")


def measurement_row(reservation: str, note: Note, measured: Mapping[str, Any]) -> bytes:
    """Return the row of a measurement (the fields of `icefarm.contract.Measurement`).

    Its attempt is the latest call that it answers, by which the archive tells it from what other boards measured.
    """
    get = measured.get
    return _encoded(
        [
            get("evaluation_id"), reservation, get("serial"), get("kind"), get("options"), get("value"), None, None,
            get("sha256"), note.circuit, note.experiment, note.labels, get("firmware"), get("firmware_version"),
            get("origin"), get("window_us"), get("load_us"), get("temperature_c"), get("sequence"),
            max(get("attempt") or 1, note.attempt), get("started_at"), get("ended_at"), get("board_labels") or None,
            get("calibration"),
        ]
    )  # fmt: skip


def failure_row(
    reservation: str, note: Note, evaluation_id: str, stamp: Mapping[str, Any], error: IcefarmError, now: float
) -> bytes:
    """Return the row of an evaluation that failed; ``stamp`` has the fields that are the same for the reservation."""
    get = stamp.get
    return _encoded(
        [
            evaluation_id, reservation, get("serial"), get("kind"), get("options"), None, error.name,
            error.message[:MAX_MESSAGE], note.sha256, note.circuit, note.experiment, note.labels, get("firmware"),
            get("firmware_version"), None, None, None, None, None, note.attempt, None, now,
            get("board_labels") or None, get("calibration"),
        ]
    )  # fmt: skip


_VALUE, _ERROR, _MESSAGE = (ARCHIVE_FIELDS.index(name) for name in ("value", "error", "message"))
#: What may be long, and what stands in its place if it is left out.
_MAY_BE_LONG: Mapping[str, Any] = {"value": None, "labels": None, "options": {}}
_encode = json.JSONEncoder(allow_nan=False, default=repr, separators=(",", ":"), check_circular=False).encode


#: Types of values that orjson writes as the standard library does.
_SIMPLE = frozenset((int, str, bool, type(None)))


def _encoded(fields: list[Any]) -> bytes:
    row = _quickly_encoded(fields)
    if row is None:
        row = _fully_encoded(fields)
    return row if len(row) <= MAX_ROW else _shortened(fields, len(row))


def _quickly_encoded(fields: Sequence[Any]) -> bytes | None:
    """Return the row; None where it takes more than orjson: numbers that are not finite, and other than ASCII."""
    if dumps is None or not _is_simple(fields[_VALUE]):
        return None
    try:
        row = dumps(fields)
    except TypeError:
        return None
    return row if row.isascii() else None


def _is_simple(value: Any) -> bool:
    kind = value.__class__
    if kind is float:
        return isfinite(value)
    return kind in _SIMPLE or (kind is list and set(map(type, value)) == {int})


def _fully_encoded(fields: list[Any]) -> bytes:
    try:
        return _encode(fields).encode("ascii")
    except (ValueError, RecursionError):
        # A third-party kind may answer with values that JSON cannot represent.
        fields[_VALUE] = repr(fields[_VALUE])[:MAX_MESSAGE]
        return _plainly(fields)


def _plainly(fields: Any) -> bytes:
    return json.dumps(fields, default=repr).encode("ascii")


def _shortened(fields: list[Any], size: int) -> bytes:
    """Leave out the longest field of a row, and the next one, until the row is short enough."""
    places = {name: ARCHIVE_FIELDS.index(name) for name in _MAY_BE_LONG}
    left_out: list[str] = []
    for name in sorted(places, key=lambda name: len(_plainly(fields[places[name]])), reverse=True):
        left_out.append(name)
        fields[places[name]] = _MAY_BE_LONG[name]
        if fields[_ERROR] is None:
            fields[_MESSAGE] = f"left out, since the row would have {size:,} bytes: {', '.join(left_out)}"
        row = _plainly(fields)
        if len(row) <= MAX_ROW:
            break
    return row
