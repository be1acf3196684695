"""Counts what is added to experiments: how fast they go now."""

from __future__ import annotations

from collections import deque

from attrs import Factory, define

from icefarm.concurrency.clock import Clock
from icefarm.control.telemetry.events import Event, MeasurementsArchived

__all__ = ["Activity"]

#: Seconds over which a rate is taken.
PERIOD = 60.0


@define(eq=False)
class Activity:
    """The last minute's rows of each experiment."""

    clock: Clock
    #: When, and how many, by account and name.
    _added: dict[tuple[str, str], deque[tuple[float, int]]] = Factory(dict)

    def heard(self, event: Event) -> None:
        """Count an archived batch."""
        if isinstance(event, MeasurementsArchived):
            now = self.clock.seconds()
            for key, count in event.new.items():
                self._added.setdefault(key, deque()).append((now, count))
            self._forget(now)

    def rate(self, key: tuple[str, str]) -> float:
        """Return evaluations a second of an experiment over the last minute."""
        since = self.clock.seconds() - PERIOD
        return sum(count for time, count in self._added.get(key, ()) if time > since) / PERIOD

    def _forget(self, now: float) -> None:
        for key, added in list(self._added.items()):
            while added and added[0][0] <= now - PERIOD:
                added.popleft()
            if not added:
                del self._added[key]
