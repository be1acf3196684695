"""A connection at the public port: what is done with each chunk that arrives."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any

from autobahn.exception import PayloadExceededError
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper

from .first_bytes import BAD_REQUEST, FirstBytes
from .router_view import (
    channel_of,
    has_more,
    is_busy,
    joined_as,
    router_of,
    session_of,
    spoken_by,
    unanswered_calls,
    unread,
    was_ended,
)
from .sign_in import GatedSignIn

if TYPE_CHECKING:
    from .factory import GuardFactory

__all__ = ["GuardedConnection"]

#: Seconds of the farm's time that a connection costs apart from its bytes, a request over HTTP, and a call of one of
#: control's procedures, which does more than the router does.
PER_CONNECTION = 0.003
PER_REQUEST = 0.006
PER_CALL = 0.0015
CONTROL = "icefarm.v1.control."
#: Bytes that the router reads of a connection at a time, and seconds of it that are long: nobody else is served then.
SMALLEST_PIECE, LARGEST_PIECE = 1024, 16 * 1024
LONG_PIECE = 0.004
#: Seconds for which it reads of one connection without a pause, even if nobody else wants some of its time.
LONG_TURN = 0.01
#: Seconds that a connection may stay after its session was ended.
LEAVING = 2.0
#: Bytes of answers that wait at a client before the router reads no more from it.
FULL = 256 * 1024
#: A worker gets bitstreams, many at once, and may be busy: it has so many times the limits of a client.
WORKER_FACTOR = 64


class GuardedConnection(ProtocolWrapper):
    """A connection at the public port.  The router's protocol has the transport itself."""

    factory: GuardFactory
    transport: Any

    def __init__(self, factory: Any, wrapped: Any, address: str) -> None:
        super().__init__(factory, wrapped)
        self.address = address
        self.account: str | None = None
        self.turns = factory.turns_of("address", address)
        self.sign_in = GatedSignIn(self, factory.turns_of("attempts", address))
        self.received = 0
        self.paused = False
        self.closed = False
        self._unread = 0
        self._worker = False
        self._session: Any = None
        self._calls = 0
        self._first = FirstBytes()
        #: Bytes that the router reads at a time.
        self._piece = SMALLEST_PIECE
        #: What arrived while it waits for its turn: an HTTP channel begins to read again by itself.
        self._held = b""
        self._ended_at: float | None = None
        self.idle_since = self.progress_at = factory.clock.seconds()

    @property
    def has_spoken(self) -> bool:
        """Whether anything has arrived."""
        return self.received > 0 or bool(self._held)

    @property
    def lane(self) -> Hashable:
        """Sessions, requests and those that have said nothing take turns at an address."""
        if self.account is not None or not self.has_spoken:
            return None
        return "session" if channel_of(self.wrappedProtocol) is None else "request"

    def makeConnection(self, transport: Any) -> None:
        wrapped: Any = self.wrappedProtocol
        Protocol.makeConnection(self, transport)
        self.factory.registerProtocol(self)
        wrapped.makeConnection(transport)
        if not self.turns.spend(PER_CONNECTION):
            self._read_later()

    def dataReceived(self, data: bytes) -> None:
        # Each chunk of each evaluation comes along here; a connection that is signed in does not speak HTTP.
        spent = 0.0
        while data and not self.closed:
            if self.account is None and is_busy(self.wrappedProtocol):
                self.abort("did not wait for an answer")
                return
            if self.paused:
                self._hold(data)
                return
            piece, data = data[: self._piece], data[self._piece :]
            spent += self._pass_on(piece)
            # Others come next, even if they want little.
            if data and spent > LONG_TURN:
                self._read_later()

    def _pass_on(self, piece: bytes) -> float:
        """Let the router read a piece of what arrived; returns the seconds that it took."""
        arrived = len(piece)
        if self.account is None and self._first.go_on:
            is_known = spoken_by(self.wrappedProtocol) is not None
            if not is_known and self._first.is_unknown(piece):
                self._close("spoke none of the router's protocols")
                return 0.0
            if not self._first.is_addressed(piece, channel_of(self.wrappedProtocol) is not None):
                self._close("asked for what is no address, or no host", BAD_REQUEST)
                return 0.0
            piece = self._first.whole_line(piece, is_known)
        began = time.thread_time()
        self._hand_over(piece)
        cost = took = time.thread_time() - began
        if self.closed:
            return took
        # A piece may hold a part of a bitstream, or hundreds of calls.
        if cost > LONG_PIECE:
            self._piece = max(SMALLEST_PIECE, self._piece // 4)
        elif cost < LONG_PIECE / 4:
            self._piece = min(LARGEST_PIECE, self._piece * 2)
        self.received += arrived
        if self.account is None:
            cost += self._before_sign_in()
        cost += self._calls * PER_CALL
        self._calls = 0
        if not self.turns.spend(cost) or self._is_full():
            self._read_later()
        return took

    def _hand_over(self, piece: bytes) -> None:
        wrapped: Any = self.wrappedProtocol
        try:
            if piece:
                wrapped.dataReceived(piece)
        except PayloadExceededError:
            self.abort("sent a message longer than the router takes")

    def connectionLost(self, reason: Any = None) -> None:
        self.closed = True
        self.notice_sign_in()
        if self.account is None:
            self.sign_in.failed()
        ProtocolWrapper.connectionLost(self, reason)

    def read_on(self) -> None:
        """It is its turn again, if it reads its answers."""
        if self.closed:
            return
        if self._is_full():
            self.turns.wait(self)
            return
        self.paused = False
        self._take_turns()
        if self._held:
            held, self._held = self._held, b""
            self.dataReceived(held)
        # An HTTP channel reads on by itself when it has answered.
        if not (self.paused or self.closed or is_busy(self.wrappedProtocol)):
            self.transport.resumeProducing()

    def abort(self, reason: str) -> None:
        """Close it at once."""
        if not self.closed:
            self.closed = True
            self.factory.note(reason)
            self.transport.abortConnection()

    def look(self, now: float) -> None:
        """Close it if it is silent, or does not read."""
        self._look_at_leaving(now)
        if self._look_at_unread(now) or self.account is not None:
            return
        self.notice_sign_in()
        if self.account is not None:
            return
        if is_busy(self.wrappedProtocol) or self.sign_in.waits or (self.paused and self.turns.bucket.left <= 0):
            self.idle_since = now
        elif now - self.idle_since > self.factory.limits.sign_in:
            self.abort("did not sign in or ask in time")

    def _before_sign_in(self) -> float:
        """Bound its bytes; returns the cost of a request that it has just made."""
        self.notice_sign_in()
        if self.account is not None:
            return 0.0
        limits = self.factory.limits
        if channel_of(self.wrappedProtocol) is None:
            self.sign_in.gate(session_of(self.wrappedProtocol))
            if self.received > limits.unsigned:
                self.abort("sent too much before sign-in")
            return 0.0
        if not is_busy(self.wrappedProtocol):
            if self.received > limits.request:
                self.abort("sent a request that is too large")
            return 0.0
        self.received = 0
        self._first.expect_request()
        if has_more(channel_of(self.wrappedProtocol)):
            self.abort("did not wait for an answer")
        return PER_REQUEST

    def _close(self, reason: str, answer: bytes = b"") -> None:
        """Close it once the answer has been sent."""
        self.closed = True
        self.factory.note(reason)
        if answer:
            self.transport.write(answer)
        self.transport.loseConnection()

    def _read_later(self) -> None:
        if self.closed:
            return
        # The HTTP channel may have begun to read again by itself.
        self.transport.pauseProducing()
        if not self.paused:
            self.paused = True
            self.turns.wait(self)

    def _hold(self, data: bytes) -> None:
        """Keep what arrived out of turn."""
        self._held += data
        if len(self._held) > self.factory.limits.request:
            self.abort("sent too much out of turn")
        else:
            self.transport.pauseProducing()

    def _is_full(self) -> bool:
        waiting = 0 if self.closed else unread(self.transport)
        factor = WORKER_FACTOR if self._worker else 1
        if waiting > self.factory.limits.unread * factor:
            self.abort("does not read its answers")
        if self.account is None and channel_of(self.wrappedProtocol) is not None:
            return False
        return waiting > FULL * factor or self._unanswered() >= self.factory.limits.unanswered

    def _look_at_leaving(self, now: float) -> None:
        """Close it if its session was ended and it stays."""
        if not was_ended(self._session):
            self._ended_at = None
        elif self._ended_at is None:
            self._ended_at = now
        elif now - self._ended_at > LEAVING:
            self.abort("stayed after their session was ended")

    def _look_at_unread(self, now: float) -> bool:
        """Tell whether answers wait."""
        waiting = unread(self.transport)
        if waiting == 0 or waiting < self._unread:
            self.progress_at = now
        self._unread = waiting
        if now - self.progress_at > self.factory.limits.stalled:
            self.abort("does not read its answers")
        self._is_full()
        return waiting > 0

    def notice_sign_in(self) -> None:
        """Look whether the router has let the connection's session in."""
        session = session_of(self.wrappedProtocol)
        joined = None if session is None or self.account is not None else joined_as(session)
        if joined is None:
            return
        authid, role = joined
        self.account = authid.partition("/")[0]
        self._session = session
        self._worker = role == "worker"
        self._listen(session, self.sign_in.succeeded(session))
        if not self.paused:
            self._take_turns()
        self.factory.signed_in(self)
        router = router_of(session)
        if router is not None:
            self.factory.routers.add(router)

    def _take_turns(self) -> None:
        if self.account is not None:
            self.turns = self.factory.turns_of("worker" if self._worker else "account", self.account)

    def _listen(self, session: Any, on_message: Callable[[Any], None]) -> None:
        """Count a session's calls of control, and take nothing but its farewell once it has been ended."""

        def on_counted_message(message: Any) -> None:
            if (getattr(message, "procedure", None) or "").startswith(CONTROL):
                self._calls += 1
            if not was_ended(session) or type(message).__name__ == "Goodbye":
                on_message(message)

        session.onMessage = on_counted_message

    def _unanswered(self) -> int:
        """Return how many calls of a client's session wait for their answers."""
        return 0 if self._worker or self._session is None else unanswered_calls(self._session)
