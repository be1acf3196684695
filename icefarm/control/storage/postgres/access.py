"""Who may have which boards, in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from icefarm.contract import AccessRule
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.calendar import groups_of
from icefarm.control.storage.postgres.statements import Statements, in_transaction

__all__ = ["AccessStatements"]

_RULE = "id, account, group_name, selector, seconds, kinds"


@define
class AccessStatements(Statements):
    """Rules of access."""

    @in_transaction
    async def access(self, transaction: Transaction) -> AccessRules:
        rules = [AccessRule(*row) for row in await transaction.rows(f"SELECT {_RULE} FROM access_rule ORDER BY id")]
        return AccessRules(rules, await groups_of(transaction))

    @in_transaction
    async def add_access(self, transaction: Transaction, rule: AccessRule) -> AccessRule:
        same = f"""
            SELECT {_RULE} FROM access_rule
             WHERE (account, group_name, selector, seconds, kinds) IS NOT DISTINCT FROM
                   (%(account)s, %(group)s, %(where)s, %(seconds)s::float8, %(kinds)s::text[])
        """
        statement = f"""
            INSERT INTO access_rule (account, group_name, selector, seconds, kinds)
            VALUES (%(account)s, %(group)s, %(where)s, %(seconds)s, %(kinds)s) RETURNING {_RULE}
        """
        fields = {
            "account": rule.account,
            "group": rule.group,
            "where": rule.where,
            "seconds": rule.seconds,
            "kinds": rule.kinds,
        }
        rows = await transaction.rows(same, fields) or await transaction.rows(statement, fields)
        return AccessRule(*rows[0])

    @in_transaction
    async def remove_access(self, transaction: Transaction, ids: Sequence[int]) -> list[int]:
        statement = "DELETE FROM access_rule WHERE id = ANY(%(ids)s::bigint[]) RETURNING id"
        return sorted(row[0] for row in await transaction.rows(statement, {"ids": list(ids)}))
