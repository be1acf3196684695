"""The PROXY protocol at the router's public port: what is read of it, who is believed, and what is closed."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from icefarm.farm.router.inside.icefarm_guard.proxied import (
    LONGEST_ADDITIONS,
    Header,
    InvalidHeader,
    ProxiedFactory,
    behind_proxies,
    networks,
    read_header,
)

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
ADA = ip_address("203.0.113.9")
ADA_6 = ip_address("2001:db8::9")


def binary(source: Any = ADA, *, command: int = 1, more: bytes = b"") -> bytes:
    family = 0x11 if source.version == 4 else 0x21
    said = source.packed + source.packed + struct.pack("!HH", 4711, 443) + more
    return SIGNATURE + struct.pack("!BBH", 0x20 | command, family, len(said)) + said


LINE = b"PROXY TCP4 203.0.113.9 192.0.2.1 4711 443\r\n"
GOOD = {
    "version 1": (LINE, (ADA, 4711)),
    "version 1, IPv6": (b"PROXY TCP6 2001:db8::9 2001:db8::1 4711 443\r\n", (ADA_6, 4711)),
    "version 1, unknown": (b"PROXY UNKNOWN\r\n", None),
    "version 1, unknown with more": (b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None),
    "version 2": (binary(), (ADA, 4711)),
    "version 2, IPv6": (binary(ADA_6), (ADA_6, 4711)),
    "version 2, with additions": (binary(more=b"\x03\x00\x04abcd" * 20), (ADA, 4711)),
    "version 2, the proxy's own": (binary(command=0), None),
    "version 2, a Unix socket": (SIGNATURE + struct.pack("!BBH", 0x21, 0x31, 216) + bytes(216), None),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_header_is_read_whole_or_byte_by_byte_and_leaves_the_rest(name: str) -> None:
    data, source = GOOD[name]
    for rest in (b"", b"\x7f\xf3\0\0", b"\r\nGET / HTTP/1.1\r\n" * 20):
        assert read_header(data + rest) == Header(source, rest)
    for length in range(len(data)):
        assert read_header(data[:length]) is None


@pytest.mark.parametrize(
    "data",
    [
        b"\x7f\xf3\0\0",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"PROXX",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 4711\r\n",
        b"PROXY TCP4 203.0.113.9  192.0.2.1 4711 443\r\n",
        b"PROXY TCP4 2001:db8::9 2001:db8::1 4711 443\r\n",
        b"PROXY TCP4 localhost 192.0.2.1 4711 443\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 -1 443\r\n",
        b"PROXY TCP4 203.0.113.9 192.0.2.1 65536 443\r\n",
        b"PROXY UDP4 203.0.113.9 192.0.2.1 4711 443\r\n",
        b"PROXY TCP6 fe80::1%eth0\n 2001:db8::1 4711 443\r\n",
        b"PROXY UNKNOWN" + b"x" * 100,
        SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x22\x11\0\x0c" + bytes(12),
        SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),
        SIGNATURE + b"\x21\x21\0\x0c" + bytes(12),
        SIGNATURE + struct.pack("!BBH", 0x21, 0x11, LONGEST_ADDITIONS + 1),
    ],
)
def test_what_is_no_header_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidHeader):
        read_header(data)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda data: SIGNATURE + data))
def test_whatever_arrives_is_a_header_or_the_beginning_of_one_or_refused(data: bytes) -> None:
    try:
        header = read_header(data)
    except InvalidHeader:
        return
    assert header is None or data.endswith(header.rest)


class Transport(StringTransport):
    """A transport of which Twisted calls the protocol, whichever it has."""

    protocol: Any = None

    def abortConnection(self) -> None:
        self.disconnecting = True


class Recorded(Protocol):
    """What the guard gets."""

    received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class Port:
    """A port with a proxy at 10.0.0.2, and others in 10.1.0.0/16."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.made: list[tuple[Any, Recorded]] = []
        recorded = Factory()
        recorded.buildProtocol = self.build  # type: ignore[method-assign]
        self.factory = behind_proxies(recorded, "10.0.0.2, 10.1.0.0/16", self.clock, 10.0)

    def build(self, addr: Any) -> Recorded:
        self.made.append((addr, Recorded()))
        return self.made[-1][1]

    def connect(self, host: str) -> Transport:
        transport = Transport(peerAddress=IPv4Address("TCP", host, 1234))
        transport.protocol = self.factory.buildProtocol(transport.getPeer())
        transport.protocol.makeConnection(transport)
        return transport


