"""What operators order through a client's session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import define

from icefarm.client.api.arguments import checked
from icefarm.client.connection.questions import FarmCalls
from icefarm.contract import AccessRule, DeviceRecord, FailureRecord, from_wire
from icefarm.errors import InvalidArgument

__all__ = ["OperatorOrders"]


@define(eq=False)
class OperatorOrders(FarmCalls):
    """The verbs of operators; control refuses them to others."""

    async def account_groups(self) -> dict[str, str]:
        """Return the group of each account that belongs to one, such as a class."""
        return {str(account): str(group) for account, group in (await self.call("account_groups")).items()}

    @checked
    async def recent_failures(self, seconds: float = 900.0) -> list[FailureRecord]:
        """Return the evaluations of this client's account that failed over the last so many seconds, the last first.

        An operator gets those of all accounts; at most 500.
        """
        return [from_wire(each, FailureRecord) for each in await self.call("recent_failures", seconds=seconds)]

    @checked
    async def end_accounts(self, accounts: Sequence[str]) -> list[str]:
        """End all reservations of accounts, or groups of accounts, and what they wait for (operator).

        Returns the serials of the freed boards.
        """
        return [str(serial) for serial in await self.call("end_accounts", accounts=accounts)]

    @checked
    async def delete(self, serials: Sequence[str]) -> Any:
        """Forget boards that are offline or broken (operator)."""
        return await self.call("delete", serials=serials)

    @checked
    async def end_any(self, serials: Sequence[str]) -> Any:
        """End anybody's reservations (operator)."""
        return await self.call("end_any", serials=serials)

    @checked
    async def retest(self, serials: Sequence[str]) -> Any:
        """Test broken boards again, and return those that pass to service (operator)."""
        return await self.call("retest", serials=serials)

    @checked
    async def label(
        self, labels: Mapping[str, Any], *, serials: Sequence[str] | None = None, worker: str | None = None
    ) -> list[DeviceRecord]:
        """Set labels of boards, or of a worker and so of its boards; None takes one away.  Returns the boards.

        For operators.
        """
        if (serials is None) == (worker is None):
            raise InvalidArgument("give either serials, the boards to label, or worker")
        answer = await self.call("label", labels=labels, serials=serials, worker=worker)
        return [from_wire(each, DeviceRecord) for each in answer]

    async def access_list(self) -> dict[str, Any]:
        """Return all rules of access, and the accounts of each group (operator)."""
        answer = await self.call("access_list")
        return {"rules": [from_wire(each, AccessRule) for each in answer["rules"]], "groups": dict(answer["groups"])}

    @checked
    async def access_add(
        self,
        *,
        account: str | None = None,
        group: str | None = None,
        where: str | None = None,
        seconds: float | None = None,
        kinds: Sequence[str] | None = None,
    ) -> AccessRule:
        """Add a rule of access for an account, a group, or everybody without rules of their own (operator)."""
        chosen = None if kinds is None else list(kinds)
        answer = await self.call("access_add", account=account, group=group, where=where, seconds=seconds, kinds=chosen)
        return from_wire(answer, AccessRule)

    @checked
    async def access_remove(self, rules: Sequence[int]) -> list[int]:
        """Remove rules of access by their ids, and return those that there were (operator)."""
        return [int(each) for each in await self.call("access_remove", ids=list(rules))]

    @checked
    async def access_group(self, group: str, *, add: Sequence[str] = (), remove: Sequence[str] = ()) -> list[str]:
        """Put accounts into a group, take others out, and return its accounts (operator)."""
        answer = await self.call("access_group", name=group, add=list(add), remove=list(remove))
        return [str(each) for each in answer]

    @checked
    async def drain(self, worker: str, *, leave: bool = False) -> Any:
        """Stop giving out a worker's boards; with ``leave``, it exits when none of them is reserved (operator)."""
        return await self.call("drain", worker=worker, leave=leave)

    @checked
    async def resume(self, worker: str) -> Any:
        """Resume giving out a worker's boards (operator)."""
        return await self.call("resume", worker=worker)

    @checked
    async def delete_worker(self, worker: str) -> list[str]:
        """Forget a worker that is offline, and return the serials of its boards; for operators."""
        return [str(serial) for serial in await self.call("delete_worker", worker=worker)]

    @checked
    async def audit(
        self, seconds: float = 86400.0, *, account: str | None = None, action: str | None = None, limit: int = 300
    ) -> list[dict[str, Any]]:
        """Return who did what over the last so many seconds, of one account or all; for operators."""
        answer = await self.call("audit", seconds=seconds, account=account, action=action, limit=limit)
        return [dict(entry) for entry in answer]

    @checked
    async def dismiss(self, ids: Sequence[str]) -> Any:
        """Remove requests from the queue, and return those that waited (operator)."""
        return await self.call("dismiss", ids=ids)
