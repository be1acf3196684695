"""Writes rows to the spool: those of several measurements together, before the first of them is answered.

A worker does this between messages, when hardly anything of it is in the processor's caches: the first row takes 25 to
40 microseconds and each further one 6, and a write 20 whatever it writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.worker.archive.rows import Note, measurement_row
from icefarm.worker.archive.spool import GROUP_BYTES, Spool

__all__ = ["MOST_GATHERED", "RowWriter"]

#: Seconds between warnings.
WARNING = 60.0
#: Measurements that gather at most.
MOST_GATHERED = 64


@define(eq=False)
class RowWriter:
    """Rows on their way into the spool."""

    _clock: Clock
    spool: Spool
    #: Rows that could not be written to the spool.
    lost: int = 0
    #: Measurements whose clients are not answered yet, each with its reservation and note.
    _gathered: list[tuple[str, Note, Mapping[str, Any]]] = Factory(list)
    _dropped: int = 0
    _warnings: RateLimit = Factory(lambda: RateLimit(1, WARNING))
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    @property
    def waiting(self) -> bool:
        """Whether there are rows that control has not acknowledged."""
        return bool(self._gathered) or self.spool.waiting > 0

    def gather(self, reservation: str, note: Note, measured: Mapping[str, Any]) -> bool:
        """Take a measurement; returns whether it is the first since rows were written."""
        self._gathered.append((reservation, note, measured))
        if len(self._gathered) >= MOST_GATHERED:
            self.flush()
        return len(self._gathered) <= 1

    def flush(self) -> None:
        """Write the rows of what has gathered."""
        if self._gathered:
            gathered, self._gathered = self._gathered, []
            self.write(self._rows_of(gathered))

    def write(self, rows: Iterable[bytes]) -> None:
        """Write rows to the spool.  Those that cannot be written are counted."""
        for group in _groups(rows):
            try:
                self.spool.append(b"\n".join(group))
            except OSError as error:
                self._lose(len(group), error)
        self._warn_of_dropped()

    def _rows_of(self, gathered: Iterable[tuple[str, Note, Mapping[str, Any]]]) -> Iterator[bytes]:
        for reservation, note, measured in gathered:
            try:
                yield measurement_row(reservation, note, measured)
            except Exception:
                # A third-party kind may answer with anything.
                self._log.failure("a measurement could not be archived")

    def _lose(self, rows: int, error: OSError) -> None:
        self.lost += rows
        if self._warnings.passes(self._clock.seconds()):
            self._log.warn(
                "measurements are not archived: the spool cannot be written ({error}); {lost} are lost so far",
                error=error, lost=self.lost,
            )  # fmt: skip

    def _warn_of_dropped(self) -> None:
        dropped = self.spool.dropped
        if dropped != self._dropped and self._warnings.passes(self._clock.seconds()):
            self._dropped = dropped
            self._log.warn(
                "the archive's spool is full: its oldest measurements are dropped, {dropped} so far", dropped=dropped
            )


def _groups(rows: Iterable[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield rows that are written together."""
    group: list[bytes] = []
    size = 0
    for row in rows:
        group.append(row)
        size += len(row)
        if size >= GROUP_BYTES:
            yield group
            group, size = [], 0
    if group:
        yield group
