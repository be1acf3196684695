"""A connection's way through trouble: it can be cut, reset, held up, delayed, or not be let through at all."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from attrs import Factory, define, field
from twisted.internet import protocol
from twisted.internet.endpoints import (
    TCP4ClientEndpoint,
    TCP4ServerEndpoint,
    UNIXClientEndpoint,
    UNIXServerEndpoint,
    connectProtocol,
)
from twisted.python.failure import Failure

__all__ = ["Relay"]

#: Seconds for the way to the target.
CONNECT_LIMIT = 5


class _Side(protocol.Protocol):
    """One end of a connection through the relay."""

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.other: _Side | None = None
        #: What arrived before the other side was there, or while nothing gets through; a delay keeps the order.
        self.kept: deque[bytes] = deque()
        self.ended = False

    def dataReceived(self, data: bytes) -> None:
        self.kept.append(data)
        if self.relay.delay > 0:
            self.relay.reactor.callLater(self.relay.delay, self.forward)
        else:
            self.forward()

    def forward(self) -> None:
        if self.relay.holding or self.other is None:
            return
        while self.kept:
            self.other.transport.write(self.kept.popleft())  # type: ignore[call-arg, union-attr]

    def connectionLost(self, reason: Failure = protocol.connectionDone) -> None:  # noqa: ARG002
        self.ended = True
        self.relay.sides.discard(self)
        if self.other is not None and not self.other.ended:
            self.other.transport.loseConnection()  # type: ignore[union-attr]


class _Incoming(_Side):
    def connectionMade(self) -> None:
        self.relay.sides.add(self)
        self.relay.connections += 1
        outgoing = _Side(self.relay)
        connectProtocol(self.relay.way_on(), outgoing).addCallbacks(
            self._connected, lambda _: self.transport.abortConnection()
        )

    def _connected(self, outgoing: _Side) -> None:
        self.relay.sides.add(outgoing)
        self.other, outgoing.other = outgoing, self
        if self.ended:
            outgoing.transport.loseConnection()  # type: ignore[union-attr]
        self.forward()


@define(eq=False)
class Relay:
    """Listens on a port of its own, or at a Unix socket, and passes everything on to ``target``, or does not."""

    reactor: Any
    target: tuple[str, int] | Path
    #: The Unix socket at which it listens; None: a port.
    own: Path | None = None
    #: Seconds that each piece is late.
    delay: float = 0.0
    #: While it is true nothing gets through, and nobody is told.
    holding: bool = False
    sides: set[_Side] = Factory(set)
    #: How many there have been.
    connections: int = 0
    _port: Any = None
    _number: int = field(default=0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._number}"

    def way_on(self) -> Any:
        """Return the endpoint of the target."""
        if isinstance(self.target, Path):
            return UNIXClientEndpoint(self.reactor, str(self.target), timeout=CONNECT_LIMIT)
        return TCP4ClientEndpoint(self.reactor, *self.target, timeout=CONNECT_LIMIT)

    async def start(self) -> None:
        """Listen: at first on a free port, later on the same one again."""
        factory = protocol.Factory.forProtocol(lambda: _Incoming(self))
        factory.noisy = False
        if self.own is not None:
            self._port = await UNIXServerEndpoint(self.reactor, str(self.own)).listen(factory)
            return
        self._port = await TCP4ServerEndpoint(self.reactor, self._number, interface="127.0.0.1").listen(factory)
        self._number = self._port.getHost().port

    async def stop(self) -> None:
        """Cut all connections and refuse new ones."""
        port, self._port = self._port, None
        if port is not None:
            await port.stopListening()
        self.reset()

    def cut(self) -> None:
        """End all connections politely (FIN)."""
        for side in list(self.sides):
            side.transport.loseConnection()  # type: ignore[union-attr]

    def reset(self) -> None:
        """End all connections rudely (RST)."""
        for side in list(self.sides):
            side.transport.abortConnection()  # type: ignore[union-attr]

    def hold(self) -> None:
        """Let nothing through; connections stay, and new ones are taken."""
        self.holding = True

    def release(self) -> None:
        """Let through what was kept, and all that follows."""
        self.holding = False
        for side in list(self.sides):
            side.forward()
