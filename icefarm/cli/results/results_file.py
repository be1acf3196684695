"""Results in a file, each written as it comes: .csv, .jsonl or .parquet; and which ones are in it already."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import click
from attrs import define, field

from icefarm.cli.ui.records.measurements import FIELDS
from icefarm.system.files import FileLock, Locked, write_whole
from icefarm.system.writing import CannotWrite, write_all
from icefarm.text.one_line import one_line
from icefarm.text.outside_json import parse_json

__all__ = ["ResultsFile", "open_results"]

#: Columns: those of JSON and CSV output, and what was asked for: kind and options, as JSON.
COLUMNS = (*FIELDS, "asked")
#: Those of files that were begun before results told whether they are from the archive.
OLD_COLUMNS = tuple(name for name in COLUMNS if name != "archived")
#: What tells one evaluation from another; the board as well, where each circuit is measured on each.
_KEY = ("file", "sha256", "asked")


class _Store(Protocol):
    """Records in a file; those read have text or None where the form has no types."""

    def read(self) -> list[dict[str, Any]]: ...

    def append(self, record: Mapping[str, Any]) -> None: ...

    def finish(self) -> None:
        """Bring the file into its final form."""

    def close(self) -> None: ...


@define(eq=False)
class ResultsFile:
    """A file of results, which this process alone writes to.  Use it in a ``with`` block."""

    path: str
    _store: _Store
    _lock: FileLock
    _done: set[tuple[str, ...]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        good = [record for record in self._store.read() if not record.get("error")]
        self._done = {_key(record, serial) for record in good for serial in (None, record["serial"])}

    def has(self, file: str, sha256: str, asked: str, serial: str | None = None) -> bool:
        """Tell whether an evaluation is in it with a value, measured on that board where one is given."""
        return _key({"file": file, "sha256": sha256, "asked": asked}, serial) in self._done

    def serials(self, asked: str) -> list[str]:
        """Return the boards that measured with these options."""
        return sorted({key[-1] for key in self._done if len(key) > len(_KEY) and key[2] == asked})

    def add(self, record: Mapping[str, Any], asked: str) -> None:
        """Write a result; it is in the file when this returns (in its journal, for Parquet).  Raises `CannotWrite`."""
        try:
            self._store.append({**record, "asked": asked})
        except OSError as error:
            raise self._cannot_write(error) from None

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            try:
                self._store.finish()
            finally:
                self._store.close()
        except OSError as error:
            if kind is None:
                raise self._cannot_write(error) from None
        finally:
            self._lock.release()

    def _cannot_write(self, error: OSError) -> CannotWrite:
        reason = error.strerror or str(error)
        return CannotWrite(f"cannot write results to {one_line(self.path)}: {reason}; what it has already stays")


def open_results(path: str) -> ResultsFile:
    """Open a file of results, or make one; its name says which form.

    Raises `click.UsageError`, and `CannotWrite` where another process writes to it.
    """
    stores: dict[str, Callable[[Path], _Store]] = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}
    store, label = stores.get(Path(path).suffix.lower()), one_line(path)
    if store is None:
        raise click.UsageError(f"--out writes .csv, .jsonl or .parquet, not {label}")
    lock = FileLock(path)
    try:
        lock.acquire()
        return ResultsFile(path, store(lock.path), lock)
    except Locked as error:
        raise CannotWrite(f"--out {label}: {error}; wait until it has ended, or give another file") from None
    except OSError as error:
        lock.release()
        raise click.UsageError(f"--out {label}: {error.strerror or error}") from None
    except (ValueError, KeyError, csv.Error) as error:
        lock.release()
        raise click.UsageError(f"--out {label}: {error}") from None


def _key(record: Mapping[str, Any], serial: str | None) -> tuple[str, ...]:
    key = tuple(_text(str(record[name])) for name in _KEY)
    return key if serial is None else (*key, serial)


def _text(value: str) -> str:
    """Return text that any form can hold: bytes of a file's name that are no UTF-8 become such as ``\\udce9``."""
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


