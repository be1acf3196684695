"""The in-memory router: what `icefarm.wamp` does over Crossbar, for tests without a network.

It follows the real one in what matters: permissions by role, values that pass through CBOR, one callee for a
procedure, the longest prefix wins, a lost session fails its calls and cancels those it was making, the meta API.

Each session has one channel to the router and one from it.  Messages on one channel keep their order, as on a
connection; between channels there is no order, and with `MemoryRouter.latency` any order happens.  Either end learns
what the other did only when its message arrives, including the end of a session.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from itertools import count
from typing import Any

import cbor2
from attrs import Factory, define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus, Caller, EventHandler, Handler, OnLost, Progress, Registration
from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    AUTHENTICATOR,
    AUTHORIZER,
    REALM,
    Role,
    permissions,
)
from icefarm.errors import (
    IcefarmError,
    InternalError,
    InvalidArgument,
    LinkLost,
    NoSuchProcedure,
    NotAuthorized,
    TimedOut,
)
from icefarm.wamp.credentials import Credentials, Tickets

__all__ = ["MemoryBus", "MemoryLink", "MemoryRouter"]

_PERMISSIONS = permissions()


def _travel(value: Any) -> Any:
    """Return a value as after the wire: a copy, with tuples as lists; raises an error if it cannot travel."""
    return cbor2.loads(cbor2.dumps(value))


def _allowed(role: Role, action: str, uri: str) -> bool:
    return any(
        uri == permission.uri or (permission.prefix and uri.startswith(permission.uri))
        for permission in _PERMISSIONS[role]
        if getattr(permission, action)
    )


@define(eq=False, repr=False)
class _Entry:
    """A registered procedure, or a subscription."""

    owner: MemoryBus
    uri: str
    prefix: bool
    handler: Any
    entries: list[_Entry]
    ended: bool = False

    def matches(self, uri: str) -> bool:
        return uri.startswith(self.uri) if self.prefix else uri == self.uri

    async def end(self) -> None:
        self.ended = True
        self.owner._up(self._remove)

    def _remove(self) -> None:
        if self in self.entries:
            self.entries.remove(self)
            self.owner.router._note_subscriptions()


@define(eq=False, repr=False)
class MemoryRouter:
    """A router with its sessions.

    ``latency`` is the seconds that a message takes on one channel, or a function that returns them; None delivers
    within the call.
    """

    clock: Clock
    latency: float | Callable[[], float] | None = None
    procedures: list[_Entry] = Factory(list)
    subscriptions: list[_Entry] = Factory(list)
    sessions: dict[int, MemoryBus] = Factory(dict)
    #: While false, nothing can join, as when the router is away.
    accepting: bool = True
    #: All connections, including those that have not signed in; pending calls.
    _connections: set[MemoryBus] = Factory(set)
    _calls: set[_Call] = Factory(set)
    #: The numbers of subscriptions: (URI, whether that is a prefix).
    _subscribed: dict[tuple[str, bool], int] = Factory(dict)
    #: Messages on their way, and when the last of them arrives.
    _ways: dict[tuple[str, int], deque[Callable[[], object]]] = Factory(lambda: defaultdict(deque))
    _arrivals: dict[tuple[str, int], float] = Factory(dict)
    _numbers: Any = Factory(lambda: count(1))
    _log: Logger = Factory(Logger)

    def join(self, authid: str, role: Role, instance: str = "") -> MemoryBus:
        """Admit a session without asking the authenticator."""
        bus = self._connect(authid, role, instance)
        self._joined(bus)
        return bus

    def connect(self, credentials: Credentials) -> MemoryBus:
        """Open a connection, which must sign in (`MemoryBus.sign_in`).  Raises `LinkLost`."""
        if not self.accepting:
            raise LinkLost("the router is away")
        return self._connect(credentials.authid, credentials.role, credentials.instance, credentials.follows)

    async def sign_in(self, credentials: Credentials) -> MemoryBus:
        """Admit a session as the real router would: control's authenticator decides.  Raises its error."""
        bus = self.connect(credentials)
        await bus.sign_in(credentials.ticket)
        return bus

    def stop(self) -> None:
        """Lose every session and accept none, as when the router is killed."""
        self.accepting = False
        for bus in sorted(self._connections, key=lambda bus: bus.session):
            self._hang_up(bus, "the router stopped")

    def start(self) -> None:
        """Accept sessions again."""
        self.accepting = True

    def _connect(self, authid: str, role: Role, instance: str, follows: bool = False) -> MemoryBus:
        bus = MemoryBus(self, authid, role, next(self._numbers), instance, follows)
        self._connections.add(bus)
        return bus

    def _joined(self, bus: MemoryBus) -> None:
        self.sessions[bus.session] = bus
        self._meta("wamp.session.on_join", [self._details(bus)])

    def _left(self, bus: MemoryBus, reason: str) -> None:
        """Note the end of a connection at the router."""
        if bus not in self._connections:
            return
        self._connections.remove(bus)
        for entries in (self.procedures, self.subscriptions):
            entries[:] = [entry for entry in entries if entry.owner is not bus]
        self._note_subscriptions()
        for call in sorted(self._calls, key=lambda call: call.number):
            if call.callee is bus:
                call.answered(LinkLost(reason))
            elif call.caller is bus:
                call.interrupt()
        if self.sessions.pop(bus.session, None) is not None:
            self._meta("wamp.session.on_leave", [bus.session])

    def _hang_up(self, bus: MemoryBus, reason: str) -> None:
        """End a session from the router's side."""
        self._left(bus, reason)
        bus._down(partial(bus._be_lost, reason))

    def _carry(self, way: tuple[str, int], action: Callable[[], object]) -> None:
        """Deliver a message at the end of its channel, when it arrives."""
        if self.latency is None:
            action()
            return
        now = self.clock.seconds()
        takes = self.latency() if callable(self.latency) else self.latency
        self._arrivals[way] = arrival = max(now + takes, self._arrivals.get(way, now))
        self._ways[way].append(action)
        # The first of the timers takes the first message.
        self.clock.callLater(arrival - now, lambda: self._ways[way].popleft()())

    def stall(self, bus: MemoryBus, seconds: float) -> None:
        """Let what a session sends from now on arrive no earlier than in so many seconds; it hears as before."""
        way = ("up", bus.session)
        self._arrivals[way] = max(self.clock.seconds() + seconds, self._arrivals.get(way, 0.0))

    def _callee(self, uri: str) -> _Entry | None:
        found: _Entry | None = None
        for entry in self.procedures:
            if not entry.prefix:
                if entry.uri == uri:
                    return entry
            elif uri.startswith(entry.uri) and (found is None or len(entry.uri) > len(found.uri)):
                found = entry
        return found

    def _details(self, bus: MemoryBus) -> dict[str, Any]:
        return {
            "session": bus.session,
            "authid": bus.authid,
            "authrole": str(bus.role),
            "authextra": {"role": str(bus.role), "instance": bus.instance, **bus.extra},
            "transport": {"peer": "memory"},
        }

    def _meta(self, topic: str, args: list[Any]) -> None:
        self._deliver(topic, args, {}, lambda bus: bus.role is Role.CONTROL)

    def _deliver(
        self, topic: str, args: Sequence[Any], kwargs: Mapping[str, Any], chosen: Callable[[MemoryBus], bool]
    ) -> None:
        for entry in list(self.subscriptions):
            if entry.matches(topic) and chosen(entry.owner):
                entry.owner._down(partial(self._event, entry, topic, _travel(list(args)), _travel(dict(kwargs))))

    def _event(self, entry: _Entry, topic: str, args: list[Any], kwargs: dict[str, Any]) -> None:
        if not entry.ended:
            try:
                entry.handler(topic, args, kwargs)
            except Exception:
                self._log.failure("the handler of {topic} failed", topic=topic)

    def _note_subscriptions(self) -> None:
        """Report URIs that have their first subscriber now, and those that have lost their last."""
        now = {(entry.uri, entry.prefix) for entry in self.subscriptions}
        for key in [key for key in self._subscribed if key not in now]:
            self._meta("wamp.subscription.on_delete", [0, self._subscribed.pop(key)])
        for key in sorted(now - self._subscribed.keys()):
            self._subscribed[key] = next(self._numbers)
            self._meta("wamp.subscription.on_create", [0, self._subscription(key)])

    def _subscription(self, key: tuple[str, bool]) -> dict[str, Any]:
        return {"id": self._subscribed[key], "uri": key[0], "match": "prefix" if key[1] else "exact"}

    def _meta_call(self, procedure: str, args: Sequence[Any]) -> Any:
        numbers = {number: key for key, number in self._subscribed.items()}
        match procedure, list(args):
            case "wamp.subscription.list", _:
                return {
                    "exact": [number for number, key in numbers.items() if not key[1]],
                    "prefix": [number for number, key in numbers.items() if key[1]],
                    "wildcard": [],
                }
            case "wamp.subscription.get", [number] if number in numbers:
                return self._subscription(numbers[number])
            case "wamp.session.list", _:
                return list(self.sessions)
            case "wamp.session.count", _:
                return len(self.sessions)
            case "wamp.session.get", [session] if session in self.sessions:
                return self._details(self.sessions[session])
            case "wamp.session.kill", [session, *_] if session in self.sessions:
                self._hang_up(self.sessions[session], "killed")
                return None
        raise NoSuchProcedure(f"{procedure}: no such session or procedure")


