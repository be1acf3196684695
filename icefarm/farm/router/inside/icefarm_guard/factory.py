"""What the connections of the public port have in common: their number, their turns, a look at all of them."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from ipaddress import IPv4Address, IPv6Network, ip_address
from secrets import token_bytes
from typing import Any

from twisted.internet.interfaces import IProtocolNegotiationFactory
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.protocols.policies import WrappingFactory
from zope.interface import implementer

from .connection import GuardedConnection
from .limits import Limits
from .router_view import forget_permissions
from .turns import Bucket, Demand, Turns

__all__ = ["GuardFactory", "sender_of"]

SWEEP = 0.5
#: Seconds between two lines in the log about closed connections.
LOG_INTERVAL = 10.0
#: Bits of an address of IPv6 that say whose it is.
SITE = 64
#: Addresses and accounts that are remembered, and tokens that have signed somebody in.
REMEMBERED = 10_000


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
            forget_permissions(router)
        if self._closed and now - self._logged >= LOG_INTERVAL:
            closed, self._closed, self._logged = self._closed, {}, now
            for reason, number in closed.items():
                self.log.warn("connections that {reason} were closed: {number}", number=number, reason=reason)
        self._timer = self.clock.callLater(SWEEP, self._sweep)
