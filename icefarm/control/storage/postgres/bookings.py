"""Bookings in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define, evolve

from icefarm.contract import BookingRecord, ReservationRecord, account_of
from icefarm.control.scheduling.bookings.calendar import UNUSED, Calendar, Ending, Shelf, in_words
from icefarm.control.scheduling.bookings.rules import ask_again, check_booking, check_cancelling, progressed
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import Kept
from icefarm.control.storage.postgres.calendar import BOOKING, calendar_of, groups_of
from icefarm.control.storage.postgres.inventory import all_devices, all_workers, check_known
from icefarm.control.storage.postgres.statements import (
    RESERVATION,
    Statements,
    in_transaction,
    in_turn,
    now,
    take_turns,
)

__all__ = ["BookingStatements", "set_group"]

_BOOK = f"""
    INSERT INTO booking (account, amount, serials, kind, selector, starts_at, ends_at, kept, booked_by)
    VALUES (%(account)s, %(amount)s, %(serials)s, %(kind)s, %(where)s, to_timestamp(%(starts_at)s),
            to_timestamp(%(ends_at)s), %(amount)s, %(booked_by)s)
    RETURNING {BOOKING}
"""

_LIST = f"""
    SELECT {BOOKING} FROM booking
     WHERE ended_at IS NULL OR ends_at > to_timestamp(%(since)s::float8)
     ORDER BY starts_at, created_at, id
"""

_CANCEL = f"""
    UPDATE booking SET ended_at = now(), end_reason = %(reason)s
     WHERE id = ANY(%(ids)s) AND ended_at IS NULL RETURNING {BOOKING}
"""

_PROGRESS = f"""
    UPDATE booking
       SET kept = %(kept)s, end_reason = %(end_reason)s,
           ended_at = CASE WHEN %(end_reason)s::text IS NULL THEN NULL ELSE now() END
     WHERE id = %(id)s RETURNING {BOOKING}
"""

_RECENT = f"""
    SELECT {RESERVATION} FROM reservation
     WHERE client <> '' AND (ended_at IS NULL OR ended_at > now() - make_interval(secs => %(seconds)s))
"""

_SHORTEN = f"""
    UPDATE reservation
       SET expires_at = least(expires_at, greatest(created_at, to_timestamp(%(at)s))), limited_by = %(why)s
     WHERE serial = %(serial)s AND ended_at IS NULL AND client <> '' RETURNING {RESERVATION}
"""

_SET_GROUP = """
    INSERT INTO account_group (account, name) VALUES (%(account)s, %(name)s)
        ON CONFLICT (account) DO UPDATE SET name = EXCLUDED.name
"""


async def _shelf(transaction: Transaction) -> Shelf:
    return Shelf.of(await all_devices(transaction), await all_workers(transaction), await now(transaction))


async def _shorten(transaction: Transaction, endings: Sequence[Ending]) -> list[ReservationRecord]:
    await check_known(transaction, [each.serial for each in endings])
    shortened = []
    for each in sorted(endings, key=lambda each: each.serial):
        fields = {"at": each.at, "why": in_words(each.booking), "serial": each.serial}
        shortened += [ReservationRecord(*row) for row in await transaction.rows(_SHORTEN, fields)]
    return shortened


async def _progress(transaction: Transaction, calendar: Calendar, shelf: Shelf) -> list[BookingRecord]:
    rows = await transaction.rows(_RECENT, {"seconds": UNUSED})
    recent = [ReservationRecord(*row) for row in rows]
    changed = []
    for booking in progressed(calendar, recent, shelf.now):
        fields = {"id": booking.id, "kept": booking.kept, "end_reason": booking.end_reason}
        changed += [BookingRecord(*row) for row in await transaction.rows(_PROGRESS, fields)]
    return changed


async def set_group(transaction: Transaction, account: str, name: str | None) -> None:
    """Set the group of an account, in a transaction of others; None: it belongs to none."""
    fields = {"account": account, "name": name}
    if name is None:
        await transaction.rows("DELETE FROM account_group WHERE account = %(account)s", fields)
    else:
        await transaction.rows(_SET_GROUP, fields)


@define
class BookingStatements(Statements):
    """Bookings, and the groups of accounts."""

    @in_turn
    async def book(
        self, transaction: Transaction, wanted: BookingRecord, most: Mapping[str, float] | None = None
    ) -> BookingRecord:
        await take_turns(transaction)
        await check_known(transaction, wanted.serials)
        calendar, shelf = await calendar_of(transaction), await _shelf(transaction)
        check_booking(wanted, calendar, shelf, most, account_of(wanted.booked_by))
        fields = {
            "account": wanted.account,
            "amount": wanted.amount,
            "serials": list(wanted.serials),
            "kind": wanted.kind,
            "where": wanted.where,
            "starts_at": wanted.starts_at,
            "ends_at": wanted.ends_at,
            "booked_by": wanted.booked_by,
        }
        return BookingRecord(*(await transaction.rows(_BOOK, fields))[0])

    @in_transaction
    async def bookings(self, transaction: Transaction, since: float | None = None) -> list[BookingRecord]:
        return [BookingRecord(*row) for row in await transaction.rows(_LIST, {"since": since})]

    @in_transaction
    async def cancel_bookings(
        self, transaction: Transaction, ids: Sequence[str], account: str | None, reason: str
    ) -> list[BookingRecord]:
        rows = await transaction.rows(f"SELECT {BOOKING} FROM booking WHERE id = ANY(%(ids)s)", {"ids": list(ids)})
        check_cancelling(ids, {row[0]: BookingRecord(*row) for row in rows}, account)
        rows = await transaction.rows(_CANCEL, {"ids": list(ids), "reason": reason})
        return sorted((BookingRecord(*row) for row in rows), key=lambda each: (each.starts_at, each.created_at))

    @in_turn
    async def keep_bookings(self, transaction: Transaction) -> Kept:
        await take_turns(transaction)
        calendar = await calendar_of(transaction)
        if not calendar:
            return Kept()
        shelf = await _shelf(transaction)
        changed = await _progress(transaction, calendar, shelf)
        newest = {each.id: each for each in changed}
        going = tuple(newest.get(each.id, each) for each in calendar.bookings)
        calendar = evolve(calendar, bookings=tuple(each for each in going if each.ended_at is None))
        shortened = await _shorten(transaction, calendar.endings(shelf))
        return Kept(shortened, changed, ask_again(calendar, shelf.now))

    @in_transaction
    async def account_groups(self, transaction: Transaction) -> dict[str, str]:
        return await groups_of(transaction)

    @in_transaction
    async def set_account_groups(self, transaction: Transaction, groups: Mapping[str, str | None]) -> None:
        for account, name in groups.items():
            await set_group(transaction, account, name)
