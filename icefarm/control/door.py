"""The way in for calls: arguments are checked, the caller is noted, and a call ends with its caller's session."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred, ensureDeferred

from icefarm.arguments import CheckedFunction
from icefarm.bus import Caller, Handler
from icefarm.contract import Role
from icefarm.control.sessions import Sessions
from icefarm.errors import NotAuthorized

__all__ = ["Door"]


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


@define(eq=False)
class Door:
    """Makes handlers for the bus of methods that take the caller and then checked arguments."""

    sessions: Sessions
    _running: dict[int, set[Deferred[Any]]] = Factory(dict)

    def handler(self, method: Callable[..., Awaitable[Any]], *roles: Role) -> Handler:
        """Return the handler for a procedure that ``roles`` may call; its arguments are those of ``method``."""
        checked = CheckedFunction.of(method, skip=1)

        async def handle(caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            # The router holds the permissions; should its configuration be wrong, we still know who may do what.
            if caller.role not in roles:
                raise NotAuthorized(f"{caller.role} may not call {procedure}")
            self.sessions.heard(caller)
            return await self._run(caller.session, method(caller, **checked.bind(args, kwargs)))

        return handle

    def session_ended(self, number: int) -> None:
        """Give up what the callers of that session wait for."""
        for running in list(self._running.get(number, ())):
            running.cancel()

    def close(self) -> None:
        """Give up everything: nobody can be answered any more."""
        for number in list(self._running):
            self.session_ended(number)

    async def _run(self, session: int, answer: Awaitable[Any]) -> Any:
        running = ensureDeferred(_awaited(answer))
        mine = self._running.setdefault(session, set())
        mine.add(running)
        try:
            return await running
        finally:
            mine.discard(running)
            if not mine:
                self._running.pop(session, None)
