"""Dispatches calls: checks arguments, and records the caller.

A call runs to its end even if its caller disconnects: half of it may be in the database already.  A method that can be
cancelled safely (`ends_with_its_call`) is cancelled when its call or its caller's session ends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import CheckedFunction
from icefarm.bus import Caller, Handler
from icefarm.contract import Role
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.telemetry.events import Event, SessionEnded
from icefarm.deferreds import shielded
from icefarm.errors import IcefarmError, NotAuthorized

__all__ = ["RpcDispatcher", "ends_with_its_call"]

Method = TypeVar("Method", bound=Callable[..., Any])
_GIVES_UP = "_ends_with_its_call"


def ends_with_its_call(method: Method) -> Method:
    """Cancel a method when nobody waits for its answer any more (decorator)."""
    setattr(method, _GIVES_UP, True)
    return method


@define(eq=False)
class RpcDispatcher:
    """Makes bus handlers of methods that take the caller and then checked arguments."""

    sessions: Sessions
    _running: dict[int, set[Deferred[Any]]] = Factory(dict)
    _log: Logger = Factory(Logger)

    def handler(self, method: Callable[..., Coroutine[Any, Any, Any]], *roles: Role) -> Handler:
        """Return the handler for a procedure that ``roles`` may call; its arguments are those of ``method``."""
        checked = CheckedFunction.of(method, skip=1)

        async def handle(caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            # The router enforces the permissions; this check holds even if its configuration is wrong.
            if caller.role not in roles:
                raise NotAuthorized(f"{caller.role} may not call {procedure}")
            self.sessions.heard(caller)
            carried_out = ensureDeferred(method(caller, **checked.bind(args, kwargs)))
            if not getattr(method, _GIVES_UP, False):
                carried_out = self._to_its_end(carried_out, procedure)
            return await self._run(caller.session, carried_out)

        return handle

    def heard(self, event: Event) -> None:
        """Cancel the pending calls of a session that has ended."""
        if isinstance(event, SessionEnded):
            self._give_up(event.number)

    def _give_up(self, number: int) -> None:
        for running in list(self._running.get(number, ())):
            running.cancel()

    def close(self) -> None:
        """Cancel everything: nobody can be answered any more."""
        for number in list(self._running):
            self._give_up(number)

    def _to_its_end(self, running: Deferred[Any], procedure: str) -> Deferred[Any]:
        answer = shielded(running)

        def given_up(failure: Failure) -> Failure:
            if failure.check(CancelledError):
                running.addErrback(self._failed, procedure)
            return failure

        return answer.addErrback(given_up)

    def _failed(self, failure: Failure, procedure: str) -> None:
        if failure.check(IcefarmError):
            self._log.warn("{procedure}, whose caller is gone: {error}", procedure=procedure, error=failure.value)
        else:
            self._log.failure("{procedure} failed, whose caller is gone", failure, procedure=procedure)

    async def _run(self, session: int, running: Deferred[Any]) -> Any:
        mine = self._running.setdefault(session, set())
        mine.add(running)
        try:
            return await running
        finally:
            mine.discard(running)
            if not mine:
                self._running.pop(session, None)
