"""Announces that boards are to be given back, and asks for them when the time has come."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import Factory, define, evolve, frozen

from icefarm.contract import ReservationRecord
from icefarm.control.reservations.sharing.groups import Groups
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict
from icefarm.control.scheduling.long_holds import SECOND_NOTICE, Notice, due
from icefarm.control.telemetry.events import GiveBackSoon
from icefarm.control.telemetry.publisher import Publisher
from icefarm.text.durations import in_words

__all__ = ["LongHolds"]


@frozen
class _Told:
    #: When it was first announced, and the time that was announced last.
    first: float
    at: float
    #: The second notice has been given.
    twice: bool = False


@define(eq=False)
class LongHolds:
    """Looks after each walk of the queue for boards held for long, and forgets those that nobody waits for."""

    publisher: Publisher
    groups: Groups
    #: Seconds; None: boards are never asked for, however long they are held.
    max_hold: float | None
    _told: dict[str, _Told] = Factory(dict)

    def look(
        self, waiting: Sequence[tuple[Verdict, QueuedRequest]], active: Sequence[ReservationRecord], now: float
    ) -> None:
        """Announce the boards to be given back, and ask for those that are due."""
        if self.max_hold is None:
            return
        first = {id: told.first for id, told in self._told.items()}
        notices = due(waiting, active, first, self.max_hold, now)
        kept = {notice.record.id for notice in notices}
        self._told = {id: told for id, told in self._told.items() if id in kept}
        for notice in notices:
            self._follow(notice, now)

    def _follow(self, notice: Notice, now: float) -> None:
        record, left = notice.record, notice.at - now
        told = self._told.get(record.id)
        why = f"it was held for {in_words(round(now - record.created_at))} while {notice.client} waits"
        if left <= 0:
            self.groups.ask([record], why)
        elif told is None or told.at != notice.at or (left <= SECOND_NOTICE and not told.twice):
            self.publisher.publish(GiveBackSoon(record, notice.at, left, why))
            new = _Told(now, notice.at) if told is None else evolve(told, at=notice.at)
            self._told[record.id] = evolve(new, twice=left <= SECOND_NOTICE)
