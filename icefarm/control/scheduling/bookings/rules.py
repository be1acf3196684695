"""Pure: no I/O, no clock.  What happens to bookings: made within limits, kept, released, ended, cancelled."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import evolve

from icefarm.contract import BookingRecord, ReservationRecord, account_of
from icefarm.control.scheduling.bookings.calendar import UNUSED, Calendar, Shelf, peak
from icefarm.errors import InvalidArgument, LimitReached, NotYours

__all__ = ["ask_again", "check_booking", "check_cancelling", "progressed"]

#: Seconds between two looks at bookings that have begun or soon begin, whose boards may break.
CLOSE, CLOSELY = 3600.0, 30.0


def check_booking(
    wanted: BookingRecord, calendar: Calendar, shelf: Shelf, most: Mapping[str, float] | None, account: str
) -> None:
    """Raise what `Store.book` raises; ``account`` is the one that makes the booking."""
    if wanted.ends_at <= shelf.now:
        raise InvalidArgument("that time is over; choose a time in the future")
    if most is not None:
        own = [each for each in calendar.bookings if each.account == account]
        _check_limit(account, "bookings", len(own), 1, most["bookings"], "bookings that have not ended")
        hours = sum(_board_hours(each) for each in own)
        _check_limit(account, "booked", hours, _board_hours(wanted), most["booked"], "hours of boards booked")
    calendar.check_room(shelf, wanted)


def _board_hours(booking: BookingRecord) -> float:
    return booking.amount * (booking.ends_at - booking.starts_at) / 3600.0


def _check_limit(account: str, name: str, has: float, wants: float, most: float, what: str) -> None:
    if has + wants > most:
        raise LimitReached(
            f"account {account!a:.100} has {has:g} of at most {most:g} {what}, and asks for {wants:g} more; an "
            f"operator books without limits, or sets them: icefarm account limits ACCOUNT {name}=N",
            account=account,
            limit=name,
            most=most,
        )


def check_cancelling(ids: Iterable[str], known: Mapping[str, BookingRecord], account: str | None) -> None:
    """Raise what `Store.cancel_bookings` raises."""
    unknown = sorted(set(ids) - known.keys())
    if unknown:
        raise InvalidArgument(f"there is no booking {', '.join(unknown)}; icefarm bookings lists them")
    foreign = sorted(
        id for id in ids if account is not None and account not in (known[id].account, account_of(known[id].booked_by))
    )
    if foreign:
        raise NotYours(f"not booked by you or for you: {', '.join(foreign)}", ids=foreign)


def progressed(calendar: Calendar, recent: Sequence[ReservationRecord], now: float) -> list[BookingRecord]:
    """Return the bookings that change with time: those that are over, and those that release unused boards.

    ``recent`` are the reservations that were active within the last `UNUSED` seconds.
    """
    changed = []
    for booking in calendar.bookings:
        if booking.ends_at <= now:
            changed.append(evolve(booking, ended_at=now, end_reason="its time is over"))
        elif booking.starts_at + UNUSED <= now:
            used = [
                each
                for each in recent
                if calendar.serves(booking, each.client) and (not booking.serials or each.serial in booking.serials)
            ]
            kept = min(booking.kept, peak(_spans(used, now), now - UNUSED))
            if kept == 0:
                changed.append(evolve(booking, kept=0, ended_at=now, end_reason="nobody took its boards"))
            elif kept < booking.kept:
                changed.append(evolve(booking, kept=kept))
    return changed


def _spans(records: Sequence[ReservationRecord], now: float) -> list[tuple[float, float]]:
    """Return from when to when boards were reserved; a board that several clients share is one board."""
    spans: dict[str, tuple[float, float]] = {}
    for each in records:
        own, end = each.within or each.id, now + 1.0 if each.ended_at is None else each.ended_at
        begin, last = spans.get(own, (each.created_at, end))
        spans[own] = min(begin, each.created_at), max(last, end)
    return list(spans.values())


def ask_again(calendar: Calendar, now: float) -> float | None:
    """Return in how many seconds to look at the bookings again; None: when something is booked."""
    moment = calendar.next_moment(now)
    if moment is None:
        return None
    close = any(each.starts_at - now <= CLOSE for each in calendar.bookings)
    return min(moment - now, CLOSELY) if close else min(moment - now, CLOSE)
