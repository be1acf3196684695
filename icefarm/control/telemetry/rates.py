"""Boards' counters from their workers' heartbeats: rates for displays, sums for the metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import Factory, define, evolve

from icefarm.concurrency.clock import Clock
from icefarm.contract import BoardReading, WorkerHello
from icefarm.control.inventory.bounds import plausible
from icefarm.control.telemetry.counting import BoardRates, difference, rates
from icefarm.control.telemetry.events import (
    BoardsDeleted,
    BoardWorked,
    Event,
    RatesChanged,
    WorkerChanged,
    WorkerIntroduced,
)
from icefarm.control.telemetry.publisher import Publisher

__all__ = ["Rates"]

#: Shortest period for a rate, seconds; a heartbeat may be late, and the next one on time.
SHORTEST = 1.0


@define(eq=False)
class Rates:
    """Records readings, and publishes rates."""

    clock: Clock
    publisher: Publisher
    #: Seconds between heartbeats.
    heartbeat: float
    _rates: dict[str, BoardRates] = Factory(dict)
    _last: dict[str, BoardReading] = Factory(dict)
    #: When each worker's last heartbeat arrived, and the boards in it.
    _beats: dict[str, float] = Factory(dict)
    _boards: dict[str, set[str]] = Factory(dict)

    def heard(self, event: Event) -> None:
        """Record the first counters of boards, and that some have stopped."""
        match event:
            case WorkerIntroduced(hello):
                self._begin(hello)
            case WorkerChanged(record) if record.status == "offline":
                self._beats.pop(record.name, None)
                self._rates.update(self._rest(self._boards.get(record.name, set())))
            case BoardsDeleted(serials):
                self._forget(serials)

    def take(self, worker: str, readings: Sequence[BoardReading]) -> None:
        """Record a heartbeat; boards missing in it did nothing.

        A reading that no board can have is ignored.
        """
        now = self.clock.seconds()
        seconds = max(SHORTEST, now - self._beats.get(worker, now - self.heartbeat))
        self._beats[worker] = now
        known = self._boards.setdefault(worker, set())
        changed = {reading.serial: self._take_one(reading, seconds) for reading in plausible(readings, self._last)}
        changed |= self._rest(known - changed.keys())
        known.update(changed)
        self._rates.update(changed)
        if changed:
            self.publisher.publish(RatesChanged(now, changed))

    def current(self) -> list[BoardRates]:
        """Return the figures of all boards."""
        return list(self._rates.values())

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return the known figures of all boards, for a display that starts."""
        return {serial: board.shown() for serial, board in self._rates.items()}

    def _begin(self, hello: WorkerHello) -> None:
        """From now on boards' counters are known from 0 if they have done nothing yet."""
        self._beats[hello.name] = self.clock.seconds()
        for report in hello.devices:
            if report.evaluations == 0 and report.failures == 0:
                self._last.setdefault(report.serial, BoardReading(report.serial))

    def _take_one(self, reading: BoardReading, seconds: float) -> BoardRates:
        done = difference(self._last.get(reading.serial), reading)
        self._last[reading.serial] = reading
        self.publisher.publish(BoardWorked(done))
        return rates(done, reading, seconds)

    def _rest(self, serials: Iterable[str]) -> dict[str, BoardRates]:
        """Return the rates of boards that have just become idle."""
        busy = {serial: self._rates[serial] for serial in serials if serial in self._rates}
        return {
            serial: evolve(board, rate=0.0, failing=0.0)
            for serial, board in busy.items()
            if board.rate or board.failing
        }

    def _forget(self, serials: Iterable[str]) -> None:
        for serial in serials:
            self._rates.pop(serial, None)
            self._last.pop(serial, None)
            for boards in self._boards.values():
                boards.discard(serial)
