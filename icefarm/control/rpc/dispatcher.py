"""Dispatches calls: checks arguments, and records the caller.

A call runs to its end even if its caller disconnects: half of it may be in the database already.  A method that can be
cancelled safely (`ends_with_its_call`) is cancelled when its call or its caller's session ends.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import CheckedFunction
from icefarm.bus import Caller, Handler, SessionKey
from icefarm.concurrency.deferreds import shielded
from icefarm.contract import Role, account_of
from icefarm.control.rpc.pacing import Pacing
from icefarm.control.sessions.audit import ACTIONS, AuditLog
from icefarm.control.sessions.limits import limits_text
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.telemetry.events import Event, SessionEnded
from icefarm.errors import IcefarmError, LimitReached, NotAuthorized

__all__ = ["RpcDispatcher", "ends_with_its_call"]

Method = TypeVar("Method", bound=Callable[..., Any])
_GIVES_UP = "_ends_with_its_call"


def ends_with_its_call(method: Method) -> Method:
    """Cancel a method when nobody waits for its answer any more (decorator)."""
    setattr(method, _GIVES_UP, True)
    return method


def _detail(arguments: Mapping[str, Any]) -> str | None:
    """Return what an entry of the audit log says of a call besides its subject."""
    limits = arguments.get("limits")
    if isinstance(limits, Mapping):
        return limits_text(limits)
    labels = arguments.get("labels")
    if isinstance(labels, Mapping):
        return " ".join(f"{name}-" if value is None else f"{name}={value}" for name, value in labels.items())
    if arguments.get("accounts"):
        return ", ".join(arguments["accounts"])
    added, removed = arguments.get("add") or (), arguments.get("remove") or ()
    if added or removed:
        return " ".join([*(f"+{name}" for name in added), *(f"-{name}" for name in removed)])
    kind, where, kinds = arguments.get("kind"), arguments.get("where"), arguments.get("kinds")
    parts = [kind or "", "" if where is None else f"where {where}", f"as {', '.join(kinds)}" if kinds else ""]
    return " ".join(part for part in parts if part) or None


def _name(record: Mapping[str, Any]) -> Any:
    """Return the name of a record: a board's serial, or that of a worker."""
    return record["serial"] if "serial" in record else record["name"]


def _subject(arguments: Mapping[str, Any], result: Any = None) -> str | None:
    """Return what a call was about: the boards that it concerned, or those, the worker or the requests it names."""
    if isinstance(result, Sequence) and not isinstance(result, str):
        names = [str(_name(each) if isinstance(each, Mapping) else each) for each in result]
        return ", ".join(names) or None
    for name in ("serials", "worker", "workers", "ids", "name", "amount", "account", "group", "accounts"):
        named = arguments.get(name)
        if named is not None:
            return ", ".join(map(str, named)) if isinstance(named, list) else str(named)
    return None