class _Appended:
    """A file that grows at its end, by whole records of text.

    Names of files may hold bytes that are no text: they are in the file as they are in the name.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._end = 0

    def text(self) -> str:
        """Return all that is in the file."""
        with open(os.dup(self._descriptor), "rb") as file:
            file.seek(0)
            return file.read().decode("utf-8", "surrogateescape")

    def cut(self, text: str) -> None:
        """Leave no more than this beginning in the file, and go on after it."""
        self._end = len(text.encode("utf-8", "surrogateescape"))
        os.ftruncate(self._descriptor, self._end)

    def append(self, text: str) -> None:
        """Write a record.  Where that fails, nothing of it stays."""
        try:
            data = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:  # Text of others, such as a board's message, with surrogates that stand for no byte.
            data = text.encode("utf-8", "replace")
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        try:
            write_all(self._descriptor, data)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _check_beginning(text: str, beginning: str) -> None:
    """Raises ValueError where a file does not begin as one of ours."""
    if not (text.startswith(beginning) or beginning.startswith(text)):
        raise ValueError("it holds something other than results")


class _JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = _Appended(path)

    def read(self) -> list[dict[str, Any]]:
        text = self._file.text()
        _check_beginning(text, f'{{"{COLUMNS[0]}": ')
        # A last line that was cut off while it was written does not count.
        whole = text[: text.rfind("\n") + 1]
        records = [parse_json(line) for line in whole.split("\n")[:-1]]
        if not all(isinstance(record, dict) and set(_KEY) <= record.keys() for record in records):
            raise ValueError("it holds something other than results")
        self._file.cut(whole)
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        self._file.append(json.dumps({name: record.get(name) for name in COLUMNS}, default=str) + "\n")

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


class _Csv:
    """A line with the names of the columns, then one for each result; lists and mappings are JSON."""

    def __init__(self, path: Path) -> None:
        self._file = _Appended(path)
        self._columns = COLUMNS

    def read(self) -> list[dict[str, Any]]:
        text = self._file.text()
        if text.startswith(_csv_row(OLD_COLUMNS)):
            # It keeps its columns.
            self._columns = OLD_COLUMNS
        head = _csv_row(self._columns)
        _check_beginning(text, head)
        rows = _whole_rows(text)
        records = [dict(zip(self._columns, next(csv.reader([row])), strict=True)) for row in rows[1:]]
        self._file.cut("".join(rows))
        if not rows:
            self._file.append(head)
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        self._file.append(_csv_row(_flat(record.get(name)) for name in self._columns))

    def finish(self) -> None:
        pass

    def close(self) -> None:
        self._file.close()


def _csv_row(values: Iterable[Any]) -> str:
    text = io.StringIO()
    # Lines end with LF, and values with a CR are quoted as those with a LF are.
    csv.writer(text, lineterminator="\r\n").writerow(list(values))
    return text.getvalue().removesuffix("\r\n") + "\n"


def _whole_rows(text: str) -> list[str]:
    """Return the rows of CSV, each with the end of its line; a last one that was cut off does not count.

    A line ends a row where it leaves no quote open: values in quotes may hold ends of lines.
    """
    rows: list[str] = []
    begun: list[str] = []
    quotes = 0
    for line in text.split("\n")[:-1]:
        begun.append(line + "\n")
        quotes += line.count('"')
        if quotes % 2 == 0:
            rows.append("".join(begun))
            begun.clear()
    return rows


class _Parquet:
    """A table that is written at the end; until then a journal of JSON lines beside it has what is new."""

    def __init__(self, path: Path) -> None:
        try:
            import pyarrow.parquet
        except ImportError:
            raise ValueError("Parquet needs pyarrow: pip install 'icefarm[parquet]'") from None
        self._arrow: Any = pyarrow
        self._path = path
        self._journal_path = path.with_name(path.name + ".journal")
        self._journal = _JsonLines(self._journal_path)

    def read(self) -> list[dict[str, Any]]:
        table: list[dict[str, Any]] = []
        if self._path.exists():
            # As an open file: pyarrow takes no path that is not UTF-8.
            with self._path.open("rb") as file:
                table = self._arrow.parquet.read_table(file).to_pylist()
        if not all(_KEY[0] in record for record in table):
            raise ValueError("it holds something other than results")
        return [*table, *self._journal.read()]

    def append(self, record: Mapping[str, Any]) -> None:
        self._journal.append(record)

    def finish(self) -> None:
        records = self.read()
        if records:
            columns = {name: _uniform([record.get(name) for record in records]) for name in COLUMNS}
            table = io.BytesIO()
            self._arrow.parquet.write_table(self._arrow.table(columns), table)
            write_whole(self._path, table.getvalue())
        self._journal_path.unlink()

    def close(self) -> None:
        self._journal.close()


def _flat(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, bool | list | tuple | Mapping) else value


def _uniform(values: Sequence[Any]) -> list[Any]:
    """Return the values of a column in one type: numbers as they are, all else as text, lists and mappings as JSON."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        mixed = any(isinstance(value, float) for value in values)
        return [float(value) if mixed and value is not None else value for value in values]
    texts = (value if value is None or isinstance(value, str) else str(_flat(value)) for value in values)
    return [None if text is None else _text(text) for text in texts]
