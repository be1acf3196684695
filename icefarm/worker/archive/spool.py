"""The spool: rows that control has not acknowledged yet, in files, or in memory without a directory.

A directory has files ``NUMBER.spool``, the oldest first.  A file is a sequence of records: length and CRC-32 of the
content (four bytes each, little-endian), and the content: the rows that were written together, one on each line.  A
worker that is killed while it writes leaves a torn record at the end of the last file; it is cut off at the next start.
Rows that a disk does not take, since it is full, wait in memory.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Protocol

from attrs import Factory, define, field, frozen

from icefarm.system.files import FileLock, write_all
from icefarm.worker.archive.rows import MAX_ROW

__all__ = ["GROUP_BYTES", "Batch", "FileSpool", "MemorySpool", "Spool", "row_count"]

#: Bytes of a file; the oldest file is dropped when the spool is full.
SEGMENT = 8 << 20
#: Bytes and rows of a batch.
BATCH_BYTES, BATCH_ROWS = 512 * 1024, 2000
#: Bytes of rows that are added together, without the last one.
GROUP_BYTES = 64 * 1024
#: Bytes that are read at once: a batch, or the longest record.
_READ = max(BATCH_BYTES, GROUP_BYTES + 2 * MAX_ROW)
#: Bytes of a spool in memory.
MEMORY = 16 << 20

#: In place of the number of a file, which is 1 or more.
_IN_MEMORY = 0

_HEAD = struct.Struct("<II")


@frozen
class Batch:
    """The oldest rows."""

    #: One row on each line.
    rows: bytes
    count: int
    #: Where the spool goes on after them.
    end: tuple[int, int]


class Spool(Protocol):
    """Rows in the order of `append`, until they are acknowledged."""

    @property
    def waiting(self) -> int:
        """Bytes that are not acknowledged."""

    @property
    def dropped(self) -> int:
        """Rows that were dropped because it was full, since it was opened."""

    @property
    def trouble(self) -> OSError | None:
        """Why the rows that were added last are in memory alone, though there is a directory."""

    def append(self, rows: bytes) -> None:
        """Add a row, or several, one on each line."""

    def batch(self) -> Batch | None:
        """Return the oldest rows; None if there are none."""

    def acknowledge(self, batch: Batch) -> None:
        """Forget the rows of a batch."""

    def close(self) -> None:
        """Close it; a directory keeps its rows, and others are dropped."""


def records(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Yield each whole record's rows, and where the record ends.  It stops at one that is torn or damaged."""
    place = 0
    while place + _HEAD.size <= len(data):
        length, check = _HEAD.unpack_from(data, place)
        rows = data[place + _HEAD.size : place + _HEAD.size + length]
        place += _HEAD.size + length
        if place > len(data) or zlib.crc32(rows) != check:
            return
        yield rows, place


def row_count(rows: bytes) -> int:
    """Return how many rows a record has; no row has an end of a line in it."""
    return rows.count(b"\n") + 1


def _oldest(found: Iterable[tuple[bytes, int]], end: tuple[int, int]) -> Batch | None:
    """Return a batch of the first of these records, each with the place after it; ``end`` is where they begin."""
    some: list[bytes] = []
    file, begin = end
    place = begin
    number = size = 0
    for rows, after in found:
        more = row_count(rows)
        if some and (size + len(rows) > BATCH_BYTES or number + more > BATCH_ROWS):
            break
        some.append(rows)
        number, size, place = number + more, size + len(rows), begin + after
    return Batch(b"\n".join(some), number, (file, place)) if some else None


@define
class _Segment:
    """A file of the spool."""

    number: int
    path: Path
    #: Bytes of whole records.
    size: int


