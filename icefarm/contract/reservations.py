"""Pure: the records of reservations: those that stand, those that wait, who may have what, and what is booked."""

from __future__ import annotations

from typing import Any

from attrs import Factory, frozen

from icefarm.arguments import passes_over_unknown


@passes_over_unknown
@frozen
class ReservationRecord:
    """A reservation of one board.  Key: id."""

    id: str
    serial: str
    worker: str
    client: str
    kind: str
    options: dict[str, Any]
    created_at: float
    expires_at: float
    #: None while it is active.
    ended_at: float | None = None
    end_reason: str | None = None
    #: Seconds that its client may be away before it ends; None: the farm's setting.
    grace: float | None = None
    #: The board's labels.
    labels: dict[str, str] = Factory(dict)
    #: Why it cannot be extended beyond its end: the booking that needs its board then, in words; None: it can.
    limited_by: str | None = None
    #: The id of the request that it was made for.
    request: str | None = None
    #: Of that request; higher ones are served first.
    priority: float = 50.0
    #: How many boards that request would like to have, and how many it keeps when others ask for boards; None: all that
    #: it has got.
    wanted: int | None = None
    at_least: int | None = None
    #: The selector of the boards that it would like to have; None: any.
    where: str | None = None
    #: The id of the board's calibration.
    calibration: str | None = None
    #: The farm's own reservation of the board, which its client shares with others; None: it has the board for itself.
    within: str | None = None
    #: The part of the board's time that counts as its own: 1, or less where it shares the board.
    part: float = 1.0
    #: In the answer to ``reserve``: the URL of the router at which the board is reached; None: the one that was asked.
    router: str | None = None


@passes_over_unknown
@frozen
class QueueRecord:
    """A request that waits for boards.  Key: id."""

    id: str
    client: str
    kind: str
    amount: int
    serials: list[str]
    since: float
    place: int
    reason: str
    #: Of the client's account: board-seconds that it has used lately, those of boards that it holds among them.
    used: float = 0.0
    #: The clients of the first requests that go before it and wait for boards that it could use, too.
    behind: list[str] = Factory(list)
    #: When it is likely to be served, from how long boards were held lately: not before, not after; None: unknown.
    earliest: float | None = None
    latest: float | None = None
    #: The selector of the boards that it may have, if it gave one.
    where: str | None = None
    #: It would share boards with others.
    shared: bool = False


@passes_over_unknown
@frozen
class ShareRecord:
    """What an account has used of the boards lately, which decides who is served next.  Key: account."""

    account: str
    #: Board-seconds, which count half after each half-life; those of boards that it holds among them.
    used: float
    #: Its part of what all accounts used, from 0 to 1.
    share: float
    #: What its usage is divided by, for the order in the queue.
    weight: float
    #: Boards that it holds, and requests of it that wait.
    held: int
    waiting: int


@passes_over_unknown
@frozen
class AccessRule:
    """What accounts may have: one account, those of a group, or all that have no rules of their own.  Key: id."""

    id: int
    account: str | None = None
    group: str | None = None
    #: The selector of the boards that it allows; None: all.
    where: str | None = None
    #: How long a reservation may last with all of its extensions; None: as long as the limits allow.
    seconds: float | None = None
    #: The device kinds that it allows; None: all.
    kinds: list[str] | None = None


@passes_over_unknown
@frozen
class BookingRecord:
    """Boards that are kept for an account, or for a group of accounts, for a time.  Key: id."""

    id: str
    #: The account, or the group, that gets them.
    account: str
    amount: int
    #: These boards; empty: any.
    serials: list[str]
    #: Boards that can be of this kind; None: of any.
    kind: str | None
    starts_at: float
    ends_at: float
    #: How many boards it still keeps: it releases those that nobody takes.
    kept: int
    booked_by: str
    created_at: float
    #: None until it is over, cancelled, or has released all of its boards.
    ended_at: float | None = None
    end_reason: str | None = None
    #: A selector of the boards; None: any, and no virtual ones where there are real ones.
    where: str | None = None
