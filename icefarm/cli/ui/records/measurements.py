"""Pure: no I/O, no clock.  The columns of evaluations' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import attrs

from icefarm.cli.ui.records.archive_columns import error
from icefarm.cli.ui.records.columns import firmware
from icefarm.cli.ui.records.formatting import shown
from icefarm.cli.ui.records.tables import Column, Record, Shape
from icefarm.contract import Measurement, ReservationRecord, to_wire

if TYPE_CHECKING:
    from icefarm.client import Result

__all__ = ["record_of", "shape_of"]

#: Digits of a hash that suffice to tell bitstreams apart by eye.
PREFIX = 12
#: Maximum width of the column of file names on a terminal.
WIDEST = 48
#: Width of the column of values: of each number, with the pin's name, and at most.
NUMBER, VALUES = 10, 40
#: Width of the column of errors, which has what the others leave.
ERROR = 60

_MEASURED = tuple(each.name for each in attrs.fields(Measurement))
#: The measurement in the contract's names; ``error`` is the error's name (exit codes and names: docs/cli.md).
FIELDS = (
    "file",
    "serial",
    *(name for name in _MEASURED if name != "serial"),
    "placement",
    "error",
    "message",
    "archived",
)


def record_of(result: Result, workers: Mapping[str, str]) -> dict[str, Any]:
    """Return a result as one flat record; fields unknown for a failed one are None."""
    record: dict[str, Any] = dict.fromkeys(FIELDS)
    if result.error is None:
        record |= to_wire(result.measurement)
    else:
        record |= {"error": result.error.name, "message": result.error.message}
        if result.serial is not None:
            record |= {"serial": result.serial, "worker": workers.get(result.serial)}
    record["file"] = result.source
    record["placement"] = result.placement
    record["archived"] = result.archived
    return record


def _value(record: Record) -> Any:
    """Return the value; that of several pins by pin."""
    value, options = record["value"], record["options"]
    if record["kind"] != "multipulsecount" or not value:
        return value
    columns = zip(*value, strict=True) if isinstance(value[0], list) else value
    return {str(pin): column for pin, column in zip(options["pins"], columns, strict=True)}


def _prefix(record: Record) -> str | None:
    return None if record["sha256"] is None else record["sha256"][:PREFIX]


def _numbers(record: Record) -> list[float]:
    """Return the values of the windows of one evaluation, if each is a number."""
    value = record["value"]
    plain = isinstance(value, list) and all(isinstance(each, int | float) for each in value)
    return list(value) if plain else []


def _mean(record: Record) -> float | None:
    numbers = _numbers(record)
    return sum(numbers) / len(numbers) if numbers else None


def _deviation(record: Record) -> float | None:
    """Return the standard deviation of the sample, for which it takes two."""
    # Imported on demand: it imports decimal numbers and fractions.
    import statistics

    numbers = _numbers(record)
    return statistics.stdev(numbers) if len(numbers) > 1 else None


def _archived(record: Record) -> str:
    return "yes" if record["archived"] else "no"


def _values(repeats: int, pins: int) -> tuple[Column, ...]:
    width = min(VALUES, max(1, pins) * max(1, repeats) * NUMBER)
    value = Column("VALUE", _value, width, True, priority=0 if repeats == 1 else 4, least=10)
    if repeats == 1:
        return (value,)
    mean = Column("MEAN", _mean, 10, True, priority=0)
    return (mean, Column("SD", _deviation, 10, True, priority=0), value)


def shape_of(
    files: Sequence[str], reservations: Sequence[ReservationRecord], repeats: int = 1, archived: bool = False
) -> Shape:
    """Return how results are shown; names known beforehand set the widths of their columns.

    With ``repeats``, the mean and the standard deviation come before the list of values.  With ``archived`` there is a
    column for results from the archive.
    """
    file = min(WIDEST, max((len(shown(name)) for name in files), default=0))
    serial = max((len(shown(record.serial)) for record in reservations), default=0)
    pins = max((len(record.options.get("pins") or ()) for record in reservations), default=1)
    worker = max((len(shown(record.worker)) for record in reservations), default=0)
    return Shape(
        FIELDS,
        (
            _column("FILE", "file", max(4, file), 0, elided=True, least=12),
            _column("SERIAL", "serial", max(6, serial), 0),
            _column("WORKER", "worker", max(6, worker), 5),
            *_values(repeats, pins),
            _column("WINDOW_US", "window_us", 9, 4, right=True),
            _column("LOAD_US", "load_us", 7, 5, right=True),
            _column("TEMP_C", "temperature_c", 6, 3, right=True),
            Column("FIRMWARE", firmware, 18, priority=6),
            _column("ATTEMPT", "attempt", 7, 6, right=True),
            Column("SHA256", _prefix, PREFIX, priority=7),
            _column("ORIGIN", "origin", 12, 2),
            *((Column("ARCHIVED", _archived, 8, priority=1),) if archived else ()),
            Column("ERROR", error, ERROR, priority=1, least=14),
        ),
    )


def _column(
    title: str, name: str, width: int, priority: int, *, right: bool = False, elided: bool = False, least: int = 0
) -> Column:
    return Column(title, itemgetter(name), width, right, elided, priority, least)
