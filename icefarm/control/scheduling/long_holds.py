"""Pure: no I/O, no clock.  Which boards are to be given back because they were held for long while others wait.

Theory of operation
-------------------
A client extends its reservations for as long as it runs, so a board may be held for weeks.  That harms nobody while
nobody waits.  Once a board has been held for ``max_hold`` and somebody of another account waits for it, it is given
back: at

    the latest of   the time at which it has been held for max_hold,
                    one hour (`NOTICE`) after that request began to wait,
                    one hour after its holder was first told.

So the holder knows at least an hour before.  Only as many boards are asked for as those who wait need, those first that
were announced before, then those that have been held longest.  When nobody waits any more, the announcement is void.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from icefarm.contract import ReservationRecord, account_of
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict

__all__ = ["NOTICE", "SECOND_NOTICE", "Notice", "due"]

#: Seconds before a board is given back at which its holder is told, for the first and for the second time.
NOTICE, SECOND_NOTICE = 3600.0, 600.0


@frozen
class Notice:
    """A board is to be given back at a time, by the store's clock."""

    record: ReservationRecord
    at: float
    #: Who waits for it.
    client: str


def due(
    waiting: Sequence[tuple[Verdict, QueuedRequest]],
    active: Sequence[ReservationRecord],
    told: Mapping[str, float],
    max_hold: float,
    now: float,
) -> list[Notice]:
    """Return the boards that are to be given back within `NOTICE`; ``waiting`` is in the order of the queue.

    ``told`` says when holders were first told, by reservation.
    """
    held = {record.serial: record for record in active}
    chosen: dict[str, Notice] = {}
    for verdict, queued in waiting:
        others = [held[serial] for serial in verdict.reach if serial in held and _others(held[serial], queued)]
        free = len(verdict.reach) - sum(serial in held for serial in verdict.reach)
        long = [
            record
            for record in others
            if record.serial not in chosen and _when(record, queued, told, max_hold, now) - now <= NOTICE
        ]
        long.sort(key=lambda record: (record.id not in told, record.created_at, record.serial))
        for record in long[: max(0, queued.request.least - free)]:
            at = _when(record, queued, told, max_hold, now)
            chosen[record.serial] = Notice(record, at, queued.client)
    return list(chosen.values())


def _others(record: ReservationRecord, queued: QueuedRequest) -> bool:
    return account_of(record.client) != account_of(queued.client)


def _when(
    record: ReservationRecord, queued: QueuedRequest, told: Mapping[str, float], max_hold: float, now: float
) -> float:
    return max(record.created_at + max_hold, queued.since + NOTICE, told.get(record.id, now) + NOTICE)
