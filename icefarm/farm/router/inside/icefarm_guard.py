"""Guards the router's public port: it bounds what a connection may cost before and after its sign-in.

Crossbar.io listens with any endpoint that Twisted can name (a transport's endpoint of type ``twisted``).  This one
accepts connections as usual, and looks at each chunk that arrives before the router does:

- A connection that is neither signed in nor waits for the answer to a request for `Limits.sign_in` seconds is closed.
  Until it is signed in, it may send `Limits.unsigned` bytes, or one HTTP request of `Limits.request` bytes.
- An address (of IPv6: a network of 64 bits) has at most `Limits.connections` connections, `Limits.pending` of them not
  signed in: a further one ends the oldest of these.
- An account has a share of the router's time, and so has an address before sign-in.  While it is used up, and others
  want some too, the router does not read from these connections.  A worker takes what it needs.
- Many people may share one address.  Sessions that sign in, requests over HTTP and connections that have said nothing
  take turns there.  A token that has signed somebody in goes through at once; others have a share of their own for
  sign-ins, in which tokens take turns, so that one that is refused again and again holds up nobody but itself.  A
  connection that shows a second token is closed.
- A session that has been ended is not listened to, and its connection is closed if it stays.
- A client with `Limits.unanswered` calls is not read from until one is answered.
- A client that does not read its answers is not read from either, and is closed if it goes on or if too many wait.
- What the router remembers of permissions, by URI, is forgotten when it grows.
- A request over HTTP has an address in ASCII, and names the host that it is for, once and in ASCII: the router logs a
  traceback for another.  The first line of a connection reaches it whole.
- TLS offers HTTP/1.1 alone (ALPN): the router's HTTP/2 lets bytes through that no header may have.

Behind a proxy that the operator has named, the address is that which the proxy says (`icefarm_proxied`).

It adds no hop: it runs in the router's process, and answers go to the socket without it.
"""

from __future__ import annotations

import gc
import re
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from functools import partial
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Network, ip_address
from secrets import token_bytes
from typing import Any
from typing import Protocol as Protocol_

