"""Pure: no I/O, no clock.  What the rest of icefarm sees of WAMP: calls, registrations, events.

``icefarm.wamp`` implements this over Autobahn, ``icefarm.testing`` in memory.  A bus is one session: it is usable
from the moment it is handed out until ``lost`` is told, and never comes back; whoever keeps a connection up hands out
a new bus for each session (`icefarm.wamp.Link`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from attrs import frozen

__all__ = ["Bus", "Caller", "EventHandler", "Handler", "OnLost", "Progress", "Registration"]

#: Called with a mapping for each piece of word that a running call sends before its answer.
Progress = Callable[[Mapping[str, Any]], None]


@frozen
class Caller:
    """Who calls, as the router says; never taken from an argument."""

    authid: str
    session: int
    role: str
    #: Sends the caller word before the answer; None where the caller did not ask for it.
    progress: Progress | None = None


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
        """Take it back.  Harmless when the bus is lost or it has been taken back already."""


class Bus(Protocol):
    """One session at the router."""

    @property
    def authid(self) -> str:
        """The name under which the router knows this session."""

    @property
    def session(self) -> int:
        """The session's number at the router."""

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
        """Offer a procedure; with ``prefix``, every procedure whose URI begins so.

        ``replace`` takes the name over from a session that has it still (a predecessor that the router has not missed
        yet).
        """

    async def subscribe(self, topic: str, handler: EventHandler, *, prefix: bool = False) -> Registration:
        """Receive the events of a topic; with ``prefix``, of every topic whose URI begins so."""

    async def publish(
        self,
        topic: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        only: str | None = None,
    ) -> None:
        """Publish an event; with ``only``, to the sessions of that authid alone."""

    def on_lost(self, handler: OnLost) -> None:
        """Call ``handler`` once when the session is gone (at once where it is gone already)."""

    def drop(self, reason: str) -> None:
        """Break the connection without a word, as when the other side no longer answers."""

    async def close(self) -> None:
        """Say goodbye and wait, a bounded time, until the session is gone."""
