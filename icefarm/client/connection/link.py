"""A client's sessions at the farm's routers: kept open, checked by heartbeats, calls repeated when one was lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

from attrs import Factory, define, field
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred, maybeDeferred
from twisted.internet.task import deferLater
from twisted.logger import ILogObserver, Logger, STDLibLogObserver

from icefarm.bus import Bus, EventHandler, Progress
from icefarm.client.connection.patience import Patience
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.retry import retry_pause
from icefarm.contract import client_topic, control_procedure
from icefarm.errors import (
    Busy,
    IcefarmError,
    InvalidArgument,
    LimitReached,
    LinkLost,
    NameInUse,
    NoSuchProcedure,
    NotAuthorized,
    TimedOut,
    Unavailable,
    Untrusted,
    WrongProtocol,
)

if TYPE_CHECKING:
    from icefarm.wamp.credentials import Credentials, Tickets

__all__ = ["PASSING", "FarmLink", "LinkListener", "MakeLink", "Patience", "Retries", "RunningLink", "client_log"]

T = TypeVar("T")

#: Seconds between heartbeats, unless control sets another interval, and for the answer to one.
HEARTBEAT_INTERVAL = 5.0
HEARTBEAT_LIMIT = 10.0
#: Seconds for the answer of a procedure that asks or changes a record.
CALL_LIMIT = 30.0
#: Seconds before a call is retried, at most.
RETRY_LONGEST = 5.0
#: Seconds without a session after which a client signs in at another router of the farm, and then at one more: a router
#: that stands by takes over sooner.
ELSEWHERE_AFTER = 2.0
#: Refusals that a later attempt would meet again.
_FINAL = (NameInUse, NotAuthorized, InvalidArgument, LimitReached)
#: Errors that pass by themselves: the link, a worker or control comes back, the database answers again.
PASSING = (LinkLost, NoSuchProcedure, Busy)


def client_log(part: str) -> Logger:
    """Return a logger that also writes to Python's logging, as ``icefarm.client.<part>``."""
    name = f"icefarm.client.{part}"
    return Logger(namespace=name, observer=cast(ILogObserver, STDLibLogObserver(name)))


class RunningLink(Protocol):
    """What is needed of `icefarm.wamp.Link`."""

    def startService(self) -> None: ...

    def stopService(self) -> Any: ...


class LinkListener(Protocol):
    """Hears what arrives over the link; `icefarm.client.connection.reservations.ClientReservations` does."""

    def heard(self, topic: str, args: Sequence[Any], fields: Mapping[str, Any]) -> None:
        """An event of the client's own topic."""

    def on_heartbeat_reply(self, answer: Mapping[str, Any], asked_at: float) -> None:
        """Control answered the heartbeat that was sent at ``asked_at``."""


#: Makes a link of a URL, `Credentials` and the two callbacks of `icefarm.wamp.Link`.
MakeLink = Callable[[str, "Credentials", Callable[[Bus], Awaitable[None]], Callable[[IcefarmError], bool]], RunningLink]


