"""The procedures ``icefarm.v1.control.access*``: who may have which boards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import define

from icefarm.bus import Caller
from icefarm.contract import (
    LONGEST_NAME,
    MAX_SECONDS,
    NAME_RULE,
    AccessRule,
    Role,
    account_of,
    normal_name,
    to_wire,
    valid_account,
)
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.storage.interface import Store
from icefarm.control.storage.shared import Shared
from icefarm.control.telemetry.events import AccessChanged
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import InvalidArgument, NotAuthorized
from icefarm.selectors.boards import check_known, label_names, parse_boards
from icefarm.text.durations import in_words

__all__ = ["AccessProcedures"]

#: Rules of a farm, kinds of a rule, and accounts of a group that one call names.
MOST_RULES, MOST_KINDS, MOST_NAMED = 500, 50, 1000
#: Accounts in groups, all groups together.
MOST_MEMBERS = 20_000


def _account(name: str) -> str:
    account = normal_name(name)
    if not valid_account(account):
        raise InvalidArgument(f"{name!a:.120} is not the name of an account or a group: {NAME_RULE}, without '/'")
    return account


def _checked_kinds(kinds: list[str]) -> list[str]:
    if not 0 < len(kinds) <= MOST_KINDS or not all(0 < len(kind) <= LONGEST_NAME for kind in kinds):
        raise InvalidArgument(f"kinds must be 1 to {MOST_KINDS} names of device kinds")
    return sorted(set(kinds))


@define(eq=False)
class AccessProcedures:
    """Operators make the rules; everybody reads their own."""

    store: Store
    access_rules: Shared[AccessRules]
    queue: WaitingQueue
    publisher: Publisher

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        operating = (self.access_list, self.access_add, self.access_remove, self.access_group)
        return {
            "access": (self.access, (Role.CLIENT, Role.OPERATOR)),
            **{method.__name__: (method, (Role.OPERATOR,)) for method in operating},
        }

    async def access(self, caller: Caller, account: str | None = None) -> dict[str, Any]:
        """Return the rules for the caller's account (none: it may have every board), and its group.

        An operator may name another account.
        """
        own = account_of(caller.authid)
        asked = own if account is None else account
        if asked != own and caller.role != Role.OPERATOR:
            raise NotAuthorized("only an operator sees what other accounts may have")
        found = await self.access_rules.get()
        rules = [to_wire(rule) for rule in found.rules_of(asked)]
        return {"account": asked, "group": found.groups.get(asked), "rules": rules}

    async def access_list(self, _: Caller) -> dict[str, Any]:
        """Return all rules, and the accounts of each group."""
        found = await self.access_rules.get()
        groups: dict[str, list[str]] = {}
        for account, group in sorted(found.groups.items()):
            groups.setdefault(group, []).append(account)
        return {"rules": [to_wire(rule) for rule in found.rules], "groups": groups}

    async def access_add(
        self,
        _: Caller,
        account: str | None = None,
        group: str | None = None,
        where: str | None = None,
        seconds: float | None = None,
        kinds: list[str] | None = None,
    ) -> dict[str, Any]:
        """Add a rule for an account, for a group, or for everybody without rules of their own; returns it.

        It allows the boards that ``where`` selects, for at most ``seconds`` in all, as one of ``kinds``; an omitted
        argument sets no limit.
        """
        if account is not None and group is not None:
            raise InvalidArgument("a rule is for an account or for a group, not for both")
        if seconds is not None and not 0 < seconds <= MAX_SECONDS:
            raise InvalidArgument(f"seconds must be above 0 and at most {in_words(MAX_SECONDS)}, not {seconds!r}")
        if len((await self.store.access()).rules) >= MOST_RULES:
            raise InvalidArgument(f"there are {MOST_RULES} rules already; remove some, or use groups")
        selector = None
        if where is not None:
            selector, state = parse_boards(where), await self.store.state()
            check_known(selector, label_names([*state.devices, *state.workers]))
        rule = AccessRule(
            id=0,
            account=None if account is None else _account(account),
            group=None if group is None else _account(group),
            where=None if selector is None else str(selector),
            seconds=seconds,
            kinds=None if kinds is None else _checked_kinds(kinds),
        )
        added = await self.store.add_access(rule)
        self._changed()
        return to_wire(added)

    async def access_remove(self, _: Caller, ids: list[int]) -> list[int]:
        """Remove rules; returns those that this call removed."""
        if len(ids) > MOST_RULES or not all(0 <= id < 2**63 for id in ids):
            raise InvalidArgument(f"ids must be at most {MOST_RULES} numbers of rules")
        removed = await self.store.remove_access(ids)
        self._changed()
        return removed

    async def access_group(
        self, _: Caller, name: str, add: list[str] | None = None, remove: list[str] | None = None
    ) -> list[str]:
        """Put accounts into a group, take some out, and return its accounts.  An account is in one group at most."""
        added, removed = [_account(each) for each in add or ()], [_account(each) for each in remove or ()]
        if len(added) + len(removed) > MOST_NAMED:
            raise InvalidArgument(f"add and remove name {len(added) + len(removed)} accounts; at most {MOST_NAMED}")
        group, groups = _account(name), await self.store.account_groups()
        if len(groups) + len(added) > MOST_MEMBERS:
            raise InvalidArgument(f"groups have room for {MOST_MEMBERS} accounts in all; take some out")
        changes: dict[str, str | None] = {each: None for each in removed if groups.get(each) == group}
        changes |= dict.fromkeys(added, group)
        await self.store.set_account_groups(changes)
        self._changed()
        return sorted(each for each, its in (await self.store.account_groups()).items() if its == group)

    def _changed(self) -> None:
        self.publisher.publish(AccessChanged())