from attrs import Factory, define, fields, frozen
from autobahn.exception import PayloadExceededError
from OpenSSL.crypto import FILETYPE_PEM
from twisted.internet import ssl
from twisted.internet.endpoints import TCP4ServerEndpoint, TCP6ServerEndpoint
from twisted.internet.interfaces import (
    IProtocolNegotiationFactory,
    IStreamServerEndpoint,
    IStreamServerEndpointStringParser,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.plugin import IPlugin
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

__all__ = ["Bucket", "GuardEndpoint", "GuardFactory", "GuardParser", "Limits"]

#: Seconds between two looks at all connections.
SWEEP = 0.5
#: Seconds between two connections of one account that are read from again.
TURN = 0.005
#: Connections without a byte so far that are read from in one turn.
SILENT_AT_ONCE = 16
#: Seconds of its share that an account, or an address, may save up.
SAVED = 0.1
#: Seconds that it may owe: after a flood, others of its address or account wait no longer than that.
OWED = 0.5
#: Seconds after which an address is read from, whatever it owes: each of its connections gets on.
STARVED = 0.25
#: Seconds of the farm's time that a connection costs apart from its bytes, a request over HTTP, and a sign-in that is
#: refused: control, the database and the audit log have to do with it.
PER_CONNECTION = 0.003
PER_REQUEST = 0.006
PER_FAILURE = 0.03
#: And a call of one of control's procedures, which does more than the router does.
PER_CALL = 0.0015
CONTROL = "icefarm.v1.control."
#: Bytes that the router reads of a connection at a time, and seconds of it that are long: nobody else is served then.
SMALLEST_PIECE, LARGEST_PIECE = 1024, 16 * 1024
LONG_PIECE = 0.004
#: Seconds for which it reads of one connection without a pause, even if nobody else wants some of its time.
LONG_TURN = 0.01
#: Part of the router's time that an account, or an address, must use to be among those who want some, and the seconds
#: for which it is.
BUSY, BUSY_FOR = 0.02, 1.0
#: Seconds that a connection may stay after its session was ended.
LEAVING = 2.0
#: Bytes of answers that wait at a client before the router reads no more from it.
FULL = 256 * 1024
#: A worker gets bitstreams, many at once, and may be busy: it has so many times the limits of a client.
WORKER_FACTOR = 64
#: Seconds between two lines in the log about closed connections.
LOG_INTERVAL = 10.0
#: The header that says which host a request is for, with the lines that go on with it, and what it may hold (RFC 9110,
#: section 7.2): one line.
_HOSTS = re.compile(rb"\nhost[ \t]*:[ \t]*([^\r\n]*(?:\r\n[ \t][^\r\n]*)*)", re.IGNORECASE)
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?[ \t]*")
#: Bytes of a request's headers; what a connection begins with that does not speak HTTP; and the answer to others.
LONGEST_HEAD = 64 * 1024
_NOT_HTTP = (b"\x7f", b"\x10")
_BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
#: Characters of URIs in the router's cache of permissions, which has no bound of its own: 2,000 boards and more.
CACHED = 256 * 1024
#: Bits of an address of IPv6 that say whose it is.
SITE = 64
#: Addresses and accounts that are remembered, and tokens that have signed somebody in.
REMEMBERED = 10_000


@frozen
class Limits:
    """What the operator may set, with defaults."""

    #: Seconds to sign in, or to send a request.
    sign_in: float = 10.0
    #: Connections of an address, and those of them that are not signed in.
    connections: int = 1024
    pending: int = 256
    #: Bytes before sign-in.
    unsigned: int = 64 * 1024
    #: Bytes of a request over HTTP, with its headers.
    request: int = 1024 * 1024 + 64 * 1024
    #: Calls of a session that are not answered yet: three for each board of a large farm.
    unanswered: int = 1024
    #: Bytes of answers that may wait at a client.
    unread: int = 4 * 1024 * 1024
    #: Seconds in which a client must read something of them.
    stalled: float = 30.0
    #: Part of the router's time that an account may use while others want some, and an address before sign-in at most.
    share: float = 0.25


@define
class Bucket:
    """Seconds of the router's time that are left to an account or address; below 0 it waits."""

    share: float
    left: float = SAVED
    _at: float = 0.0

    def refill(self, now: float) -> float:
        """Return what is left now."""
        self.left = min(SAVED, self.left + (now - self._at) * self.share)
        self._at = now
        return self.left


@define(eq=False)
class Demand:
    """Which accounts have used more than a little of the router's time lately."""

    _used: dict[Turns, float] = Factory(dict)
    _since: float = 0.0
    #: Until when each of them counts.
    _busy: dict[Turns, float] = Factory(dict)

    def note(self, turns: Turns, seconds: float, now: float) -> None:
        """Note what one of them has used."""
        if now - self._since > BUSY_FOR:
            self._used.clear()
            self._since = now
            self._busy = {each: until for each, until in self._busy.items() if until > now}
        used = self._used.get(turns, 0.0) + seconds
        self._used[turns] = used
        if used > BUSY * BUSY_FOR:
            self._busy[turns] = now + BUSY_FOR

    def others_than(self, turns: Turns, now: float) -> bool:
        """Tell whether somebody else wants some."""
        return any(until > now for each, until in self._busy.items() if each is not turns)


class Waits(Protocol_):
    """What waits for its turn: a connection, or its sign-in."""

    closed: bool

    @property
    def lane(self) -> Hashable:
        """Who takes turns with others: all that wait under one lane are served in order."""

    @property
    def has_spoken(self) -> bool:
        """Whether it has something to say."""

    def read_on(self) -> None:
        """It is its turn."""


@define(eq=False)
class Lanes:
    """Those who wait: one of each lane in turn, in each lane in order."""

    _lanes: OrderedDict[Hashable, deque[Waits]] = Factory(OrderedDict)

    def __bool__(self) -> bool:
        return bool(self._lanes)

    def append(self, waits: Waits) -> None:
        """Add one at the end of its lane."""
        self._lanes.setdefault(waits.lane, deque()).append(waits)

    def next(self) -> Waits:
        """Take out the next one."""
        lane, waiting = next(iter(self._lanes.items()))
        found = waiting.popleft()
        if waiting:
            self._lanes.move_to_end(lane)
        else:
            del self._lanes[lane]
        return found


@define(eq=False)
class Turns:
    """The connections of one account or address, and whose turn it is to be read from."""

    bucket: Bucket
    clock: Any
    #: Who else wants some of the router's time; None: these wait even if nobody does.
    others: Demand | None = None
    waiting: Lanes = Factory(Lanes)
    _timer: Any = None
    _read_at: float = float("-inf")

    def spend(self, seconds: float) -> bool:
        """Note a cost; tells whether there is time left."""
        now = self.clock.seconds()
        left = self.bucket.refill(now)
        self.bucket.left = max(-OWED, self.bucket.left - seconds)
        if self.others is not None:
            self.others.note(self, seconds, now)
        return left > seconds or self._is_alone(now)

    def _is_alone(self, now: float) -> bool:
        return self.others is not None and not self.others.others_than(self, now)

    def give_back(self, seconds: float) -> None:
        """Take back a cost that there was not."""
        self.bucket.left = min(SAVED, self.bucket.left + seconds)

    def is_free(self) -> bool:
        """Tell whether there is time left, and nobody waits for it."""
        return not self.waiting and self.bucket.refill(self.clock.seconds()) > 0

    def wait(self, waits: Waits) -> None:
        """Read from a connection again when it is its turn."""
        self.waiting.append(waits)
        if self._timer is None:
            self._timer = self.clock.callLater(TURN, self._next)

    def _next(self) -> None:
        # The timer that has fired stays known meanwhile: a connection that is read from may have to wait again.
        now = self.clock.seconds()
        left = self.bucket.refill(now)
        if self._is_alone(now):
            left = self.bucket.left = max(left, 0.0) + TURN * self.bucket.share
        # An account that owes waits until it does not.  An address may be that of many, who are not to blame.
        starved = self.others is None and now - self._read_at >= STARVED
        if left > 0 or starved:
            self._read_at = now
            self._read_some()
        self._timer = None
        if self.waiting:
            longest = STARVED if self.others is None else BUSY_FOR
            later = TURN if left > 0 else min(TURN - left / self.bucket.share, longest)
            self._timer = self.clock.callLater(later, self._next)

    def _read_some(self) -> None:
        """Read from the next one that has something to say, and from some silent ones before it.

        After a flood of connections that say nothing, those that come to sign in are not far behind.
        """
        silent = 0
        while self.waiting and silent < SILENT_AT_ONCE:
            waits = self.waiting.next()
            if waits.closed:
                continue
            silent += 1
            spoke = waits.has_spoken
            waits.read_on()
            if spoke:
                return


@define(eq=False)
class Attempt:
    """A sign-in that waits for its turn: the token that a connection has shown."""

    connection: GuardedConnection
    lane: Hashable
    message: Any
    go_on: Callable[[Any], None]
    has_spoken: bool = True

    @property
    def closed(self) -> bool:
        """Whether nobody waits for the answer any more."""
        return self.connection.closed

    def read_on(self) -> None:
        """It is its turn."""
        self.connection.attempts.spend(PER_FAILURE)
        self.connection.waits_to_sign_in = False
        self.go_on(self.message)


def sender_of(host: str) -> str:
    """Return under which address a host's connections count.

    A host chooses among all addresses of its network of IPv6, 2**64 of them (RFC 4291, section 2.5.1): they count as
    one.  An address of IPv4 that is written as one of IPv6 is that of IPv4.
    """
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(IPv6Network((address, SITE), strict=False))


def unread(transport: Any) -> int:
    """Return the bytes that a transport has not handed to the kernel yet."""
    while (inner := getattr(transport, "transport", None)) is not None:
        transport = inner
    return len(transport.dataBuffer) - transport.offset + transport._tempDataLen


def trim(permissions: dict[tuple[str, str, str, str], Any]) -> None:
    """Forget what the router remembers of permissions, if callers have asked for too many URIs."""
    if sum(len(uri) for _, _, uri, _ in permissions) > CACHED:
        permissions.clear()


class GuardedConnection(ProtocolWrapper):
    """A connection at the public port.  The router's protocol has the transport itself."""

    factory: GuardFactory
    transport: Any

    def __init__(self, factory: Any, wrapped: Any, address: str) -> None:
        super().__init__(factory, wrapped)
        self.address = address
        self.account: str | None = None
        self.turns = factory.turns_of("address", address)
        #: Turns of the sign-ins of its address, and whether it waits for one of these.
        self.attempts = factory.turns_of("attempts", address)
        self.waits_to_sign_in = False
        #: The token that it has shown, as `GuardFactory.mark` knows it again; and the session that the router makes.
        self._token: bytes | None = None
        self._gated: Any = None
        self._hasty = False
        #: What the router does with a message.
        self._on_message: Any = None
        self.received = 0
        self.paused = False
        self.closed = False
        self._unread = 0
        self._worker = False
        self._session: Any = None
        self._calls = 0
        #: The headers of the request that arrives, until they are whole; None then, and where it speaks no HTTP.
        self._head: bytes | None = b""
        #: The connection's first line, until it is whole.
        self._line = b""
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
        return "session" if self._channel() is None else "request"

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
            if self.account is None and self._is_busy():
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
        if self.account is None and self._head is not None:
            if self._is_unknown(piece):
                self._close("spoke none of the router's protocols")
                return 0.0
            if not self._is_addressed(piece):
                self._close("asked for what is no address, or no host", _BAD_REQUEST)
                return 0.0
            piece = self._whole_line(piece)
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
            self._note_failure()
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
        if not (self.paused or self.closed or self._is_busy()):
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
        if self._is_busy() or self.waits_to_sign_in or (self.paused and self.turns.bucket.left <= 0):
            self.idle_since = now
        elif now - self.idle_since > self.factory.limits.sign_in:
            self.abort("did not sign in or ask in time")

    # ---------------------------------------------------------------------------------------------- what it costs

    def _before_sign_in(self) -> float:
        """Bound its bytes; returns the cost of a request that it has just made."""
        self.notice_sign_in()
        if self.account is not None:
            return 0.0
        limits = self.factory.limits
        if self._channel() is None:
            self._gate_session()
            if self.received > limits.unsigned:
                self.abort("sent too much before sign-in")
            return 0.0
        if not self._is_busy():
            if self.received > limits.request:
                self.abort("sent a request that is too large")
            return 0.0
        self.received, self._head = 0, b""
        if any(self._channel()._dataBuffer):
            self.abort("did not wait for an answer")
        return PER_REQUEST

    def _is_addressed(self, piece: bytes) -> bool:
        """Tell whether a request names its host as it must, as far as it has arrived."""
        assert self._head is not None
        if not self._head and self._channel() is None and piece[:1] in _NOT_HTTP:
            self._head = None
            return True
        self._head += piece
        head, end, _ = self._head.partition(b"\r\n\r\n")
        # The router lets an empty line pass before a request, and takes the address of a request for ASCII.
        line, whole, _ = head.removeprefix(b"\r\n").partition(b"\r\n")
        if (whole or end) and not line.isascii():
            return False
        if not end:
            return len(self._head) <= LONGEST_HEAD
        self._head = None
        hosts = _HOSTS.findall(head)
        return len(hosts) == 1 and _HOST.fullmatch(hosts[0]) is not None

    def _is_unknown(self, piece: bytes) -> bool:
        """Tell whether a connection begins with what none of the router's protocols begins with, such as TLS."""
        return not self._head and self._spoken() is None and piece[:1] not in _NOT_HTTP and not piece[:1].isalpha()

    def _whole_line(self, piece: bytes) -> bytes:
        """Return what the router may read: it takes what it gets of a connection's first line for the whole line."""
        self._line += piece
        if self._head is not None and self._spoken() is None and b"\r\n" not in self._line:
            return b""
        piece, self._line = self._line, b""
        return piece

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
        if self.account is None and self._channel() is not None:
            return False
        return waiting > FULL * factor or self._unanswered() >= self.factory.limits.unanswered

    def _look_at_leaving(self, now: float) -> None:
        """Close it if its session was ended and it stays."""
        if not getattr(self._session, "_goodbye_sent", False):
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

    # ------------------------------------------------------------------------------------------------------ sign-in

    def _gate_session(self) -> None:
        """See to it that the token of a session that begins comes to control when it is its turn."""
        session = getattr(self._spoken(), "_session", None)
        if session is None or self._gated is not None:
            return
        self._gated = session
        self._on_message = on_message = session.onMessage
        # A client waits for the router's answers before it shows a token.  What one of them has sent before that is
        # with control already, and its address pays for it.
        self._hasty = getattr(session, "_pending_auth", None) is not None

        def on_gated_message(message: Any) -> None:
            if self.account is None and type(message).__name__ == "Authenticate":
                self._show_token(message)
            else:
                on_message(message)

        session.onMessage = on_gated_message

    def _show_token(self, message: Any) -> None:
        if self._token is not None:
            self.abort("showed a second token")
            return
        self._token = token = self.factory.mark(str(message.signature))
        if token in self.factory.accepted:
            self._on_message(message)
        elif self.attempts.is_free():
            self.attempts.spend(PER_FAILURE)
            self._on_message(message)
        else:
            self.waits_to_sign_in = True
            self.attempts.wait(Attempt(self, token, message, self._on_message))

    def _note_failure(self) -> None:
        """It ends, and nobody was let in."""
        if self._token is not None:
            self.factory.accepted.pop(self._token, None)
        elif self._hasty:
            self.turns.spend(PER_FAILURE)

    # ----------------------------------------------------------------------- what the router's protocol knows of it

    def notice_sign_in(self) -> None:
        """Look whether the router has let the connection's session in."""
        session = getattr(self._spoken(), "_session", None)
        authid = getattr(session, "_authid", None)
        number = getattr(session, "_session_id", None) or getattr(session, "_previous_session_id", None)
        if number is None or self.account is not None or not isinstance(authid, str):
            return
        self.account = authid.partition("/")[0]
        self._session = session
        self._worker = getattr(session, "_authrole", None) == "worker"
        if self._token is not None:
            if self._token not in self.factory.accepted:
                self.attempts.give_back(PER_FAILURE)
            self.factory.accept(self._token)
        self._listen(session)
        if not self.paused:
            self._take_turns()
        self.factory.signed_in(self)
        router = getattr(session, "_router", None)
        if router is not None:
            self.factory.routers.add(router)

    def _take_turns(self) -> None:
        if self.account is not None:
            self.turns = self.factory.turns_of("worker" if self._worker else "account", self.account)

    def _listen(self, session: Any) -> None:
        """Count a session's calls of control, and take nothing but its farewell once it has been ended."""
        on_message = session.onMessage if self._on_message is None else self._on_message

        def on_counted_message(message: Any) -> None:
            if (getattr(message, "procedure", None) or "").startswith(CONTROL):
                self._calls += 1
            if not session._goodbye_sent or type(message).__name__ == "Goodbye":
                on_message(message)

        session.onMessage = on_counted_message

    def _unanswered(self) -> int:
        """Return how many calls of a client's session wait for their answers."""
        router = getattr(self._session, "_router", None)
        if router is None or self._worker:
            return 0
        return len(router._dealer._caller_to_invocations.get(self._session, ()))

    def _spoken(self) -> Any:
        """Return the protocol that the connection speaks, None before its first bytes."""
        protocol: Any = self.wrappedProtocol
        # Crossbar.io counts connections with a wrapper of its own.
        while (inner := protocol.__dict__.get("wrappedProtocol")) is not None:
            protocol = inner
        return getattr(protocol, "_proto", None)

    def _channel(self) -> Any:
        """Return the HTTP channel, None where it speaks WAMP."""
        return getattr(self._spoken(), "_channel", None)

    def _is_busy(self) -> bool:
        """Tell whether a request over HTTP is being answered."""
        return bool(getattr(self._channel(), "_handlingRequest", False))


class _Refused(Protocol):
    """A connection that is one too many."""

    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.abortConnection()


@implementer(IProtocolNegotiationFactory)
class GuardFactory(WrappingFactory):
    """Guards the connections of a port."""

    noisy = False
    log = Logger(namespace="icefarm.guard")

    def __init__(self, wrapped: Any, limits: Limits, clock: Any) -> None:
        super().__init__(wrapped)
        self.limits, self.clock = limits, clock
        #: By address: its connections, and those not signed in, the oldest first.
        self._counts: dict[str, int] = {}
        self._pending: dict[str, OrderedDict[GuardedConnection, None]] = {}
        self._turns: OrderedDict[tuple[str, str], Turns] = OrderedDict()
        self._demand = Demand()
        #: The router of each realm that sessions have joined.
        self.routers: set[Any] = set()
        #: Tokens that have signed somebody in, as `mark` knows them again: the last ones.
        self.accepted: OrderedDict[bytes, None] = OrderedDict()
        self._key = token_bytes(32)
        self._closed: dict[str, int] = {}
        self._logged = float("-inf")
        self._timer: Any = None

    def logPrefix(self) -> str:
        return "guard"

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def doStart(self) -> None:
        super().doStart()
        self._sweep()

    def doStop(self) -> None:
        super().doStop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def buildProtocol(self, addr: Any) -> Any:
        address = sender_of(str(getattr(addr, "host", "unix")))
        if self._counts.get(address, 0) >= self.limits.connections:
            self.note("were too many from one address")
            return _Refused()
        return GuardedConnection(self, self.wrappedFactory.buildProtocol(addr), address)

    def registerProtocol(self, p: Any) -> None:
        super().registerProtocol(p)
        self._counts[p.address] = self._counts.get(p.address, 0) + 1
        pending = self._pending.setdefault(p.address, OrderedDict())
        pending[p] = None
        if len(pending) > self.limits.pending:
            oldest = next(iter(pending))
            # The router may have let it in since its last bytes.
            oldest.notice_sign_in()
            if oldest.account is None:
                del pending[oldest]
                oldest.abort("made room for others of their address that sign in")

    def unregisterProtocol(self, p: Any) -> None:
        super().unregisterProtocol(p)
        self._counts[p.address] -= 1
        if not self._counts[p.address]:
            del self._counts[p.address]
        self.signed_in(p)

    def signed_in(self, connection: GuardedConnection) -> None:
        """A connection is pending no more."""
        pending = self._pending.get(connection.address)
        if pending is not None:
            pending.pop(connection, None)
            if not pending:
                del self._pending[connection.address]

    def mark(self, token: str) -> bytes:
        """Return what a token is known by here: nobody finds the token from it."""
        return blake2b(token.encode(errors="replace"), key=self._key, digest_size=16).digest()

    def accept(self, token: bytes) -> None:
        """A token has signed somebody in."""
        while len(self.accepted) >= REMEMBERED:
            self.accepted.popitem(last=False)
        self.accepted[token] = None

    def turns_of(self, kind: str, name: str) -> Turns:
        """Return the turns of an account or address."""
        key = (kind, name)
        if key not in self._turns:
            while len(self._turns) >= REMEMBERED:
                self._turns.popitem(last=False)
            self._turns[key] = self._new_turns(kind)
        self._turns.move_to_end(key)
        return self._turns[key]

    def _new_turns(self, kind: str) -> Turns:
        if kind == "worker":
            return Turns(Bucket(1.0), self.clock)
        return Turns(Bucket(self.limits.share), self.clock, self._demand if kind == "account" else None)

    def note(self, reason: str) -> None:
        """Count a closed connection for the log."""
        self._closed[reason] = self._closed.get(reason, 0) + 1

    def _sweep(self) -> None:
        now = self.clock.seconds()
        for connection in list(self.protocols):
            if not connection.closed:
                connection.look(now)
        for router in self.routers:
            trim(router._authorization_cache)
        if self._closed and now - self._logged >= LOG_INTERVAL:
            closed, self._closed, self._logged = self._closed, {}, now
            for reason, number in closed.items():
                self.log.warn("connections that {reason} were closed: {number}", number=number, reason=reason)
        self._timer = self.clock.callLater(SWEEP, self._sweep)


@implementer(IStreamServerEndpoint)
@frozen
class GuardEndpoint:
    """Listens at a TCP port, with TLS if there is a context for it."""

    clock: Any
    endpoint: Any
    limits: Limits
    tls: Any = None
    #: Puts before it what takes the addresses of connections from proxies; None: there are none.
    behind: Callable[[Any], Any] | None = None

    def listen(self, protocolFactory: Any) -> Any:
        """Listen."""
        # As icefarm.twistd.collecting does, which is not in the router's environment: a look at all that was imported
        # takes 0.1 to 0.2 s, in which the router serves nobody.
        gc.collect()
        gc.freeze()
        factory: Any = GuardFactory(protocolFactory, self.limits, self.clock)
        if self.tls is not None:
            factory = TLSMemoryBIOFactory(self.tls, False, factory)
        if self.behind is not None:
            factory = self.behind(factory)
        return self.endpoint.listen(factory)


#: Makes a factory that takes the addresses of connections from proxies: of a factory, the proxies, the clock, and the
#: seconds that a proxy has (`icefarm_proxied.behind_proxies`).
BehindProxies = Callable[[Any, str, Any, float], Any]


@implementer(IPlugin, IStreamServerEndpointStringParser)
@frozen
class GuardParser:
    """Parses ``icefarm:PORT:interface=HOST:certificate=FILE:key=FILE:proxies=ADDRESSES:LIMIT=VALUE...``."""

    behind_proxies: BehindProxies
    prefix: str = "icefarm"

    def parseStreamServer(
        self,
        reactor: Any,
        port: str,
        interface: str = "",
        certificate: str | None = None,
        key: str | None = None,
        proxies: str = "",
        **limits: str,
    ) -> GuardEndpoint:
        """Return the endpoint."""
        makers: dict[str, Callable[[str], Any]] = {
            each.name: int if isinstance(each.default, int) else float for each in fields(Limits)
        }
        chosen = Limits(**{name: makers[name](value) for name, value in limits.items()})
        make = TCP6ServerEndpoint if ":" in interface else TCP4ServerEndpoint
        endpoint = make(reactor, int(port), backlog=128, interface=interface)
        context = None if certificate is None or key is None else _context(certificate, key)
        behind = None
        if proxies:
            behind = partial(self._behind, proxies, reactor, chosen.sign_in)
        return GuardEndpoint(reactor, endpoint, chosen, context, behind)

    def _behind(self, proxies: str, clock: Any, limit: float, factory: Any) -> Any:
        return self.behind_proxies(factory, proxies, clock, limit)


def _context(certificate: str, key: str) -> ssl.CertificateOptions:
    """Return what Crossbar.io itself makes for TLS: version 1.3 alone, without sessions to resume."""
    with open(certificate, "rb") as file:
        own, *chain = (ssl.Certificate.loadPEM(each) for each in _PEM.findall(file.read()))
    with open(key, "rb") as file:
        private = ssl.KeyPair.load(file.read(), FILETYPE_PEM)
    return ssl.CertificateOptions(
        privateKey=private.original,
        certificate=own.original,
        extraCertChain=[each.original for each in chain],
        raiseMinimumTo=ssl.TLSVersion.TLSv1_3,
        enableSessions=False,
        enableSessionTickets=False,
        fixBrokenPeers=False,
    )