@define(eq=False, repr=False)
class MemoryBus(Bus):
    """One session at a `MemoryRouter`."""

    router: MemoryRouter
    _authid: str
    role: Role
    _session: int
    instance: str
    follows: bool = False
    #: What the authenticator wants the router to keep with the session.
    extra: Mapping[str, Any] = Factory(dict)
    _lost: str | None = None
    _on_lost: list[OnLost] = Factory(list)
    #: Calls that this session makes, calls that it carries out for others, and its requests to the router itself.
    _making: dict[_Call, None] = Factory(dict)
    _serving: dict[_Call, None] = Factory(dict)
    _asking: dict[Deferred[Any], None] = Factory(dict)

    @property
    def authid(self) -> str:
        return self._authid

    @property
    def session(self) -> int:
        return self._session

    @property
    def router_url(self) -> str:
        return str(self.extra.get("router", ""))

    @property
    def router_urls(self) -> frozenset[str]:
        return frozenset(self.extra.get("routers", ()))

    async def sign_in(self, ticket: str = "") -> None:
        """Sign in: control's authenticator decides.  Raises its error, and `LinkLost`."""
        await self._asked(partial(self._knock, ticket))

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
            given = _travel(list(args))
            return await self._asked(lambda told: told(_travel(self.router._meta_call(procedure, given))))
        caller = Caller(self.authid, self.session, str(self.role))
        call = _Call(self.router, caller, procedure, _travel(list(args)), _travel(dict(kwargs or {})), progress, self)
        self._making[call] = None
        self._up(call.route)
        return await call.outcome(timeout)

    async def register(
        self, procedure: str, handler: Handler, *, prefix: bool = False, replace: bool = False
    ) -> Registration:
        self._check("register", procedure)
        entry = _Entry(self, procedure, prefix, handler, self.router.procedures)
        if self.role is Role.WORKER:
            await self._asked(partial(self._ask_to_register, entry, replace))
        else:
            await self._asked(partial(self._register, entry, replace))
        return entry

    async def subscribe(self, topic: str, handler: EventHandler, *, prefix: bool = False) -> Registration:
        self._check("subscribe", topic)
        entry = _Entry(self, topic, prefix, handler, self.router.subscriptions)
        await self._asked(partial(self._register, entry, None))
        return entry

    async def publish(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        only: str | None = None,
    ) -> None:
        self._check("publish", topic)
        said = (topic, _travel(list(args)), _travel(dict(kwargs or {})))
        self._up(lambda: self.router._deliver(*said, lambda bus: bus is not self and only in (None, bus.authid)))

    def on_lost(self, handler: OnLost) -> None:
        if self._lost is not None:
            handler(self._lost)
        else:
            self._on_lost.append(handler)

    def drop(self, reason: str) -> None:
        if self._lost is None:
            self._up(partial(self.router._left, self, reason))
            self._be_lost(reason)

    def vanish(self, *, silently: bool = False) -> None:
        """Vanish as when the process is killed: it stops acting, and its own handlers are not called.

        ``silently``: as when its machine has lost power, so that the router does not learn of it either.
        """
        if self._lost is not None:
            return
        if not silently:
            self._up(partial(self.router._left, self, "the process was killed"))
        self._lost = "killed"
        self._on_lost.clear()
        for call in self._making:
            call.stop_timer()

    async def close(self) -> None:
        self.drop("closed")

    def _be_lost(self, reason: str) -> None:
        """Learn that the session is over."""
        if self._lost is not None:
            return
        self._lost = reason
        for call in list(self._making):
            call.fail(LinkLost(reason))
        for call in list(self._serving):
            call.cancel_handling()
        asking, self._asking = self._asking, {}
        for answer in asking:
            answer.errback(LinkLost(reason))
        for handler in self._on_lost:
            handler(reason)

    def _up(self, action: Callable[[], object]) -> None:
        """Send to the router; dropped if the router has ended the session meanwhile."""
        if self._lost is None:
            self.router._carry(("up", self.session), lambda: self in self.router._connections and action())

    def _down(self, action: Callable[[], object]) -> None:
        """Send from the router; dropped if the session has been lost meanwhile."""
        self.router._carry(("down", self.session), lambda: self._lost is None and action())

    async def _asked(self, action: Callable[[Callable[[Any], None]], object]) -> Any:
        """Make the router do something, and wait for its result, which may be an `IcefarmError`."""
        if self._lost is not None:
            raise LinkLost(self._lost)
        answer: Deferred[Any] = Deferred(lambda answer: self._asking.pop(answer, None))
        self._asking[answer] = None

        def land(result: Any) -> None:
            if answer in self._asking:
                del self._asking[answer]
                answer.callback(result)

        def tell(result: Any) -> None:
            self._down(partial(land, result))

        def act() -> None:
            try:
                action(tell)
            except IcefarmError as error:
                tell(error)

        self._up(act)
        # Without latency it is there already; a Deferred takes longer to wait for than the router to do most things.
        landed = answer.called and not isinstance(answer.result, Failure)
        result = answer.result if landed else await answer
        if isinstance(result, IcefarmError):
            raise result
        return result

    def _register(self, entry: _Entry, replace: bool | None, told: Callable[[Any], None]) -> None:
        """At the router: add an entry; with ``replace`` None beside others, as for subscriptions."""
        for other in list(entry.entries) if replace is not None else ():
            if other.uri == entry.uri and other.prefix == entry.prefix:
                if not replace:
                    raise InvalidArgument(f"{entry.uri} is registered already")
                entry.entries.remove(other)
        entry.entries.append(entry)
        if replace is None:
            self.router._note_subscriptions()
        told(None)

    def _ask_to_register(self, entry: _Entry, replace: bool, told: Callable[[Any], None]) -> None:
        """At the router: ask control whether a worker may register."""
        router = self.router
        if router._callee(AUTHORIZER) is None:
            raise NoSuchProcedure(f"{entry.uri}: control, which decides who may do that, is not connected just now")
        details = {"session": self.session, "authid": self.authid, "authrole": str(self.role)}
        options = {"match": "prefix"} if entry.prefix else {}
        asked = [details, entry.uri, "register", {**options, "force_reregister": replace}]
        asking = _Call(router, Caller("crossbar", 0, "trusted"), AUTHORIZER, _travel(asked), {})

        def answered(answer: Mapping[str, Any]) -> None:
            try:
                if not answer["allow"]:
                    raise NotAuthorized(f"{self.authid} may not register {entry.uri}")
                if self in router._connections:
                    self._register(entry, replace, told)
            except IcefarmError as error:
                told(error)

        asking.answer.addCallbacks(answered, lambda failure: told(failure.value))
        asking.route()

    def _knock(self, ticket: str, told: Callable[[Any], None]) -> None:
        """At the router: ask control whether to admit this session."""
        router = self.router
        if self.role is Role.CONTROL:
            router._joined(self)
            told(None)
            return
        if router._callee(AUTHENTICATOR) is None:
            raise LinkLost("the router is up, but the farm's control is not connected to it")
        details = {
            "ticket": ticket,
            "authextra": {"role": str(self.role), "instance": self.instance, "follows": self.follows},
            "transport": {"peer": "memory"},
        }
        asking = _Call(
            router, Caller("crossbar", 0, "trusted"), AUTHENTICATOR, [REALM, self.authid, _travel(details)], {}
        )
        asking.answer.addCallbacks(partial(self._enter, told), lambda failure: told(failure.value))
        asking.route()

    def _enter(self, told: Callable[[Any], None], answer: Mapping[str, Any]) -> None:
        if self in self.router._connections:
            self.role = Role(answer["role"])
            self._authid = answer.get("authid", self._authid)
            self.extra = answer.get("extra", {})
            self.router._joined(self)
            told(None)

    def _check(self, action: str, uri: str) -> None:
        if self._lost is not None:
            raise LinkLost(self._lost)
        if not _allowed(self.role, action, uri):
            raise NotAuthorized(f"{self.role} may not {action} {uri}")


