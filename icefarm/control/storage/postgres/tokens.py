"""Tokens in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import define

from icefarm.contract import Role
from icefarm.control.scheduling.explanations import token_exists, unknown_token
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import TokenRecord
from icefarm.control.storage.postgres.statements import Statements, in_transaction

__all__ = ["TokenStatements"]

_TOKEN = "name, role, extract(epoch FROM created_at)::float8"


def _token(row: Sequence[Any]) -> TokenRecord:
    name, role, created_at = row
    return TokenRecord(name, Role(role), created_at)


@define
class TokenStatements(Statements):
    """Tokens."""

    @in_transaction
    async def add_token(self, transaction: Transaction, name: str, role: Role, hash: str) -> TokenRecord:
        rows = await transaction.rows(
            "INSERT INTO token (name, role, hash) VALUES (%(name)s, %(role)s, %(hash)s)"
            # Also where that very token has been revoked: it stays so.
            f" ON CONFLICT DO NOTHING RETURNING {_TOKEN}",
            {"name": name, "role": role.value, "hash": hash},
        )
        if not rows:
            raise token_exists(name)
        return _token(rows[0])

    @in_transaction
    async def token_by_hash(self, transaction: Transaction, hash: str) -> TokenRecord | None:
        statement = f"SELECT {_TOKEN} FROM token WHERE hash = %(hash)s AND revoked_at IS NULL"
        rows = await transaction.rows(statement, {"hash": hash})
        return _token(rows[0]) if rows else None

    @in_transaction
    async def list_tokens(self, transaction: Transaction) -> list[TokenRecord]:
        rows = await transaction.rows(f"SELECT {_TOKEN} FROM token WHERE revoked_at IS NULL")
        return sorted(map(_token, rows), key=lambda token: token.name)

    @in_transaction
    async def revoke_token(self, transaction: Transaction, name: str) -> None:
        statement = "UPDATE token SET revoked_at = now() WHERE name = %(name)s AND revoked_at IS NULL RETURNING name"
        if not await transaction.rows(statement, {"name": name}):
            raise unknown_token(name)
