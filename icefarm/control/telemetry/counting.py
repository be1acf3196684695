"""Pure: no I/O, no clock.  Differences of boards' counters between two readings, as rates and means."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from icefarm.contract import BoardReading

__all__ = ["BoardRates", "difference", "rates"]


@frozen
class BoardRates:
    """A board's figures, as displays show them; None if there is no value."""

    #: Evaluations per second.
    rate: float
    #: Failures per second.
    failing: float
    load_ms: float | None
    window_ms: float | None
    temperature_c: float | None
    evaluations: int
    failures: int
    retries: int

    def shown(self) -> dict[str, Any]:
        """Return it for the wire, with significant digits only."""
        return {
            "rate": round(self.rate, 3),
            "load_ms": None if self.load_ms is None else round(self.load_ms, 2),
            "window_ms": None if self.window_ms is None else round(self.window_ms, 2),
            "temperature_c": self.temperature_c,
            "evaluations": self.evaluations,
            "failures": self.failures,
            "retries": self.retries,
        }


def difference(before: BoardReading | None, now: BoardReading) -> BoardReading:
    """Return the difference since ``before``: nothing if that is unknown, everything if the worker has restarted."""
    if before is None:
        before = now
    restarted = now.evaluations < before.evaluations or now.measured < before.measured or now.flashes < before.flashes
    if restarted:
        before = BoardReading(now.serial)
    return BoardReading(
        now.serial,
        now.kind,
        now.evaluations - before.evaluations,
        max(0, now.failures - before.failures),
        max(0, now.retries - before.retries),
        now.flashes - before.flashes,
        max(0.0, now.flash_s - before.flash_s),
        now.measured - before.measured,
        max(0.0, now.load_s - before.load_s),
        max(0.0, now.window_s - before.window_s),
        max(0.0, now.measured_s - before.measured_s),
        now.temperature_c,
    )


def rates(done: BoardReading, now: BoardReading, seconds: float) -> BoardRates:
    """Return a board's counters over so many seconds as rates and means."""
    mean = 1e3 / done.measured if done.measured > 0 else None
    return BoardRates(
        done.evaluations / seconds,
        done.failures / seconds,
        None if mean is None else done.load_s * mean,
        None if mean is None else done.window_s * mean,
        now.temperature_c,
        now.evaluations,
        now.failures,
        now.retries,
    )
