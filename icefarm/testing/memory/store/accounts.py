"""What the store in memory knows of accounts: tokens, limits, access rules, groups, the audit log."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import count
from uuid import uuid4

from attrs import Factory, define, evolve, field

from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    AccessRule,
    Role,
)
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.explanations import (
    foreign_token,
    token_exists,
    unknown_accounts,
    unknown_token,
)
from icefarm.control.sessions.roster import RosterEntry
from icefarm.control.storage.interface import AuditEntry, Store, TokenRecord
from icefarm.testing.memory.store.bookings import MemoryBookings

__all__ = ["MemoryAccounts"]


def _new_id() -> str:
    return uuid4().hex


@define(repr=False)
class MemoryAccounts(Store):
    """The part of `Store` that is about accounts."""

    clock: Clock
    new_id: Callable[[], str] = _new_id
    _numbers: Iterator[int] = Factory(lambda: count(1))
    #: By hash.
    _tokens: dict[str, TokenRecord] = Factory(dict)
    _audit: list[AuditEntry] = Factory(list)
    _limits: dict[str, dict[str, float]] = Factory(dict)
    _rules: list[AccessRule] = Factory(list)
    #: With the groups of accounts.
    _booked: MemoryBookings = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._booked = MemoryBookings(self.clock, self.new_id)

    # ----------------------------------------------------------------------------------------------------- tokens

    async def add_token(
        self, name: str, role: Role, hash: str, *, account: str | None = None, lasts: float | None = None
    ) -> TokenRecord:
        if any(token.name == name and not token.replaced for token in self._valid().values()):
            raise token_exists(name)
        now = self.clock.seconds()
        expires_at = None if lasts is None else now + lasts
        token = TokenRecord(name, role, now, name if account is None else account, next(self._numbers), expires_at)
        self._tokens[hash] = token
        return token

    async def rotate_token(self, name: str, hash: str, *, overlap: float, lasts: float | None = None) -> TokenRecord:
        found = next(((h, t) for h, t in self._valid().items() if t.name == name and not t.replaced), None)
        if found is None:
            raise unknown_token(name)
        old_hash, old = found
        until = self.clock.seconds() + overlap
        if old.expires_at is not None:
            until = min(until, old.expires_at)
            lasts = old.expires_at - old.created_at if lasts is None else lasts
        self._tokens[old_hash] = evolve(old, replaced=True, expires_at=until)
        return await self.add_token(name, old.role, hash, account=old.account, lasts=lasts)

    def _valid(self) -> dict[str, TokenRecord]:
        now = self.clock.seconds()
        return {
            hash: token for hash, token in self._tokens.items() if token.expires_at is None or token.expires_at > now
        }

    async def token_by_hash(self, hash: str, *, used_from: str | None = None) -> TokenRecord | None:
        found = self._valid().get(hash)
        if found is not None and used_from is not None:
            self._tokens[hash] = evolve(found, last_used_at=self.clock.seconds(), last_used_from=used_from)
        return found

    async def list_tokens(self) -> list[TokenRecord]:
        return sorted(self._valid().values(), key=lambda token: (token.name, token.id))

    async def ended_tokens(self, ids: Collection[int]) -> set[int]:
        return set(ids) - {token.id for token in self._valid().values()}

    async def revoke_token(self, name: str) -> None:
        revoked = [hash for hash, token in self._valid().items() if token.name == name]
        if not revoked:
            raise unknown_token(name)
        for hash in revoked:
            del self._tokens[hash]

    # --------------------------------------------------------------------------------------------------- limits

    async def account_limits(self) -> dict[str, dict[str, float]]:
        return {account: dict(limits) for account, limits in self._limits.items() if limits}

    async def set_account_limits(self, account: str, limits: Mapping[str, float | None]) -> None:
        own = self._limits.setdefault(account, {})
        for name, value in limits.items():
            own.pop(name, None)
            if value is not None:
                own[name] = value

    # ------------------------------------------------------------------------------------------------------ access

    async def access(self) -> AccessRules:
        return AccessRules(list(self._rules), await self.account_groups())

    async def add_access(self, rule: AccessRule) -> AccessRule:
        for each in self._rules:
            if evolve(each, id=rule.id) == rule:
                return each
        self._rules.append(evolve(rule, id=next(self._numbers)))
        return self._rules[-1]

    async def remove_access(self, ids: Sequence[int]) -> list[int]:
        removed = sorted(rule.id for rule in self._rules if rule.id in ids)
        self._rules = [rule for rule in self._rules if rule.id not in ids]
        return removed

    # -------------------------------------------------------------------------------------------------- accounts

    async def import_accounts(
        self, entries: Sequence[RosterEntry], hashes: Mapping[str, str], *, lasts: float | None = None
    ) -> list[str]:
        there = {token.name: token for token in self._valid().values() if not token.replaced}
        for entry in entries:
            token = there.get(entry.name)
            if token is not None and (token.account, token.role) != (entry.name, Role.CLIENT):
                raise foreign_token(entry.line, entry.name, token.account, token.role.value)
        made = [entry.name for entry in entries if entry.name not in there]
        for name in made:
            await self.add_token(name, Role.CLIENT, hashes[name], lasts=lasts)
        for entry in entries:
            if entry.group is not None:
                await self.set_account_groups({entry.name: entry.group or None})
            await self.set_account_limits(entry.name, entry.limits)
        return made

    async def remove_accounts(self, accounts: Sequence[str]) -> dict[str, int]:
        tokens = [token for token in self._valid().values() if token.account in accounts]
        counts = {name: sum(token.account == name for token in tokens) for name in accounts}
        known = self._booked.groups.keys() | {account for account, limits in self._limits.items() if limits}
        unknown = [name for name in accounts if not counts[name] and name not in known]
        others = sorted({token.account for token in tokens if token.role is not Role.CLIENT})
        if unknown or others:
            raise unknown_accounts(unknown, others)
        self._tokens = {hash: token for hash, token in self._tokens.items() if token not in tokens}
        for name in accounts:
            self._booked.groups.pop(name, None)
            self._limits.pop(name, None)
        return counts

    async def account_groups(self) -> dict[str, str]:
        return dict(self._booked.groups)

    async def set_account_groups(self, groups: Mapping[str, str | None]) -> None:
        for account, name in groups.items():
            self._booked.groups.pop(account, None)
            if name is not None:
                self._booked.groups[account] = name

    # ------------------------------------------------------------------------------------------------ audit log

    async def keep_audit(self, entries: Sequence[AuditEntry]) -> None:
        self._audit += entries

    async def audit(
        self, since: float, *, account: str | None = None, action: str | None = None, limit: int
    ) -> list[AuditEntry]:
        found = [
            entry
            for entry in self._audit
            if entry.time >= since and account in (None, entry.account) and action in (None, entry.action)
        ]
        return found[-limit:]

    async def forget_audit(self, before: float) -> None:
        self._audit = [entry for entry in self._audit if entry.time >= before]
