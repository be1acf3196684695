"""Whatever comes to the router's port: those who are signed in do not notice."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from pytest_twisted import ensureDeferred
from test_control import Rig, rig  # noqa: F401
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Protocol

pytestmark = pytest.mark.integration

#: Connections that say nothing.
IDLE = 500
#: Seconds for a connection to be made, and for the router to close one.
LIMIT = 30.0
#: RawSocket's greeting: CBOR, messages of up to 16 MiB ("WAMP RawSocket transport", handshake).
HELLO = b"\x7f\xf3\x00\x00"

GARBAGE = {
    "no protocol at all": b"\x00" * 64,
    "a greeting with an unknown serializer": b"\x7f\xff\x00\x00",
    "half of a greeting": b"\x7f",
    "CBOR that is none": HELLO + b"\x00\x00\x00\x05\xff\xff\xff\xff\xff",
    "CBOR that ends too early": HELLO + b"\x00\x00\x00\x02\x9b\xff",
    "a message that is no list": HELLO + b"\x00\x00\x00\x01\x07",
    "a message of an unknown type": HELLO + b"\x00\x00\x00\x04\x81\x19\x03\xe7",
    "a call before the session": HELLO + b"\x00\x00\x00\x06\x84\x18\x30\x01\xa0\x60",
    "a message longer than it may be": HELLO + b"\x00\xff\xff\xff" + b"\x00" * 1000,
    "HTTP that is none": b"BREW /pot HTTP/9.9\r\n\r\n",
    "a header without end": b"GET / HTTP/1.1\r\nX: " + b"y" * 100_000,
}


class Silent(Protocol):
    """Says nothing but what it is told to."""

    def __init__(self) -> None:
        self.closed: Deferred[None] = Deferred()

    def connectionLost(self, _: object = None) -> None:
        self.closed.callback(None)


async def connected(rig: Rig) -> Silent:  # noqa: F811
    endpoint = HostnameEndpoint(reactor, "127.0.0.1", urlsplit(rig.router.url).port)
    return await connectProtocol(endpoint, Silent()).addTimeout(LIMIT, reactor)  # type: ignore[arg-type]


@ensureDeferred
async def test_garbage_at_the_port_harms_nobody(rig: Rig) -> None:  # noqa: F811
    process = await rig.start()
    client = await rig.client("ada")
    strangers = []
    for data in GARBAGE.values():
        stranger = await connected(rig)
        stranger.transport.write(data)  # type: ignore[union-attr]
        strangers.append(stranger)
        assert await client.call("available") == {"amount": 0, "serials": []}
    for stranger in strangers:
        stranger.transport.abortConnection()  # type: ignore[union-attr]
    await gatherResults([stranger.closed for stranger in strangers]).addTimeout(LIMIT, reactor)  # type: ignore[arg-type]
    assert await client.call("end") == []
    assert process.control.bus is not None


@ensureDeferred
async def test_hundreds_of_silent_connections_keep_nobody_out(rig: Rig) -> None:  # noqa: F811
    await rig.start()
    strangers = [await connected(rig) for _ in range(IDLE)]
    client = await rig.client("ada")
    assert await client.call("available") == {"amount": 0, "serials": []}
    for stranger in strangers:
        stranger.transport.abortConnection()  # type: ignore[union-attr]
    await gatherResults([stranger.closed for stranger in strangers]).addTimeout(LIMIT, reactor)  # type: ignore[arg-type]
    assert await client.call("available") == {"amount": 0, "serials": []}
