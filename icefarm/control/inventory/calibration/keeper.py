"""Has idle boards measure the reference circuits, and keeps what they say."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any
from uuid import uuid4

from attrs import Factory, define, field
from twisted.logger import Logger

from icefarm.calibration.estimation import DAY, WINDOW_DAYS
from icefarm.calibration.records import Calibration, Reading
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Repeated, Tasks
from icefarm.concurrency.in_order import InOrder
from icefarm.contract import ARCHIVE_FIELDS, FARM_ACCOUNT, BoardCalibration, DeviceRecord
from icefarm.control.archive.interface import Archive
from icefarm.control.archive.parsing import parse_rows
from icefarm.control.archive.rows import owned_by
from icefarm.control.inventory.calibration.interface import KeptReading, LastMeasured
from icefarm.control.inventory.calibration.judging import Judge, in_time, readings_of
from icefarm.control.inventory.calibration.references import WINDOW, circuits_for
from icefarm.control.inventory.calibration.schedule import Measurer, due, measurer
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.scheduling.availability import SuspectRule
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import FarmMirror
from icefarm.control.telemetry.events import (
    BoardsChanged,
    BoardsDeleted,
    Event,
    ReferencesMeasured,
    WorkerIntroduced,
    WorkerLogged,
    WorkerLost,
)
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient
from icefarm.errors import IcefarmError
from icefarm.selectors.boards import is_virtual

__all__ = ["EXPERIMENT", "CalibrationKeeper"]

#: The experiment in the archive.
EXPERIMENT = "calibration"
#: Seconds between looks at who is due.
LOOK = 15.0
#: Seconds for which a board is left alone after it measured nothing.
REST = 3600.0
#: Days for which readings are kept, and seconds between the times when older ones are dropped.
KEPT_DAYS, TIDY = 400.0, DAY
#: Readings of a board that a calibration is made of, at most; a day has a few.
MOST_READINGS = 2000


@define(eq=False)
class CalibrationKeeper:
    """Looks for boards that are due, makes them measure, and publishes the consequences."""

    store: Store
    worker_client: WorkerClient
    queue: WaitingQueue
    mirror: FarmMirror
    publisher: Publisher
    clock: Clock
    #: Boards that measure at the same time; 0: none ever does.
    at_once: int
    rule: SuspectRule
    archive: Archive | None = None
    _judge: Judge = field(init=False)
    _measurers: dict[str, Measurer] = Factory(dict)
    _last: dict[str, LastMeasured] = Factory(dict)
    #: The figures in the records of boards.
    _shown: dict[str, BoardCalibration] = Factory(dict)
    _measuring: set[str] = Factory(set)
    #: Until when boards are left alone.
    _resting: dict[str, float] = Factory(dict)
    _learnt: bool = False
    _tidied_at: float = 0.0
    _order: InOrder = Factory(InOrder)
    _tasks: Tasks = Factory(Tasks)
    _log: Logger = Factory(Logger)
    _looks: Repeated = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._judge = Judge(self.rule)
        self._looks = Repeated(self.clock, LOOK, "boards are calibrated", self._look_or_wait)

    def start(self) -> None:
        """Start looking."""
        if self.at_once > 0:
            self._looks.start()

    def stop(self) -> None:
        """Stop; what boards measure now is lost."""
        self._looks.stop()
        self._tasks.stop()

    def heard(self, event: Event) -> None:
        """Record which workers can measure, and forget deleted boards."""
        match event:
            case WorkerIntroduced(hello):
                found = measurer(hello)
                if found is None:
                    self._measurers.pop(hello.name, None)
                else:
                    self._measurers[hello.name] = found
            case WorkerLost(name):
                self._measurers.pop(name, None)
            case BoardsDeleted(serials):
                self._judge.forget(serials)
                for serial in serials:
                    self._shown.pop(serial, None)
                    self._last.pop(serial, None)

    # ----------------------------------------------------------------------------------------------------- looking

    async def _look_or_wait(self) -> None:
        try:
            await self._look()
        except IcefarmError as error:
            self._log.debug("boards are not calibrated just now: {error}", error=error)

    async def _look(self) -> None:
        if not self._measurers:
            return
        await self._learn()
        if self.clock.seconds() - self._tidied_at >= TIDY:
            self._tidied_at = self.clock.seconds()
            await self.store.forget_readings(self.clock.seconds() - KEPT_DAYS * DAY)
        free = self.at_once - len(self._measuring)
        if free <= 0 or len(self.queue.line):
            return
        now = self.clock.seconds()
        self._resting = {serial: until for serial, until in self._resting.items() if until > now}
        records = await self.mirror.read()
        drained = {worker.name for worker in records.workers if worker.draining}
        left_alone = {*self._measuring, *self._resting}
        left_alone |= {board.serial for board in records.devices if board.worker in drained}
        boards = {board.serial: board for board in records.devices}
        for serial in due(records.devices, self._measurers, self._last, now, left_alone)[:free]:
            self._measuring.add(serial)
            self._tasks.start(f"board {serial} measures references", partial(self._measure, boards[serial]))

    async def _learn(self) -> None:
        """Learn from the store what was measured before control started."""
        if self._learnt:
            return
        self._last = await self.store.last_measured()
        self._shown = {
            board.serial: board.calibration for board in await self.store.devices() if board.calibration is not None
        }
        self._judge.learn(await self.store.calibrations(), self._shown)
        self._learnt = True
        await self._show()

    # --------------------------------------------------------------------------------------------------- measuring

    async def _measure(self, board: DeviceRecord) -> None:
        """Make a board measure; circuits that it does not measure now follow later."""
        began, readings = self.clock.seconds(), []
        worker = self._measurers[board.worker]
        try:
            circuits = circuits_for(virtual=is_virtual(board))
            measurements = await self.worker_client.measure_references(
                board.worker, board.serial, f"calibration-{uuid4().hex}", WINDOW, circuits
            )
            found = in_time(readings_of(board.serial, measurements), began, self.clock.seconds())
            if found:
                await self._order.run("readings", partial(self._keep, board, worker, found))
                readings = found
                await self._archive(board, measurements)
        except IcefarmError as error:
            self._log.debug("board {serial} measured no reference: {error}", serial=board.serial, error=error)
        finally:
            self._measuring.discard(board.serial)
            if not readings:
                self._resting[board.serial] = self.clock.seconds() + REST
        took = self.clock.seconds() - began
        self.publisher.publish(ReferencesMeasured(board.serial, len(readings), took))

    async def _keep(self, board: DeviceRecord, worker: Measurer, readings: Sequence[Reading]) -> None:
        made: list[Calibration] = []
        for reference, group in groupby(readings, key=attrgetter("reference")):
            session = list(group)
            since = session[-1].time - WINDOW_DAYS * DAY
            past = await self.store.reference_readings(board.serial, reference, since, MOST_READINGS)
            found = self._judge.measured((board.serial, reference), past, session)
            if found is not None:
                made.append(found)
        await self.store.keep_readings([KeptReading(each, worker.instance) for each in readings], made)
        # The firmware that was to measure: boards of a worker whose image says something else are not due each time.
        self._last[board.serial] = LastMeasured(readings[-1].time, worker.firmware, worker.instance)
        await self._show()

    async def _show(self) -> None:
        """Bring the figures in the boards' records up to date, and say which became suspect or no longer are."""
        figures = self._judge.figures(self.clock.seconds())
        changed = {serial: each for serial, each in figures.items() if self._shown.get(serial) != each}
        if not changed:
            return
        records = await self.store.show_calibrations(changed)
        before, self._shown = self._shown, figures
        self.publisher.publish(BoardsChanged(records))
        for record in records:
            was = before.get(record.serial)
            self._tell(record, None if was is None else was.suspect, changed[record.serial].suspect)

    def _tell(self, record: DeviceRecord, before: str | None, now: str | None) -> None:
        if (before is None) == (now is None):
            return
        level, words = ("warn", f"is suspect: {now}") if now is not None else ("info", "is no longer suspect")
        self._log.info("board {serial} {words}", serial=record.serial, words=words)
        text = f"board {record.serial} {words}"
        self.publisher.publish(WorkerLogged(self.clock.seconds(), record.worker, level, text, record.serial))

    async def _archive(self, board: DeviceRecord, measurements: Sequence[Mapping[str, Any]]) -> None:
        """Keep what was measured in the archive, as an experiment of the farm's own."""
        if self.archive is None:
            return
        own = {"reservation": EXPERIMENT, "experiment": EXPERIMENT, "attempt": 1}
        lines = [
            json.dumps([{**each, "circuit": each["reference"], **own}.get(name) for name in ARCHIVE_FIELDS])
            for each in measurements
        ]
        parsed = parse_rows("\n".join(lines).encode(), self.clock.seconds(), WINDOW_DAYS)
        rows = owned_by(parsed.rows, FARM_ACCOUNT, (FARM_ACCOUNT, EXPERIMENT))
        await self.archive.keep(board.worker, rows)