_call_numbers = count(1)


@define(eq=False, repr=False)
class _Call:
    """A pending call, as its caller, the router and its callee each know it."""

    router: MemoryRouter
    who: Caller
    procedure: str
    args: list[Any]
    kwargs: dict[str, Any]
    progress: Progress | None = None
    #: None if the router itself calls.
    caller: MemoryBus | None = None
    callee: MemoryBus | None = None
    answer: Deferred[Any] = field(init=False)
    number: int = field(init=False, factory=_call_numbers.__next__)
    _timer: Any = None
    _handling: Deferred[Any] | None = None

    def __attrs_post_init__(self) -> None:
        self.answer = Deferred(lambda _: self.fail(CancelledError()))

    # ------------------------------------------------------------------------------------------ at the caller

    async def outcome(self, timeout: float | None) -> Any:
        """Wait for the answer."""
        if timeout is not None and not self.answer.called:
            self._timer = self.router.clock.callLater(timeout, self._overdue, timeout)
        return await self.answer

    def _overdue(self, timeout: float) -> None:
        self.fail(TimedOut(f"{self.procedure} did not answer within {timeout:g} s"))

    def fail(self, error: Exception) -> None:
        """Cancel the call at its callee."""
        # First of all, so that the callee's reaction to the cancellation does not become the answer.
        self._land(error)
        if self.caller is not None:
            self.caller._up(self.interrupt)

    def stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None and timer.active():
            timer.cancel()

    def _land(self, result: Any) -> None:
        self.stop_timer()
        if self.caller is not None:
            self.caller._making.pop(self, None)
        if self.answer.called:
            return
        if isinstance(result, Exception):
            self.answer.errback(result)
        else:
            self.answer.callback(result)

    # ------------------------------------------------------------------------------------------ at the router

    def route(self) -> None:
        """Pass it on to the callee of the procedure."""
        entry = self.router._callee(self.procedure)
        if entry is None:
            self._tell(partial(self._land, NoSuchProcedure(f"nobody offers {self.procedure}")))
            return
        self.callee = entry.owner
        self.router._calls.add(self)
        self.callee._down(partial(self._serve, entry.handler))

    def interrupt(self) -> None:
        """Its caller no longer wants an answer."""
        if self in self.router._calls:
            self.router._calls.remove(self)
            assert self.callee is not None
            self.callee._down(self.cancel_handling)

    def answered(self, result: Any) -> None:
        """Pass the answer back, or the error."""
        if self in self.router._calls:
            self.router._calls.remove(self)
            self._tell(partial(self._land, result))

    def _tell(self, action: Callable[[], object]) -> None:
        if self.caller is None:
            action()
        else:
            self.caller._down(action)

    def _pass_on(self, word: dict[str, Any]) -> None:
        if self in self.router._calls:
            self._tell(lambda: None if self.answer.called or self.progress is None else self.progress(word))

    # ------------------------------------------------------------------------------------------ at the callee

    def cancel_handling(self) -> None:
        assert self.callee is not None
        self.callee._serving.pop(self, None)
        if self._handling is not None:
            self._handling.cancel()

    def _serve(self, handler: Callable[..., Awaitable[Any]]) -> None:
        assert self.callee is not None
        self.callee._serving[self] = None
        caller = self.who if self.progress is None else evolve(self.who, progress=self._progressed)

        async def handled() -> Any:
            return _travel(await handler(caller, self.procedure, self.args, self.kwargs))

        self._handling = ensureDeferred(handled())
        self._handling.addCallbacks(self._served, lambda failure: self._served(self._told_of(failure.value)))

    def _progressed(self, word: Mapping[str, Any]) -> None:
        assert self.callee is not None
        self.callee._up(partial(self._pass_on, _travel(dict(word))))

    def _served(self, result: Any) -> None:
        assert self.callee is not None
        self.callee._serving.pop(self, None)
        self.callee._up(partial(self.answered, result))

    def _told_of(self, error: BaseException) -> IcefarmError:
        """Return the error as its caller gets it."""
        if isinstance(error, CancelledError):
            return LinkLost("the call was cancelled")
        if not isinstance(error, IcefarmError):
            self.router._log.error("{procedure} failed: {error!r}", procedure=self.procedure, error=error)
            error = InternalError()
        return type(error)(error.message, **_travel(error.fields))


