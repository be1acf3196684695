"""Tokens in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from attrs import define

from icefarm.contract import Role
from icefarm.control.scheduling.explanations import token_exists, unknown_token
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import TokenRecord
from icefarm.control.storage.postgres.statements import Statements, in_transaction

__all__ = ["VALID", "TokenStatements", "add_token"]

_TOKEN = """
    name, role, extract(epoch FROM created_at)::float8, account, id, extract(epoch FROM expires_at)::float8,
    replaced_at IS NOT NULL, extract(epoch FROM last_used_at)::float8, last_used_from
"""
#: Tells which tokens are valid.
VALID = "revoked_at IS NULL AND (expires_at IS NULL OR expires_at > now())"

# One that has expired gives up its name, as one that was revoked does.
_CLOSE_EXPIRED = """
    UPDATE token SET revoked_at = expires_at
     WHERE name = %(name)s AND revoked_at IS NULL AND expires_at <= now()
"""

_ADD = f"""
    INSERT INTO token (name, role, hash, account, expires_at)
    VALUES (%(name)s, %(role)s, %(hash)s, %(account)s, now() + %(lasts)s::float8 * interval '1 second')
    ON CONFLICT DO NOTHING RETURNING {_TOKEN}
"""

_REPLACE = f"""
    WITH replaced AS (
        SELECT hash, extract(epoch FROM expires_at - created_at)::float8 AS lasted FROM token
         WHERE name = %(name)s AND replaced_at IS NULL AND {VALID} FOR UPDATE
    )
    UPDATE token
       SET replaced_at = now(), expires_at = least(expires_at, now() + %(overlap)s::float8 * interval '1 second')
      FROM replaced WHERE token.hash = replaced.hash
    RETURNING role, account, lasted
"""

# Once a minute is enough for people, and spares the database a write at each sign-in.
_USED = """
    UPDATE token SET last_used_at = now(), last_used_from = %(address)s
     WHERE id = %(id)s
       AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute'
            OR last_used_from IS DISTINCT FROM %(address)s)
"""


def _token(row: Sequence[Any]) -> TokenRecord:
    name, role, *rest = row
    return TokenRecord(name, Role(role), *rest)


async def add_token(
    transaction: Transaction, name: str, role: Role, hash: str, account: str, lasts: float | None
) -> TokenRecord:
    """Store a token, in a transaction of others.  Raises `InvalidArgument` if there is a valid one of that name."""
    await transaction.rows(_CLOSE_EXPIRED, {"name": name})
    fields = {"name": name, "role": role.value, "hash": hash, "account": account, "lasts": lasts}
    rows = await transaction.rows(_ADD, fields)
    if not rows:
        # Also where that very token has been revoked: it stays so.
        raise token_exists(name)
    return _token(rows[0])


@define
class TokenStatements(Statements):
    """Tokens."""

    @in_transaction
    async def add_token(
        self,
        transaction: Transaction,
        name: str,
        role: Role,
        hash: str,
        *,
        account: str | None = None,
        lasts: float | None = None,
    ) -> TokenRecord:
        return await add_token(transaction, name, role, hash, name if account is None else account, lasts)

    @in_transaction
    async def rotate_token(
        self, transaction: Transaction, name: str, hash: str, *, overlap: float, lasts: float | None = None
    ) -> TokenRecord:
        replaced = await transaction.rows(_REPLACE, {"name": name, "overlap": overlap})
        if not replaced:
            raise unknown_token(name)
        ((role, account, lasted),) = replaced
        return await add_token(transaction, name, Role(role), hash, account, lasted if lasts is None else lasts)

    @in_transaction
    async def token_by_hash(
        self, transaction: Transaction, hash: str, *, used_from: str | None = None
    ) -> TokenRecord | None:
        rows = await transaction.rows(f"SELECT {_TOKEN} FROM token WHERE hash = %(hash)s AND {VALID}", {"hash": hash})
        if not rows:
            return None
        token = _token(rows[0])
        if used_from is not None:
            await transaction.rows(_USED, {"id": token.id, "address": used_from})
        return token

    @in_transaction
    async def list_tokens(self, transaction: Transaction) -> list[TokenRecord]:
        rows = await transaction.rows(f"SELECT {_TOKEN} FROM token WHERE {VALID}")
        return sorted(map(_token, rows), key=lambda token: (token.name, token.id))

    @in_transaction
    async def ended_tokens(self, transaction: Transaction, ids: Collection[int]) -> set[int]:
        statement = f"SELECT id FROM token WHERE id = ANY(%(ids)s) AND {VALID}"
        return set(ids) - {id for (id,) in await transaction.rows(statement, {"ids": list(ids)})}

    @in_transaction
    async def revoke_token(self, transaction: Transaction, name: str) -> None:
        statement = f"UPDATE token SET revoked_at = now() WHERE name = %(name)s AND {VALID} RETURNING name"
        if not await transaction.rows(statement, {"name": name}):
            raise unknown_token(name)
