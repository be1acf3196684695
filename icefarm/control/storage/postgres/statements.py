"""Methods that each run as one transaction: what the groups of statements in this package share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import define

from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.pool import Database

__all__ = ["PART", "RESERVATION", "Statements", "in_transaction", "in_turn", "now", "take_turns"]

#: Key of the advisory lock: "reserve" in ASCII.
_LOCK = 0x72657365_727665

#: The part of the board's time that counts as a reservation's own.
PART = """
    CASE WHEN within IS NULL THEN 1.0
         WHEN coalesce(ended_at, clock_timestamp()) - created_at < interval '1 second' THEN 1.0 / sharers
         ELSE least(1.0, (board_seconds + CASE WHEN ended_at IS NULL
                              THEN greatest(0, extract(epoch FROM clock_timestamp() - counted_at)::float8) / sharers
                              ELSE 0 END)
                    / extract(epoch FROM coalesce(ended_at, clock_timestamp()) - created_at)::float8)
    END::float8
"""

#: The columns of a `ReservationRecord`.
RESERVATION = f"""
    id, serial, worker, client, kind, options,
    extract(epoch FROM created_at)::float8, extract(epoch FROM expires_at)::float8,
    extract(epoch FROM ended_at)::float8, end_reason, grace,
    coalesce((SELECT w.labels || d.labels FROM device d JOIN worker w ON w.name = d.worker
               WHERE d.serial = reservation.serial), '{{}}'),
    limited_by, request, priority, wanted, at_least, selector,
    (SELECT d.calibration ->> 'id' FROM device d WHERE d.serial = reservation.serial), within,
    {PART}
"""

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S", bound="Statements")


@define
class Statements:
    """A group of calls over a `Database` that has the current schema (`icefarm.control.storage.migrations`)."""

    _database: Database


def in_transaction(
    method: Callable[Concatenate[S, Transaction, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Have a method called without its transaction, and run in one of its own (decorator).

    It may run more than once, as `Database.transaction` says; so it keeps nothing but what it returns.
    """

    @wraps(method)
    async def run(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.transaction(lambda transaction: method(self, transaction, *args, **kwargs))

    return run


def in_turn(
    method: Callable[Concatenate[S, Transaction, P], Awaitable[T]],
) -> Callable[Concatenate[S, P], Coroutine[Any, Any, T]]:
    """Do what `in_transaction` does for a method that calls `take_turns`: one after the other (decorator)."""

    @wraps(method)
    async def run(self: S, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._database.transaction_in_turn(lambda transaction: method(self, transaction, *args, **kwargs))

    return run


async def now(transaction: Transaction) -> float:
    """Return the time by the database's clock, which goes on during the transaction."""
    return float((await transaction.rows("SELECT extract(epoch FROM clock_timestamp())::float8"))[0][0])


async def take_turns(transaction: Transaction) -> None:
    """Wait for other transactions that choose boards, and make those to come wait for this one."""
    await transaction.rows("SELECT pg_advisory_xact_lock(%(key)s)", {"key": _LOCK})