@define(eq=False)
class RpcDispatcher:
    """Makes bus handlers of methods that take the caller and then checked arguments."""

    sessions: Sessions
    audit: AuditLog
    pacing: Pacing
    _running: dict[SessionKey, set[Deferred[Any]]] = Factory(dict)
    _log: Logger = Factory(Logger)

    def handler(self, method: Callable[..., Coroutine[Any, Any, Any]], *roles: Role) -> Handler:
        """Return the handler for a procedure that ``roles`` may call; its arguments are those of ``method``."""
        checked = CheckedFunction.of(method, skip=1)
        gives_up = getattr(method, _GIVES_UP, False)

        # The router enforces the permissions; these checks hold even if its configuration is wrong.
        async def from_worker(caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            if caller.role not in roles:
                raise NotAuthorized(f"{caller.role} may not call {procedure}")
            self.sessions.heard(caller)
            running = ensureDeferred(method(caller, **checked.bind(args, kwargs)))
            return await self._run(caller.key, running, procedure)

        async def from_client(caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
            if caller.role not in roles:
                raise NotAuthorized(f"{caller.role} may not call {procedure}")
            self.sessions.heard(caller)
            with self._counted(caller, method.__name__, args, kwargs) as turn:
                if turn is not None:
                    await self._run(caller.key, turn)
                arguments = checked.bind(args, kwargs)
                running = ensureDeferred(method(caller, **arguments))
                if method.__name__ in ACTIONS:
                    call = (caller, method.__name__, arguments)
                    running.addCallbacks(self._done, self._refused, callbackArgs=call, errbackArgs=call)
                return await self._run(caller.key, running, None if gives_up else procedure)

        return from_worker if Role.WORKER in roles else from_client

    @contextmanager
    def _counted(
        self, caller: Caller, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Iterator[Deferred[None] | None]:
        """Count a call while it is not answered, and say what it waits for until its turn.

        A session that goes on in spite of refusals is ended.
        """
        try:
            turn = self.pacing.begin(caller, name, args, kwargs)
        except LimitReached:
            if self.pacing.is_too_much(caller):
                self.sessions.end(caller, "it makes more calls than its account may")
            raise
        try:
            yield turn
        finally:
            self.pacing.end(caller)

    def heard(self, event: Event) -> None:
        """Cancel the pending calls of a session that has ended."""
        if isinstance(event, SessionEnded):
            self._give_up(event.key)

    def _done(self, result: Any, caller: Caller, action: str, arguments: Mapping[str, Any]) -> Any:
        """Note in the audit log that a call was carried out."""
        # A change of a group returns all of its accounts.
        subject = _subject(arguments, None if action == "access_group" else result)
        self._log_call(caller, action, subject, "done", result)
        self.audit.called(caller, self._address(caller), action, subject, "done", _detail(arguments))
        return result

    def _refused(self, failure: Failure, caller: Caller, action: str, arguments: Mapping[str, Any]) -> Failure:
        """Note in the audit log that a call failed."""
        error = failure.value
        outcome = error.name if isinstance(error, IcefarmError) else "cancelled"
        why = str(error) if isinstance(error, IcefarmError) else None
        self._log_call(caller, action, _subject(arguments), outcome)
        self.audit.called(caller, self._address(caller), action, _subject(arguments), outcome, why)
        return failure

    def _log_call(self, caller: Caller, action: str, subject: str | None, outcome: str, result: Any = None) -> None:
        """Log what a caller did, one line for each reservation that it got, so that its id can be followed."""
        about = {"account": account_of(caller.authid), "session": caller.session or None, "name": caller.authid}
        records = result if action == "reserve" and isinstance(result, list) else []
        for record in records:
            of = {"board": record["serial"], "reservation": record["id"], **about}
            self._log.info("{name} reserved board {board}: {reservation}", **of)
        if not records:
            text = "" if subject is None else f" {subject}"
            self._log.debug("{name}: {action}{text}: {outcome}", action=action, text=text, outcome=outcome, **about)

    def _address(self, caller: Caller) -> str:
        session = self.sessions.state.sessions.get(caller.key)
        return caller.address or ("" if session is None else session.address)

    def _give_up(self, key: SessionKey) -> None:
        for running in list(self._running.get(key, ())):
            running.cancel()

    def lose(self, router: str) -> None:
        """Cancel the calls that came over a router which is lost: nobody there can be answered any more."""
        for key in list(self._running):
            if key[0] == router:
                self._give_up(key)

    def close(self) -> None:
        """Cancel everything."""
        for key in list(self._running):
            self._give_up(key)

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

    async def _run(self, session: SessionKey, running: Deferred[Any], procedure: str | None = None) -> Any:
        """Wait for a call while its session lasts; a ``procedure`` runs to its end even then."""
        if running.called:
            # It needed nothing that takes time.
            return await running
        if procedure is not None:
            running = self._to_its_end(running, procedure)
        mine = self._running.setdefault(session, set())
        mine.add(running)
        try:
            return await running
        finally:
            mine.discard(running)
            if not mine:
                self._running.pop(session, None)
