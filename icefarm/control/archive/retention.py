"""Keeps the archive within its days and its size: partitions are made ahead, and the oldest dropped.

Theory of operation
===================
Every hour, and when control starts: the partitions of the next days are made.  Days older than ``days`` are dropped,
and then the oldest ones until the rest is within ``bytes``; today and the days after it always stay.  A day is exported
before it is dropped, if an export directory is given; a day that can't be exported stays, and is tried again later.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import AGAIN, Repeated
from icefarm.control.archive.interface import Archive, Partition
from icefarm.errors import IcefarmError

__all__ = ["Retention", "outdated"]

#: Seconds between passes.
INTERVAL = 3600.0
#: Days whose partitions are made ahead.
AHEAD = 3


def outdated(partitions: Sequence[Partition], today: date, days: float, limit: float) -> list[date]:
    """Return the days to drop, the oldest first."""
    first = today - timedelta(days=days)
    size, gone = sum(partition.bytes for partition in partitions), []
    for partition in sorted(partitions, key=lambda each: each.day):
        if partition.day >= today or (partition.day >= first and size <= limit):
            break
        gone.append(partition.day)
        size -= partition.bytes
    return gone


@define(eq=False)
class Retention:
    """Makes and drops partitions."""

    archive: Archive
    clock: Clock
    days: float
    bytes: float
    export: Path | None
    _log: Logger = Factory(Logger)
    _repeated: Repeated = field(init=False)

    @_repeated.default
    def _make_repeated(self) -> Repeated:
        return Repeated(self.clock, INTERVAL, "the archive is tidied", self._pass_or_again)

    def start(self) -> None:
        """Start: the first pass is at once."""
        self._repeated.start(first=0.0)

    def stop(self) -> None:
        """Stop."""
        self._repeated.stop()

    async def _pass_or_again(self) -> None:
        try:
            await self.pass_once()
        except IcefarmError as error:
            self._log.warn("the archive cannot be tidied just now: {error}", error=error)
            self._repeated.next_in(AGAIN * 12)

    async def pass_once(self) -> None:
        """Make partitions ahead, and drop what is outdated.  Raises `Busy`, `InvalidArgument`."""
        now = self.clock.seconds()
        today = datetime.fromtimestamp(now, UTC).date()
        await self.archive.prepare([today + timedelta(days=ahead) for ahead in range(-1, AHEAD)])
        for day in outdated(await self.archive.partitions(), today, self.days, self.bytes):
            if self.export is not None:
                path = await self.archive.export(day, str(self.export))
                self._log.info("the measurements of {day} are exported to {path}", day=day, path=path)
            await self.archive.drop(day)
            self._log.info("the measurements of {day} are dropped from the archive", day=day)
        await self.archive.forget_figures(now - self.days * 86400.0)
