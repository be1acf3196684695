"""The procedures ``icefarm.v1.control.*`` about bookings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define, evolve

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import MAX_SECONDS, BookingRecord, Role, account_of, to_wire, valid_account, valid_name
from icefarm.control.scheduling.placement import MAX_BOARDS, ReservationRequest
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import BookingsChanged
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import InvalidArgument, NotAuthorized
from icefarm.selectors.boards import check_known, label_names, parse_boards
from icefarm.text.durations import in_words

__all__ = ["BookingProcedures"]

#: Seconds ahead that a booking begins at most: two years.
FURTHEST = 2 * 366 * 86400.0
#: Ids of bookings in one call, and characters of one.
MOST_IDS, LONGEST_ID = 1000, 64


@define(eq=False)
class BookingProcedures:
    """Who may book: an account for itself, within its limits; an operator for anybody."""

    store: Store
    publisher: Publisher
    account_limits: FarmLimits
    clock: Clock

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        methods = (self.book, self.bookings, self.cancel_bookings)
        return {method.__name__: (method, (Role.CLIENT, Role.OPERATOR)) for method in methods}

    async def book(
        self,
        caller: Caller,
        starts_at: float,
        seconds: float,
        amount: int | None = None,
        serials: list[str] | None = None,
        account: str | None = None,
        kind: str | None = None,
        where: str | None = None,
    ) -> dict[str, Any]:
        """Keep boards for an account, from ``starts_at`` for ``seconds``; raises `Unavailable` if there are too few.

        ``account`` is the caller's by default; an operator may name another one, or a group.  ``where`` is a selector
        for the boards of an amount.
        """
        own = account_of(caller.authid)
        wanted = _wanted(caller, starts_at, seconds, amount, serials, account or own, kind)
        if where is not None:
            wanted = evolve(wanted, where=await self._selector(where, wanted))
        most = None
        if caller.role != Role.OPERATOR:
            if wanted.account != own:
                raise NotAuthorized(f"only an operator books for others; you are account {own!a:.100}")
            self.account_limits.check(own, "boards", 0, wanted.amount)
            of_account = self.account_limits.of(own)
            most = {"bookings": of_account.bookings, "booked": of_account.booked}
        if wanted.starts_at > await self.store.now() + FURTHEST:
            raise InvalidArgument(f"starts_at is more than {in_words(FURTHEST)} ahead")
        made = await self.store.book(wanted, most)
        self.publisher.publish(BookingsChanged([made]))
        return to_wire(made)

    async def _selector(self, where: str, wanted: BookingRecord) -> str:
        """Return a selector as it is kept.  Raises `InvalidArgument` for one that is none, or beside serials."""
        if wanted.serials:
            raise InvalidArgument("give serials or where, not both: serials name the boards already")
        selector = parse_boards(where)
        check_known(selector, label_names([*await self.store.devices(), *await self.store.workers()]))
        return str(selector)

    async def bookings(self, _: Caller, since: float | None = None) -> list[dict[str, Any]]:
        """Return the bookings that have not ended, and with ``since`` those whose period ends after it."""
        if since is not None and not 0 <= since <= 1e11:
            raise InvalidArgument(f"since must be a time in seconds since the epoch, not {since!r}")
        return [to_wire(record) for record in await self.store.bookings(since)]

    async def cancel_bookings(self, caller: Caller, ids: list[str]) -> list[str]:
        """Cancel bookings of the caller's account, or of any for an operator; returns those that this call cancelled.

        Reservations under them go on, but without the protection of a booking.
        """
        chosen = _ids(ids)
        account = None if caller.role == Role.OPERATOR else account_of(caller.authid)
        ended = await self.store.cancel_bookings(chosen, account, f"cancelled by {caller.authid}")
        if ended:
            self.publisher.publish(BookingsChanged(ended))
        return [record.id for record in ended]


def _ids(ids: Sequence[str]) -> list[str]:
    if not 0 < len(ids) <= MOST_IDS or any(not 0 < len(id) <= LONGEST_ID for id in ids):
        raise InvalidArgument(f"ids must name 1 to {MOST_IDS} bookings; icefarm bookings lists them")
    return list(dict.fromkeys(ids))


def _wanted(
    caller: Caller,
    starts_at: float,
    seconds: float,
    amount: int | None,
    serials: Sequence[str] | None,
    account: str,
    kind: str | None,
) -> BookingRecord:
    if not valid_account(account):
        raise InvalidArgument(f"account must be the name of an account or a group, not {account!a:.100}")
    if kind is not None and not valid_name(kind):
        raise InvalidArgument(f"kind must be the name of a device kind, not {kind!a:.100}")
    if not 0 <= starts_at <= 1e11:
        raise InvalidArgument(f"starts_at must be a time in seconds since the epoch, not {starts_at!r}")
    if not 60.0 <= seconds <= MAX_SECONDS:
        raise InvalidArgument(f"seconds must be from a minute to {in_words(MAX_SECONDS)}, not {seconds!r}")
    # What may be asked of a reservation: a number of boards, or some, each once.
    asked = ReservationRequest(kind=kind or "any", amount=amount, serials=serials)
    names = list(asked.serials or ())
    count = asked.amount or len(names)
    if count > MAX_BOARDS:
        raise InvalidArgument(f"at most {MAX_BOARDS} boards can be booked at once")
    return BookingRecord("", account, count, names, kind, starts_at, starts_at + seconds, count, caller.authid, 0.0)
