"""Control's view of the sessions at the farm's routers: carries out the decisions of `liveness`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from icefarm.bus import Bus, Caller, SessionKey
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, outcomes, shielded
from icefarm.contract import Role, account_of
from icefarm.control.sessions.events import (
    Admitted,
    Contested,
    Event,
    Heard,
    Joined,
    Kill,
    Left,
    Listed,
    RouterAway,
    Session,
    Ticked,
    Welcomed,
)
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.liveness import SILENCE, advance, is_sign_of_life, refreshed
from icefarm.control.sessions.presence import Presence, count_of, predecessors, rival
from icefarm.control.sessions.routers import ONLY, Routers
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import IcefarmError, LimitReached, LinkLost, NameInUse, NoSuchProcedure, UnknownWorker

__all__ = ["NO_SESSION", "Sessions", "address_of"]

#: The session number of HTTP callers, which have no session; the router never uses it.
NO_SESSION = 0

#: The reason that is sent to a session when it is ended (WAMP specification, "Session Meta API").
KILLED = "wamp.close.killed"
#: Seconds for an answer of the router itself.
ROUTER_LIMIT = 5.0
#: Maximum characters of a peer's address: above any that a router writes.
LONGEST_ADDRESS = 100
#: Concurrent queries about sessions.
AT_ONCE = 64
#: Seconds for which an account may not sign in after one of its sessions was ended for asking too much, and accounts
#: that are remembered.
BARRED = 10.0
MOST_BARRED = 1000

_ROLES = {str(role): role for role in Role}


@define(eq=False)
class Sessions:
    """The sessions at the routers.  Publishes decisions of `icefarm.control.sessions.liveness`, except `Kill`."""

    clock: Clock
    publisher: Publisher
    state: Presence
    limits: FarmLimits = Factory(FarmLimits)
    routers: Routers = Factory(Routers)
    #: The routers whose sessions were listed, and control's session at each.
    _buses: dict[str, Bus] = Factory(dict)
    _timer: Any = None
    #: When sessions called that had nothing else to say; taken in before the next event.
    _heard: dict[SessionKey, float] = Factory(dict)
    #: Events of a router that arrive while its sessions are being listed.
    _meanwhile: dict[str, list[Event]] = Factory(dict)
    #: Workers whose hello is being answered.
    _greeting: dict[str, Deferred[None]] = Factory(dict)
    #: Accounts that may not sign in until then.
    _barred: dict[str, float] = Factory(dict)
    #: Sessions that are being ended.
    _ending: set[SessionKey] = Factory(set)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    async def attach(self, bus: Bus, router: str = ONLY) -> None:
        """List the sessions at a newly joined router.  Raises what `Bus.call` does."""
        self._meanwhile[router] = []
        await bus.subscribe("wamp.session.on_join", partial(self._on_join, router))
        await bus.subscribe("wamp.session.on_leave", partial(self._on_leave, router))
        numbers = await bus.call("wamp.session.list", timeout=ROUTER_LIMIT)
        asked = await outcomes([partial(_details, bus, number) for number in numbers], AT_ONCE)
        lost = next((error for error in asked if isinstance(error, LinkLost)), None)
        if lost is not None:
            # Sessions whose details are missing now may be there.
            raise lost
        meanwhile = self._meanwhile.pop(router)
        self._buses[router] = bus
        found = [_session(details, router) for details in asked if isinstance(details, Mapping)]
        sessions = [session for session in found if session is not None]
        for session in sessions:
            if session.role is Role.WORKER:
                self.routers.find(session.name, router)
        for event in (Listed(sessions, router), *meanwhile):
            self.tell(event)
        for other in self.routers.names:
            if other not in self._buses:
                self.tell(RouterAway(other))

    def detach(self, router: str = ONLY) -> None:
        """Suspend liveness at a router that is out of reach."""
        self._buses.pop(router, None)
        self._meanwhile.pop(router, None)
        self.tell(RouterAway(router))
        if not self._buses:
            self._stop_timer()

    def stop(self) -> None:
        """Stop watching sessions."""
        self._buses.clear()
        self._meanwhile.clear()
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def tell(self, event: Event) -> None:
        """Apply one event and carry out the reactions."""
        if isinstance(event, Joined | Left):
            router = event.router if isinstance(event, Left) else event.session.router
            if router in self._meanwhile:
                self._meanwhile[router].append(event)
                return
        if self._heard:
            self.state = refreshed(self.state, self._heard)
            self._heard.clear()
        self.state, effects, due = advance(self.state, event, self.clock.seconds())
        for effect in effects:
            if isinstance(effect, Kill):
                self._log.warn("{reason}: its session {number} is ended", number=effect.number, reason=effect.reason)
                key = (effect.router, effect.number)
                self._tasks.start("a silent session is ended", partial(self._kill, key, effect.reason))
            else:
                self.publisher.publish(effect)
        # A timer that fires too early is harmless, and cheaper than a new one.
        if due is not None and self._buses and (self._timer is None or self._timer.getTime() > due):
            self._set_timer(due)

    async def admit(self, role: Role, name: str, instance: str, router: str = ONLY) -> None:
        """Make room for a session that is about to begin at a router.

        Raises `NameInUse` if another instance has the name, `LimitReached` if the account has too many sessions, or
        one was just ended.
        """
        if self._barred.get(account_of(name), 0.0) > self.clock.seconds():
            raise LimitReached(
                f"a session of account {account_of(name)!a:.100} was ended because it made more calls than an account "
                f"may; sign in again in {BARRED:g} s"
            )
        self.limits.check(name, "sessions", count_of(self.state, account_of(name), role, name))
        if rival(self.state, role, name, instance):
            self.tell(Contested(role, name))
            raise NameInUse(
                f"another session is signed in as {role} {name!r}; choose another name, or end it "
                f"(where it is dead, the name is free in {SILENCE:g} s)"
            )
        past = predecessors(self.state, role, name, instance, router)
        self.tell(Admitted(role, name, instance, router))
        for key in past:
            await self._kill(key, "a newer session of the same instance takes its place")

    def heard(self, caller: Caller, instance: str = "", *, watch: bool = False) -> None:
        """Note that a session called; with ``watch``, it must send heartbeats from now on.

        Raises `LinkLost` for a session that was told to end.
        """
        if caller.session == NO_SESSION:
            return
        if caller.key in self.state.ended:
            raise LinkLost("this session was ended because it had been silent; sign in again")
        role = _ROLES.get(caller.role)
        if caller.key in self._heard and not instance and (not watch or self._is_watched(caller.key)):
            # Nothing has happened since it was a sign of life; it still is.
            self._heard[caller.key] = self.clock.seconds()
        elif role is not None:
            event = Heard(Session(caller.session, role, caller.authid, instance, router=caller.router), watch)
            if is_sign_of_life(self.state, event):
                self._heard[caller.key] = self.clock.seconds()
            else:
                self.tell(event)

    def _is_watched(self, key: SessionKey) -> bool:
        return self.state.sessions[key].due is not None

    def end(self, caller: Caller, reason: str) -> None:
        """End the session of a caller, if it has one, and let its account wait before it signs in again."""
        if caller.key in self.state.sessions and caller.key not in self._ending:
            if len(self._barred) >= MOST_BARRED:
                self._barred.clear()
            self._barred[account_of(caller.authid)] = self.clock.seconds() + BARRED
            self._log.warn("the session of {name!a:.120} is ended: {reason}", name=caller.authid, reason=reason)
            self._ending.add(caller.key)
            self._tasks.start("a session is ended", partial(self._kill_once, caller.key, reason))

    def is_here(self, caller: Caller) -> bool:
        """Tell whether the caller's session is alive, according to its router."""
        if caller.session == NO_SESSION:
            return bool(self._buses)
        return caller.router in self._buses and caller.key in self.state.sessions

    def follows(self, caller: Caller) -> bool:
        """Tell whether a caller follows its boards to other routers; one without a session is told where they are."""
        session = self.state.sessions.get(caller.key)
        return caller.session == NO_SESSION or (session is not None and session.follows)

    def welcome(self, caller: Caller) -> None:
        """Note that a worker's hello was processed."""
        self.tell(Welcomed(caller.session, caller.router))

    def is_welcome(self, caller: Caller) -> bool:
        """Tell whether the worker said hello in this session."""
        session = self.state.sessions.get(caller.key)
        return session is not None and session.welcomed

    async def check_welcome(self, caller: Caller) -> None:
        """Wait for the answer to a pending hello of a worker.  Raises `UnknownWorker` without one in this session."""
        await self.until_greeted(caller.authid)
        if not self.is_welcome(caller):
            raise UnknownWorker("control does not know this session; say hello first")

    def greet(self, caller: Caller) -> None:
        """A worker's hello begins: operations that depend on its answer wait (`until_greeted`)."""
        self.routers.place(caller.authid, caller.router)
        self._greeting.setdefault(caller.authid, Deferred())

    def greeted(self, worker: str) -> None:
        """The hello's answer is on its way within this turn of the reactor."""
        self.clock.callLater(0, self._open, worker)

    async def until_greeted(self, worker: str) -> None:
        """Wait until a pending hello of that worker is answered."""
        greeting = self._greeting.get(worker)
        if greeting is not None:
            await shielded(greeting)

    def _open(self, worker: str) -> None:
        greeting = self._greeting.pop(worker, None)
        if greeting is not None:
            greeting.callback(None)

    async def _kill_once(self, key: SessionKey, why: str) -> None:
        """Kill a session that goes on asking; each refusal would do it again."""
        try:
            await self._kill(key, why)
        finally:
            self._ending.discard(key)

    async def _kill(self, key: SessionKey, why: str) -> None:
        router, number = key
        bus = self._buses.get(router)
        if bus is None:
            return
        try:
            await bus.call("wamp.session.kill", [number, KILLED, why], timeout=ROUTER_LIMIT)
        except NoSuchProcedure:
            # The router reports that there is no such session: we missed its end.
            self.tell(Left(number, router))
        except IcefarmError as error:
            self._log.warn("session {number} could not be ended: {error}", number=number, error=error)

    def _on_join(self, router: str, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> None:
        session = _session(args[0], router) if args and isinstance(args[0], Mapping) else None
        if session is not None:
            self.tell(Joined(session))

    def _on_leave(self, router: str, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> None:
        if args and isinstance(args[0], int):
            self.tell(Left(args[0], router))

    def _set_timer(self, due: float) -> None:
        """Schedule `Ticked`."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self.clock.callLater(max(0.0, due - self.clock.seconds()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self.tell(Ticked())


async def _details(bus: Bus, number: int) -> Any:
    return await bus.call("wamp.session.get", [number], timeout=ROUTER_LIMIT)


def _session(details: Mapping[str, Any], router: str) -> Session | None:
    """Parse the router's details of a session; None if it is not the farm's, such as the router's own."""
    role, name, number = _ROLES.get(str(details.get("authrole"))), details.get("authid"), details.get("session")
    if role is None or not isinstance(name, str) or not isinstance(number, int):
        return None
    extra = details.get("authextra")
    extra = extra if isinstance(extra, Mapping) else {}
    instance, token, expires = extra.get("instance", ""), extra.get("token"), extra.get("expires_at")
    return Session(
        number,
        role,
        name,
        instance if isinstance(instance, str) else "",
        token=token if isinstance(token, int) else None,
        expires_at=float(expires) if isinstance(expires, int | float) else None,
        address=address_of(details.get("transport")),
        router=router,
        follows=extra.get("follows") is True,
    )


def address_of(transport: Any) -> str:
    """Return where a session connects from, as the router writes it; empty if unknown."""
    peer = transport.get("peer") if isinstance(transport, Mapping) else None
    return peer[:LONGEST_ADDRESS] if isinstance(peer, str) else ""
