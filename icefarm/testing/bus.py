"""The router in memory: what `icefarm.wamp` does over Crossbar, for tests without a network.

It holds to what matters of the real one: permissions by role, values that pass through CBOR, one callee for a
procedure, the longest prefix wins, a lost session fails its calls and cancels those it was making, the meta API.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import cbor2
from attrs import Factory, define, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.logger import Logger

from icefarm.bus import Bus, Caller, EventHandler, Handler, OnLost, Progress, Registration
from icefarm.clock import Clock
from icefarm.contract import (
    AUTHENTICATOR,
    REALM,
    Role,
    permissions,
)
from icefarm.credentials import Credentials
from icefarm.errors import (
    IcefarmError,
    InternalError,
    InvalidArgument,
    LinkLost,
    NoSuchProcedure,
    NotAuthorized,
    TimedOut,
)

__all__ = ["MemoryBus", "MemoryLink", "MemoryRouter"]

_PERMISSIONS = permissions()


def _travel(value: Any) -> Any:
    """What is left of a value after the wire: a copy, tuples as lists, and an error where it cannot travel."""
    return cbor2.loads(cbor2.dumps(value))


def _allowed(role: Role, action: str, uri: str) -> bool:
    return any(
        uri == permission.uri or (permission.prefix and uri.startswith(permission.uri))
        for permission in _PERMISSIONS[role]
        if getattr(permission, action)
    )


async def _awaited(answer: Awaitable[Any]) -> Any:
    return await answer


@define(eq=False)
class _Entry:
    """A registered procedure, or a subscription."""

    owner: MemoryBus
    uri: str
    prefix: bool
    handler: Any
    entries: list[_Entry]

    def matches(self, uri: str) -> bool:
        return uri.startswith(self.uri) if self.prefix else uri == self.uri

    async def end(self) -> None:
        if self in self.entries:
            self.entries.remove(self)


@define(eq=False)
class MemoryRouter:
    """A router with its sessions.  ``latency`` is in seconds for each hop; None delivers within the call."""

    clock: Clock
    latency: float | None = None
    procedures: list[_Entry] = Factory(list)
    subscriptions: list[_Entry] = Factory(list)
    sessions: dict[int, MemoryBus] = Factory(dict)
    #: Nothing joins while it is false, as when the router is away.
    accepting: bool = True
    _numbers: Any = Factory(lambda: count(1))
    _log: Logger = Factory(Logger)

    def join(self, authid: str, role: Role, instance: str = "") -> MemoryBus:
        """Let a session in without asking the authenticator."""
        session = next(self._numbers)
        bus = MemoryBus(self, authid, role, session, instance)
        self.sessions[session] = bus
        self._meta("wamp.session.on_join", [self._details(bus)])
        return bus

    async def sign_in(self, credentials: Credentials) -> MemoryBus:
        """Let a session in as the real router would: control's authenticator decides.  Raises what it raises."""
        if not self.accepting:
            raise LinkLost("the router is away")
        if credentials.role is Role.CONTROL:
            return self.join(credentials.authid, Role.CONTROL, credentials.instance)
        entry = self._callee(AUTHENTICATOR)
        if entry is None:
            raise LinkLost("the router is up, but the farm's control is not connected to it")
        details = {
            "ticket": credentials.ticket,
            "authextra": {"role": str(credentials.role), "instance": credentials.instance},
            "transport": {"peer": "memory"},
        }
        router = Caller("crossbar", 0, "trusted")
        answer = await entry.handler(router, AUTHENTICATOR, [REALM, credentials.authid, _travel(details)], {})
        return self.join(credentials.authid, Role(answer["role"]), credentials.instance)

    def stop(self) -> None:
        """Lose every session and accept none, as when the router is killed."""
        self.accepting = False
        for bus in list(self.sessions.values()):
            bus.drop("the router stopped")

    def start(self) -> None:
        """Accept sessions again."""
        self.accepting = True

    def _callee(self, uri: str) -> _Entry | None:
        found = [entry for entry in self.procedures if entry.matches(uri)]
        return max(found, key=lambda entry: (not entry.prefix, len(entry.uri)), default=None)

    def _details(self, bus: MemoryBus) -> dict[str, Any]:
        return {
            "session": bus.session,
            "authid": bus.authid,
            "authrole": str(bus.role),
            "authextra": {"role": str(bus.role), "instance": bus.instance},
        }

    def _meta(self, topic: str, args: list[Any]) -> None:
        self._deliver(topic, args, {}, lambda bus: bus.role is Role.CONTROL)

    def _deliver(
        self, topic: str, args: Sequence[Any], kwargs: Mapping[str, Any], chosen: Callable[[MemoryBus], bool]
    ) -> None:
        for entry in list(self.subscriptions):
            if entry.matches(topic) and chosen(entry.owner):
                self._hop(partial(self._event, entry, topic, _travel(list(args)), _travel(dict(kwargs))))

    def _event(self, entry: _Entry, topic: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        if entry in self.subscriptions:
            try:
                entry.handler(topic, args, kwargs)
            except Exception:
                self._log.failure("the handler of {topic} failed", topic=topic)

    def _hop(self, action: Callable[[], object]) -> None:
        if self.latency is None:
            action()
        else:
            self.clock.callLater(self.latency, action)

    def _meta_call(self, procedure: str, args: Sequence[Any]) -> Any:
        match procedure, list(args):
            case "wamp.session.list", _:
                return list(self.sessions)
            case "wamp.session.count", _:
                return len(self.sessions)
            case "wamp.session.get", [session] if session in self.sessions:
                return self._details(self.sessions[session])
            case "wamp.session.kill", [session, *_] if session in self.sessions:
                self.sessions[session].drop("killed")
                return None
        raise NoSuchProcedure(f"{procedure}: no such session or procedure")


@define(eq=False)
class MemoryBus(Bus):
    """One session at a `MemoryRouter`."""

    router: MemoryRouter
    _authid: str
    role: Role
    _session: int
    instance: str
    _lost: str | None = None
    _on_lost: list[OnLost] = Factory(list)
    #: Calls that this session makes, and calls that it carries out for others: their answers, to be failed.
    _making: set[_Call] = Factory(set)
    _serving: set[_Call] = Factory(set)

    @property
    def authid(self) -> str:
        return self._authid

    @property
    def session(self) -> int:
        return self._session

    async def call(
        self,
        procedure: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None,
        progress: Progress | None = None,
    ) -> Any:
        self._check("call", procedure)
        if procedure.startswith("wamp."):
            return _travel(self.router._meta_call(procedure, args))
        call = _Call(self, procedure, _travel(list(args)), _travel(dict(kwargs or {})), progress)
        return await call.make(timeout)

    async def register(
        self, procedure: str, handler: Handler, *, prefix: bool = False, replace: bool = False
    ) -> Registration:
        self._check("register", procedure)
        for entry in list(self.router.procedures):
            if (entry.uri, entry.prefix) == (procedure, prefix):
                if not replace:
                    raise InvalidArgument(f"{procedure} is registered already")
                self.router.procedures.remove(entry)
        return self._add(self.router.procedures, procedure, prefix, handler)

    async def subscribe(self, topic: str, handler: EventHandler, *, prefix: bool = False) -> Registration:
        self._check("subscribe", topic)
        return self._add(self.router.subscriptions, topic, prefix, handler)

    async def publish(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        only: str | None = None,
    ) -> None:
        self._check("publish", topic)
        self.router._deliver(
            topic, args, kwargs or {}, lambda bus: bus is not self and (only is None or bus.authid == only)
        )

    def on_lost(self, handler: OnLost) -> None:
        if self._lost is not None:
            handler(self._lost)
        else:
            self._on_lost.append(handler)

    def drop(self, reason: str) -> None:
        if self._lost is not None:
            return
        self._lost = reason
        router = self.router
        del router.sessions[self._session]
        for entries in (router.procedures, router.subscriptions):
            entries[:] = [entry for entry in entries if entry.owner is not self]
        for call in [*self._making, *self._serving]:
            call.fail(LinkLost(reason))
        router._meta("wamp.session.on_leave", [self._session])
        for handler in self._on_lost:
            handler(reason)

    async def close(self) -> None:
        self.drop("closed")

    def _add(self, entries: list[_Entry], uri: str, prefix: bool, handler: Any) -> _Entry:
        entry = _Entry(self, uri, prefix, handler, entries)
        entries.append(entry)
        return entry

    def _check(self, action: str, uri: str) -> None:
        if self._lost is not None:
            raise LinkLost(self._lost)
        if not _allowed(self.role, action, uri):
            raise NotAuthorized(f"{self.role} may not {action} {uri}")


@define(eq=False)
class _Call:
    """A call under way, between its caller and its callee."""

    caller: MemoryBus
    procedure: str
    args: list[Any]
    kwargs: dict[str, Any]
    progress: Progress | None
    callee: MemoryBus | None = None
    answer: Deferred[Any] = field(init=False)
    _handling: Deferred[Any] | None = None

    def __attrs_post_init__(self) -> None:
        self.answer = Deferred(self._abandoned)

    async def make(self, timeout: float | None) -> Any:
        entry = self.caller.router._callee(self.procedure)
        if entry is None:
            raise NoSuchProcedure(f"nobody offers {self.procedure}")
        self.callee = entry.owner
        self.caller._making.add(self)
        self.callee._serving.add(self)
        self._hop(lambda: self._serve(entry.handler))
        timer = None
        if timeout is not None:
            late = TimedOut(f"{self.procedure} did not answer within {timeout:g} s")
            timer = self.caller.router.clock.callLater(timeout, self.fail, late)
        try:
            return await self.answer
        finally:
            if timer is not None and timer.active():
                timer.cancel()

    def _hop(self, action: Callable[[], object]) -> None:
        self.caller.router._hop(action)

    def _serve(self, handler: Callable[..., Awaitable[Any]]) -> None:
        if self.answer.called:
            return
        progress = self._progress if self.progress is not None else None
        caller = Caller(self.caller.authid, self.caller.session, str(self.caller.role), progress)
        self._handling = ensureDeferred(_awaited(handler(caller, self.procedure, self.args, self.kwargs)))
        self._handling.addCallback(_travel)
        self._handling.addCallbacks(
            lambda result: self._hop(lambda: self._succeed(result)), lambda failure: self._failed(failure.value)
        )

    def _progress(self, word: Mapping[str, Any]) -> None:
        if not self.answer.called and self.progress is not None:
            copy, tell = _travel(dict(word)), self.progress
            self._hop(lambda: tell(copy))

    def _succeed(self, result: Any) -> None:
        if not self.answer.called:
            self._finish()
            self.answer.callback(result)

    def _failed(self, error: BaseException) -> None:
        if isinstance(error, CancelledError):
            self.fail(LinkLost("the call was cancelled"))
            return
        if not isinstance(error, IcefarmError):
            self.caller.router._log.error("{procedure} failed: {error!r}", procedure=self.procedure, error=error)
            error = InternalError()
        told = type(error)(error.message, **_travel(error.fields))
        self._hop(lambda: self.fail(told))

    def fail(self, error: IcefarmError) -> None:
        """End the call for its caller, and cancel what carries it out."""
        if self.answer.called:
            return
        handling = self._finish()
        self.answer.errback(error)
        if handling is not None:
            handling.cancel()

    def _abandoned(self, answer: Deferred[Any]) -> None:
        handling = self._finish()
        # First of all, so that what the callee makes of its cancellation does not become the answer.
        answer.errback(CancelledError())
        if handling is not None:
            handling.cancel()

    def _finish(self) -> Deferred[Any] | None:
        self.caller._making.discard(self)
        if self.callee is not None:
            self.callee._serving.discard(self)
        return self._handling


@define(eq=False)
class MemoryLink(Service):
    """The twin of `icefarm.wamp.Link`: signs in at a `MemoryRouter`, and again whenever the session is lost."""

    router: MemoryRouter
    credentials: Credentials
    joined: Callable[[Bus], Awaitable[None]]
    refused: Callable[[IcefarmError], bool]
    #: Seconds between attempts.
    delay: float = 0.2
    bus: MemoryBus | None = None
    _retry: Any = None
    _log: Logger = Factory(Logger)

    def startService(self) -> None:
        Service.startService(self)
        self._attempt()

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self.bus is not None:
            self.bus.drop("closed")
        return succeed(None)

    def _attempt(self) -> None:
        self._retry = None
        ensureDeferred(self._join()).addErrback(lambda failure: self._log.failure("a session failed", failure))

    async def _join(self) -> None:
        try:
            bus = await self.router.sign_in(self.credentials)
        except IcefarmError as error:
            if isinstance(error, LinkLost) or self.refused(error):
                self._later()
            return
        self.bus = bus
        bus.on_lost(self._on_lost)
        try:
            await self.joined(bus)
        except IcefarmError as error:
            bus.drop(f"could not begin the session: {error}")

    def _on_lost(self, _: str) -> None:
        self.bus = None
        self._later()

    def _later(self) -> None:
        if self.running and self._retry is None:
            self._retry = self.router.clock.callLater(self.delay, self._attempt)
