"""Pure: no I/O, no clock.  What is counted and measured of boards, and what of it control has not been told yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import Factory, define

from icefarm.contract import BoardReading
from icefarm.kinds.handle import Answer

__all__ = ["BoardCounters", "Tally"]


@define(eq=False)
class Tally:
    """What one board did since the worker started."""

    flashes: int = 0
    flash_s: float = 0.0
    measured: int = 0
    load_s: float = 0.0
    window_s: float = 0.0
    measured_s: float = 0.0
    temperature_c: float | None = None

    def flashed(self, seconds: float) -> None:
        """An image was written to it, and it runs that; in so many seconds from the first block."""
        self.flashes += 1
        self.flash_s += seconds

    def take(self, answer: Answer) -> None:
        """It answered to an evaluation."""
        self.measured += 1
        self.load_s += answer.load_us / 1e6
        self.window_s += answer.window_us / 1e6
        self.measured_s += max(0.0, answer.ended_at - answer.started_at)
        if answer.temperature_c is not None:
            self.temperature_c = answer.temperature_c

    def reading(self, serial: str, kind: str | None, evaluations: int, failures: int, retries: int) -> BoardReading:
        """Return it all as control is told of it."""
        return BoardReading(
            serial, kind, evaluations, failures, retries, self.flashes, self.flash_s,
            self.measured, self.load_s, self.window_s, self.measured_s, self.temperature_c,
        )  # fmt: skip


@define(eq=False)
class BoardCounters:
    """Knows what control was told last, so that a heartbeat has only what is new."""

    _told: dict[str, BoardReading] = Factory(dict)

    def forget(self) -> None:
        """Control may know nothing: tell it all again."""
        self._told.clear()

    def news(self, readings: Iterable[BoardReading]) -> list[BoardReading]:
        """Return those that control does not know."""
        return [reading for reading in readings if self._told.get(reading.serial) != reading]

    def told(self, readings: Sequence[BoardReading]) -> None:
        """Control knows these now."""
        self._told.update({reading.serial: reading for reading in readings})