@define(eq=False)
class FileSpool:
    """A spool in a directory, of at most ``limit`` bytes; one process has it at a time."""

    directory: Path
    limit: int
    segment_size: int = SEGMENT
    trouble: OSError | None = None
    #: What the disk did not take, all of it younger than what is there; it is written when there is room again.
    _overflow: MemorySpool = Factory(lambda: MemorySpool())
    _dropped: int = 0
    _lock: FileLock = field(init=False)
    _segments: deque[_Segment] = Factory(deque)
    #: Of the last segment, for writing.
    _descriptor: int = -1
    #: Bytes of the first segment that are acknowledged.
    _begun: int = 0
    _bytes: int = 0

    @classmethod
    def open(cls, directory: Path, limit: int, segment_size: int = SEGMENT) -> FileSpool:
        """Open a spool, with the rows that are left there.  Raises OSError, and `Locked` if another process has it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        spool = cls(directory, limit, min(segment_size, max(1, limit // 2)))
        spool._lock = FileLock(directory / "spool")
        spool._lock.acquire()
        try:
            spool._find()
        except BaseException:
            spool._lock.release()
            raise
        return spool

    @property
    def waiting(self) -> int:
        return self._bytes - self._begun + self._overflow.waiting

    @property
    def dropped(self) -> int:
        return self._dropped + self._overflow.dropped

    def append(self, rows: bytes) -> None:
        try:
            self._write_overflow()
            self._write(rows)
            self.trouble = None
        except OSError as error:
            self.trouble = error
            self._overflow.append(rows)

    def _write_overflow(self) -> None:
        """Write what waits in memory.  Raises OSError if that is impossible: then the rest waits on.

        Otherwise it would wait for as long as younger rows go to the disk, from which rows are sent first.
        """
        while self._overflow.records:
            self._write(self._overflow.records[0])
            self._overflow.forget()

    def _write(self, rows: bytes) -> None:
        """Add rows to the last file.  Raises OSError if that is impossible: then none is added."""
        record = _HEAD.pack(len(rows), zlib.crc32(rows)) + rows
        last = self._segments[-1]
        if last.size and last.size + len(record) > self.segment_size:
            self._roll()
            last = self._segments[-1]
        while self._bytes + len(record) > self.limit and len(self._segments) > 1:
            self._drop_oldest()
        try:
            write_all(self._descriptor, record)
        except OSError:
            os.ftruncate(self._descriptor, last.size)
            raise
        last.size += len(record)
        self._bytes += len(record)

    def batch(self) -> Batch | None:
        while True:
            first = self._segments[0]
            batch = self._read(first)
            if batch is not None:
                return batch
            if self._begun < first.size:
                # What follows is damaged; how many rows that were is unknown.
                self._dropped += 1
            if len(self._segments) == 1:
                self._empty()
                return self._overflow.batch()
            self._remove_oldest()

    def acknowledge(self, batch: Batch) -> None:
        number, place = batch.end
        if number == _IN_MEMORY:
            self._overflow.acknowledge(batch)
            return
        if number != self._segments[0].number:
            # The file was dropped meanwhile.
            return
        self._begun = place
        if place < self._segments[0].size:
            return
        if len(self._segments) > 1:
            self._remove_oldest()
        else:
            self._empty()

    def close(self) -> None:
        if self._descriptor >= 0:
            with suppress(OSError):
                self._write_overflow()
            self._overflow.close()
            os.close(self._descriptor)
            self._descriptor = -1
            self._lock.release()

    def _find(self) -> None:
        for path in sorted(self.directory.glob("*.spool")):
            if path.stem.isdigit():
                self._segments.append(_Segment(int(path.stem), path, path.stat().st_size))
        if self._segments:
            self._open_last(self._segments[-1])
        else:
            self._roll()
        self._bytes = sum(segment.size for segment in self._segments)

    def _open_last(self, last: _Segment) -> None:
        """Open the last file where its last whole record ends."""
        ends = [end for _, end in records(last.path.read_bytes())]
        last.size = ends[-1] if ends else 0
        self._descriptor = _open(last.path)
        os.ftruncate(self._descriptor, last.size)

    def _roll(self) -> None:
        """Begin another file."""
        number = self._segments[-1].number + 1 if self._segments else 1
        path = self.directory / f"{number:012}.spool"
        descriptor = _open(path)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._segments.append(_Segment(number, path, 0))

    def _read(self, segment: _Segment) -> Batch | None:
        """Return a batch of a file's rows; None if there are no more."""
        with segment.path.open("rb") as file:
            file.seek(self._begun)
            data = file.read(min(_READ, segment.size - self._begun))
        return _oldest(records(data), (segment.number, self._begun))

    def _empty(self) -> None:
        """Empty the only file."""
        os.ftruncate(self._descriptor, 0)
        self._segments[0].size = self._begun = self._bytes = 0

    def _drop_oldest(self) -> None:
        with self._segments[0].path.open("rb") as file:
            file.seek(self._begun)
            self._dropped += sum(row_count(rows) for rows, _ in records(file.read()))
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        oldest = self._segments.popleft()
        self._bytes -= oldest.size
        self._begun = 0
        oldest.path.unlink(missing_ok=True)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


@define(eq=False)
class MemorySpool:
    """A spool that ends with its process."""

    limit: int = MEMORY
    waiting: int = 0
    dropped: int = 0
    trouble: None = None
    #: Rows that were added together.
    records: deque[bytes] = Factory(deque)
    #: Of the first record.
    _number: int = 0

    def append(self, rows: bytes) -> None:
        self.records.append(rows)
        self.waiting += len(rows)
        while self.waiting > self.limit:
            self.dropped += row_count(self.forget())

    def batch(self) -> Batch | None:
        return _oldest(zip(self.records, count(1), strict=False), (_IN_MEMORY, self._number))

    def acknowledge(self, batch: Batch) -> None:
        while self.records and self._number < batch.end[1]:
            self.forget()

    def close(self) -> None:
        while self.records:
            self.dropped += row_count(self.forget())

    def forget(self) -> bytes:
        """Forget the oldest record, and return its rows."""
        rows = self.records.popleft()
        self.waiting -= len(rows)
        self._number += 1
        return rows
