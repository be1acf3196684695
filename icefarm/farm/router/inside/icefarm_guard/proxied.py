"""Takes from proxies whose connections they pass on: the PROXY protocol, versions 1 and 2.

A proxy says so before the first byte of the connection itself, and before its TLS (HAProxy's ``send-proxy-v2``, nginx's
``proxy_protocol``; https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt).  It is believed at the addresses that
the operator has named, and nowhere else; there, a connection that does not begin with it is closed, as the protocol
demands: else whoever is behind a proxy that says nothing could claim any address.

From then on the connection has the address that the proxy has named, for the guard, for the router, and for control.

Twisted's own wrapper of such connections (``twisted.protocols.haproxy``) does not fit: it believes everybody, refuses a
header that arrives in two pieces, and makes the connection known before it knows whose it is.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from attrs import frozen
from twisted.internet import address
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

__all__ = ["Header", "InvalidHeader", "ProxiedFactory", "behind_proxies", "networks", "read_header"]

Network = IPv4Network | IPv6Network
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LINE = b"PROXY "
#: Bytes of the longest line of version 1, with its end, and of what follows the first 16 of version 2: addresses, and
#: additions that are not looked at.
LONGEST_LINE, LONGEST_ADDITIONS = 107, 2048
#: Bits before an address of IPv4 that is written as one of IPv6 (RFC 4291, section 2.5.5.2).
MAPPED = 96
#: By the byte for family and transport: how many bytes an address has.
_FAMILIES = {0x11: 4, 0x21: 16}
_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)


class InvalidHeader(Exception):
    """What arrived is no header of a proxy."""


@frozen
class Header:
    """What a proxy has said."""

    #: Whose connection it is; None: the proxy's own, such as one to see whether the router is there.
    source: tuple[IPv4Address | IPv6Address, int] | None
    #: What came after it.
    rest: bytes


def read_header(data: bytes) -> Header | None:
    """Read the header at the beginning of a connection; None if it is not whole yet.  Raises `InvalidHeader`."""
    if data.startswith(_SIGNATURE):
        return _read_binary(data)
    if data.startswith(_LINE):
        return _read_line(data)
    if not (_SIGNATURE.startswith(data) or _LINE.startswith(data)):
        raise InvalidHeader("it does not begin as the PROXY protocol does")
    return None


def _read_line(data: bytes) -> Header | None:
    line, end, rest = data[:LONGEST_LINE].partition(b"\r\n")
    if not end:
        if len(data) >= LONGEST_LINE:
            raise InvalidHeader("its line is too long")
        return None
    match line.decode("latin-1").split(" "):
        case ["PROXY", "UNKNOWN", *_]:
            source = None
        case ["PROXY", "TCP4" | "TCP6" as family, sender, _, port, _]:
            source = _source(family, sender, port)
        case _:
            raise InvalidHeader("its line has other words")
    return Header(source, rest + data[LONGEST_LINE:])


def _source(family: str, sender: str, port: str) -> tuple[IPv4Address | IPv6Address, int]:
    try:
        found = IPv4Address(sender) if family == "TCP4" else IPv6Address(sender)
    except ValueError:
        raise InvalidHeader("it names no address") from None
    # Python takes any text as the zone of one.
    if "%" in sender:
        raise InvalidHeader("it names no address that reaches beyond a link")
    if not _PORT.fullmatch(port) or int(port) > 65535:
        raise InvalidHeader("it names no port")
    return found, int(port)


def _read_binary(data: bytes) -> Header | None:
    if len(data) < 16:
        return None
    version, family, length = struct.unpack_from("!BBH", data, 12)
    if version not in (0x20, 0x21):
        raise InvalidHeader("it is of another version")
    if length > LONGEST_ADDITIONS:
        raise InvalidHeader("it is too long")
    if len(data) < 16 + length:
        return None
    said, rest = data[16 : 16 + length], data[16 + length :]
    size = _FAMILIES.get(family)
    # 0x20: a connection of the proxy itself. Of other families there are no addresses of hosts.
    if version == 0x20 or size is None:
        return Header(None, rest)
    if length < 2 * size + 4:
        raise InvalidHeader("it is too short for its addresses")
    (port,) = struct.unpack_from("!H", said, 2 * size)
    return Header((ip_address(said[:size]), port), rest)


def networks(text: str) -> list[Network]:
    """Read addresses and networks with commas between, such as ``10.0.0.2,fd00::/8``.  Raises ValueError."""
    return [_network(each.strip()) for each in text.split(",") if each.strip()]


def _network(text: str) -> Network:
    """Read a network; that of IPv4 where IPv6 only stands for it, as `_plain` takes the addresses of connections."""
    found = ip_network(text)
    mapped = getattr(found.network_address, "ipv4_mapped", None)
    if mapped is None or found.prefixlen < MAPPED:
        return found
    return IPv4Network((mapped, found.prefixlen - MAPPED))


def _plain(host: str) -> IPv4Address | IPv6Address | None:
    """Return an address; that of IPv4 where IPv6 only stands for it."""
    try:
        found = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


class _FromProxy(Protocol):
    """A connection of a proxy, until it has said whose it is."""

    transport: Any

    def __init__(self, factory: ProxiedFactory, own: Any) -> None:
        self._factory = factory
        self._own = own
        self._received = b""
        self._timer: Any = None

    def connectionMade(self) -> None:
        self._timer = self._factory.clock.callLater(self._factory.limit, self._close, "said nothing in time")

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        try:
            header = read_header(self._received)
        except InvalidHeader as error:
            self._close(str(error))
            return
        if header is not None:
            self._stop()
            self._hand_over(header)

    def connectionLost(self, _: Failure = connectionDone) -> None:
        self._stop()

    def _hand_over(self, header: Header) -> None:
        """Let the connection be what the proxy says that it is; this protocol has no part in it any more."""
        transport, whose = self.transport, self._own
        if header.source is not None:
            whose = _twisted(*header.source)
            transport.getPeer = lambda: whose
        protocol = self._factory.wrapped.buildProtocol(whose)
        if protocol is None:
            transport.abortConnection()
            return
        transport.protocol = protocol
        protocol.makeConnection(transport)
        if header.rest:
            protocol.dataReceived(header.rest)

    def _close(self, why: str) -> None:
        self._stop()
        self._factory.refuse(self._own.host, why)
        self.transport.abortConnection()

    def _stop(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()


def _twisted(host: IPv4Address | IPv6Address, port: int) -> address.IPv4Address | address.IPv6Address:
    kind = address.IPv4Address if host.version == 4 else address.IPv6Address
    return kind("TCP", str(host), port)


class ProxiedFactory(Factory):
    """Puts the header of proxies before the connections of another factory; other connections go there at once."""

    noisy = False
    log = Logger(namespace="icefarm.guard")
    #: Seconds between two lines about connections that were closed.
    LOG_INTERVAL = 10.0

    def __init__(self, wrapped: Any, proxies: Sequence[Network], clock: Any, limit: float) -> None:
        self.wrapped = wrapped
        self.proxies = proxies
        self.clock = clock
        #: Seconds in which a proxy must say whose connection it is.
        self.limit = limit
        self._logged = float("-inf")

    def doStart(self) -> None:
        super().doStart()
        self.wrapped.doStart()

    def doStop(self) -> None:
        super().doStop()
        self.wrapped.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        host = _plain(str(getattr(addr, "host", "")))
        if host is not None and any(host in network for network in self.proxies):
            return _FromProxy(self, addr)
        return self.wrapped.buildProtocol(addr)

    def refuse(self, host: str, why: str) -> None:
        """Log that a connection was closed, once in a while."""
        now = self.clock.seconds()
        if now - self._logged >= self.LOG_INTERVAL:
            self._logged = now
            self.log.warn(
                "closed a connection of {host}, which is a proxy by --proxy: {why}; is it told to send the header of "
                "the PROXY protocol?",
                host=host,
                why=why,
            )


def behind_proxies(wrapped: Any, proxies: str, clock: Any, limit: float) -> ProxiedFactory:
    """Return a factory that believes the proxies at these addresses; see `networks`."""
    return ProxiedFactory(wrapped, networks(proxies), clock, limit)
