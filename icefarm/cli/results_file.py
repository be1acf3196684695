"""Results in a file, each written as it comes: .csv, .jsonl or .parquet; and which ones are in it already."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import click
from attrs import define, field

from icefarm.cli.ui.measurements import FIELDS

__all__ = ["ResultsFile", "open_results"]

#: Columns: those of JSON and CSV output, and what was asked for: kind and options, as JSON.
COLUMNS = (*FIELDS, "asked")
#: What tells one evaluation from another; the board as well, where each circuit is measured on each.
_KEY = ("file", "sha256", "asked")


class _Store(Protocol):
    """Records in a file; those read have text or None where the form has no types."""

    def read(self) -> list[dict[str, Any]]: ...

    def append(self, record: Mapping[str, Any]) -> None: ...

    def close(self) -> None: ...


@define(eq=False)
class ResultsFile:
    """A file of results.  Use it in a ``with`` block."""

    _store: _Store
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
        """Write a result; it is in the file when this returns (in its journal, for Parquet)."""
        self._store.append({**record, "asked": asked})

    def __enter__(self) -> ResultsFile:
        return self

    def __exit__(self, *_: object) -> None:
        self._store.close()


def open_results(path: str) -> ResultsFile:
    """Open a file of results, or make one; its name says which form.  Raises `click.UsageError`."""
    stores: dict[str, Callable[[Path], _Store]] = {".csv": _Csv, ".jsonl": _JsonLines, ".parquet": _Parquet}
    store = stores.get(Path(path).suffix.lower())
    if store is None:
        raise click.UsageError(f"--out writes .csv, .jsonl or .parquet, not {path!r}")
    try:
        return ResultsFile(store(Path(path)))
    except (OSError, ValueError, KeyError) as error:
        raise click.UsageError(f"--out {path}: {error}") from None


def _key(record: Mapping[str, Any], serial: str | None) -> tuple[str, ...]:
    key = tuple(str(record[name]) for name in _KEY)
    return key if serial is None else (*key, serial)


def _appendable(path: Path) -> io.TextIOWrapper:
    # Names of files may hold bytes that are no text.
    return path.open("r+" if path.exists() else "w+", encoding="utf-8", errors="surrogateescape", newline="")


def _whole_lines(file: io.TextIOWrapper, beginning: str) -> list[str]:
    """Return the lines of a file; a last one that was cut off while it was written does not count.

    Raises ValueError where the file does not begin as one of ours.
    """
    file.seek(0)
    content = file.read()
    if not (content.startswith(beginning) or beginning.startswith(content)):
        raise ValueError("it holds something else than results")
    return content[: content.rfind("\n") + 1].splitlines(keepends=True)


def _cut(file: io.TextIOWrapper, lines: Sequence[str]) -> None:
    """Leave no more than these lines in a file, and go on after them."""
    file.truncate(len("".join(lines).encode("utf-8", "surrogateescape")))
    file.seek(0, os.SEEK_END)


class _JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = _appendable(path)

    def read(self) -> list[dict[str, Any]]:
        lines = _whole_lines(self._file, f'{{"{COLUMNS[0]}": ')
        records = [json.loads(line) for line in lines]
        if not all(isinstance(record, dict) and set(_KEY) <= record.keys() for record in records):
            raise ValueError("it holds something else than results")
        _cut(self._file, lines)
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        line = json.dumps({name: record.get(name) for name in COLUMNS}, default=str)
        self._file.write(line + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class _Csv:
    """A line with the names of the columns, then one for each result; lists and mappings are JSON."""

    def __init__(self, path: Path) -> None:
        self._file = _appendable(path)

    def read(self) -> list[dict[str, Any]]:
        lines = _whole_lines(self._file, ",".join(COLUMNS) + "\n")
        records = [dict(zip(COLUMNS, row, strict=True)) for row in csv.reader(lines[1:])]
        _cut(self._file, lines)
        if not lines:
            self._write(COLUMNS)
        return records

    def append(self, record: Mapping[str, Any]) -> None:
        self._write([_flat(record.get(name)) for name in COLUMNS])

    def close(self) -> None:
        self._file.close()

    def _write(self, values: Iterable[Any]) -> None:
        csv.writer(self._file, lineterminator="\n").writerow(list(values))
        self._file.flush()


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
            table = self._arrow.parquet.read_table(self._path).to_pylist()
        if not all(_KEY[0] in record for record in table):
            raise ValueError("it holds something else than results")
        return [*table, *self._journal.read()]

    def append(self, record: Mapping[str, Any]) -> None:
        self._journal.append(record)

    def close(self) -> None:
        records = self.read()
        self._journal.close()
        columns = {name: _uniform([record.get(name) for record in records]) for name in COLUMNS}
        if records:
            new = self._path.with_name(self._path.name + ".new")
            self._arrow.parquet.write_table(self._arrow.table(columns), new)
            os.replace(new, self._path)
        self._journal_path.unlink()


def _flat(value: Any) -> Any:
    return json.dumps(value, default=str) if isinstance(value, bool | list | tuple | Mapping) else value


def _uniform(values: Sequence[Any]) -> list[Any]:
    """Return the values of a column in one type: numbers as they are, all else as text, lists and mappings as JSON."""
    if all(value is None or (isinstance(value, int | float) and not isinstance(value, bool)) for value in values):
        mixed = any(isinstance(value, float) for value in values)
        return [float(value) if mixed and value is not None else value for value in values]
    return [value if value is None or isinstance(value, str) else str(_flat(value)) for value in values]
