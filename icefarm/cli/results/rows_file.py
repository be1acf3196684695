"""Results of the archive in a new file, in constant memory: .csv, .jsonl or .parquet."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import click

from icefarm.cli.ui.records import archive_columns
from icefarm.cli.ui.records.tables import Rows
from icefarm.system.writing import CannotWrite
from icefarm.text.one_line import one_line

__all__ = ["write_rows"]

#: Rows of a block of the file; a row group of Parquet.
BLOCK = 5000

Row = Mapping[str, Any]
Write = Callable[[BinaryIO, Iterator[Row]], int]


def write_rows(path: str, rows: Iterable[Row], *, corrected: bool = False) -> int:
    """Write a file, which appears when it is whole, and return the number of rows.

    Raises `click.UsageError` for its name, `InvalidArgument` without pyarrow, `CannotWrite`, and what ``rows`` raises.
    """
    writers: dict[str, Write] = {
        ".csv": _text("csv", corrected),
        ".jsonl": _text("json", corrected),
        ".parquet": partial(_parquet, corrected),
    }
    write = writers.get(Path(path).suffix.lower())
    if write is None:
        raise click.UsageError(f"--out writes .csv, .jsonl or .parquet, not {one_line(path)}")
    target = Path(os.path.realpath(path))
    new = target.with_name(f".{target.name}.{os.getpid()}.new")
    try:
        with new.open("wb") as file:
            count = write(file, iter(rows))
            file.flush()
            os.fsync(file.fileno())
        new.replace(target)
    except OSError as error:
        raise CannotWrite(f"cannot write results to {one_line(path)}: {error.strerror or error}") from None
    finally:
        with suppress(OSError):
            new.unlink()
    return count


def _blocks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while block := list(islice(rows, BLOCK)):
        yield block


def _text(form: str, corrected: bool) -> Write:
    """Return what writes lines: CSV with a header, or JSON."""

    def write(file: BinaryIO, rows: Iterator[Row]) -> int:
        lines = Rows(archive_columns.CORRECTED_RESULTS if corrected else archive_columns.RESULTS, form)
        file.write(lines.head().encode())
        count = 0
        for block in _blocks(rows):
            file.write("".join(map(lines.row, block)).encode("utf-8", "replace"))
            count += len(block)
        return count

    return write


def _parquet(corrected: bool, file: BinaryIO, rows: Iterator[Row]) -> int:
    from icefarm.client.api.notebook.tables import ArrowWriter

    writer, count = ArrowWriter(file, corrected=corrected), 0
    for block in _blocks(rows):
        writer.write(block)
        count += len(block)
    writer.close()
    return count
