"""What boards count, from their workers' heartbeats: rates for displays, sums for the metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve

from icefarm.clock import Clock
from icefarm.contract import BoardReading, WorkerHello
from icefarm.control.sessions.liveness import HEARTBEAT
from icefarm.control.telemetry.counting import BoardRates, difference, rates
from icefarm.control.telemetry.publisher import Publisher

__all__ = ["Rates"]

#: Shortest time that a rate is taken over, seconds; a heartbeat may be late, and the next one on time.
SHORTEST = 1.0


@define(eq=False)
class Rates:
    """Takes readings in, and tells of them."""

    clock: Clock
    announcements: Publisher
    #: Told of what each board did since its last reading.
    done: Callable[[BoardReading], None]
    #: Told of each worker that introduces itself.
    begun: Callable[[str], None]
    rates: dict[str, BoardRates] = Factory(dict)
    _last: dict[str, BoardReading] = Factory(dict)
    #: When each worker's last heartbeat came, and the boards that it spoke of.
    _beats: dict[str, float] = Factory(dict)
    _boards: dict[str, set[str]] = Factory(dict)

    def begin(self, hello: WorkerHello) -> None:
        """A worker introduces itself: what its boards do from now on is known from its start where nothing was done."""
        self.begun(hello.name)
        self._beats[hello.name] = self.clock.seconds()
        for report in hello.devices:
            if report.evaluations == 0 and report.failures == 0:
                self._last.setdefault(report.serial, BoardReading(report.serial, report.kind))

    def take(self, worker: str, readings: Sequence[BoardReading]) -> None:
        """Take in a heartbeat; boards that it does not speak of did nothing."""
        now = self.clock.seconds()
        seconds = max(SHORTEST, now - self._beats.get(worker, now - HEARTBEAT))
        self._beats[worker] = now
        known = self._boards.setdefault(worker, set())
        changed = {reading.serial: self._take_one(reading, seconds) for reading in readings}
        changed |= self._rest(known - changed.keys())
        known.update(changed)
        self.rates.update(changed)
        if changed:
            shown = {serial: board.shown() for serial, board in changed.items()}
            self.announcements.readings({"time": now, "boards": shown})

    def heard(self, event: str, fields: Mapping[str, Any]) -> None:
        """Note that boards can't do anything any more: those deleted, and those of a worker that is gone."""
        if event == "deleted":
            self._forget(fields["serials"])
        elif event == "worker" and fields["status"] == "offline":
            self._beats.pop(fields["name"], None)
            self.rates.update(self._rest(self._boards.get(fields["name"], set())))

    def shown(self) -> dict[str, dict[str, Any]]:
        """Return what is known of all boards, for a display that begins."""
        return {serial: board.shown() for serial, board in self.rates.items()}

    def _take_one(self, reading: BoardReading, seconds: float) -> BoardRates:
        done = difference(self._last.get(reading.serial), reading)
        self._last[reading.serial] = reading
        self.done(done)
        return rates(done, reading, seconds)

    def _rest(self, serials: Iterable[str]) -> dict[str, BoardRates]:
        """Return the rates of boards that have stopped doing something just now."""
        busy = {serial: self.rates[serial] for serial in serials if serial in self.rates}
        return {
            serial: evolve(board, rate=0.0, failing=0.0)
            for serial, board in busy.items()
            if board.rate or board.failing
        }

    def _forget(self, serials: Iterable[str]) -> None:
        for serial in serials:
            self.rates.pop(serial, None)
            self._last.pop(serial, None)
            for boards in self._boards.values():
                boards.discard(serial)
