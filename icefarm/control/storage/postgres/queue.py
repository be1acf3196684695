"""Requests that wait for boards, in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import define

from icefarm.control.scheduling.explanations import foreign_request
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.statements import Statements, in_transaction
from icefarm.selectors.boards import parse_boards

__all__ = ["QueueStatements"]

_REQUEST = """
    SELECT id, client, kind, amount, serials, options, number,
           extract(epoch FROM since)::float8, extract(epoch FROM wait_until - now())::float8, selector, priority,
           at_least, sharers
      FROM request
"""

_ENQUEUE = """
    INSERT INTO request (id, client, kind, amount, serials, options, wait_until, since, selector, priority, at_least,
                         sharers)
    VALUES (%(id)s, %(client)s, %(kind)s, %(amount)s, %(serials)s, %(options)s::json,
            now() + make_interval(secs => %(timeout)s), coalesce(to_timestamp(%(since)s::float8), now()),
            %(selector)s, %(priority)s, %(at_least)s, %(sharers)s)
    ON CONFLICT (id) DO NOTHING
"""


def _queued(row: Sequence[Any]) -> QueuedRequest:
    id, client, kind, amount, serials, options, number, since, left, selector, priority, at_least, sharers = row
    where = None if selector is None else parse_boards(selector)
    request = ReservationRequest(kind, amount, serials, options, at_least, where=where, sharers=sharers)
    return QueuedRequest(id, client, request, number, since, None if left is None else max(0.0, left), priority)


@define
class QueueStatements(Statements):
    """Requests that wait for boards."""

    @in_transaction
    async def enqueue(
        self,
        transaction: Transaction,
        client: str,
        request: ReservationRequest,
        request_id: str,
        timeout: float | None,
        *,
        since: float | None = None,
        priority: float = DEFAULT_PRIORITY,
    ) -> QueuedRequest:
        parameters = {
            "id": request_id,
            "client": client,
            "kind": request.kind,
            "amount": request.amount,
            "serials": None if request.serials is None else list(request.serials),
            "options": json.dumps(request.options),
            "timeout": timeout,
            "since": since,
            "selector": None if request.where is None else str(request.where),
            "priority": priority,
            "at_least": request.at_least,
            "sharers": request.sharers,
        }
        await transaction.rows(_ENQUEUE, parameters)
        queued = _queued((await transaction.rows(_REQUEST + "WHERE id = %(id)s", {"id": request_id}))[0])
        if queued.client != client:
            raise foreign_request(request_id)
        return queued

    @in_transaction
    async def dequeue(self, transaction: Transaction, ids: Sequence[str]) -> list[str]:
        rows = await transaction.rows("DELETE FROM request WHERE id = ANY(%(ids)s) RETURNING id", {"ids": list(ids)})
        return sorted(row[0] for row in rows)

    @in_transaction
    async def waiting(self, transaction: Transaction) -> list[QueuedRequest]:
        await transaction.rows("DELETE FROM request WHERE wait_until <= now()")
        return [_queued(row) for row in await transaction.rows(_REQUEST + "ORDER BY since, number")]