@define(eq=False, repr=False)
class MemoryLink(Service):
    """The stand-in for `icefarm.wamp.Link`: signs in at a `MemoryRouter`, and again whenever the session is lost."""

    router: MemoryRouter
    credentials: Credentials
    joined: Callable[[Bus], Awaitable[None]]
    refused: Callable[[IcefarmError], bool]
    #: Seconds between attempts.
    delay: float = 0.2
    bus: MemoryBus | None = None
    #: Its process's own; None: the router's.
    clock: Clock | None = None
    tickets: Tickets | None = None
    #: The connection that is signing in.
    _knocking: MemoryBus | None = None
    _retry: Any = None
    _log: Logger = Factory(Logger)

    def startService(self) -> None:
        Service.startService(self)
        self._attempt()

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        self._stop_trying()
        for bus in (self.bus, self._knocking):
            if bus is not None:
                bus.drop("closed")
        return succeed(None)

    def vanish(self, *, silently: bool = False) -> None:
        """Vanish as when the process is killed; see `MemoryBus.vanish`."""
        self.running = False
        self._stop_trying()
        for bus in (self.bus, self._knocking):
            if bus is not None:
                bus.vanish(silently=silently)

    def _stop_trying(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None

    def _attempt(self) -> None:
        self._retry = None
        ensureDeferred(self._join()).addErrback(lambda failure: self._log.failure("a session failed", failure))

    async def _join(self) -> None:
        try:
            ticket = self.credentials.ticket if self.tickets is None else await self.tickets.ticket()
            bus = self._knocking = self.router.connect(self.credentials)
            await bus.sign_in(ticket)
        except IcefarmError as error:
            if self._knocking is not None:
                self._knocking.drop("refused")
            if self.refused(error):
                self._later()
            return
        finally:
            self._knocking = None
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
            self._retry = (self.clock or self.router.clock).callLater(self.delay, self._attempt)
