"""Pure: no I/O, no clock.  Boards that were reserved together and may become fewer and more.

Theory of operation
-------------------
A request such as ``reserve(8, at_least=2, preemptible=True)`` makes a group: the reservations that carry its id.  A
group holds between ``at_least`` and ``wanted`` boards, and goes through these changes, one board at a time:

    HELD ── somebody else may have it (`may_take`) ──> ASKED ── its client has no evaluation on it any more ──> ended
    wanted, and not held ── a board is free for it, or one may be taken from another group ──> HELD

Who may take a board that a group can spare: a request of a higher priority; or one of the same priority whose account
has used less lately, by `MARGIN` or more, and has no more boards than the other one has left (for each unit of weight).
So boards are divided evenly, and the odd one goes around.  The margin keeps it from going back and forth: after it has
changed hands, the difference must first turn, and grow to the margin.

A group that misses boards stands in the queue behind the requests that wait, of its priority (`growth`).  So a board
goes to one that has none first, to a group only then.

Invariants:

- A group is never asked for so many boards that it would have fewer than ``at_least``.
- A group without ``at_least`` is never asked; one without ``wanted`` never grows.
- Two groups of one priority never ask each other for boards at the same time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence

from attrs import frozen

from icefarm.contract import ReservationRecord
from icefarm.control.scheduling.fair_share import Standing

__all__ = ["GROWS", "MARGIN", "Group", "groups", "may_take", "spared"]

#: Board-seconds by which an account must have used less, for each unit of weight, to take a board from another one of
#: the same priority.
MARGIN = 1800.0
#: What the id of a group's request for more boards begins with; no client's request has a blank in front.
GROWS = " grows "


@frozen
class Group:
    """Boards that were reserved together, and may become fewer or more."""

    id: str
    client: str
    priority: float
    wanted: int
    at_least: int | None
    records: tuple[ReservationRecord, ...]

    @property
    def missing(self) -> int:
        """How many boards it would like to have, beside those that it has."""
        return max(0, self.wanted - len(self.records))

    def spare(self, leaving: Collection[str], usable: Collection[str]) -> list[str]:
        """Return which of the usable boards it can be asked for, the last first; ``leaving`` were asked for before."""
        if self.at_least is None:
            return []
        stay = [record for record in self.records if record.serial not in leaving]
        count = max(0, len(stay) - self.at_least)
        last = sorted(stay, key=lambda record: (record.created_at, record.serial), reverse=True)
        return [record.serial for record in last if record.serial in usable][:count]


def groups(active: Iterable[ReservationRecord]) -> list[Group]:
    """Return the groups among these reservations."""
    found: dict[tuple[str, str], list[ReservationRecord]] = defaultdict(list)
    for record in active:
        if record.request is not None and record.wanted is not None:
            found[record.client, record.request].append(record)
    return [
        Group(
            id,
            client,
            records[0].priority,
            max(each.wanted or 0 for each in records),
            records[0].at_least,
            tuple(records),
        )
        for (client, id), records in found.items()
    ]


def may_take(client: str, priority: float, group: Group, standing: Standing) -> bool:
    """Tell whether a request of this client may take boards that a group can spare."""
    if client == group.client or priority < group.priority:
        return False
    return priority > group.priority or standing.lead(client, group.client) >= MARGIN


def spared(
    client: str,
    priority: float,
    lenders: Sequence[Group],
    standing: Standing,
    leaving: Collection[str],
    usable: Collection[str],
) -> list[str]:
    """Return the serials of the boards that a request may take, in the order in which they are asked for.

    The group of the lowest priority is asked first, then the one whose account has most boards, then the one whose
    account used most.
    """
    willing = [group for group in lenders if may_take(client, priority, group, standing)]
    left = {group.id: group.spare(leaving, usable) for group in willing}
    found: list[str] = []
    while willing := [group for group in willing if left[group.id]]:
        first = min(willing, key=lambda group: _first(group, standing))
        if priority == first.priority and not standing.is_fairer(client, first.client):
            willing.remove(first)
            continue
        found.append(left[first.id].pop(0))
        standing = standing.moved(first.client, client)
    return found


def _first(group: Group, standing: Standing) -> tuple[float, float, float, str]:
    return group.priority, -standing.boards(group.client), -standing.level(group.client), group.id
