"""The limits of single accounts in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define

from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.statements import Statements, in_transaction

__all__ = ["LimitStatements"]

_SET = """
    INSERT INTO account_limit (account, name, value) VALUES (%(account)s, %(name)s, %(value)s)
        ON CONFLICT (account, name) DO UPDATE SET value = EXCLUDED.value
"""


@define
class LimitStatements(Statements):
    """The limits of single accounts."""

    @in_transaction
    async def account_limits(self, transaction: Transaction) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for account, name, value in await transaction.rows("SELECT account, name, value FROM account_limit"):
            found.setdefault(account, {})[name] = value
        return found

    @in_transaction
    async def set_account_limits(
        self, transaction: Transaction, account: str, limits: Mapping[str, float | None]
    ) -> None:
        for name, value in limits.items():
            fields = {"account": account, "name": name, "value": value}
            if value is None:
                await transaction.rows(
                    "DELETE FROM account_limit WHERE account = %(account)s AND name = %(name)s", fields
                )
            else:
                await transaction.rows(_SET, fields)
