"""Accounts in PostgreSQL, and their limits: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import define

from icefarm.contract import Role
from icefarm.control.scheduling.explanations import foreign_token, unknown_accounts
from icefarm.control.sessions.roster import RosterEntry
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.bookings import set_group
from icefarm.control.storage.postgres.statements import Statements, in_transaction
from icefarm.control.storage.postgres.tokens import VALID, add_token

__all__ = ["AccountStatements", "LimitStatements"]

_CURRENT = f"SELECT name, account, role FROM token WHERE name = ANY(%(names)s) AND replaced_at IS NULL AND {VALID}"

_OF_ACCOUNTS = f"SELECT account, role FROM token WHERE account = ANY(%(accounts)s) AND {VALID}"

_KNOWN = """
    SELECT account FROM account_group WHERE account = ANY(%(accounts)s)
     UNION SELECT account FROM account_limit WHERE account = ANY(%(accounts)s)
"""

_REMOVE = (
    f"UPDATE token SET revoked_at = now() WHERE account = ANY(%(accounts)s) AND {VALID}",
    "DELETE FROM account_group WHERE account = ANY(%(accounts)s)",
    "DELETE FROM account_limit WHERE account = ANY(%(accounts)s)",
)


_SET = """
    INSERT INTO account_limit (account, name, value) VALUES (%(account)s, %(name)s, %(value)s)
        ON CONFLICT (account, name) DO UPDATE SET value = EXCLUDED.value
"""


async def _set_limits(transaction: Transaction, account: str, limits: Mapping[str, float | None]) -> None:
    """Set limits of an account, in a transaction of others; None: the farm's holds again."""
    for name, value in limits.items():
        fields = {"account": account, "name": name, "value": value}
        if value is None:
            await transaction.rows("DELETE FROM account_limit WHERE account = %(account)s AND name = %(name)s", fields)
        else:
            await transaction.rows(_SET, fields)


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
        await _set_limits(transaction, account, limits)


@define
class AccountStatements(Statements):
    """Accounts: their tokens, groups and limits together."""

    @in_transaction
    async def import_accounts(
        self,
        transaction: Transaction,
        entries: Sequence[RosterEntry],
        hashes: Mapping[str, str],
        *,
        lasts: float | None = None,
    ) -> list[str]:
        rows = await transaction.rows(_CURRENT, {"names": [entry.name for entry in entries]})
        there = {name: (account, role) for name, account, role in rows}
        made = []
        for entry in entries:
            if entry.name not in there:
                await add_token(transaction, entry.name, Role.CLIENT, hashes[entry.name], entry.name, lasts)
                made.append(entry.name)
            elif there[entry.name] != (entry.name, Role.CLIENT.value):
                raise foreign_token(entry.line, entry.name, *there[entry.name])
            if entry.group is not None:
                await set_group(transaction, entry.name, entry.group or None)
            await _set_limits(transaction, entry.name, entry.limits)
        return made

    @in_transaction
    async def remove_accounts(self, transaction: Transaction, accounts: Sequence[str]) -> dict[str, int]:
        fields = {"accounts": list(accounts)}
        tokens = await transaction.rows(_OF_ACCOUNTS, fields)
        known = {row[0] for row in await transaction.rows(_KNOWN, fields)}
        counts = {name: sum(account == name for account, _ in tokens) for name in accounts}
        unknown = [name for name in accounts if not counts[name] and name not in known]
        others = sorted({account for account, role in tokens if role != Role.CLIENT.value})
        if unknown or others:
            raise unknown_accounts(unknown, others)
        for statement in _REMOVE:
            await transaction.rows(statement, fields)
        return counts
