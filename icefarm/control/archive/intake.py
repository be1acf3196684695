"""Takes in the batches of workers: checks them, stores them, and says what became of them."""

from __future__ import annotations

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.control.archive.interface import Archive
from icefarm.control.archive.parsing import parse_rows
from icefarm.control.archive.runs.arrivals import Arrivals
from icefarm.control.telemetry.events import MeasurementsArchived
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import InvalidArgument, LimitReached

__all__ = ["Intake"]

#: Bytes of a batch.
MAX_BATCH = 1 << 20
#: Batches that may be in control at the same time; a worker has one.
AT_ONCE = 32
#: Seconds between warnings.
WARNING = 60.0


@define(eq=False)
class Intake:
    """Stores batches."""

    archive: Archive
    publisher: Publisher
    clock: Clock
    #: Days that rows are kept.
    days: float
    arrivals: Arrivals = Factory(Arrivals)
    _running: int = 0
    _warnings: RateLimit = Factory(lambda: RateLimit(1, WARNING))
    _log: Logger = Factory(Logger)

    async def take(self, worker: str, rows: bytes, waiting: int, lost: int) -> int:
        """Store a batch, and return how many of its rows are new.  Raises `Busy`, and `InvalidArgument` for its form.

        Rows that can't be stored are left out: the worker must not send them again.
        """
        if len(rows) > MAX_BATCH:
            raise InvalidArgument(f"a batch of the archive has at most {MAX_BATCH:,} bytes, not {len(rows):,}")
        if self._running >= AT_ONCE:
            raise LimitReached("too many batches arrive at the same time; send this one again in a while")
        self._running += 1
        try:
            parsed = parse_rows(rows, self.clock.seconds(), self.days)
            stored = await self.archive.store(worker, parsed.rows)
        finally:
            self._running -= 1
        self.arrivals.note(worker, stored)
        refused = parsed.wrong + stored.foreign
        if refused and self._warnings.passes(self.clock.seconds()):
            self._log.warn(
                "{refused} rows of worker {worker} are not archived: {wrong} are wrong, {foreign} are of reservations "
                "that it does not serve",
                refused=refused, worker=worker, wrong=parsed.wrong, foreign=stored.foreign,
            )  # fmt: skip
        self.publisher.publish(MeasurementsArchived(worker, stored.new, stored.known, refused, waiting, lost))
        return sum(stored.new.values())
