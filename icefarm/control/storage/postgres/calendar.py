"""The calendar of bookings, as other statements in PostgreSQL read it."""

from __future__ import annotations

from icefarm.contract import BookingRecord
from icefarm.control.scheduling.bookings.calendar import NO_BOOKINGS, Calendar
from icefarm.control.storage.connection import Transaction

__all__ = ["BOOKING", "calendar_of", "groups_of"]

#: The columns of a `BookingRecord`.
BOOKING = """
    id, account, amount, serials, kind, extract(epoch FROM starts_at)::float8, extract(epoch FROM ends_at)::float8,
    kept, booked_by, extract(epoch FROM created_at)::float8, extract(epoch FROM ended_at)::float8, end_reason,
    selector
"""


async def calendar_of(transaction: Transaction) -> Calendar:
    """Return the bookings that have not ended; where there are none, no groups either."""
    query = f"SELECT {BOOKING} FROM booking WHERE ended_at IS NULL ORDER BY starts_at, created_at, id"
    rows = await transaction.rows(query)
    if not rows:
        return NO_BOOKINGS
    return Calendar(tuple(BookingRecord(*row) for row in rows), await groups_of(transaction))


async def groups_of(transaction: Transaction) -> dict[str, str]:
    """Return the group of each account that has one."""
    return dict(await transaction.rows("SELECT account, name FROM account_group"))
