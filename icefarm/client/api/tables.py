"""Results of the archive as tables of pandas, Polars and Arrow; each needs its package."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from icefarm.client.archived import ArchivedResult, table_columns
from icefarm.errors import InvalidArgument

__all__ = ["arrow_schema", "arrow_table", "pandas_frame", "polars_frame"]

_INTEGERS = ("seq", "window_us", "load_us", "sequence", "attempt")
_NUMBERS = ("number", "temperature_c", "started_at", "ended_at")


def _package(name: str, extra: str) -> Any:
    try:
        return import_module(name)
    except ImportError:
        raise InvalidArgument(f"{name} is not installed: pip install {extra}") from None


def arrow_schema() -> Any:
    """Return the schema of results in Arrow.  Raises `InvalidArgument` if pyarrow is not installed."""
    arrow = _package("pyarrow", "'icefarm[parquet]'")
    types = {name: arrow.int64() for name in _INTEGERS} | {name: arrow.float64() for name in _NUMBERS}
    return arrow.schema([(name, types.get(name, arrow.string())) for name in table_columns(())])


def arrow_table(results: Sequence[ArchivedResult]) -> Any:
    """Return results as a ``pyarrow.Table``."""
    schema = arrow_schema()
    return import_module("pyarrow").table(table_columns(results), schema=schema)


def pandas_frame(results: Sequence[ArchivedResult]) -> Any:
    """Return results as a ``pandas.DataFrame``."""
    pandas = _package("pandas", "pandas")
    frame = pandas.DataFrame(table_columns(results))
    integers = dict.fromkeys(_INTEGERS, "Int64")
    numbers = dict.fromkeys(_NUMBERS, "float64")
    return frame.astype({**integers, **numbers})


def polars_frame(results: Sequence[ArchivedResult]) -> Any:
    """Return results as a ``polars.DataFrame``."""
    polars = _package("polars", "polars")
    types = dict.fromkeys(_INTEGERS, polars.Int64) | dict.fromkeys(_NUMBERS, polars.Float64)
    columns = table_columns(results)
    return polars.DataFrame(columns, schema={name: types.get(name, polars.String) for name in columns})
