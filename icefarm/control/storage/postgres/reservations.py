"""Reservations in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`.

Requests for boards run one after the other, under an advisory lock, so that they see each other's choices; the database
itself guarantees the rest (one active reservation per device).  A reservation begins and ends with the statement that
says so, not with its transaction, which may have waited: so no two of a board overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import log
from typing import Any

from attrs import asdict, define

from icefarm.contract import ReservationRecord
from icefarm.control.scheduling.bookings.calendar import Calendar
from icefarm.control.scheduling.explanations import incomplete, not_yours
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY, Hold
from icefarm.control.scheduling.placement import Allotment, ReservationRequest, Terms, allot, extended
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import Lately
from icefarm.control.storage.postgres.calendar import calendar_of
from icefarm.control.storage.postgres.inventory import all_devices, all_workers, check_known
from icefarm.control.storage.postgres.statements import (
    RESERVATION,
    Statements,
    in_transaction,
    in_turn,
    now,
    take_turns,
)
from icefarm.errors import Busy

__all__ = ["ReservationStatements"]

#: How often to choose boards again because a worker's report came in between.
_CHOICES = 5

_LOCK_FREE = """
    SELECT serial FROM device
     WHERE serial = ANY(%(serials)s)
       AND (reported = 'available' AND reservation IS NULL
            OR %(shared)s AND client = '' AND kind = %(kind)s AND reported NOT IN ('broken', 'offline'))
     ORDER BY serial FOR UPDATE
"""

# One that a booking limits ends at the very moment when that begins: if it ended later, it would be shortened for it.
_EXPIRES = """
    greatest(statement_timestamp(),
             least(statement_timestamp() + make_interval(secs => %(seconds)s), to_timestamp(%(until)s::float8)))
"""

# The farm's own reservations of boards that are about to be shared and are not yet.
_HOLD_FOR_SHARERS = f"""
    INSERT INTO reservation (serial, worker, client, kind, expires_at)
    SELECT serial, worker, '', %(kind)s, {_EXPIRES}
      FROM device WHERE serial = ANY(%(serials)s) AND reservation IS NULL
"""

_RESERVE = f"""
    INSERT INTO reservation (serial, worker, client, kind, options, expires_at, request, grace, limited_by, priority,
                             wanted, at_least, selector, within)
    SELECT serial, worker, %(client)s, %(kind)s, %(options)s::json, {_EXPIRES},
           %(request)s, %(grace)s, %(limited_by)s, %(priority)s, %(wanted)s, %(at_least)s, %(where)s,
           CASE WHEN %(shared)s THEN reservation END
      FROM device WHERE serial = ANY(%(serials)s)
    RETURNING {RESERVATION}
"""

# What the client has, with its boards' rows locked first.
_OWN = """
    SELECT serial FROM device
     WHERE serial IN (SELECT serial FROM reservation WHERE client = %(client)s AND ended_at IS NULL)
     ORDER BY serial FOR UPDATE
"""

_EXTEND = f"""
    UPDATE reservation
       SET expires_at = greatest(expires_at, now() + make_interval(secs => %(seconds)s)), limited_by = NULL
     WHERE serial = ANY(%(serials)s) AND client = %(client)s AND ended_at IS NULL
    RETURNING {RESERVATION}
"""

_EXTEND_UNTIL = f"""
    UPDATE reservation
       SET expires_at = greatest(expires_at, to_timestamp(%(until)s)), limited_by = %(limited_by)s
     WHERE serial = %(serial)s AND client = %(client)s AND ended_at IS NULL
    RETURNING {RESERVATION}
"""

_WANT_FEWER = """
    UPDATE reservation
       SET wanted = greatest(1, wanted - %(boards)s),
           at_least = CASE WHEN at_least > wanted - %(boards)s THEN greatest(1, wanted - %(boards)s) ELSE at_least END
     WHERE ended_at IS NULL AND client = %(client)s AND request = %(request)s AND wanted IS NOT NULL
"""

# The farm's own reservation of a shared board ends with those within it.
_END = f"""
    UPDATE reservation SET ended_at = statement_timestamp(), end_reason = %(reason)s
     WHERE (id = ANY(%(ids)s) OR within = ANY(%(ids)s)) AND ended_at IS NULL AND client <> ''
    RETURNING {RESERVATION}
"""

_END_EXPIRED = f"""
    UPDATE reservation SET ended_at = statement_timestamp(), end_reason = concat_ws(': ', 'expired', limited_by)
     WHERE serial = ANY(%(serials)s) AND expires_at <= now() AND ended_at IS NULL AND client <> ''
    RETURNING {RESERVATION}
