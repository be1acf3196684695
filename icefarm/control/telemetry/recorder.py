"""Records the farm's history: regular samples, and events.

Records are gathered and written together every few seconds, since a busy farm changes hundreds of times a second.
A crash of control loses only those seconds of history.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Repeated
from icefarm.contract import BoardReading, DeviceRecord, DeviceStatus, QueueRecord
from icefarm.control.storage.history import BoardSample, FarmSample, History, HistoryBatch, LogLine, StateChange
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.counting import BoardRates, rates
from icefarm.control.telemetry.events import (
    BoardsChanged,
    BoardsDeleted,
    BoardWorked,
    Event,
    QueueChanged,
    WorkerLogged,
)
from icefarm.control.telemetry.rates import Rates
from icefarm.errors import Busy, IcefarmError

__all__ = ["KEPT", "HistoryRecorder", "farm_sample"]

#: Seconds between samples of the farm, and of each active board.
INTERVAL = 10.0
BOARD_INTERVAL = 60.0
#: Seconds for which history is kept, and between deletions of older records.
KEPT = 86400.0
CLEANING = 600.0
#: Records that wait to be written while the database is away; more are dropped, the oldest first.
WAITING = 20000


def farm_sample(
    now: float, devices: Sequence[DeviceRecord], rates: Collection[BoardRates], queue: Collection[QueueRecord]
) -> FarmSample:
    """Return a sample of the farm now."""
    states = Counter({status.value: 0 for status in DeviceStatus})
    states.update(device.status.value for device in devices)
    return FarmSample(
        now,
        dict(states),
        sum(board.rate for board in rates),
        sum(board.failing for board in rates),
        len(queue),
        max((max(0.0, now - waiting.since) for waiting in queue), default=0.0),
    )


@define(eq=False)
class HistoryRecorder:
    """Gathers, samples and writes."""

    history: History
    store: Store
    rates: Rates
    clock: Clock
    #: Why writing fails; None while it works.
    _trouble: str | None = None
    _batch: HistoryBatch = Factory(HistoryBatch)
    #: The waiting requests, by id.
    _queue: dict[str, QueueRecord] = Factory(dict)
    #: Each board's last written state, and its current minute: the sum, and the last reading.
    _states: dict[str, tuple[str, str, str | None, str | None]] = Factory(dict)
    _minute: dict[str, list[BoardReading]] = Factory(dict)
    _minute_began: float = field(init=False)
    _cleaned: float = float("-inf")
    _log: Logger = Factory(Logger)
    _repeated: Repeated = field(init=False)

    @_repeated.default
    def _make_repeated(self) -> Repeated:
        return Repeated(self.clock, INTERVAL, "the history", self._sample)

    def __attrs_post_init__(self) -> None:
        self._minute_began = self.clock.seconds()

    def start(self) -> None:
        """Start taking samples."""
        self._repeated.start()

    def stop(self) -> None:
        """Stop taking samples."""
        self._repeated.stop()

    def heard(self, event: Event) -> None:
        """Gather an event."""
        match event:
            case BoardsChanged(records):
                for record in records:
                    self._note_state(record)
            case BoardWorked(done) if done.evaluations or done.failures or done.retries:
                self._minute.setdefault(done.serial, []).append(done)
            case WorkerLogged(time, worker, level, message, serial):
                self._batch.log.append(LogLine(time, worker, serial, level, message))
            case QueueChanged(record):
                self._note_wait(record)
            case BoardsDeleted(serials):
                for serial in serials:
                    self._states.pop(serial, None)
                    self._minute.pop(serial, None)

    async def write(self) -> None:
        """Write the gathered records.  Raises `Busy`; they are then kept for the next time.

        Raises `InvalidArgument` for records that the database can't store at all; they are dropped.
        """
        batch, self._batch = self._batch, HistoryBatch()
        if not batch:
            return
        try:
            await self.history.keep(batch)
        except Busy:
            newer, self._batch = self._batch, batch
            batch.samples = (batch.samples + newer.samples)[-WAITING:]
            batch.boards = (batch.boards + newer.boards)[-WAITING:]
            batch.states = (batch.states + newer.states)[-WAITING:]
            batch.log = (batch.log + newer.log)[-WAITING:]
            raise

    def _note_state(self, record: DeviceRecord) -> None:
        state = (record.worker, record.status.value, record.reason, record.client)
        if self._states.get(record.serial) != state:
            self._states[record.serial] = state
            self._batch.states.append(StateChange(record.serial, self.clock.seconds(), *state))

    def _note_wait(self, record: QueueRecord) -> None:
        if record.place > 0:
            self._queue[record.id] = record
        else:
            self._queue.pop(record.id, None)

    async def _sample(self) -> None:
        now = self.clock.seconds()
        if now - self._minute_began >= BOARD_INTERVAL:
            self._end_minute(now)
        try:
            devices, queue = await self.store.devices(), self._queue.values()
            self._batch.samples.append(farm_sample(now, devices, self.rates.current(), queue))
            await self.write()
            if now - self._cleaned >= CLEANING:
                self._cleaned = now
                await self.history.forget(now - KEPT)
        except IcefarmError as error:
            if self._trouble is None:
                self._log.warn("the history cannot be written just now: {error}", error=error)
            self._trouble = str(error)
        else:
            self._trouble = None

    def _end_minute(self, now: float) -> None:
        seconds, self._minute_began = now - self._minute_began, now
        minute, self._minute = self._minute, {}
        for serial, parts in minute.items():
            did = rates(_sum(serial, parts), parts[-1], seconds)
            failures, retries = sum(part.failures for part in parts), sum(part.retries for part in parts)
            mean = (did.rate, did.load_ms, did.window_ms, did.temperature_c)
            self._batch.boards.append(BoardSample(serial, now, *mean, failures, retries))


def _sum(serial: str, parts: list[BoardReading]) -> BoardReading:
    """Return the sum of a board's counters over several periods."""
    return BoardReading(
        serial,
        evaluations=sum(part.evaluations for part in parts),
        failures=sum(part.failures for part in parts),
        measured=sum(part.measured for part in parts),
        load_s=sum(part.load_s for part in parts),
        window_s=sum(part.window_s for part in parts),
    )
