"""Messages that are written without waiting for the reactor's next turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from socket import socketpair
from typing import Any

import pytest
from attrs import Factory, define
from twisted.internet.abstract import FileDescriptor
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionLost
from twisted.internet.pollreactor import PollReactor
from twisted.internet.selectreactor import SelectReactor
from twisted.logger import capturedLogs

from icefarm.concurrency.prompt import icefarm_prompt
from icefarm.concurrency.prompt.icefarm_prompt import APART, poll, poll_directly, rest_of, send_string
from icefarm.farm.router import inside


class Reactor:
    """Does nothing with descriptors."""

    def addWriter(self, _: Any) -> None: ...

    def removeWriter(self, _: Any) -> None: ...


class Transport(FileDescriptor):
    """Takes some bytes at a time."""

    connected = 1

    def __init__(self, room: int = 1000) -> None:
        super().__init__(Reactor())  # type: ignore[arg-type]
        self.room = room
        self.taken = b""

    def writeSomeData(self, data: bytes) -> int | BaseException:
        if self.room < 0:
            return ConnectionLost()
        written = min(self.room, len(data))
        self.taken += bytes(data[:written])
        return written


def test_what_a_transport_takes_is_written_at_once() -> None:
    transport = Transport()
    assert rest_of(transport, b"message") == b""
    assert transport.taken == b"message"


def test_what_a_transport_does_not_take_is_left() -> None:
    transport = Transport(room=3)
    assert rest_of(transport, b"message") == b"sage"
    transport = Transport(room=-1)
    assert rest_of(transport, b"message") == b"message"


def test_nothing_overtakes_what_waits() -> None:
    transport = Transport(room=0)
    transport.write(b"first ")
    transport.room = 1000
    assert rest_of(transport, b"second") == b"second"
    transport.write(b"second")
    transport.doWrite()
    assert transport.taken == b"first second"


def test_of_a_transport_that_counts_in_another_way_what_waits_nothing_is_assumed() -> None:
    transport = Transport()
    del transport._tempDataLen
    assert rest_of(transport, b"message") == b"message"
    assert transport.taken == b""


@pytest.mark.parametrize("change", [{"connected": 0}, {"disconnecting": True}])
def test_nothing_is_written_to_a_transport_that_closes(change: dict[str, Any]) -> None:
    transport = Transport()
    vars(transport).update(change)
    assert rest_of(transport, b"message") == b"message"
    assert transport.taken == b""


@define
class Wrapped:
    """A transport that is no descriptor, as with TLS."""

    written: list[bytes] = Factory(list)

    def write(self, data: bytes) -> None:
        self.written.append(data)


@define(slots=False)
class Sender:
    """A protocol."""

    transport: Any


def test_a_transport_that_is_no_descriptor_gets_messages_as_usual() -> None:
    sender = Sender(Wrapped())
    send_string(sender, b"abc")
    assert sender.transport.written == [b"\0\0\0\x03abc"]


def test_a_message_is_written_at_once_unless_another_one_was_just_before(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(icefarm_prompt, "monotonic", lambda: now)
    sender = Sender(Transport())
    send_string(sender, b"a")
    assert sender.transport.taken == b"\0\0\0\1a"
    send_string(sender, b"b")
    assert sender.transport.taken == b"\0\0\0\1a"
    sender.transport.doWrite()
    now += APART
    send_string(sender, b"c")
    assert sender.transport.taken == b"\0\0\0\1a\0\0\0\1b\0\0\0\1c"


#: Opens a connection of a RawSocket protocol over TCP, then over a Unix socket; prints whether it delays messages.
OPENED = """
from autobahn.twisted import rawsocket
from autobahn.wamp.serializer import CBORSerializer
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from zope.interface import directlyProvides
{imports}

class Tcp(StringTransport):
    delay = True
    def setTcpNoDelay(self, enabled):
        self.delay = not enabled

for over_tcp in (True, False):
    transport = Tcp()
    if over_tcp:
        directlyProvides(transport, ITCPTransport)
    {factory}.buildProtocol(None).makeConnection(transport)
    print(transport.delay)
"""


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("imports", "factory"),
    [
        (
            "from icefarm.wamp.transport import factory_of\nfrom icefarm.wamp.url import parse_url",
            "factory_of(parse_url('http://127.0.0.1:8080'), None, None, None)",
        ),
        ("import icefarm_guard_plugin", "rawsocket.WampRawSocketServerFactory(None, [CBORSerializer()])"),
    ],
    ids=["client", "router"],
)
def test_a_connection_over_tcp_never_waits_for_an_acknowledgement_to_send(imports: str, factory: str) -> None:
    at_router = Path(inside.__file__).parent
    places = [at_router, at_router / "twisted" / "plugins", Path(icefarm_prompt.__file__).parent]
    script = f"import sys\nsys.path += {[*map(str, places)]!r}\n" + OPENED.format(imports=imports, factory=factory)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["False", "True"], done.stderr


class Selectable:
    """Has something to say."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails
        self.reads = 0


class Polled:
    """What a reactor with epoll has."""

    def __init__(self, *selectables: Selectable) -> None:
        self._selectables = dict(enumerate(selectables))
        self._poller = self
        self.asked: list[tuple[float, int]] = []
        self.interrupted = False

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        self.asked.append((timeout, most))
        if self.interrupted:
            raise InterruptedError
        # The last one went while others were handled.
        return [(number, 1) for number in range(most + 1)]

    def _doReadOrWrite(self, selectable: Selectable, number: int, event: int) -> None:
        assert (self._selectables[number], event) == (selectable, 1)
        selectable.reads += 1
        if selectable.fails:
            raise RuntimeError("a fault")


def test_events_are_handled_each_also_after_one_that_failed() -> None:
    reactor = Polled(Selectable(), Selectable(fails=True), Selectable())
    with capturedLogs() as logged:
        poll(reactor, None)
        poll(reactor, 0.5)
    assert [each.reads for each in reactor._selectables.values()] == [2, 2, 2]
    assert reactor.asked == [(-1, 3), (0.5, 3)]
    assert [event["log_level"].name for event in logged] == ["critical", "critical"]


def test_a_signal_ends_the_wait_for_events() -> None:
    reactor = Polled(Selectable())
    reactor.interrupted = True
    poll(reactor, None)
    assert reactor._selectables[0].reads == 0


@pytest.mark.parametrize("kind", [EPollReactor, PollReactor, SelectReactor])
def test_only_a_reactor_with_epoll_is_changed(kind: type, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("doPoll", "doIteration"):
        if hasattr(kind, name):
            monkeypatch.setattr(kind, name, getattr(kind, name))
    reactor = kind()
    own = kind.doIteration
    poll_directly(reactor)
    reactor.doIteration(0.0)
    assert (kind.doIteration is poll) == (kind is EPollReactor)
    assert kind is EPollReactor or kind.doIteration is own


def test_twisteds_reactor_is_as_it_is_taken_for() -> None:
    reactor = EPollReactor()
    given, taken = socketpair()
    with given, taken:
        seen: list[str] = []
        monitored: Any = Selectable()
        monitored.fileno, monitored.doRead = taken.fileno, lambda: seen.append("read")
        monitored.logPrefix, monitored.connectionLost = lambda: "", seen.append
        reactor.addReader(monitored)
        given.send(b"x")
        poll(reactor, 5.0)
        reactor.removeReader(monitored)
    assert seen == ["read"]
