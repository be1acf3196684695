"""The audit log in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import asdict, define

from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import AuditEntry
from icefarm.control.storage.postgres.statements import Statements, in_transaction

__all__ = ["AuditStatements"]

_COLUMNS = "account, name, role, session, address, action, subject, outcome, detail"

_KEEP = f"""
    INSERT INTO audit (at, {_COLUMNS})
    SELECT to_timestamp(e.time), {", ".join(f"e.{column.strip()}" for column in _COLUMNS.split(","))}
      FROM json_to_recordset(%(entries)s::json) AS e (
           time float8, account text, name text, role text, session bigint, address text, action text, subject text,
           outcome text, detail text)
"""

_LAST = f"""
    SELECT extract(epoch FROM at)::float8, {_COLUMNS}
      FROM audit
     WHERE at >= to_timestamp(%(since)s) AND (%(account)s::text IS NULL OR account = %(account)s)
       AND (%(action)s::text IS NULL OR action = %(action)s)
     ORDER BY at DESC, id DESC LIMIT %(limit)s
"""


@define
class AuditStatements(Statements):
    """The audit log."""

    @in_transaction
    async def keep_audit(self, transaction: Transaction, entries: Sequence[AuditEntry]) -> None:
        await transaction.rows(_KEEP, {"entries": json.dumps([asdict(entry) for entry in entries])})

    @in_transaction
    async def audit(
        self,
        transaction: Transaction,
        since: float,
        *,
        account: str | None = None,
        action: str | None = None,
        limit: int,
    ) -> list[AuditEntry]:
        fields = {"since": since, "account": account, "action": action, "limit": limit}
        return [AuditEntry(*row) for row in reversed(await transaction.rows(_LAST, fields))]

    @in_transaction
    async def forget_audit(self, transaction: Transaction, before: float) -> None:
        await transaction.rows("DELETE FROM audit WHERE at < to_timestamp(%(before)s)", {"before": before})
