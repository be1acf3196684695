"""Pure: no I/O, no clock.  What the rest of icefarm sees of WAMP: calls, registrations, events.

``icefarm.wamp`` implements this over Autobahn, ``icefarm.testing`` in memory.  A bus is one session: it is usable
from the moment it is handed out until its ``lost`` handlers are called, and never comes back; `icefarm.wamp.Link`
keeps a connection up and hands out a new bus for each session.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Protocol

from attrs import frozen

__all__ = ["Bus", "Caller", "EventHandler", "Handler", "OnLost", "Progress", "Registration", "SessionKey"]

#: Called with a mapping for each progress message that a running call sends before its answer.
Progress = Callable[[Mapping[str, Any]], None]
#: A session in a farm that may have several routers, each of which numbers its own: the router's name, the number.
SessionKey = tuple[str, int]


@frozen
class Caller:
    """The caller as the router identifies it; never taken from an argument."""

    authid: str
    session: int
    role: str
    #: Sends the caller progress before the answer; None if the caller did not ask for it.
    progress: Progress | None = None
    #: Where a caller without a session asks from; the router knows where sessions are.
    address: str = ""
    #: The name of the router at which it calls (`icefarm.control.sessions.routers`).
    router: str = ""

    #: Its session, in a farm that may have several routers: a `SessionKey`.
    key = property(attrgetter("router", "session"))


#: A procedure: gets the caller, the URI that was called, positional and keyword arguments; its result goes back. An
#: `IcefarmError` it raises reaches the caller as such; a caller that gives up cancels the handler (CancelledError).
Handler = Callable[[Caller, str, Sequence[Any], Mapping[str, Any]], Awaitable[Any]]
#: An event: gets the topic, positional and keyword arguments.
EventHandler = Callable[[str, Sequence[Any], Mapping[str, Any]], None]
#: Gets the reason, for a log.
OnLost = Callable[[str], None]


class Registration(Protocol):
    """A registered procedure or a subscription."""

    async def end(self) -> None:
        """Remove it.  Harmless when the bus is lost or it is already removed."""


class Bus(Protocol):
    """One session at the router."""

    @property
    def authid(self) -> str:
        """The name under which the router knows this session."""

    @property
    def session(self) -> int:
        """The session's number at the router."""

    @property
    def router_url(self) -> str:
        """The URL of the router, as the farm gave it at the sign-in; empty where the farm has one router only."""

    @property
    def router_urls(self) -> frozenset[str]:
        """The URLs of all routers of the farm, as control gave them at the sign-in."""

    async def call(
        self,
        procedure: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None,
        progress: Progress | None = None,
    ) -> Any:
        """Call a procedure and return its result.

        ``timeout`` is in seconds; None waits until the bus is lost.  Giving up, by time-out or by cancelling the
        Deferred, cancels the call at its callee too.

        Raises `TimedOut`, `LinkLost` (also when the callee's session ends during the call), `NoSuchProcedure`,
        `NotAuthorized`, or the `IcefarmError` that the callee raised.
        """

    async def register(
        self, procedure: str, handler: Handler, *, prefix: bool = False, replace: bool = False
    ) -> Registration:
        """Offer a procedure; with ``prefix``, every procedure whose URI begins with it.

        ``replace`` takes the name over from a session that still has it (a predecessor that the router still believes
        to be connected).
        """

    async def subscribe(self, topic: str, handler: EventHandler, *, prefix: bool = False) -> Registration:
        """Receive the events of a topic; with ``prefix``, of every topic whose URI begins with it."""

    async def publish(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        only: str | None = None,
    ) -> None:
        """Publish an event; with ``only``, just to the sessions of that authid.  Returns once it is on its way.

        Raises `LinkLost`, and `InvalidArgument` for what cannot travel.
        """

    def on_lost(self, handler: OnLost) -> None:
        """Call ``handler`` once when the session is gone (at once if it is already gone)."""

    def drop(self, reason: str) -> None:
        """Break the connection without a goodbye, as when the other side no longer answers."""

    async def close(self) -> None:
        """Say goodbye and wait, a bounded time, until the session is gone."""