"""

#: Half-lives after which what was used weighs next to nothing.
_FORGOTTEN = 20.0

_USED = """
    SELECT split_part(client, '/', 1),
           sum((exp(-%(rate)s * extract(epoch FROM now() - ended_at)::float8)
                - exp(-%(rate)s * extract(epoch FROM now() - created_at)::float8))
               * CASE WHEN within IS NULL THEN 1
                      ELSE board_seconds / greatest(1e-6, extract(epoch FROM ended_at - created_at)::float8) END)
           / %(rate)s
      FROM reservation
     WHERE ended_at > now() - make_interval(secs => %(forgotten)s) AND client <> ''
     GROUP BY 1
"""

_LAST_HOLDS = """
    SELECT split_part(client, '/', 1), extract(epoch FROM created_at)::float8, extract(epoch FROM ended_at)::float8
      FROM reservation WHERE ended_at IS NOT NULL AND client <> '' AND within IS NULL
     ORDER BY ended_at DESC LIMIT %(holds)s
"""


def _by_serial(rows: Sequence[Sequence[Any]]) -> list[ReservationRecord]:
    return sorted((ReservationRecord(*row) for row in rows), key=lambda record: (record.serial, record.client))


async def _choose_and_lock(
    transaction: Transaction, client: str, request: ReservationRequest, seconds: float
) -> Allotment:
    calendar = await calendar_of(transaction)
    for _ in range(_CHOICES):
        devices, workers = await all_devices(transaction), await all_workers(transaction)
        chosen = allot(devices, workers, request, await now(transaction), client, seconds, calendar)
        wanted = {"serials": chosen.serials, "kind": request.kind, "shared": request.sharers is not None}
        locked = await transaction.rows(_LOCK_FREE, wanted)
        if len(locked) == len(chosen.serials):
            return chosen
    raise Busy("the boards change state too fast to choose among them; try again in a while")


async def _end(transaction: Transaction, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
    return _by_serial(await transaction.rows(_END, {"ids": list(ids), "reason": reason}))


async def _extend_around(
    transaction: Transaction,
    client: str,
    serials: Sequence[str],
    seconds: float,
    calendar: Calendar,
    until: Mapping[str, float],
) -> list[ReservationRecord]:
    """Extend reservations until bookings of others begin, and until so long by serial, at most."""
    statement = f"""
        SELECT {RESERVATION} FROM reservation
         WHERE serial = ANY(%(serials)s) AND client = %(client)s AND ended_at IS NULL
    """
    rows = await transaction.rows(statement, {"serials": list(serials), "client": client})
    devices, workers = await all_devices(transaction), await all_workers(transaction)
    moment = await now(transaction)
    done: list[Sequence[Any]] = []
    for each in extended(_by_serial(rows), devices, workers, moment, seconds, calendar, until):
        fields = {"serial": each.serial, "client": client, "until": each.until, "limited_by": each.limited_by}
        done += await transaction.rows(_EXTEND_UNTIL, fields)
    return _by_serial(done)


async def _answered(transaction: Transaction, client: str, request_id: str) -> list[ReservationRecord]:
    statement = f"""
        SELECT {RESERVATION} FROM reservation
         WHERE ended_at IS NULL AND client = %(client)s AND request = %(request)s
    """
    return _by_serial(await transaction.rows(statement, {"client": client, "request": request_id}))


@define
class ReservationStatements(Statements):
    """Reservations."""

    @in_turn
    async def reserve(
        self,
        transaction: Transaction,
        client: str,
        request: ReservationRequest,
        seconds: float,
        *,
        request_id: str | None = None,
        grace: float | None = None,
        more: bool = False,
        terms: Terms | None = None,
    ) -> list[ReservationRecord]:
        await take_turns(transaction)
        # It no longer waits, whether it is served now or was before; where it can't be, all this is rolled back.
        strike = "DELETE FROM request WHERE id = %(request)s AND client = %(client)s"
        await transaction.rows(strike, {"request": request_id, "client": client})
        before = [] if more or request_id is None else await _answered(transaction, client, request_id)
        if len(before) == request.most or (before and before[0].wanted is not None):
            return before
        if before:
            raise incomplete(len(before), request.most)
        chosen = await _choose_and_lock(transaction, client, request, seconds)
        parameters = {
            "client": client,
            "kind": request.kind,
            "options": json.dumps(request.options),
            "seconds": chosen.seconds,
            "until": chosen.until,
            "serials": chosen.serials,
            "limited_by": chosen.limited_by,
            "request": request_id,
            "grace": grace,
            "shared": request.sharers is not None,
            **asdict(terms or Terms(DEFAULT_PRIORITY)),
        }
        if request.sharers is not None:
            await transaction.rows(_HOLD_FOR_SHARERS, parameters)
        made = {record.serial: record for record in _by_serial(await transaction.rows(_RESERVE, parameters))}
        return [made[serial] for serial in chosen.serials]

    @in_transaction
    async def extend(
        self,
        transaction: Transaction,
        client: str,
        serials: Sequence[str] | None,
        seconds: float,
        *,
        until: Mapping[str, float] | None = None,
    ) -> list[ReservationRecord]:
        calendar = await calendar_of(transaction)
        if calendar:
            await take_turns(transaction)
        own = {row[0] for row in await transaction.rows(_OWN, {"client": client})}
        foreign = [serial for serial in serials or () if serial not in own]
        if foreign:
            raise not_yours(foreign)
        wanted = list(own if serials is None else serials)
        if calendar or until:
            return await _extend_around(transaction, client, wanted, seconds, calendar, until or {})
        parameters = {"client": client, "serials": wanted, "seconds": seconds}
        return _by_serial(await transaction.rows(_EXTEND, parameters))

    @in_transaction
    async def end(
        self, transaction: Transaction, *, client: str | None, serials: Sequence[str] | None, reason: str
    ) -> list[ReservationRecord]:
        if serials is None:
            if client is None:
                raise ValueError("whose reservations, or which boards?")
            serials = [row[0] for row in await transaction.rows(_OWN, {"client": client})]
        await check_known(transaction, serials)
        statement = """
            SELECT id, serial, client FROM reservation
             WHERE serial = ANY(%(serials)s) AND ended_at IS NULL AND client <> ''
        """
        held = await transaction.rows(statement, {"serials": list(serials)})
        ending = [(id, serial) for id, serial, holder in held if client in (None, holder)]
        foreign = {serial for _, serial, _ in held} - {serial for _, serial in ending}
        if foreign:
            raise not_yours(sorted(foreign))
        return await _end(transaction, [id for id, _ in ending], reason)

    @in_transaction
    async def want_fewer(self, transaction: Transaction, client: str, request_id: str, boards: int) -> None:
        fields = {"client": client, "request": request_id, "boards": boards}
        await transaction.rows(_WANT_FEWER, fields)

    @in_transaction
    async def end_reservations(
        self, transaction: Transaction, ids: Sequence[str], reason: str
    ) -> list[ReservationRecord]:
        statement = """
            SELECT FROM device WHERE serial IN (SELECT serial FROM reservation WHERE id = ANY(%(ids)s))
             ORDER BY serial FOR UPDATE
        """
        await transaction.rows(statement, {"ids": list(ids)})
        return await _end(transaction, ids, reason)

    @in_transaction
    async def end_expired(self, transaction: Transaction) -> list[ReservationRecord]:
        statement = """
            SELECT serial FROM device
             WHERE serial IN (SELECT serial FROM reservation WHERE ended_at IS NULL AND expires_at <= now())
             ORDER BY serial FOR UPDATE
        """
        serials = [row[0] for row in await transaction.rows(statement)]
        return _by_serial(await transaction.rows(_END_EXPIRED, {"serials": serials}))

    @in_transaction
    async def active(
        self, transaction: Transaction, *, client: str | None = None, worker: str | None = None
    ) -> list[ReservationRecord]:
        statement = f"""
            SELECT {RESERVATION} FROM reservation
             WHERE ended_at IS NULL AND client <> ''
               AND client = coalesce(%(client)s, client) AND worker = coalesce(%(worker)s, worker)
        """
        return _by_serial(await transaction.rows(statement, {"client": client, "worker": worker}))

    @in_transaction
    async def reservation(self, transaction: Transaction, id: str) -> ReservationRecord | None:
        rows = await transaction.rows(f"SELECT {RESERVATION} FROM reservation WHERE id = %(id)s", {"id": id})
        return ReservationRecord(*rows[0]) if rows else None

    @in_transaction
    async def answered(self, transaction: Transaction, client: str, request_id: str) -> list[ReservationRecord]:
        return await _answered(transaction, client, request_id)

    @in_transaction
    async def lately(self, transaction: Transaction, half_life: float, holds: int) -> Lately:
        fields = {"rate": log(2) / half_life, "forgotten": _FORGOTTEN * half_life, "holds": holds}
        used = dict(await transaction.rows(_USED, fields))
        last = [Hold(*row) for row in reversed(await transaction.rows(_LAST_HOLDS, fields))]
        at = await transaction.rows("SELECT extract(epoch FROM now())::float8")
        return Lately(at[0][0], used, last)

    @in_transaction
    async def now(self, transaction: Transaction) -> float:
        return await now(transaction)
