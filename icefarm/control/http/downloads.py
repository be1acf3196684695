"""Results of an experiment as a file, made page by page: CSV, JSON lines, Parquet."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from icefarm.contract import RESULT_FIELDS
from icefarm.errors import InvalidArgument

__all__ = ["FORMATS", "PAGE", "Download", "download"]

#: Rows of a page.
PAGE = 5000
#: Media type of each format.
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
#: Values without one type: JSON in a table.
_JSON_FIELDS = ("options", "value", "labels", "board_labels")
_AS_JSON = tuple(place for place, name in enumerate(RESULT_FIELDS) if name in _JSON_FIELDS)

Row = Sequence[Any]
#: Asks for the page after a cursor; answers as `icefarm.v1.control.experiment_results` does.
Ask = Callable[[str | None], Awaitable[Mapping[str, Any]]]


class _Form(Protocol):
    """Turns pages into bytes."""

    def page(self, rows: Sequence[Row]) -> bytes: ...

    def end(self) -> bytes: ...


@define(eq=False)
class _Csv:
    """The first line has the names; options, labels and values that are no numbers are JSON."""

    _begun: bool = False

    def page(self, rows: Sequence[Row]) -> bytes:
        file = io.StringIO()
        writer = csv.writer(file, lineterminator="\n")
        if not self._begun:
            self._begun = True
            writer.writerow(RESULT_FIELDS)
        writer.writerows(_flat(rows))
        return file.getvalue().encode()

    def end(self) -> bytes:
        return b""


@define(eq=False)
class _JsonLines:
    """An object on each line."""

    def page(self, rows: Sequence[Row]) -> bytes:
        lines = [json.dumps(dict(zip(RESULT_FIELDS, row, strict=True)), separators=(",", ":")) for row in rows]
        return ("\n".join(lines) + "\n").encode() if lines else b""

    def end(self) -> bytes:
        return b""


@define(eq=False)
class _Parquet:
    """A row group for each page; options, values and labels are JSON."""

    _arrow: Any
    _file: io.BytesIO = field(factory=io.BytesIO)
    _writer: Any = field(init=False)
    _schema: Any = field(init=False)

    def __attrs_post_init__(self) -> None:
        from pyarrow import parquet

        arrow = self._arrow
        integers = ("seq", "window_us", "load_us", "sequence", "attempt")
        numbers = ("number", "temperature_c", "started_at", "ended_at")
        types = {name: arrow.int64() for name in integers} | {name: arrow.float64() for name in numbers}
        self._schema = arrow.schema([(name, types.get(name, arrow.string())) for name in RESULT_FIELDS])
        self._writer = parquet.ParquetWriter(_Sink(self._file), self._schema, compression="zstd")

    def page(self, rows: Sequence[Row]) -> bytes:
        if rows:
            columns = [list(column) for column in zip(*_flat(rows), strict=True)]
            for place in _AS_JSON:
                columns[place] = [None if value is None else _text(value) for value in columns[place]]
            table = self._arrow.table(dict(zip(RESULT_FIELDS, columns, strict=True)), schema=self._schema)
            self._writer.write_table(table)
        return self._taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        data = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return data


class _Sink(io.RawIOBase):
    """Where Parquet is written: it is told how far it got, though what it wrote is gone."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__()
        self._file, self._place = file, 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        written = self._file.write(data)
        self._place += written
        return written


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _flat(rows: Sequence[Row]) -> list[Row]:
    flat: list[Row] = []
    for row in rows:
        cells = list(row)
        for place in _AS_JSON:
            if isinstance(cells[place], list | dict):
                cells[place] = json.dumps(cells[place], separators=(",", ":"))
        flat.append(cells)
    return flat


@define(eq=False)
class Download:
    """A file, and its media type."""

    media_type: str
    chunks: AsyncIterator[bytes]


async def download(format_: str, ask: Ask) -> Download:
    """Begin a file; its first page is asked for at once, so that an error comes before the file.

    Raises `InvalidArgument` for the format, and what ``ask`` raises.
    """
    form = _form(format_)
    first = await ask(None)
    return Download(FORMATS[format_], _chunks(form, first, ask))


def _form(name: str) -> _Form:
    match name:
        case "csv":
            return _Csv()
        case "jsonl":
            return _JsonLines()
        case "parquet":
            try:
                import pyarrow
            except ImportError:
                raise InvalidArgument("this farm has no pyarrow, which Parquet takes; ask for csv or jsonl") from None
            return _Parquet(pyarrow)
    raise InvalidArgument(f"format must be one of {', '.join(FORMATS)}, not {name!a:.40}")


async def _chunks(form: _Form, page: Mapping[str, Any], ask: Ask) -> AsyncIterator[bytes]:
    while True:
        yield form.page(page["results"])
        if not page["more"]:
            break
        page = await ask(page["next"])
    yield form.end()
