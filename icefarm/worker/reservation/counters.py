"""Pure: no I/O, no clock.  Boards' counters that control does not have yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import Factory, define

from icefarm.contract import BoardReading

__all__ = ["BoardCounters"]


@define(eq=False)
class BoardCounters:
    """Remembers the last reported counters, so that a heartbeat has only new ones."""

    _told: dict[str, BoardReading] = Factory(dict)

    def forget(self) -> None:
        """Control may know nothing: send everything again."""
        self._told.clear()

    def news(self, readings: Iterable[BoardReading]) -> list[BoardReading]:
        """Return those that control does not know."""
        return [reading for reading in readings if self._told.get(reading.serial) != reading]

    def told(self, readings: Sequence[BoardReading]) -> None:
        """Control knows these now."""
        self._told.update({reading.serial: reading for reading in readings})