@pytest.mark.parametrize("name", ["version 1", "version 2", "version 2, IPv6"])
def test_a_connection_of_a_proxy_becomes_that_of_whom_it_names(name: str) -> None:
    port, (data, source) = Port(), GOOD[name]
    transport = port.connect("10.1.2.3")
    for number in range(len(data)):
        assert port.made == []
        transport.protocol.dataReceived(data[number : number + 1])
    ((addr, protocol),) = port.made
    assert (ip_address(addr.host), addr.port) == source
    assert transport.protocol is protocol
    assert transport.getPeer() == addr
    transport.protocol.dataReceived(b"hello")
    assert protocol.received == b"hello"


def test_what_came_with_the_header_is_not_lost() -> None:
    port = Port()
    port.connect("10.0.0.2").protocol.dataReceived(LINE + b"hello")
    assert port.made[0][1].received == b"hello"


def test_a_proxy_s_own_connection_has_its_own_address() -> None:
    port = Port()
    transport = port.connect("10.0.0.2")
    transport.protocol.dataReceived(binary(command=0) + b"GET /health")
    assert port.made[0][0].host == "10.0.0.2"
    assert transport.getPeer().host == "10.0.0.2"  # type: ignore[union-attr]


def test_nobody_else_is_believed() -> None:
    port = Port()
    transport = port.connect("10.0.0.3")
    transport.protocol.dataReceived(LINE)
    ((addr, protocol),) = port.made
    assert addr.host == "10.0.0.3"
    # The router finds that it is none of its protocols.
    assert protocol.received == LINE


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x7f\xf3\0\0", LINE.replace(b"TCP4", b"TCP6")])
def test_a_proxy_that_does_not_say_whose_a_connection_is_gets_none(data: bytes) -> None:
    port = Port()
    transport = port.connect("10.0.0.2")
    transport.protocol.dataReceived(data)
    assert transport.disconnecting
    assert port.made == []


def test_a_proxy_that_says_nothing_is_cut_off_and_one_that_has_spoken_is_not() -> None:
    port = Port()
    silent, good = port.connect("10.0.0.2"), port.connect("10.0.0.2")
    good.protocol.dataReceived(LINE)
    silent.protocol.dataReceived(LINE[:10])
    port.clock.advance(11)
    assert silent.disconnecting
    assert not good.disconnecting
    assert port.clock.getDelayedCalls() == []


def test_a_connection_that_ends_before_its_header_leaves_no_timer() -> None:
    port = Port()
    port.connect("10.0.0.2").protocol.connectionLost()
    assert port.clock.getDelayedCalls() == []


def test_an_address_of_ipv4_that_is_written_as_one_of_ipv6_is_the_same() -> None:
    factory = ProxiedFactory(Factory.forProtocol(Recorded), networks("10.0.0.2"), Clock(), 10.0)
    made = factory.buildProtocol(IPv4Address("TCP", "::ffff:10.0.0.2", 1))
    assert not isinstance(made, Recorded)


@pytest.mark.parametrize(("named", "whose"), [
    ("::ffff:10.0.0.2", "10.0.0.2"), ("::ffff:10.0.0.0/104", "10.9.9.9"), ("::ffff:10.0.0.2", "::ffff:10.0.0.2"),
])  # fmt: skip
def test_a_proxy_may_be_named_by_an_address_of_ipv4_written_as_one_of_ipv6(named: str, whose: str) -> None:
    factory = ProxiedFactory(Factory.forProtocol(Recorded), networks(named), Clock(), 10.0)
    assert not isinstance(factory.buildProtocol(IPv4Address("TCP", whose, 1)), Recorded)
    assert isinstance(factory.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1)), Recorded)


def test_networks_of_ipv6_stay_what_they_are() -> None:
    assert [str(each) for each in networks("fd00::/8, ::/0, 10.0.0.2")] == ["fd00::/8", "::/0", "10.0.0.2/32"]
