"""Keeps the outcome of each evaluation for the archive, before its client is answered, and sends it to control.

The recorder gathers measurements, and writes their rows to the spool before an answer leaves; its sender gives control
what is there, one batch at a time, until control acknowledges it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from attrs import Factory, define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.errors import IcefarmError, UnknownBitstream
from icefarm.text.counts import counted
from icefarm.worker.archive.rows import Note, failure_row, measurement_row
from icefarm.worker.archive.spool import BATCH_BYTES, GROUP_BYTES, Batch, MemorySpool, Spool

__all__ = ["GATHER", "MOST_GATHERED", "SOON", "ArchiveLink", "Recorder", "ReservationRows", "Sender"]

#: Seconds for which rows gather: a batch costs control and PostgreSQL as much by itself as a hundred rows do.
GATHER = 2.0
#: Seconds for which a reservation has nothing in progress until rows are sent: its client is likely to read the archive
#: next.  A client that keeps its boards busy leaves each of them idle for moments all the time.
SOON = 0.1
#: Seconds until a batch that control could not store is sent again: the first time, and the longest; doubled each time.
AGAIN_FIRST, AGAIN_LONGEST = 1.0, 15.0
#: Seconds between warnings.
WARNING = 60.0
#: Measurements that gather at most.
MOST_GATHERED = 64


class ArchiveLink(Protocol):
    """A session with control; `icefarm.worker.control_link.link` has it."""

    def send_rows(self, batch: Batch, spool: Spool) -> Awaitable[Any]:
        """Give control a batch; returns when it is stored.  Raises `IcefarmError`."""


@define(eq=False)
class RowWriter:
    """Rows on their way into the spool: those of several measurements together.

    A worker writes between messages, when hardly anything of it is in the processor's caches: the first row takes 25 to
    40 microseconds and each further one 6, and a write 20 whatever it writes.
    """

    _clock: Clock
    spool: Spool
    #: Measurements whose clients are not answered yet, each with its reservation and note.
    _gathered: list[tuple[str, Note, Mapping[str, Any]]] = Factory(list)
    _dropped: int = 0
    _is_in_trouble: bool = False
    _warnings: RateLimit = Factory(lambda: RateLimit(1, WARNING))
    #: Of a disk that is full or not from one row to the next, not every turn is told.
    _turns: RateLimit = Factory(lambda: RateLimit(2, WARNING))
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
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, []
        try:
            rows = [measurement_row(*each) for each in gathered]
        except Exception:
            rows = list(self._rows_of(gathered))
        self.write(rows)

    def write(self, rows: Sequence[bytes]) -> None:
        """Write rows to the spool."""
        if not rows:
            return
        together = b"\n".join(rows)
        # Nearly always there is one group.
        for group in [together] if len(together) <= GROUP_BYTES else map(b"\n".join, _groups(rows)):
            self.spool.append(group)
        if self.spool.dropped != self._dropped:
            self._warn_of_dropped()
        if (self.spool.trouble is not None) != self._is_in_trouble:
            self._tell_of_trouble(self.spool.trouble)

    def close(self) -> None:
        """Close the spool."""
        dropped = self.spool.dropped
        self.spool.close()
        if lost := self.spool.dropped - dropped:
            self._log.warn(
                "the worker ends with {rows} that no disk has and control has not confirmed: they may be lost",
                rows=counted(lost, "measurement"),
            )

    def _rows_of(self, gathered: Iterable[tuple[str, Note, Mapping[str, Any]]]) -> Iterator[bytes]:
        for reservation, note, measured in gathered:
            try:
                yield measurement_row(reservation, note, measured)
            except Exception:
                # A third-party kind may answer with anything.
                self._log.failure("a measurement could not be archived")

    def _tell_of_trouble(self, trouble: OSError | None) -> None:
        if not self._turns.passes(self._clock.seconds()):
            return
        self._is_in_trouble = trouble is not None
        if trouble is None:
            self._log.info("measurements are written to the spool again")
        else:
            self._log.warn(
                "the spool cannot be written ({trouble}): measurements wait for the archive in memory, and are lost if "
                "the worker is killed",
                trouble=trouble,
            )

    def _warn_of_dropped(self) -> None:
        dropped = self.spool.dropped
        if self._warnings.passes(self._clock.seconds()):
            self._dropped = dropped
            self._log.warn(
                "the archive's spool is full: its oldest measurements are dropped, {dropped} so far", dropped=dropped
            )


@define(eq=False)
class Sender:
    """Empties the spool."""

    _clock: Any
    writer: RowWriter
    _link: ArchiveLink | None = None
    _timer: Any = None
    _sending: Deferred[Any] | None = None
    #: When the rows that gather are sent at the latest.
    _due: float = 0.0
    #: The reservations that have nothing in progress since rows were last sent, and since when.
    _resting: dict[Hashable, float] = Factory(dict)
    _pause: float = AGAIN_FIRST
    _trouble: str | None = None
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def attach(self, link: ArchiveLink) -> None:
        """Control takes rows in this session."""
        self._link = link
        self.poke()

    def detach(self) -> None:
        """The session has ended, or control takes no rows."""
        self._link = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None

    def poke(self) -> None:
        """There are rows: send them in a while."""
        if self._link is not None and self._timer is None and self._sending is None:
            self._due = self._clock.seconds() + GATHER
            self._timer = self._clock.callLater(SOON if self._resting else GATHER, self._begin_or_wait)

    def rest(self, reservation: Hashable) -> None:
        """A reservation has nothing in progress: send its rows without waiting for others if that lasts."""
        if self._link is None or not self.writer.waiting:
            # Nothing would end the rest, such as on a farm that keeps no measurements.
            return
        now = self._clock.seconds()
        timer = self._timer
        if not self._resting and timer is not None and timer.getTime() - now > SOON and self._trouble is None:
            timer.reset(SOON)
        self._resting[reservation] = now

    def resume(self, reservation: Hashable) -> None:
        """A reservation has something in progress again."""
        self._resting.pop(reservation, None)

    def stop(self) -> None:
        """Send no more; what is not acknowledged stays in the spool."""
        self.detach()
        if self._sending is not None:
            self._sending.cancel()

    def _begin_or_wait(self) -> None:
        """Send rows if they are due, or a reservation has rested for long enough."""
        now = self._clock.seconds()
        wanted = min(self._due, SOON + min(self._resting.values(), default=self._due))
        if wanted <= now:
            self._begin()
        else:
            self._timer = self._clock.callLater(wanted - now, self._begin_or_wait)

    def _begin(self) -> None:
        self._timer = None
        self._resting.clear()
        sending: Deferred[Any] = Deferred.fromCoroutine(self._send())
        self._sending = sending
        sending.addErrback(self._failed).addCallback(self._done)

    async def _send(self) -> bool:
        """Send the rows that have gathered; returns whether all were stored.

        Rows that arrive meanwhile gather again: of a busy farm, a batch would have a handful of rows otherwise.
        """
        self.writer.flush()
        spool = self.writer.spool
        while (link := self._link) is not None and (batch := spool.batch()) is not None:
            try:
                await link.send_rows(batch, spool)
            except IcefarmError as error:
                self._refused(error)
                return False
            spool.acknowledge(batch)
            self._pause, self._trouble = AGAIN_FIRST, None
            if spool.waiting < BATCH_BYTES:
                break
        return True

    def _refused(self, error: IcefarmError) -> None:
        if self._trouble != error.name:
            self._trouble = error.name
            self._log.warn("measurements wait for the archive in the spool: {error}", error=error)

    def _failed(self, failure: Failure) -> bool:
        if failure.check(CancelledError) is None:
            self._log.failure("sending measurements to the archive failed", failure)
        return False

    def _done(self, all_stored: bool) -> None:
        self._sending = None
        if self._link is None or self._timer is not None:
            return
        if not all_stored:
            self._timer = self._clock.callLater(self._pause, self._begin)
            self._pause = min(2 * self._pause, AGAIN_LONGEST)
        elif self.writer.waiting:
            self.poke()


@define(eq=False)
class Recorder:
    """Writes rows to the spool while control wants them.  It never disturbs an evaluation."""

    clock: Any
    spool: Spool = Factory(MemorySpool)
    #: Whether control keeps an archive; it says so in its answer to the hello.
    on: bool = False
    _writer: RowWriter = field(init=False)
    sender: Sender = field(init=False)

    @_writer.default
    def _make_writer(self) -> RowWriter:
        return RowWriter(self.clock, self.spool)

    @sender.default
    def _make_sender(self) -> Sender:
        return Sender(self.clock, self._writer)

    def write(self, row: bytes) -> None:
        """Write a row to the spool, after those that have gathered."""
        self._writer.flush()
        self._writer.write([row])
        self.sender.poke()

    def gather(self, reservation: str, note: Note, measured: Mapping[str, Any]) -> None:
        """Take a measurement, whose row `flush` writes."""
        if self._writer.gather(reservation, note, measured):
            self.sender.poke()

    def flush(self) -> None:
        """Write the rows of what has gathered.  Call it before any answer leaves for a client."""
        self._writer.flush()

    def stop(self) -> None:
        """Stop sending; a spool on a disk keeps its rows."""
        self._writer.flush()
        self.sender.stop()
        self._writer.close()


@define(eq=False)
class ReservationRows:
    """The rows of one reservation."""

    _recorder: Recorder
    _reservation: str
    #: What its failures have in common: board, kind, options, firmware.
    stamp: Mapping[str, Any] = Factory(dict)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    def keep(self, evaluation_id: str, note: Note, result: Any) -> None:
        """Keep what an evaluation gave: a measurement, or a Failure."""
        if not (self._recorder.on and note.archive):
            return
        if isinstance(result, Failure):
            self._keep_failure(evaluation_id, note, result.value)
        elif isinstance(result, dict) and "evaluation_id" in result and "ended_at" in result:
            self._recorder.gather(self._reservation, note, result)
        # A third-party kind may answer with anything; only measurements are archived.

    def lull(self) -> None:
        """Nothing is in progress: send the gathered rows soon, if that lasts."""
        self._recorder.sender.rest(self)

    def resume(self) -> None:
        """Something is in progress again."""
        self._recorder.sender.resume(self)

    def _keep_failure(self, evaluation_id: str, note: Note, error: BaseException | None) -> None:
        if isinstance(error, UnknownBitstream) or not isinstance(error, IcefarmError):
            return
        now = self._recorder.clock.seconds()
        try:
            self._recorder.write(failure_row(self._reservation, note, evaluation_id, self.stamp, error, now))
        except Exception:
            self._log.failure("a failure could not be archived")


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
