"""Results of the archive as tables of pandas, Polars and Arrow; each needs its package."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, BinaryIO

from icefarm.client.api.notebook.archived import ArchivedResult, table_columns
from icefarm.client.api.notebook.shown import circuit_name
from icefarm.client.evaluation.results import Result
from icefarm.contract import CORRECTED_FIELDS
from icefarm.errors import InvalidArgument

__all__ = [
    "ArrowWriter",
    "arrow_schema",
    "arrow_table",
    "needed_package",
    "pandas_frame",
    "polars_frame",
    "results_table",
]

_INTEGERS = ("seq", "window_us", "load_us", "sequence", "attempt")
_NUMBERS = ("number", "temperature_c", "started_at", "ended_at", *CORRECTED_FIELDS)


def needed_package(name: str, extra: str, shown: str | None = None) -> Any:
    """Import a package that a plain installation does not have.  Raises `InvalidArgument`, with what to install."""
    try:
        return import_module(name)
    except ImportError:
        raise InvalidArgument(f"{shown or name} is not installed: pip install {extra}") from None


def arrow_schema(*, corrected: bool = False) -> Any:
    """Return the schema of results in Arrow.  Raises `InvalidArgument` if pyarrow is not installed."""
    arrow = needed_package("pyarrow", "'icefarm[parquet]'")
    types = {name: arrow.int64() for name in _INTEGERS} | {name: arrow.float64() for name in _NUMBERS}
    return arrow.schema([(name, types.get(name, arrow.string())) for name in table_columns((), corrected=corrected)])


def arrow_table(results: Sequence[ArchivedResult], *, corrected: bool = False) -> Any:
    """Return results as a ``pyarrow.Table``."""
    schema = arrow_schema(corrected=corrected)
    return import_module("pyarrow").table(table_columns(results, corrected=corrected), schema=schema)


#: What `results_table` shows of a measurement.
_MEASURED = (
    *("kind", "options", "window_us", "load_us", "temperature_c", "origin", "attempt", "started_at", "ended_at"),
    *("worker", "firmware", "firmware_version", "sha256", "evaluation_id"),
)


def results_table(results: Iterable[Result]) -> Any:
    """Collect results of ``boards.evaluate(...)`` into a ``pandas.DataFrame``, a row for each, as they arrive.

    A failed one has its error in ``error`` and ``message``, and nothing in the columns of the measurement.  Raises
    `InvalidArgument` where pandas is not installed.
    """
    pandas = needed_package("pandas", "'icefarm[notebook]'")
    frame = pandas.DataFrame(
        [_row(result) for result in results], columns=["circuit", "serial", "value", "error", "message", *_MEASURED]
    )
    return frame.astype({"window_us": "Int64", "load_us": "Int64", "attempt": "Int64"})


def _row(result: Result) -> dict[str, Any]:
    row = {"circuit": circuit_name(result.source), "serial": result.serial}
    if result.error is not None:
        return {**row, "error": result.error.name, "message": str(result.error)}
    measured = result.measurement
    return {**row, "value": measured.value, **{name: getattr(measured, name) for name in _MEASURED}}


class ArrowWriter:
    """Writes results, as mappings, into a Parquet file: a row group for each block."""

    def __init__(self, file: BinaryIO, *, corrected: bool = False) -> None:
        self._corrected, self._schema = corrected, arrow_schema(corrected=corrected)
        self._arrow = import_module("pyarrow")
        self._writer = import_module("pyarrow.parquet").ParquetWriter(file, self._schema, compression="zstd")

    def write(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._writer.write_table(self._arrow.table(self._columns(rows), schema=self._schema))

    def _columns(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
        return table_columns(rows, corrected=self._corrected)

    def close(self) -> None:
        self._writer.close()


def pandas_frame(results: Sequence[ArchivedResult], *, corrected: bool = False) -> Any:
    """Return results as a ``pandas.DataFrame``."""
    pandas = needed_package("pandas", "pandas")
    frame = pandas.DataFrame(table_columns(results, corrected=corrected))
    types = dict.fromkeys(_INTEGERS, "Int64") | dict.fromkeys(_NUMBERS, "float64")
    return frame.astype({name: type_ for name, type_ in types.items() if name in frame})


def polars_frame(results: Sequence[ArchivedResult], *, corrected: bool = False) -> Any:
    """Return results as a ``polars.DataFrame``."""
    polars = needed_package("polars", "polars")
    types = dict.fromkeys(_INTEGERS, polars.Int64) | dict.fromkeys(_NUMBERS, polars.Float64)
    columns = table_columns(results, corrected=corrected)
    return polars.DataFrame(columns, schema={name: types.get(name, polars.String) for name in columns})
