"""Control's store: workers, boards, reservations and tokens.  The interface, and the records that it returns.

`icefarm.control.storage.postgres.store.PostgresStore` implements it over PostgreSQL,
`icefarm.testing.memory.store.MemoryStore` in memory; one set of tests holds both to the same
behaviour.  Each call is one transaction: all of it happens, or nothing.
Concurrent calls may overtake each other; if their order matters, wait for one before the next. A cancelled call either
happens or not, without saying which; if that matters, let it run to its end.
Times are those of the store's own clock (PostgreSQL's), in seconds since the epoch.

Besides the errors named below, every call raises `Busy` if the database stays away, and `InvalidArgument` for values
that it can't store (such as text with a NUL character).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from attrs import Factory, frozen

from icefarm.contract import (
    AccessRule,
    BookingRecord,
    DeviceRecord,
    DeviceReport,
    ReservationRecord,
    Role,
    WorkerHello,
    WorkerRecord,
)
from icefarm.control.inventory.calibration.interface import CalibrationStore
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.bookings.calendar import NO_BOOKINGS, Calendar
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY, Hold
from icefarm.control.scheduling.placement import ReservationRequest, Terms
from icefarm.control.sessions.roster import RosterEntry

__all__ = ["AuditEntry", "Kept", "Lately", "State", "Store", "Taken", "TokenRecord"]


@frozen
class TokenRecord:
    """A token for signing in; only its hash is stored."""

    name: str
    role: Role
    created_at: float
    #: The account that signs in with it.
    account: str
    #: Identifies it where its hash would not fit.
    id: int
    #: When it stops being valid; None: never.
    expires_at: float | None = None
    #: Another token has taken over its name; this one is valid until it expires.
    replaced: bool = False
    last_used_at: float | None = None
    last_used_from: str | None = None


@frozen
class AuditEntry:
    """An action, or a refused one."""

    time: float
    account: str
    #: The session's name, within the account.
    name: str
    role: str
    #: The session at the router; None for HTTP, the command line and refused sign-ins.
    session: int | None
    address: str | None
    action: str
    #: Its object: boards, a worker, a token.
    subject: str | None
    #: "done", or the name of the error.
    outcome: str
    detail: str | None = None


@frozen
class State:
    """Workers, boards and bookings at one moment."""

    devices: list[DeviceRecord]
    workers: list[WorkerRecord]
    now: float
    calendar: Calendar = NO_BOOKINGS


@frozen
class Kept:
    """The changes that give bookings their boards."""

    #: Reservations that now end earlier.
    shortened: list[ReservationRecord] = Factory(list)
    #: Bookings that released boards, or ended.
    changed: list[BookingRecord] = Factory(list)
    #: Seconds until the next change is due; None: when something is booked.
    next_in: float | None = None


@frozen
class Lately:
    """Use by reservations that have ended."""

    #: The time of the store's clock at which this holds.
    at: float
    #: By account: board-seconds, as they weigh at that time (`icefarm.control.scheduling.fair_share`).
    used: dict[str, float]
    #: The holds that ended last, in order.
    holds: list[Hold]


@frozen
class Taken:
    """The outcome of a worker's reports."""

    #: The boards that it may have.
    devices: list[DeviceRecord]
    #: The others: the online worker that has each, by serial.
    contested: dict[str, str] = Factory(dict)


