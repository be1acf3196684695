"""What control remembers: workers, boards, reservations and tokens.  The interface, and what its answers look like.

`icefarm.control.storage.postgres.store.PostgresStore` implements it over PostgreSQL,
`icefarm.testing.memory.store.MemoryStore` in memory; one set of tests holds both to the same
behaviour.  Each call is one transaction: all of it happens, or nothing.
Calls made at once may overtake each other; where their order matters, wait for one before the next. A call that is
cancelled either happens or not, and nobody says which; where that matters, let it go on to its end.
Times are those of the store's own clock (PostgreSQL's), in seconds since the epoch.

Besides the errors named below, every call raises `Busy` where the database stays away, and `InvalidArgument` for
values that it can't keep (such as text with a NUL character).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from attrs import frozen

from icefarm.contract import DeviceRecord, DeviceReport, ReservationRecord, Role, WorkerHello, WorkerRecord
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.placement import ReservationRequest

__all__ = ["AuditEntry", "State", "Store", "TokenRecord"]


@frozen
class TokenRecord:
    """A token that lets somebody sign in; the token itself is not kept, only its hash."""

    name: str
    role: Role
    created_at: float
    #: Who signs in with it.
    account: str
    #: Names it where its hash has no place.
    id: int
    #: When it stops being valid; None: never.
    expires_at: float | None = None
    #: Another token took over its name; this one is valid until it expires.
    replaced: bool = False
    last_used_at: float | None = None
    last_used_from: str | None = None


@frozen
class AuditEntry:
    """Something that somebody did, or was refused."""

    time: float
    account: str
    #: The session's name, within the account.
    name: str
    role: str
    #: The session at the router; None for HTTP, the command line and refused sign-ins.
    session: int | None
    address: str | None
    action: str
    #: What it was done to: boards, a worker, a token.
    subject: str | None
    #: "done", or the name of the error.
    outcome: str
    detail: str | None = None


@frozen
class State:
    """Workers and boards at one moment."""

    devices: list[DeviceRecord]
    workers: list[WorkerRecord]
    now: float


class Store(Protocol):
    """What control remembers.  Lists come sorted by name, serial, or as said."""

    # ------------------------------------------------------------------------------------- workers and boards

    async def hello(self, hello: WorkerHello) -> list[str]:
        """Take a worker's introduction: it is online, has these boards, and its others are offline.

        Where one was to leave, another process of its name goes on with that while reservations of its boards last;
        after that it begins anew, and is not drained.

        Returns the serials of boards that it may not have, because another online worker has them; what is kept of
        those does not change. A board that moved here with a reservation brings the reservation along.
        """

    async def report(self, worker: str, report: DeviceReport) -> DeviceRecord:
        """Take a worker's word about one of its boards, or a new one.

        Raises `UnknownWorker` for one that has not said hello, `NotYours` where another online worker has that board.
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
        """Say whether the worker's boards may be newly reserved; lasts over its restarts.  Raises `UnknownWorker`.

        ``leaving``, of a worker that is drained: it ends when nobody has boards of it any more (see `hello`).
        """

    async def workers(self) -> list[WorkerRecord]:
        """Return all workers that ever joined."""

    async def devices(self, serials: Sequence[str] | None = None) -> list[DeviceRecord]:
        """Return these boards, in the order asked, or all.  Raises `UnknownDevice` that names the missing ones."""

    async def delete_devices(self, serials: Sequence[str]) -> list[str]:
        """Forget these boards, all or none; what they were reserved for in the past is kept.  Returns their serials.

        Raises `UnknownDevice`, and `InvalidArgument` for one that is reserved, or neither offline nor broken.
        """

    # ---------------------------------------------------------------------------------------------- reservations

    async def available(self, kind: str | None = None) -> list[str]:
        """Return the boards that could be reserved now, for that kind or for any."""

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
    ) -> list[ReservationRecord]:
        """Reserve what was asked for, all or nothing, for so many seconds from now.

        The answer is in the order of the request's serials or, for an amount, of choice. The request of that id waits
        no longer; asked again, it gets what it got before, where it has all of that still, unless it is for
        ``more``; where it has a part of it, it is `Unavailable`.
        ``grace``: see `ReservationRecord`. Raises `Unavailable`, `UnknownKind`, `UnknownDevice` as
        `icefarm.control.scheduling.placement.choose` does.
        """

    async def answered(self, client: str, request_id: str) -> list[ReservationRecord]:
        """Return what the client got for the request of that id and has still."""

    async def extend(self, client: str, serials: Sequence[str] | None, seconds: float) -> list[ReservationRecord]:
        """Let the client's reservations, of these boards or all, last at least so many seconds from now.

        Never shortens one. Raises `NotYours` where a serial is not reserved by the client; then none is extended.
        """

    async def end(self, *, client: str | None, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        """End the reservations of these boards, or all of the client's; returns those that this call ended.

        A board that nobody has reserved is passed over, so ending twice is harmless. With ``client`` None, whose they
        are does not matter (and ``serials`` must be given).
        Raises `UnknownDevice`, and `NotYours` where another client has one; then none is ended.
        """

    async def end_reservations(self, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
        """End these reservations; returns those that this call ended (unknown and ended ones are passed over)."""

    async def end_expired(self) -> list[ReservationRecord]:
        """End the reservations whose time is over, with the reason "expired"; returns those that this call ended."""

    async def next_expiry(self) -> float | None:
        """Return the seconds until the next reservation expires, 0 where one is overdue, None where there is none."""

    async def active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        """Return the reservations that have not ended, of that client, of that worker's boards; by serial."""

    async def reservation(self, id: str) -> ReservationRecord | None:
        """Return a reservation, ended or not; None where there never was one with that id."""

    async def now(self) -> float:
        """Return the time, by the clock that decides over expiry."""

    # ------------------------------------------------------------------------------------------------------ queue

    async def enqueue(
        self,
        client: str,
        request: ReservationRequest,
        request_id: str,
        timeout: float | None,
        *,
        since: float | None = None,
    ) -> QueuedRequest:
        """Let a request wait, at most so many seconds; one that waits already stays as it is, and is returned.

        ``since`` gives it the place of one that waits since then; None: since now.
        Raises `InvalidArgument` where another client has a request of that id.
        """

    async def dequeue(self, ids: Sequence[str]) -> list[str]:
        """Let these requests wait no longer; returns those that did."""

    async def waiting(self) -> list[QueuedRequest]:
        """Return the requests that wait, those first that wait longest; those whose time is over are dropped."""

    # ----------------------------------------------------------------------------------------------------- tokens

    async def add_token(
        self, name: str, role: Role, hash: str, *, account: str | None = None, lasts: float | None = None
    ) -> TokenRecord:
        """Keep a new token by its hash (`icefarm.control.sessions.tokens`).

        ``account`` is the name by default; ``lasts`` the seconds for which it is valid, None for ever.
        Raises `InvalidArgument` where there is a valid one of that name.
        """

    async def rotate_token(self, name: str, hash: str, *, overlap: float, lasts: float | None = None) -> TokenRecord:
        """Keep another token with the name, role and account of that one, which is valid for ``overlap`` seconds more.

        Raises `InvalidArgument` where there is none of that name.
        """

    async def token_by_hash(self, hash: str, *, used_from: str | None = None) -> TokenRecord | None:
        """Return the token with that hash; None where there is none, or it has expired or been revoked.

        ``used_from`` notes that it was used from that address, to within a minute.
        """

    async def list_tokens(self) -> list[TokenRecord]:
        """Return the valid tokens."""

    async def ended_tokens(self, ids: Collection[int]) -> set[int]:
        """Return those of these tokens that are not valid any more."""

    async def revoke_token(self, name: str) -> None:
        """Let the tokens of that name open nothing any more.  Raises `InvalidArgument` where there is none."""

    # ------------------------------------------------------------------------------------------------ audit log

    async def keep_audit(self, entries: Sequence[AuditEntry]) -> None:
        """Keep what was done."""

    async def audit(
        self, since: float, *, account: str | None = None, action: str | None = None, limit: int
    ) -> list[AuditEntry]:
        """Return what was done since then, by that account or all, the last ``limit`` of it; the oldest first."""

    async def forget_audit(self, before: float) -> None:
        """Delete what was done before that moment."""
