"""Pure: no I/O, no clock.  Which boards are to be given back because they were held for long while others wait.

Theory of operation
-------------------
A client extends its reservations for as long as it runs, so a board may be held for weeks.  That harms nobody while
nobody waits.  Once a board has been held for ``max_hold`` and somebody of another account waits for it, it is given
back: at

    the latest of   the time at which it has been held for max_hold,
                    one hour (`NOTICE`) after that request began to wait,
                    one hour after its holder was first told.

So the holder knows at least an hour before.  The farm asks only for as many boards as waiting requests need: first for
announced ones, then for those that have been held longest.  When nobody waits any more, the announcement is void.

If several clients share a board, the farm asks all of them, once each of them has had it for so long.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from attrs import frozen

from icefarm.contract import ReservationRecord, account_of
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict

__all__ = ["NOTICE", "SECOND_NOTICE", "Notice", "due"]

#: Seconds before a board is given back at which its holder gets the first and the second notice.
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
    held: dict[str, list[ReservationRecord]] = defaultdict(list)
    for record in active:
        held[record.serial].append(record)
    chosen: dict[str, list[Notice]] = {}
    for verdict, queued in waiting:
        free = len(verdict.reach - held.keys())
        long = []
        for serial in verdict.reach & held.keys() - chosen.keys():
            notices = [Notice(each, _when(each, queued, told, max_hold, now), queued.client) for each in held[serial]]
            if all(_others(each, queued) for each in held[serial]) and max(n.at for n in notices) - now <= NOTICE:
                long.append(notices)
        long.sort(key=lambda of_board: min(_order(notice.record, told) for notice in of_board))
        chosen |= {of_board[0].record.serial: of_board for of_board in long[: max(0, queued.request.least - free)]}
    return [notice for of_board in chosen.values() for notice in of_board]


def _order(record: ReservationRecord, told: Mapping[str, float]) -> tuple[bool, float, str]:
    """Return when a board is asked for: those that were announced before, then those that were held longest."""
    return record.id not in told, record.created_at, record.serial


def _others(record: ReservationRecord, queued: QueuedRequest) -> bool:
    return account_of(record.client) != account_of(queued.client)


def _when(
    record: ReservationRecord, queued: QueuedRequest, told: Mapping[str, float], max_hold: float, now: float
) -> float:
    return max(record.created_at + max_hold, queued.since + NOTICE, told.get(record.id, now) + NOTICE)