class Store(CalibrationStore, Protocol):
    """Control's store.  Lists are sorted by name or serial unless said otherwise."""

    # ------------------------------------------------------------------------------------- workers and boards

    async def hello(self, hello: WorkerHello) -> list[str]:
        """Record a worker's hello: it is online, has these boards, and its others are offline.

        If it must leave, a new process of its name also leaves as long as its boards are reserved; after
        that it starts over, and is not drained.

        Returns the serials of boards that it may not have, because another online worker has them; their records do
        not change. A reserved board that moved here brings its reservation along.
        """

    async def report(self, worker: str, reports: Sequence[DeviceReport]) -> Taken:
        """Record a worker's reports of some of its boards, or of new ones; one report of each.

        Raises `UnknownWorker` for one that has not said hello.
        """

    async def worker_seen(self, worker: str) -> int:
        """Note that the worker is alive; returns how many of its boards are not offline.

        An unknown or offline worker has none.
        """

    async def worker_lost(self, worker: str, reason: str) -> list[DeviceRecord]:
        """Set the worker and its boards offline; returns the boards that were not offline before.

        Their reservations go on.
        """

    async def set_draining(self, worker: str, draining: bool, *, leaving: bool = False) -> WorkerRecord:
        """Set whether the worker's boards may be newly reserved; survives its restarts.  Raises `UnknownWorker`.

        ``leaving``, for a drained worker: it exits when none of its boards is reserved (see `hello`).
        """

    async def workers(self) -> list[WorkerRecord]:
        """Return all workers that ever joined."""

    async def devices(self, serials: Sequence[str] | None = None, *, worker: str | None = None) -> list[DeviceRecord]:
        """Return these boards, in the given order, or all, or those of a worker.

        Raises `UnknownDevice` that names the missing ones.
        """

    async def delete_devices(self, serials: Sequence[str]) -> list[str]:
        """Forget these boards, all or none; their past reservations are kept.  Returns their serials.

        Raises `UnknownDevice`, and `InvalidArgument` for one that is reserved, or neither offline nor broken.
        """

    async def retire(self, serials: Sequence[str]) -> list[str]:
        """Forget those of these boards that are not reserved, in whatever state; returns their serials, sorted."""

    async def delete_worker(self, worker: str) -> list[str]:
        """Forget a worker and its boards; returns the serials of these.  Past reservations are kept.

        Raises `UnknownWorker`, and `InvalidArgument` for one that is online or has a board that is reserved.
        """

    async def set_labels(
        self, labels: Mapping[str, str | None], *, serials: Sequence[str] | None = None, worker: str | None = None
    ) -> list[DeviceRecord]:
        """Set labels of these boards, or of a worker; a value None takes one away.  Returns the boards.

        Raises `UnknownDevice`, `UnknownWorker`, and `InvalidArgument` where one would have more than
        `MAX_BOARD_LABELS`; then none changes.
        """

    # ---------------------------------------------------------------------------------------------- reservations

    async def available(self, kind: str | None = None) -> list[str]:
        """Return the boards that can be reserved now, as that kind or as any."""

    async def state(self) -> State:
        """Return all workers and boards as of one moment."""

    async def reserve(
        self,
        client: str,
        request: ReservationRequest,
        seconds: float,
        *,
        request_id: str | None = None,
        grace: float | None = None,
        more: bool = False,
        terms: Terms | None = None,
    ) -> list[ReservationRecord]:
        """Reserve what was asked for, all or nothing, for so many seconds from now.

        The answer is in the order of the request's serials or, for an amount, of choice. The request of that id waits
        no longer. A repeated call gets the same boards, if it still has all of them, unless it is for ``more``; if it
        has only some of them, it raises `Unavailable`.
        ``grace``: see `ReservationRecord`; ``terms``: the same. One whose boards may become fewer gets those that it
        has, when it is asked again. Boards that are kept for a booking go to its account only, and a reservation
        ends where a booking needs its board (``limited_by``). Raises `Unavailable`, `UnknownKind`, `UnknownDevice` as
        `icefarm.control.scheduling.placement.choose` does.
        """

    async def answered(self, client: str, request_id: str) -> list[ReservationRecord]:
        """Return the client's active reservations for the request of that id."""

    async def extend(
        self,
        client: str,
        serials: Sequence[str] | None,
        seconds: float,
        *,
        until: Mapping[str, float] | None = None,
    ) -> list[ReservationRecord]:
        """Extend the client's reservations, of these boards or all, to at least ``seconds`` from now.

        ``until``: to no later than then, by serial.
        Never shortens one. One whose board is booked by others goes on until that booking begins at most, and says so
        (``limited_by``). Raises `NotYours` if a serial is not reserved by the client; then none is extended.
        """

    async def end(self, *, client: str | None, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        """End the reservations of these boards, or all of the client's; returns those that this call ended.

        Boards that are not reserved are ignored, so ending twice is harmless. With ``client`` None, they may be any
        client's (and ``serials`` must be given).
        Raises `UnknownDevice`, and `NotYours` if another client has one; then none is ended.
        """

    async def want_fewer(self, client: str, request_id: str, boards: int) -> None:
        """Reduce the number of boards that a request wants: its client gave some back."""

    async def end_reservations(self, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
        """End these reservations; returns those that this call ended (unknown and ended ones are ignored)."""

    async def end_expired(self) -> list[ReservationRecord]:
        """End expired reservations; returns those that this call ended.

        The reason is "expired", followed by what limited them.
        """

    async def active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        """Return the active reservations of that client, of that worker's boards; by serial."""

    async def reservation(self, id: str) -> ReservationRecord | None:
        """Return a reservation, ended or not; None if there never was one with that id."""

    async def lately(self, half_life: float, holds: int) -> Lately:
        """Return accounts' use of boards, in board-seconds that halve with ``half_life``, and the last holds."""

    async def now(self) -> float:
        """Return the time of the clock that decides expiry."""

    # ------------------------------------------------------------------------------------------------------ queue

    async def enqueue(
        self,
        client: str,
        request: ReservationRequest,
        request_id: str,
        timeout: float | None,
        *,
        since: float | None = None,
        priority: float = DEFAULT_PRIORITY,
    ) -> QueuedRequest:
        """Store a waiting request, for at most so many seconds; an existing one stays unchanged, and is returned.

        ``since`` gives it the place of one that has waited since then; None: since now.
        Raises `InvalidArgument` if another client has a request of that id.
        """

    async def dequeue(self, ids: Sequence[str]) -> list[str]:
        """Remove these waiting requests; returns those that waited."""

    async def waiting(self) -> list[QueuedRequest]:
        """Return the waiting requests, the longest wait first; expired ones are dropped."""

    # --------------------------------------------------------------------------------------------------- bookings

    async def book(self, wanted: BookingRecord, most: Mapping[str, float] | None = None) -> BookingRecord:
        """Keep a booking; its ``id``, ``created_at`` and ``kept`` are the store's.

        ``most`` are the limits of who books, ``bookings`` and ``booked``; None: there are none.
        Raises `Unavailable` if there are not enough boards in service at some moment of it, `UnknownDevice`,
        `LimitReached`, and `InvalidArgument` if it ends in the past.
        """

    async def bookings(self, since: float | None = None) -> list[BookingRecord]:
        """Return the bookings that have not ended, and those whose time is not over ``since`` then.

        The first to begin comes first; of those that begin at the same time, the one that was booked first.
        """

    async def cancel_bookings(self, ids: Sequence[str], account: str | None, reason: str) -> list[BookingRecord]:
        """End these bookings, all or none; returns those that this call ended.

        Raises `InvalidArgument` for an unknown one, and `NotYours` for one that ``account`` (None: anybody) neither has
        nor made.
        """

    async def keep_bookings(self) -> Kept:
        """Shorten reservations whose boards bookings need, release unused boards, end bookings that are over."""

    async def account_groups(self) -> dict[str, str]:
        """Return the group of each account that belongs to one."""

    async def set_account_groups(self, groups: Mapping[str, str | None]) -> None:
        """Set the groups of accounts; None: it belongs to none."""

    # ----------------------------------------------------------------------------------------------------- tokens

    async def add_token(
        self, name: str, role: Role, hash: str, *, account: str | None = None, lasts: float | None = None
    ) -> TokenRecord:
        """Store a new token by its hash (`icefarm.control.sessions.sign_in.tokens`).

        ``account`` defaults to the name; ``lasts`` is the seconds for which it is valid, None forever.
        Raises `InvalidArgument` if there is a valid one of that name.
        """

    async def rotate_token(self, name: str, hash: str, *, overlap: float, lasts: float | None = None) -> TokenRecord:
        """Store a successor with the name, role and account of that token, which stays valid for ``overlap`` seconds.

        ``lasts`` is the seconds for which the successor is valid, None as many as its predecessor was made for.
        Raises `InvalidArgument` if there is none of that name.
        """

    async def token_by_hash(self, hash: str, *, used_from: str | None = None) -> TokenRecord | None:
        """Return the token with that hash; None if there is none, or it has expired or been revoked.

        ``used_from`` records its use from that address, to within a minute.
        """

    async def list_tokens(self) -> list[TokenRecord]:
        """Return the valid tokens."""

    async def ended_tokens(self, ids: Collection[int]) -> set[int]:
        """Return those of these tokens that are no longer valid."""

    async def revoke_token(self, name: str) -> None:
        """Revoke the tokens of that name.  Raises `InvalidArgument` if there is none."""

    # --------------------------------------------------------------------------------------------------- limits

    async def account_limits(self) -> dict[str, dict[str, float]]:
        """Return the limits that were set for single accounts, by account and name."""

    async def set_account_limits(self, account: str, limits: Mapping[str, float | None]) -> None:
        """Set limits of an account; None restores the farm's limit."""

    # ------------------------------------------------------------------------------------------------------ access

    async def access(self) -> AccessRules:
        """Return the rules of access in the order in which they were made, and the groups of accounts."""

    async def add_access(self, rule: AccessRule) -> AccessRule:
        """Store a rule, and return it with its id; an existing equal rule is returned unchanged."""

    async def remove_access(self, ids: Sequence[int]) -> list[int]:
        """Remove rules; returns those that this call removed, sorted."""

    # -------------------------------------------------------------------------------------------------- accounts

    async def import_accounts(
        self, entries: Sequence[RosterEntry], hashes: Mapping[str, str], *, lasts: float | None = None
    ) -> list[str]:
        """Create accounts, all or none: their tokens, groups and limits; returns those that have a new token.

        ``hashes`` has the hash of a token for each name. An account whose token of that name is valid keeps it.
        Raises `InvalidArgument`, which names the line, if a token of such a name belongs to another account or role.
        """

    async def remove_accounts(self, accounts: Sequence[str]) -> dict[str, int]:
        """Revoke all client's tokens of these accounts, and forget their groups and limits, all or none.

        Returns how many tokens each had. Raises `InvalidArgument` if one of them has none, nor a group or a limit, or
        has a token for another role.
        """

    # ------------------------------------------------------------------------------------------------ audit log

    async def keep_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Store audit entries."""

    async def audit(
        self, since: float, *, account: str | None = None, action: str | None = None, limit: int
    ) -> list[AuditEntry]:
        """Return entries since then, by that account or all, the last ``limit`` of them; the oldest first."""

    async def forget_audit(self, before: float) -> None:
        """Delete entries before that moment."""
