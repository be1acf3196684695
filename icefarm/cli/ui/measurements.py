"""Pure: no I/O, no clock.  The columns of evaluations' results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from icefarm.cli.ui.columns import firmware
from icefarm.cli.ui.formatting import shown
from icefarm.cli.ui.tables import Column, Record, Shape
from icefarm.contract import Measurement, ReservationRecord, to_wire

if TYPE_CHECKING:
    from icefarm.client import Result

__all__ = ["record_of", "shape_of"]

#: Digits of a hash that suffice to tell bitstreams apart by eye.
PREFIX = 12
#: Maximum width of the column of file names on a terminal.
WIDEST = 48

_MEASURED = tuple(each.name for each in attrs.fields(Measurement))
#: The measurement in the contract's names; ``error`` is the error's name (exit codes and names: docs/cli.md).
FIELDS = ("file", "serial", *(name for name in _MEASURED if name != "serial"), "placement", "error", "message")


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
    return record


def _error(record: Record) -> str | None:
    return None if record["error"] is None else f"{record['error']}: {record['message']}"


def _value(record: Record) -> Any:
    """Return the value; that of several pins by pin."""
    value, options = record["value"], record["options"]
    if record["kind"] != "multipulsecount" or not value:
        return value
    columns = zip(*value, strict=True) if isinstance(value[0], list) else value
    return {str(pin): column for pin, column in zip(options["pins"], columns, strict=True)}


def _prefix(record: Record) -> str | None:
    return None if record["sha256"] is None else record["sha256"][:PREFIX]


def shape_of(files: Sequence[str], reservations: Sequence[ReservationRecord]) -> Shape:
    """Return how results are shown; names known beforehand set the widths of their columns."""
    file = min(WIDEST, max((len(shown(name)) for name in files), default=0))
    serial = max((len(shown(record.serial)) for record in reservations), default=0)
    worker = max((len(shown(record.worker)) for record in reservations), default=0)
    return Shape(
        FIELDS,
        (
            _column("FILE", "file", max(4, file), elided=True),
            _column("SERIAL", "serial", max(6, serial)),
            _column("WORKER", "worker", max(6, worker)),
            Column("VALUE", _value, 10, True),
            _column("WINDOW_US", "window_us", 9, right=True),
            _column("LOAD_US", "load_us", 7, right=True),
            _column("TEMP_C", "temperature_c", 6, right=True),
            Column("FIRMWARE", firmware, 18),
            _column("ATTEMPT", "attempt", 7, right=True),
            Column("SHA256", _prefix, PREFIX),
            _column("ORIGIN", "origin", 12),
            Column("ERROR", _error),
        ),
    )


def _column(title: str, name: str, width: int, *, right: bool = False, elided: bool = False) -> Column:
    return Column(title, lambda record: record[name], width, right, elided)
