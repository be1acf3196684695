"""One account that asks for too much, in a process of its own: ``python -m bench.floods KIND URL TOKEN SECONDS``.

Each kind ends after the given seconds, or after `MOST` requests, and reaches a farm on this host's loopback interface
alone.  It prints what it was answered, as JSON.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from attrs import define, field
from autobahn.wamp.exception import ApplicationError, TransportLost
from twisted.internet import reactor as the_reactor
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol

from icefarm.bus import Bus
from icefarm.contract import Role, control_procedure
from icefarm.errors import IcefarmError
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

__all__ = ["FLOODS", "MOST"]

#: Requests of one flood, at most.
MOST = 50_000
#: Seconds until somebody whom the farm refused or cut off tries again.
AGAIN = 0.01
#: Just below the largest message.
LARGE = 1024 * 1024 - 1024

reactor: Any = the_reactor


@define(eq=False)
class Flood:
    """What one account does, and is answered."""

    url: str
    token: str
    answers: Counter[str] = field(factory=Counter)
    over: bool = False
    links: list[Link] = field(factory=list)

    @property
    def going_on(self) -> bool:
        return not self.over and self.answers.total() < MOST

    def sign_in(self, token: str, joined: Callable[[Bus], None], refused: Callable[[], None]) -> None:
        """Sign in once."""

        async def have(bus: Bus) -> None:
            joined(bus)

        def not_let_in(error: IcefarmError) -> bool:
            self.answers[error.name] += 1
            refused()
            return False

        link = Link(reactor, self.url, Credentials("flood", Role.CLIENT, "flood", token), have, not_let_in)
        self.links.append(link)
        link.startService()


class _Page(Protocol):
    """Asks for one page after the other."""

    flood: Flood
    path: str

    def connectionMade(self) -> None:
        self._received = b""
        self._ask()

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = next((line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), None)
        if end and length is not None and len(body) >= int(length.partition(b":")[2]):
            self.flood.answers[head.split(b" ", 2)[1].decode()] += 1
            self._received = b""
            self._ask()

    def connectionLost(self, _: Any = None) -> None:
        self.flood.answers["closed"] += 1
        if self.flood.going_on:
            reactor.callLater(AGAIN, _open_page, self.flood, self.path)

    def _ask(self) -> None:
        if self.flood.going_on and self.transport is not None:
            self.transport.write(f"GET {self.path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def _open_page(flood: Flood, path: str) -> None:
    if not flood.going_on:
        return
    where = urlsplit(flood.url)

    def make() -> _Page:
        page = _Page()
        page.flood, page.path = flood, path
        return page

    factory = Factory.forProtocol(make)  # type: ignore[arg-type]
    factory.noisy = False
    connecting = HostnameEndpoint(reactor, where.hostname or "", where.port or 80).connect(factory)
    connecting.addErrback(lambda _: reactor.callLater(AGAIN, _open_page, flood, path))


def nothing(_: Flood) -> None:
    """Nobody asks for anything: what a busy machine does to the figures."""


def pages(flood: Flood) -> None:
    """50 connections that ask for /health and /metrics."""
    for number in range(50):
        _open_page(flood, ("/health", "/metrics")[number % 2])


def sign_ins(flood: Flood) -> None:
    """20 connections that sign in with a wrong token."""

    def again() -> None:
        if flood.going_on:
            flood.sign_in("icefarm_wrong", lambda _: None, lambda: reactor.callLater(AGAIN, again))

    for _ in range(20):
        again()


def _calls(flood: Flood, together: int, arguments: Callable[[int], tuple[str, dict[str, Any]]]) -> None:
    """Keep so many calls going in one session, which signs in again when it is ended."""
    number = iter(range(MOST))

    def again() -> None:
        if flood.going_on:
            flood.sign_in(flood.token, joined, lambda: reactor.callLater(0.5, again))

    def joined(bus: Any) -> None:
        session = bus._wamp
        bus.on_lost(lambda _: reactor.callLater(0.5, again))
        for _ in range(together):
            ensureDeferred(call(session))

    async def call(session: Any) -> None:
        while flood.going_on:
            procedure, fields = arguments(next(number, 0))
            try:
                await session.call(control_procedure(procedure), **fields)
                flood.answers["done"] += 1
            except ApplicationError as error:
                flood.answers[error.error.rpartition(".")[2]] += 1
            except (TransportLost, AttributeError):
                flood.answers["cut off"] += 1
                return

    again()


def large(flood: Flood) -> None:
    """20 calls of 1 MiB at a time."""
    text = "k" * LARGE
    _calls(flood, 20, lambda _: ("reserve", {"kind": text, "amount": 1}))


def queue(flood: Flood) -> None:
    """500 requests for boards at a time."""
    fields = {"kind": "pulsecount", "amount": 2, "wait": True}
    _calls(flood, 500, lambda number: ("reserve", {**fields, "request": f"flood {number}"}))


def reads(flood: Flood) -> None:
    """200 questions at a time."""
    _calls(flood, 200, lambda number: (("available", "snapshot", "journal")[number % 3], {}))


def unread(flood: Flood) -> None:
    """Ask for the farm's state, and read no answer."""

    def joined(bus: Any) -> None:
        session = bus._wamp
        transport = session._transport.transport
        transport.pauseProducing()
        ask(session)

    def ask(session: Any) -> None:
        if not flood.going_on or session._transport is None:
            return
        for _ in range(50):
            try:
                answer: Deferred[Any] = session.call(control_procedure("snapshot"))
            except (TransportLost, AttributeError):
                flood.answers["cut off"] += 1
                return
            answer.addErrback(lambda _: None)
            flood.answers["asked"] += 1
        reactor.callLater(0.02, ask, session)

    for _ in range(4):
        flood.sign_in(flood.token, joined, lambda: None)


FLOODS: dict[str, Callable[[Flood], None]] = {
    "nothing": nothing,
    "pages": pages,
    "sign-ins": sign_ins,
    "large calls": large,
    "queue": queue,
    "reads": reads,
    "unread answers": unread,
}


def main() -> None:
    kind, url, token, seconds = sys.argv[1:]
    if urlsplit(url).hostname not in ("127.0.0.1", "localhost"):
        sys.exit("only a farm on this host is flooded")
    flood = Flood(url, token)

    def stop() -> None:
        flood.over = True
        print(json.dumps(flood.answers), flush=True)
        reactor.stop()

    reactor.callWhenRunning(FLOODS[kind], flood)
    reactor.callLater(float(seconds), stop)
    reactor.run()


if __name__ == "__main__":
    main()
