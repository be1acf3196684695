"""Results of an experiment as a file, made part by part: CSV, JSON lines, Parquet.

Lines come from the archive as they are.  A table of Parquet is made of lines of CSV, in a thread.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import define, field

from icefarm.contract import CORRECTED_FIELDS
from icefarm.errors import InvalidArgument

__all__ = ["FORMATS", "Download", "InThread", "download"]

#: Media type of each format.
FORMATS = {
    "csv": "text/csv; charset=utf-8",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
}
#: Bytes of CSV that become a row group of Parquet, and the longest text of a field.
GROUP, LONGEST = 4_000_000, 1 << 20

#: Asks for the part after a cursor, in a format; answers as `icefarm.v1.control.experiment_file` does.
Ask = Callable[[str | None, str], Awaitable[Mapping[str, Any]]]


class InThread(Protocol):
    """Calls a function in a thread."""

    def __call__(self, function: Callable[..., bytes], *args: Any) -> Awaitable[bytes]: ...


class _Form(Protocol):
    """Turns lines into bytes of a file."""

    #: The format of the lines.
    lines: str

    def begin(self, fields: Sequence[str]) -> bytes: ...

    async def part(self, lines: bytes) -> bytes: ...

    async def end(self) -> bytes: ...


@define(eq=False)
class _Lines:
    """The lines as they are; CSV has the names of its fields before them."""

    lines: str

    def begin(self, fields: Sequence[str]) -> bytes:
        return (",".join(fields) + "\n").encode() if self.lines == "csv" else b""

    async def part(self, lines: bytes) -> bytes:
        return lines

    async def end(self) -> bytes:
        return b""


@define(eq=False)
class _Parquet:
    """Row groups; options, values and labels are JSON."""

    _arrow: Any
    _in_thread: InThread
    lines: str = "csv"
    _gathered: list[bytes] = field(factory=list)
    _size: int = 0
    _file: io.BytesIO = field(factory=io.BytesIO)
    _writer: Any = field(init=False)
    _types: dict[str, Any] = field(init=False)

    def begin(self, fields: Sequence[str]) -> bytes:
        from pyarrow import parquet

        arrow = self._arrow
        integers = ("seq", "window_us", "load_us", "sequence", "attempt")
        numbers = ("number", "temperature_c", "started_at", "ended_at", *CORRECTED_FIELDS)
        types = {name: arrow.int64() for name in integers} | {name: arrow.float64() for name in numbers}
        self._types = {name: types.get(name, arrow.string()) for name in fields}
        schema = arrow.schema(list(self._types.items()))
        self._writer = parquet.ParquetWriter(_Sink(self._file), schema, compression="zstd")
        return b""

    async def part(self, lines: bytes) -> bytes:
        self._gathered.append(lines)
        self._size += len(lines)
        return b"" if self._size < GROUP else await self._in_thread(self._written)

    async def end(self) -> bytes:
        return await self._in_thread(self._whole)

    def _written(self) -> bytes:
        """Write a row group of what is gathered, and return what the file has got by that."""
        from pyarrow import csv

        lines, self._gathered, self._size = b"".join(self._gathered), [], 0
        if lines:
            table = csv.read_csv(
                self._arrow.BufferReader(lines),
                read_options=csv.ReadOptions(
                    use_threads=False, column_names=list(self._types), block_size=max(len(lines), LONGEST)
                ),
                parse_options=csv.ParseOptions(newlines_in_values=True),
                convert_options=csv.ConvertOptions(
                    column_types=self._types, null_values=[""], strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )  # fmt: skip
            self._writer.write_table(table)
        return self._taken()

    def _whole(self) -> bytes:
        rest = self._written()
        self._writer.close()
        return rest + self._taken()

    def _taken(self) -> bytes:
        data = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return data


class _Sink(io.RawIOBase):
    """A sink for pyarrow's Parquet writer: it reports the position, and hands on and forgets what was written."""

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


@define(eq=False)
class Download:
    """A file, and its media type."""

    media_type: str
    chunks: AsyncIterator[bytes]
    #: What it is called where it is saved; None leaves it to the reader.
    name: str | None = None

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers of the answer."""
        named = {} if self.name is None else {"Content-Disposition": f'attachment; filename="{self.name}"'}
        return {"Content-Type": self.media_type, **named}


async def download(format_: str, ask: Ask, in_thread: InThread) -> Download:
    """Begin a file; its first part is asked for at once, so that an error comes before the file.

    Raises `InvalidArgument` for the format, and what ``ask`` raises.
    """
    form = _form(format_, in_thread)
    first = await ask(None, form.lines)
    return Download(FORMATS[format_], _chunks(form, first, ask))


def _form(name: str, in_thread: InThread) -> _Form:
    match name:
        case "csv":
            return _Lines("csv")
        case "jsonl":
            return _Lines("jsonl")
        case "parquet":
            try:
                import pyarrow
            except ImportError:
                raise InvalidArgument("this farm has no pyarrow, which Parquet takes; ask for csv or jsonl") from None
            return _Parquet(pyarrow, in_thread)
    raise InvalidArgument(f"format must be one of {', '.join(FORMATS)}, not {name!a:.40}")


async def _chunks(form: _Form, part: Mapping[str, Any], ask: Ask) -> AsyncIterator[bytes]:
    yield form.begin(part["fields"])
    while True:
        yield await form.part(part["data"])
        if not part["more"]:
            break
        part = await ask(part["next"], form.lines)
    yield await form.end()
