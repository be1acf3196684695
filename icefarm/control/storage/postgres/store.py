"""What control stores, in PostgreSQL: each call is one transaction; `icefarm.control.storage.interface.Store` says what
each does.
"""

from __future__ import annotations

from attrs import define

from icefarm.control.inventory.calibration.postgres import CalibrationStatements
from icefarm.control.storage.interface import Store
from icefarm.control.storage.postgres.access import AccessStatements
from icefarm.control.storage.postgres.accounts import AccountStatements, LimitStatements
from icefarm.control.storage.postgres.audit import AuditStatements
from icefarm.control.storage.postgres.bookings import BookingStatements
from icefarm.control.storage.postgres.inventory import InventoryStatements
from icefarm.control.storage.postgres.queue import QueueStatements
from icefarm.control.storage.postgres.reservations import ReservationStatements
from icefarm.control.storage.postgres.tokens import TokenStatements

__all__ = ["PostgresStore"]


@define
class PostgresStore(
    InventoryStatements,
    ReservationStatements,
    QueueStatements,
    BookingStatements,
    AccountStatements,
    TokenStatements,
    AuditStatements,
    LimitStatements,
    AccessStatements,
    CalibrationStatements,
    Store,
):
    """Implements `Store` over a `Database` with the current schema.

    `icefarm.control.storage.migrations` brings a database to that schema.
    """
