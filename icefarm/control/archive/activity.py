"""Counts what is added to experiments: how fast they go now."""

from __future__ import annotations

from collections import deque

from attrs import Factory, define

from icefarm.concurrency.clock import Clock
from icefarm.control.telemetry.events import Event, MeasurementsArchived

__all__ = ["Activity"]

#: Seconds over which a rate is taken; and over which at least, once there is more than one batch.
PERIOD = 60.0
LEAST = 5.0


@define(eq=False)
class Activity:
    """The last minute's rows of each experiment."""

    clock: Clock
    #: When, and how many, by account and name.
    _added: dict[tuple[str, str], deque[tuple[float, int]]] = Factory(dict)
    #: When the first came, after a minute or more without any.
    _began: dict[tuple[str, str], float] = Factory(dict)

    def heard(self, event: Event) -> None:
        """Count an archived batch."""
        if isinstance(event, MeasurementsArchived):
            now = self.clock.seconds()
            self._forget(now)
            for key, count in event.new.items():
                self._began.setdefault(key, now)
                self._added.setdefault(key, deque()).append((now, count))

    def rate(self, key: tuple[str, str]) -> float:
        """Return evaluations a second of an experiment over the last minute; since it began, if that is less.

        What came first was measured before it came, so it tells nothing of the time since.
        """
        now = self.clock.seconds()
        lately = [(time, count) for time, count in self._added.get(key, ()) if time > now - PERIOD]
        began = self._began.get(key, now)
        after = sum(count for time, count in lately if time > began)
        if after and began > now - PERIOD:
            return after / max(LEAST, now - began)
        return sum(count for _, count in lately) / PERIOD

    def _forget(self, now: float) -> None:
        for key, added in list(self._added.items()):
            while added and added[0][0] <= now - PERIOD:
                added.popleft()
            if not added:
                del self._added[key], self._began[key]