@define(eq=False)
class FarmLink:
    """Signs in, and again whenever the session is lost.  `listener` is to be set before.

    A client talks to control over its first link.  Where the farm has several routers, its boards are reached over
    links to their routers (`at`), which send heartbeats as well, so that a dead one is noticed.  While the first link
    is lost, another one does its work: calls of control, events, the answers to heartbeats.  A client that has no other
    link then signs in at another router.  A client that knows no other router tries the next one of its URLs.
    """

    clock: Clock
    #: Of these, it uses the first that answers (as libpq does of several hosts).
    urls: Sequence[str]
    credentials: Credentials
    make_link: MakeLink
    random: Callable[[], float]
    patience: Patience = Factory(Patience)
    #: Has fresh tokens, where those of the sign-in expire.
    tickets: Tickets | None = None
    listener: LinkListener | None = field(init=False, default=None)
    #: Topics beside the client's own, and their handlers; read when a session begins.
    topics: dict[str, EventHandler] = Factory(dict)
    #: The URL in use.
    url: str = field(init=False, default=Factory(lambda self: self.urls[0], takes_self=True))
    bus: Bus | None = field(init=False, default=None)
    #: What the farm called it last.
    identity: str = field(init=False, default=Factory(lambda self: self.credentials.authid, takes_self=True))
    #: The farm's URL of the router at which it signed in last; empty where the farm has one only.
    router_url: str = field(init=False, default="")
    #: Those of all routers of the farm.
    router_urls: frozenset[str] = field(init=False, default=frozenset())
    #: The links to other routers, by URL.
    _others: dict[str, FarmLink] = field(init=False, factory=dict)
    #: The client's first link, of which this is another one; None: this is the first.
    _first: FarmLink | None = field(default=None)
    #: Looks for a router in reach, while the client is at none.
    _looking: Any = field(init=False, default=None)
    _link: RunningLink | None = field(init=False, default=None)
    #: Why there will be no further session.
    _over: IcefarmError | None = field(init=False, default=None)
    _signed_in_once: bool = field(init=False, default=False)
    #: Since when there has been no session, and why there is none at each URL.
    _away_since: float = field(init=False, default=0.0)
    _refusals: dict[str, IcefarmError] = field(init=False, factory=dict)
    #: Ends the attempt at one of several URLs, or begins that at the next one.
    _turn: Any = field(init=False, default=None)
    _waiting: list[Deferred[Bus]] = field(init=False, factory=list)
    #: What waits for a session at any router; on the first link.
    _waiting_anywhere: list[Deferred[Bus]] = field(init=False, factory=list)
    _beat_timer: Any = field(init=False, default=None)
    _beat: Deferred[None] | None = field(init=False, default=None)
    _renewal: Deferred[None] | None = field(init=False, default=None)
    _log: Logger = field(init=False, factory=lambda: client_log("connection"))

    async def start(self) -> None:
        """Sign in.  Raises `NotAuthorized`, `NameInUse`, or `LinkLost` if no farm answers in time."""
        self._away_since = self.clock.seconds()
        self._begin()
        try:
            await self.session(self.patience.connect * len(self.urls))
        except (IcefarmError, CancelledError):
            await self.stop()
            raise

    def _begin(self) -> None:
        self._link = self.make_link(self.url, self.credentials, self._joined, self._refused)
        # Before the link may fail.
        self._limit_turn()
        self._link.startService()

    # ------------------------------------------------------------------------------------------- one of several URLs

    @property
    def _takes_turns(self) -> bool:
        """Whether the next URL is tried when one does not answer; a client that knows its farm's routers uses those."""
        return len(self.urls) > 1 and len(self.router_urls) <= 1

    def _limit_turn(self) -> None:
        self._stop_turn()
        if self._takes_turns:
            self._turn = self.clock.callLater(self.patience.connect, self._turn_over)

    def _turn_over(self) -> None:
        text = f"nobody answers at {self.url}: there was no session within {self.patience.connect:g} s"
        self._refusals[self.url] = LinkLost(text)
        self._plan_next()

    def _plan_next(self) -> None:
        """Go on to the next URL: at once, and after a pause once all have had their turn."""
        self._stop_turn()
        pause = 0.0
        if self.url == self.urls[-1]:
            pause = retry_pause(self.clock.seconds() - self._away_since, self.random(), RETRY_LONGEST)
        self._turn = self.clock.callLater(pause, self._try_next)

    def _try_next(self) -> None:
        link = self._link
        if link is not None:
            maybeDeferred(link.stopService).addErrback(self._stop_failed)
        self.url = self.urls[(self.urls.index(self.url) + 1) % len(self.urls)]
        try:
            self._begin()
        except InvalidArgument as error:
            # The file of trusted certificates has changed, or is gone.
            self._refused(error)

    def _stop_turn(self) -> None:
        if self._turn is not None and self._turn.active():
            self._turn.cancel()
        self._turn = None

    def at(self, router: str | None) -> FarmLink:
        """Return the link to a router by its URL; None: this one.  It signs in by itself.

        A client that has been refused, or closed, makes no further link: it gets this one, which has the reason.
        """
        if router is None or router == self.router_url:
            return self
        link = self._others.get(router)
        if self._over is not None:
            return link or self
        if link is None or (link.is_over and not link.is_misled):
            link = FarmLink(
                self.clock,
                (router,),
                self.credentials,
                self.make_link,
                self.random,
                self.patience,
                self.tickets,
                first=self,
            )
            link._begin()
            self._others[router] = link
        return link

    @property
    def first(self) -> FarmLink:
        """The client's first link."""
        return self._first or self

    @property
    def is_lost(self) -> bool:
        """Whether there was a session, and is none now."""
        return self._signed_in_once and self.bus is None

    @property
    def is_over(self) -> bool:
        """Whether there will be no further session."""
        return self._over is not None

    @property
    def is_misled(self) -> bool:
        """Whether it ended because its URL leads to another router."""
        return isinstance(self._over, Unavailable)

    async def stop(self, *, hurried: bool = False) -> None:
        """Leave the farm, ``hurried`` without a goodbye; pending calls fail with `LinkLost`."""
        others = [ensureDeferred(other.stop(hurried=hurried)) for other in self._others.values()]
        self._others.clear()
        self._end(LinkLost("the client has been closed"))
        if hurried and self.bus is not None:
            self.bus.drop("the client is leaving at once")
        link, self._link = self._link, None
        self._stop_beating()
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        if link is not None:
            await maybeDeferred(link.stopService)
        for stopping in others:
            await stopping

    async def call(
        self,
        procedure: str,
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = CALL_LIMIT,
        progress: Progress | None = None,
    ) -> Any:
        """Call an idempotent procedure of control, and retry until it answers or patience ends."""

        async def once(bus: Bus) -> Any:
            return await bus.call(procedure, (), kwargs, timeout=timeout, progress=progress)

        return await self.retried(once, anywhere=True)

    @property
    def any_bus(self) -> Bus | None:
        """Its session, or while that is lost one at another router: control is at each."""
        return self.bus or next((link.bus for link in self._others.values() if link.bus is not None), None)

    async def retried(self, attempt: Callable[[Bus], Awaitable[T]], *, anywhere: bool = False) -> T:
        """Await ``attempt(bus)``, and retry while the error is a passing one; ``anywhere``: at any router."""
        retries = Retries(self)
        while True:
            bus = (self.any_bus if anywhere else self.bus) or await retries.session(anywhere=anywhere)
            try:
                return await attempt(bus)
            except PASSING as error:
                await retries.pause(error)

    def check_goes_on(self) -> None:
        """Raise why there will be no further session, if so."""
        if self._over is not None:
            raise self._over

    async def session(self, limit: float, *, anywhere: bool = False) -> Bus:
        """Wait for a session, ``anywhere``: at any router.

        Raises `LinkLost`, saying why there is none, or the refusal.
        """
        self.check_goes_on()
        bus = self.any_bus if anywhere else self.bus
        if bus is not None:
            return bus
        if self._link is None:
            raise LinkLost("the client has not signed in yet: open it first, with `async with` or `await farm.open()`")
        try:
            return await self._next_session(limit, anywhere=anywhere)
        except TimeoutError:
            raise LinkLost(self._nobody(), url=",".join(self.urls), reason=self._why()) from None

    async def news(self, limit: float) -> None:
        """Wait until a session begins at any router, at most so many seconds.  Raises why there will be none."""
        if self.any_bus is None:
            self.check_goes_on()
        with suppress(TimeoutError):
            await self._next_session(limit, anywhere=True)

    async def _next_session(self, limit: float, *, anywhere: bool) -> Bus:
        waiting: Deferred[Bus] = Deferred()
        (self._waiting_anywhere if anywhere else self._waiting).append(waiting)
        waiting.addTimeout(max(0.0, limit), self.clock)  # type: ignore[arg-type]
        try:
            return await waiting
        finally:
            for waiters in (self._waiting, self._waiting_anywhere):
                if waiting in waiters:
                    waiters.remove(waiting)

    def _why(self) -> str | None:
        reasons = {
            url: error.message.removeprefix(f"nobody answers at {url}: ").rstrip(".")
            for url, error in self._refusals.items()
        }
        if len(self.urls) == 1:
            return reasons.get(self.url)
        return "; ".join(f"{url}: {reason}" for url, reason in reasons.items()) or None

    def _nobody(self) -> str:
        why = self._why()
        reason = "" if why is None else f" ({why})"
        return (
            f"no farm answers at {' or '.join(self.urls)}{reason}. Is one running? "
            "Start one on this machine with: icefarm up; or choose another one with ICEFARM_URL or the url argument."
        )

    async def _joined(self, bus: Bus) -> None:
        if self._first is not None and self.url in bus.router_urls - {bus.router_url}:
            self._end_misled(bus.router_url)
            return
        for topic in (client_topic(bus.authid), *self.first.topics):
            await bus.subscribe(topic, self._heard)
        bus.on_lost(lambda reason: self._lost(bus, reason))
        if self._signed_in_once:
            self._log.info("connected to {url} again", url=self.url)
        self._signed_in_once = True
        self._refusals.clear()
        self._stop_turn()
        self.bus, self.identity = bus, bus.authid
        self.router_url, self.router_urls = bus.router_url, bus.router_urls
        double = self._others.pop(bus.router_url, None)
        if double is not None:
            # A proxy has led this link to another router: one session there is enough, and the other would end it.
            ensureDeferred(double.stop()).addErrback(self._stop_failed)
        self._schedule_beat(bus, 0.0)
        waiting, self._waiting = self._waiting, []
        anywhere, self.first._waiting_anywhere = self.first._waiting_anywhere, []
        for deferred in (*waiting, *anywhere):
            deferred.callback(bus)

    @property
    def _stands_in(self) -> bool:
        """Whether what arrives here counts: at the first link, or while that is lost, at one of the others."""
        return self.first.any_bus is self.bus

    def _heard(self, topic: str, args: Sequence[Any], fields: Mapping[str, Any]) -> None:
        """Pass on an event, which control sends over each of the links."""
        first = self.first
        if not self._stands_in:
            return
        if topic in first.topics:
            first.topics[topic](topic, args, fields)
        elif first.listener is not None:
            first.listener.heard(topic, args, fields)

    def _end_misled(self, router: str) -> None:
        """End the link to a router whose URL leads to another one.

        A client has one session at each router: the one here, and that of the right link, would end each other forever.
        """
        error = Unavailable(
            f"{self.url} leads to another router of the farm, {router}; the farm's operator must correct that",
            router=self.url,
        )
        self._log.error("{error}", error=error)
        self._end(error)
        ensureDeferred(self.stop()).addErrback(self._stop_failed)

    def _stop_failed(self, failure: Any) -> None:
        self._log.failure("leaving a router failed", failure)

    def _refused(self, error: IcefarmError) -> bool:
        self._refusals[self.url] = error
        # A URL or a certificate that worked before may work again; one that never did needs a person.
        first = isinstance(error, Untrusted | WrongProtocol) and not self._signed_in_once
        if not (first or isinstance(error, _FINAL)):
            if self._takes_turns:
                self._plan_next()
            return not self._takes_turns
        if self._signed_in_once:
            # Otherwise the caller that signs in gets it as an exception.
            self._log.error("{url} refuses {name!r}: {error}", url=self.url, name=self.credentials.authid, error=error)
        self._end(error)
        return False

    def _end(self, error: IcefarmError) -> None:
        if self._over is None:
            self._over = error
        self._stop_turn()
        waiting, self._waiting = [*self._waiting, *self._waiting_anywhere], []
        self._waiting_anywhere = []
        for deferred in waiting:
            deferred.errback(self._over)

    def _lost(self, bus: Bus, reason: str) -> None:
        if self.bus is bus:
            self.bus, self._away_since = None, self.clock.seconds()
            self._stop_beating()
            if self._over is None:
                self._limit_turn()
                self._log.warn("lost {url}, trying again: {reason}", url=self.url, reason=reason)
            self.first._plan_look()

    def _plan_look(self) -> None:
        if self._looking is None and self._over is None and self.any_bus is None and len(self.router_urls) > 1:
            self._looking = self.clock.callLater(ELSEWHERE_AFTER, self._look_elsewhere)

    def _look_elsewhere(self) -> None:
        """Sign in at one more router, if this client is at none."""
        self._looking = None
        if self.any_bus is not None:
            return
        untried = sorted(self.router_urls - {self.router_url} - self._others.keys())
        if untried:
            self.at(untried[int(self.random() * len(untried))])
        self._plan_look()

    def _schedule_beat(self, bus: Bus, delay: float) -> None:
        self._beat_timer = self.clock.callLater(delay, self._start_beat, bus)

    def _start_beat(self, bus: Bus) -> None:
        self._beat = ensureDeferred(self._beat_once(bus))
        self._beat.addErrback(self._beat_failed)

    def _beat_failed(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("the heartbeat failed", failure)

    async def _beat_once(self, bus: Bus) -> None:
        interval, sent = HEARTBEAT_INTERVAL, self.clock.seconds()
        try:
            answer = await bus.call(
                control_procedure("heartbeat"), (), {"instance": self.credentials.instance}, timeout=HEARTBEAT_LIMIT
            )
            interval = float(answer["heartbeat_s"])
            if self._stands_in and self.first.listener is not None:
                self.first.listener.on_heartbeat_reply(answer, sent)
                self.first._begin_renewal()
        except TimedOut:
            self._beat = None  # It is this coroutine itself, which losing the bus must not cancel.
            bus.drop(f"no answer to the heartbeat within {HEARTBEAT_LIMIT:g} s")
        except IcefarmError as error:
            self._log.debug("no heartbeat: {error}", error=error)
        if self.bus is bus:
            self._schedule_beat(bus, interval)

    def _begin_renewal(self) -> None:
        """Show control a fresh token before that of the sessions expires, so that they go on.

        Heartbeats do not wait for that: an issuer, or another process that refreshes the sign-in, may be slow.
        """
        if self.tickets is not None and self._renewal is None and self.tickets.is_due():
            self._renewal = renewal = ensureDeferred(self._renew(self.tickets))
            renewal.addErrback(self._renewal_failed).addBoth(self._renewed)

    def _renewed(self, _: object) -> None:
        self._renewal = None

    def _renewal_failed(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("renewing the sign-in failed", failure)

    async def _renew(self, tickets: Tickets) -> None:
        try:
            token = await tickets.ticket()
        except IcefarmError as error:
            self._log.warn("the sign-in at {url} could not be renewed: {error}", url=self.url, error=error)
            return
        # One after the other: a router that is lost is no reason to let the token expire at the next.
        for link in (self, *self._others.values()):
            await link._show(token)

    async def _show(self, token: str) -> None:
        """Show control a fresh token for this link's session."""
        if self.bus is None:
            return
        try:
            await self.bus.call(control_procedure("renew"), (), {"token": token}, timeout=HEARTBEAT_LIMIT)
        except IcefarmError as error:
            # The session ends when its token does; the next sign-in says what is wrong.
            self._log.warn("the sign-in at {url} could not be renewed: {error}", url=self.url, error=error)

    def _stop_beating(self) -> None:
        if self._beat_timer is not None and self._beat_timer.active():
            self._beat_timer.cancel()
        beat, self._beat = self._beat, None
        if beat is not None:
            beat.cancel()
        if self._renewal is not None:
            self._renewal.cancel()


@define(eq=False)
class Retries:
    """The attempts of one call, and what they have used of the client's patience.

    Time in which an attempt runs does not count.
    """

    link: FarmLink
    _away: float = 0.0

    async def session(self, *, anywhere: bool = False) -> Bus:
        """Wait for a session, ``anywhere``: at any router.

        Raises as `FarmLink.session` does, when patience ends too.
        """
        link = self.link.first if anywhere else self.link
        began = link.clock.seconds()
        bus = await link.session(link.patience.retry - self._away, anywhere=anywhere)
        self._away += link.clock.seconds() - began
        return bus

    async def pause(self, error: IcefarmError) -> None:
        """Pause after an attempt that failed with an error that passes.  Raises it when patience ends."""
        link = self.link
        left = link.patience.retry - self._away
        link.check_goes_on()
        if left <= 0:
            raise error
        pause = min(retry_pause(self._away, link.random(), RETRY_LONGEST), left)
        self._away += pause
        await deferLater(link.clock, pause)  # type: ignore[arg-type]
