"""Messages that are written without waiting for the reactor's next turn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define
from twisted.internet.abstract import FileDescriptor
from twisted.internet.error import ConnectionLost

from icefarm.concurrency.prompt import icefarm_prompt
from icefarm.concurrency.prompt.icefarm_prompt import APART, rest_of, send_string
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
