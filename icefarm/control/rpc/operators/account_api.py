"""The procedures ``icefarm.v1.control.*`` about accounts, for teachers and operators of many accounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import define

from icefarm.bus import Caller
from icefarm.contract import Role, account_of, to_wire, valid_account
from icefarm.control.archive.interface import Archive
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.termination import Termination
from icefarm.control.storage.interface import Store
from icefarm.errors import InvalidArgument

__all__ = ["AccountProcedures"]

#: Accounts in one call, and failures in one answer.
MOST_ACCOUNTS, MOST_FAILURES = 10_000, 500
#: Seconds of failures at most.
LONGEST = 86400.0


@define(eq=False)
class AccountProcedures:
    """Groups of accounts, recent failures, and the end of all that accounts hold."""

    store: Store
    queue: WaitingQueue
    termination: Termination
    #: None where nothing is archived.
    archive: Archive | None

    def table(self) -> Mapping[str, tuple[Callable[..., Any], tuple[Role, ...]]]:
        """Return each procedure with the roles that may call it."""
        everybody, operators = (Role.CLIENT, Role.OPERATOR), (Role.OPERATOR,)
        return {
            "account_groups": (self.account_groups, everybody),
            "recent_failures": (self.recent_failures, everybody),
            "end_accounts": (self.end_accounts, operators),
        }

    async def account_groups(self, _: Caller) -> dict[str, str]:
        """Return the group of each account that belongs to one, such as a class."""
        return await self.store.account_groups()

    async def recent_failures(
        self, caller: Caller, seconds: float = 900.0, limit: int = MOST_FAILURES
    ) -> list[dict[str, Any]]:
        """Return the evaluations that failed in the last ``seconds``, the newest first.

        A client sees its own account's, an operator those of all.
        """
        if not 0 < seconds <= LONGEST:
            raise InvalidArgument(f"seconds must be above 0 and at most {LONGEST:g}, not {seconds:g}")
        if not 0 < limit <= MOST_FAILURES:
            raise InvalidArgument(f"limit must be 1 to {MOST_FAILURES}, not {limit}")
        if self.archive is None:
            return []
        account = None if caller.role == Role.OPERATOR else account_of(caller.authid)
        return [to_wire(each) for each in await self.archive.recent_failures(account, seconds, limit)]

    async def end_accounts(self, caller: Caller, accounts: list[str]) -> list[str]:
        """End all reservations of these accounts, or groups of accounts, and remove their requests from the queue.

        Returns the serials of the freed boards.
        """
        wanted, groups = _accounts(accounts), await self.store.account_groups()
        reason = f"ended by operator {caller.authid}"

        def concerns(client: str) -> bool:
            account = account_of(client)
            return account in wanted or groups.get(account) in wanted

        waiting = [record.id for record in self.queue.records() if concerns(record.client)]
        self.queue.dismiss(waiting, f"removed from the queue by operator {caller.authid}")
        active = [record for record in await self.store.active() if concerns(record.client)]
        return [record.serial for record in await self.termination.end_these(active, reason)]


def _accounts(names: Sequence[str]) -> set[str]:
    if not 0 < len(names) <= MOST_ACCOUNTS:
        raise InvalidArgument(f"accounts must name 1 to {MOST_ACCOUNTS} accounts or groups, not {len(names)}")
    wrong = [name for name in names if not valid_account(name)]
    if wrong:
        raise InvalidArgument(f"{wrong[0]!a:.100} is not the name of an account or a group")
    return set(names)
