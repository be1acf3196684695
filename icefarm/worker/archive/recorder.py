"""Keeps the outcome of each evaluation for the archive, before its client is answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define, field
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.concurrency.rate_limit import RateLimit
from icefarm.errors import IcefarmError, UnknownBitstream
from icefarm.worker.archive.rows import Note, failure_row, measurement_row
from icefarm.worker.archive.sender import Sender
from icefarm.worker.archive.spool import MemorySpool, Spool

__all__ = ["Recorder", "ReservationRows"]

#: Seconds between warnings.
WARNING = 60.0


@define(eq=False)
class Recorder:
    """Writes rows to the spool while control wants them.  Nothing of it ever disturbs an evaluation."""

    clock: Any
    spool: Spool = Factory(MemorySpool)
    #: Whether control keeps an archive; it says so in its answer to the hello.
    on: bool = False
    sender: Sender = field(init=False)
    _dropped: int = 0
    _warnings: RateLimit = Factory(lambda: RateLimit(1, WARNING))
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    @sender.default
    def _make_sender(self) -> Sender:
        return Sender(self.clock, self.spool)

    def write(self, row: bytes) -> None:
        """Write a row to the spool."""
        try:
            self.spool.append(row)
        except OSError as error:
            self.sender.lost += 1
            if self._warnings.passes(self.clock.seconds()):
                self._log.warn(
                    "measurements are not archived: the spool cannot be written ({error}); {lost} are lost so far",
                    error=error, lost=self.sender.lost,
                )  # fmt: skip
            return
        dropped = self.spool.dropped
        if dropped != self._dropped and self._warnings.passes(self.clock.seconds()):
            self._dropped = dropped
            self._log.warn(
                "the archive's spool is full: its oldest measurements are dropped, {dropped} so far", dropped=dropped
            )
        self.sender.poke()

    def stop(self) -> None:
        """Stop sending; the spool keeps its rows."""
        self.sender.stop()
        self.spool.close()


@define(eq=False)
class ReservationRows:
    """The rows of one reservation."""

    _recorder: Recorder
    _reservation: str
    #: What its failures have in common: board, kind, options, firmware.
    _stamp: Mapping[str, Any] = Factory(dict)
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    def keep(self, evaluation_id: str, note: Note, result: Any) -> None:
        """Keep what an evaluation gave: a measurement, or a Failure."""
        if not (self._recorder.on and note.archive):
            return
        try:
            row = self._row(evaluation_id, note, result)
            if row is not None:
                self._recorder.write(row)
        except Exception:
            self._log.failure("a measurement could not be archived")

    def lull(self) -> None:
        """Nothing is in progress: send what there is soon."""
        self._recorder.sender.hurry()

    def _row(self, evaluation_id: str, note: Note, result: Any) -> bytes | None:
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, UnknownBitstream) or not isinstance(error, IcefarmError):
                return None
            now = self._recorder.clock.seconds()
            return failure_row(self._reservation, note, evaluation_id, self._stamp, error, now)
        if isinstance(result, dict) and "evaluation_id" in result and "ended_at" in result:
            return measurement_row(self._reservation, note, result)
        # Another author's kind may answer with anything; only measurements are archived.
        return None
