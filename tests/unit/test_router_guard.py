"""The guard of the router's public port: what it lets in, reads from and closes, on a test's clock."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import asdict, define, field
from autobahn.exception import PayloadExceededError
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from icefarm.errors import InvalidArgument
from icefarm.farm.limits import GUARD_LIMITS, GivenLimits, farm_limits
from icefarm.farm.router.inside.icefarm_guard.connection import CONTROL, FULL, LONG_TURN, PER_CALL, GuardedConnection
from icefarm.farm.router.inside.icefarm_guard.endpoint import GuardParser
from icefarm.farm.router.inside.icefarm_guard.factory import SWEEP, GuardFactory, sender_of
from icefarm.farm.router.inside.icefarm_guard.limits import Limits
from icefarm.farm.router.inside.icefarm_guard.router_view import CACHED, trim
from icefarm.farm.router.inside.icefarm_guard.turns import TURN


class Transport(StringTransport):
    """A transport with the kernel's side that a guard looks at."""

    dataBuffer = b""  # noqa: N815 - Twisted's names
    offset = 0
    _tempDataLen = 0  # noqa: N815

    def abortConnection(self) -> None:
        self.aborting = True
        self.disconnecting = True


@define
class Spoken:
    """What the router's protocol shows of a connection."""

    _session: Any = None
    _channel: Any = None


@define(eq=False, slots=False)
class Session:
    _authid: str | None = None
    _session_id: int | None = None
    _authrole: str = "client"
    _router: Any = None
    _goodbye_sent: bool = False
    heard: list[Any] = field(factory=list)

    def onMessage(self, message: Any) -> None:
        self.heard.append(message)


@define
class Call:
    procedure: str


class Goodbye:
    """A farewell, as the router knows it by its class."""


@define
class Channel:
    _handlingRequest: bool = False  # noqa: N815 - Twisted's name
    _dataBuffer: list[bytes] = field(factory=list)  # noqa: N815


@define
class Dealer:
    _caller_to_invocations: dict[Any, list[int]]


@define(eq=False)
class Router:
    _dealer: Dealer


class RouterProtocol(Protocol):
    """Stands for the router's protocol."""

    def __init__(self) -> None:
        self._proto = Spoken()
        self.received = b""

    def dataReceived(self, data: bytes) -> None:
        self.received += data


class Port:
    """A guarded port."""

    def __init__(self, **limits: Any) -> None:
        self.clock = Clock()
        self.factory = GuardFactory(Factory.forProtocol(RouterProtocol), Limits(**limits), self.clock)
        self.factory.doStart()

    def connect(self, host: str = "10.0.0.1") -> tuple[Any, Transport]:
        protocol = self.factory.buildProtocol(IPv4Address("TCP", host, 4711))
        transport = Transport()
        protocol.makeConnection(transport)
        return protocol, transport

    def wait(self, seconds: float) -> None:
        self.clock.pump([SWEEP] * round(seconds / SWEEP))


def sign_in(connection: GuardedConnection, authid: str = "ada", role: str = "client") -> None:
    inner: Any = connection.wrappedProtocol
    inner._proto = Spoken(Session(authid, 4711, role))
    connection.dataReceived(b"hello")


def speak_http(connection: GuardedConnection) -> Channel:
    inner: Any = connection.wrappedProtocol
    channel = Channel()
    inner._proto = Spoken(None, channel)
    return channel


def test_a_silent_connection_is_closed_after_the_time_to_sign_in() -> None:
    port = Port()
    _, transport = port.connect()
    port.wait(9.5)
    assert not transport.disconnecting
    port.wait(2)
    assert transport.disconnecting


def test_one_that_sends_a_little_now_and_then_is_closed_as_well() -> None:
    port = Port()
    connection, transport = port.connect()
    speak_http(connection)
    for _ in range(12):
        connection.dataReceived(b"X-Header: x\r\n")
        port.wait(1)
    assert transport.disconnecting


def test_a_session_stays_for_as_long_as_it_likes() -> None:
    port = Port()
    connection, transport = port.connect()
    sign_in(connection)
    port.wait(600)
    assert not transport.disconnecting


def test_a_request_may_wait_for_its_answer_and_the_connection_not_for_the_next_one() -> None:
    port = Port()
    connection, transport = port.connect()
    channel = speak_http(connection)
    connection.dataReceived(b"GET / HTTP/1.1\r\nHost: farm\r\n\r\n")
    channel._handlingRequest = True
    port.wait(600)
    assert not transport.disconnecting
    channel._handlingRequest = False
    port.wait(12)
    assert transport.disconnecting


def test_requests_that_do_not_wait_for_an_answer_end_the_connection() -> None:
    port = Port()
    connection, transport = port.connect()
    channel = speak_http(connection)
    channel._handlingRequest = True
    connection.dataReceived(b"GET / HTTP/1.1\r\nHost: farm\r\n\r\n" * 1000)
    assert transport.disconnecting


@pytest.mark.parametrize(("http", "most"), [(False, 64 * 1024), (True, 1088 * 1024)])
def test_before_sign_in_so_many_bytes_are_taken_and_no_more(http: bool, most: int) -> None:
    port = Port()
    connection, transport = port.connect()
    if http:
        speak_http(connection)
    head = b"POST / HTTP/1.1\r\nHost: farm\r\n\r\n" if http else b"\x7f"
    connection.dataReceived(head + bytes(most - len(head)))
    assert not transport.disconnecting
    connection.dataReceived(b"x")
    assert transport.disconnecting


def test_an_address_that_opens_more_loses_its_oldest_connection_that_is_not_signed_in() -> None:
    port = Port(pending=2)
    first, kept = port.connect()
    sign_in(first)
    _, oldest = port.connect()
    _, other = port.connect("10.0.0.2")
    port.connect()
    assert not oldest.disconnecting
    port.connect()
    assert oldest.disconnecting
    assert not kept.disconnecting
    assert not other.disconnecting


def test_a_session_that_the_router_has_just_let_in_is_not_ended_to_make_room() -> None:
    port = Port(pending=2)
    first, kept = port.connect()
    inner: Any = first.wrappedProtocol
    inner._proto = Spoken(Session("ada", 4711))
    _, oldest = port.connect()
    port.connect()
    assert not oldest.disconnecting
    port.connect()
    assert oldest.disconnecting
    assert not kept.disconnecting


def test_an_address_has_so_many_connections_and_another_address_its_own() -> None:
    port = Port(connections=2)
    for _ in range(2):
        connection, _ = port.connect()
        sign_in(connection)
    _, refused = port.connect()
    assert refused.disconnecting
    _, other = port.connect("10.0.0.2")
    assert not other.disconnecting


def test_all_addresses_of_a_network_of_ipv6_count_as_one() -> None:
    port = Port(connections=2)
    for address in ("2001:db8::1", "2001:db8::ffff:2"):
        connection, _ = port.connect(address)
        sign_in(connection)
    _, refused = port.connect("2001:db8:0:0:7::3")
    assert refused.disconnecting
    _, other = port.connect("2001:db8:0:1::1")
    assert not other.disconnecting


@pytest.mark.parametrize(("host", "sender"), [
    ("10.0.0.1", "10.0.0.1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("2001:db8::1", "2001:db8::/64"),
    ("fe80::1%eth0", "fe80::/64"), ("::1", "::/64"), ("unix", "unix"),
])  # fmt: skip
def test_a_connection_counts_under_the_address_of_its_sender(host: str, sender: str) -> None:
    assert sender_of(host) == sender


def test_connections_that_have_ended_make_room() -> None:
    port = Port(connections=1)
    for _ in range(5):
        connection, transport = port.connect()
        assert not transport.disconnecting
        connection.connectionLost()


def test_what_an_address_asks_for_beyond_its_share_is_read_later_and_in_order() -> None:
    port = Port()
    asked: list[Transport] = []
    reading: list[Transport] = []
    for _ in range(60):
        connection, transport = port.connect()
        channel = speak_http(connection)

        def answer(_: bytes, channel: Channel = channel, transport: Transport = transport) -> None:
            asked.append(transport)
            channel._handlingRequest = True
            port.clock.callLater(0, answered, channel, transport)

        def answered(channel: Channel, transport: Transport) -> None:
            channel._handlingRequest = False
            transport.resumeProducing()

        connection.wrappedProtocol.dataReceived = answer
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: farm\r\n\r\n")
        reading.append(transport)
    early = len(asked)
    assert early < 30
    port.clock.pump([0.01] * 100)
    assert early < len(asked) < 60
    port.clock.pump([0.01] * 500)
    assert asked == reading


def test_after_a_flood_of_silent_connections_a_newcomer_of_the_same_address_is_read_from_within_three_seconds() -> None:
    port = Port()
    silent = [port.connect() for _ in range(2500)]
    for connection, transport in silent:
        if transport.disconnecting:
            connection.connectionLost()
    newcomer, transport = port.connect()
    assert newcomer.paused
    port.clock.pump([0.01] * 300)
    assert not newcomer.paused
    assert transport.producerState == "producing"


def test_what_a_channel_reads_out_of_turn_waits_for_its_turn() -> None:
    port = Port()
    connection, transport = port.connect()
    speak_http(connection)
    connection.turns.spend(1.0)
    connection.dataReceived(b"GET / HTTP/1.1\r\n")
    inner: Any = connection.wrappedProtocol
    transport.resumeProducing()
    connection.dataReceived(b"Host: x\r\n\r\n")
    assert inner.received == b"GET / HTTP/1.1\r\n"
    assert transport.producerState == "paused"
    port.clock.pump([0.05] * 60)
    assert inner.received == b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    assert transport.producerState == "producing"


def test_an_account_alone_uses_all_of_the_router_and_with_another_its_share() -> None:
    port = Port()
    connection, transport = port.connect()
    sign_in(connection)
    connection.turns.spend(1.0)
    connection.dataReceived(b"evaluate")
    assert transport.producerState == "producing"
    other, _ = port.connect()
    sign_in(other, "bob")
    other.turns.spend(0.1)
    connection.dataReceived(b"evaluate")
    assert transport.producerState == "paused"
    port.clock.pump([0.05] * 60)
    assert transport.producerState == "producing"


def test_a_worker_is_read_from_whatever_it_costs() -> None:
    port = Port()
    worker, transport = port.connect()
    sign_in(worker, "shelf", "worker")
    client, _ = port.connect()
    sign_in(client)
    client.turns.spend(0.1)
    for _ in range(20):
        worker.turns.spend(0.05)
        port.clock.advance(0.05)
        worker.dataReceived(b"result")
    assert transport.producerState == "producing"


def test_calls_of_control_cost_more_than_the_router_spends() -> None:
    port = Port()
    client, _ = port.connect()
    sign_in(client)
    session = client._session
    client.wrappedProtocol.dataReceived = lambda _: [session.onMessage(Call(CONTROL + "snapshot")) for _ in range(50)]
    left = client.turns.bucket.refill(port.clock.seconds())
    client.dataReceived(b"calls")
    assert client.turns.bucket.left < left - 50 * PER_CALL
    assert len(session.heard) == 50


def test_a_session_that_was_ended_is_not_listened_to_and_closed_if_it_stays() -> None:
    port = Port()
    client, transport = port.connect()
    sign_in(client)
    session = client._session
    session._goodbye_sent = True
    session.onMessage(Call("icefarm.v1.device.A.evaluate"))
    assert session.heard == []
    session.onMessage(Goodbye())
    assert len(session.heard) == 1
    port.wait(1)
    assert not transport.disconnecting
    port.wait(3)
    assert transport.disconnecting


def test_a_client_that_does_not_read_is_not_read_from_until_it_does() -> None:
    port = Port()
    connection, transport = port.connect()
    sign_in(connection)
    transport.dataBuffer = bytes(FULL + 1)
    connection.dataReceived(b"call")
    assert transport.producerState == "paused"
    port.wait(2)
    assert transport.producerState == "paused"
    transport.dataBuffer = b""
    port.wait(1)
    assert transport.producerState == "producing"


def test_a_client_with_too_many_answers_unread_is_cut_off() -> None:
    port = Port()
    connection, transport = port.connect()
    sign_in(connection)
    transport.dataBuffer = bytes(4 * 1024 * 1024 + 1)
    port.wait(1)
    assert transport.disconnecting


def test_a_client_with_many_calls_unanswered_is_not_read_from_until_one_is() -> None:
    port = Port(unanswered=2)
    connection, transport = port.connect()
    sign_in(connection)
    session = connection._session
    calls: dict[Any, list[int]] = {session: [1, 2]}
    session._router = Router(Dealer(calls))
    connection.dataReceived(b"call")
    port.wait(1)
    assert transport.producerState == "paused"
    calls[session].pop()
    port.wait(1)
    assert transport.producerState == "producing"


def test_a_worker_may_have_more_on_its_way_to_it() -> None:
    port = Port()
    connection, transport = port.connect()
    sign_in(connection, "shelf", "worker")
    transport.dataBuffer = bytes(8 * 1024 * 1024)
    connection.dataReceived(b"answer")
    port.wait(1)
    assert transport.producerState == "producing"
    assert not transport.disconnecting


def test_a_client_that_reads_nothing_for_long_is_cut_off_and_a_slow_one_is_not() -> None:
    port = Port()
    stuck, slow = port.connect(), port.connect()
    for connection, transport in (stuck, slow):
        sign_in(connection)
        transport.dataBuffer = bytes(100_000)
    for _ in range(40):
        slow[1].dataBuffer = slow[1].dataBuffer[100:]
        port.wait(1)
    assert stuck[1].disconnecting
    assert not slow[1].disconnecting


def test_what_the_router_remembers_of_permissions_has_a_bound() -> None:
    few: dict[Any, Any] = {("icefarm", "client", f"icefarm.v1.device.{number}.x", "call"): {} for number in range(100)}
    trim(few)
    assert len(few) == 100
    many: dict[Any, Any] = {("icefarm", "client", "x" * CACHED + str(number), "call"): {} for number in range(2)}
    trim(many)
    assert many == {}


def test_http_1_1_is_all_that_tls_offers() -> None:
    assert Port().factory.acceptableProtocols() == [b"http/1.1"]


def test_limits_are_read_from_the_name_of_the_endpoint() -> None:
    endpoint = GuardParser().parseStreamServer(Clock(), "8080", interface="127.0.0.1", pending="8", sign_in="2.5")
    assert endpoint.limits == Limits(pending=8, sign_in=2.5)


def test_the_farm_checks_each_limit_of_the_guard_and_knows_which_are_whole_numbers() -> None:
    defaults = asdict(Limits())
    assert set(GUARD_LIMITS) == set(defaults)
    for name, default in defaults.items():
        assert farm_limits([(name, default)]) == GivenLimits({}, {name: default})
        if isinstance(default, int):
            with pytest.raises(InvalidArgument, match="whole number"):
                farm_limits([(name, default + 0.5)])
        else:
            assert farm_limits([(name, default / 2)]) == GivenLimits({}, {name: default / 2})


def test_of_hundreds_of_calls_in_one_chunk_those_beyond_the_share_wait_and_keep_their_order() -> None:
    port = Port()
    client, transport = port.connect()
    sign_in(client)
    other, _ = port.connect()
    sign_in(other, "bob")
    other.turns.spend(0.1)
    inner: Any = client.wrappedProtocol
    begun = len(inner.received)

    def calls(piece: bytes) -> None:
        inner.received += piece
        client._calls += len(piece) // 50

    inner.dataReceived = calls
    chunk = b"".join(b"%050d" % number for number in range(1200))
    client.dataReceived(chunk)
    assert len(inner.received) - begun < len(chunk) / 4
    assert transport.producerState == "paused"
    for _ in range(200):
        other.turns.spend(0.1)
        port.clock.pump([0.05] * 20)
    assert inner.received[begun:] == chunk


def test_an_account_alone_is_read_from_for_a_hundredth_of_a_second_and_then_it_is_others_turn(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = Port()
    client, transport = port.connect()
    sign_in(client)
    now = [0.0]
    monkeypatch.setattr("time.thread_time", lambda: now[0])
    inner: Any = client.wrappedProtocol
    turns: list[float] = []

    def slow(_: bytes) -> None:
        now[0] += 0.003
        turns.append(port.clock.seconds())

    inner.dataReceived = slow
    client.dataReceived(bytes(60_000))
    assert 1 < len(turns) * 0.003 / LONG_TURN < 2
    assert transport.producerState == "paused"
    port.clock.pump([TURN] * 200)
    assert max(turns.count(each) for each in turns) * 0.003 < 2 * LONG_TURN
    assert transport.producerState == "producing"


def test_what_a_bitstream_is_made_of_is_read_in_large_pieces() -> None:
    port = Port()
    client, _ = port.connect()
    sign_in(client)
    inner: Any = client.wrappedProtocol
    pieces: list[int] = []
    inner.dataReceived = lambda piece: pieces.append(len(piece))
    for _ in range(4):
        client.dataReceived(bytes(65_536))
    assert sum(pieces) == 4 * 65_536
    assert len(pieces) < 25


def test_a_connection_that_waits_again_and_again_has_one_timer() -> None:
    port = Port()
    client, _ = port.connect()
    sign_in(client)
    other, _ = port.connect()
    sign_in(other, "bob")
    client.wrappedProtocol.dataReceived = lambda _: client.turns.spend(0.01)
    client.turns.spend(1.0)
    for _ in range(100):
        other.turns.spend(0.1)
        client.dataReceived(b"call")
        port.clock.advance(0.1)
    # One for these turns, and that of the factory which looks at all connections.
    assert len(port.clock.getDelayedCalls()) <= 2


HEAD = b"GET /api/available HTTP/1.1\r\nHost: %s\r\nX: y\r\n\r\n"


@pytest.mark.parametrize("host", [b"farm", b"farm.example:8080", b"127.0.0.1:8080", b"[::1]:8080", b"localhost "])
def test_a_request_that_names_its_host_reaches_the_router_in_whatever_pieces(host: bytes) -> None:
    for size in (1, 7, 4096):
        port = Port()
        connection, transport = port.connect()
        request = HEAD % host
        for begin in range(0, len(request), size):
            connection.dataReceived(request[begin : begin + size])
        assert connection.wrappedProtocol.received == request
        assert transport.value() == b""


@pytest.mark.parametrize(
    "request_",
    [
        HEAD % b"ex\xe4mple",
        HEAD % b"[::1",
        (HEAD % b"farm").replace(b"available", b"\xe4"),
        HEAD % b"a b",
        HEAD % b"",
        HEAD % b"farm\r\nHost: other",
        HEAD % b"farm\r\nhost : other",
        HEAD % b"farm\r\n \xe4",
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nX-Host: farm\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"X-Header: x\r\n" * 6000,
    ],
)
def test_a_request_that_does_not_name_its_host_gets_400_and_never_reaches_the_router(request_: bytes) -> None:
    for size in (11, 65_536):
        port = Port()
        connection, transport = port.connect()
        for begin in range(0, len(request_), size):
            connection.dataReceived(request_[begin : begin + size])
        assert b"\r\n\r\n" not in connection.wrappedProtocol.received
        assert transport.value().startswith(b"HTTP/1.1 400 ")
        assert transport.disconnecting


@pytest.mark.parametrize(
    "second",
    [
        HEAD % b"ex\xe4mple",
        b"\x7f" + HEAD % b"ex\xe4mple",
        b"\r\n" + (HEAD % b"farm").replace(b"available", b"\xe4"),
    ],
)
def test_each_request_of_a_connection_names_its_address_and_host(second: bytes) -> None:
    port = Port()
    connection, transport = port.connect()
    channel = speak_http(connection)
    connection.wrappedProtocol.dataReceived = lambda _: setattr(channel, "_handlingRequest", True)
    connection.dataReceived(HEAD % b"farm")
    channel._handlingRequest = False
    connection.dataReceived(second)
    assert transport.value().startswith(b"HTTP/1.1 400 ")


class Undecided(RouterProtocol):
    """The router's protocol, which finds from the first bytes what a connection speaks, and takes these for a line."""

    def __init__(self) -> None:
        super().__init__()
        self._proto: Any = None
        self.first = b""

    def dataReceived(self, data: bytes) -> None:
        super().dataReceived(data)
        if self._proto is None:
            self.first, self._proto = data, Spoken(None, Channel())


def undecided() -> tuple[Any, Transport]:
    """Connect to a router that does not know yet what the connection speaks."""
    port = Port()
    port.factory.wrappedFactory = Factory.forProtocol(Undecided)
    return port.connect()


@pytest.mark.parametrize("size", [1, 7, 65_536])
def test_the_router_gets_the_first_line_of_a_connection_whole(size: int) -> None:
    connection, transport = undecided()
    line = b"GET /api/available?where=%s HTTP/1.1\r\n" % (b"x" * 3000)
    request = line + b"Host: farm\r\n\r\n"
    for begin in range(0, len(request), size):
        connection.dataReceived(request[begin : begin + size])
    inner: Any = connection.wrappedProtocol
    assert inner.first.startswith(line)
    assert inner.received == request
    assert transport.value() == b""


@pytest.mark.parametrize("size", [1, 17, 65_536])
def test_an_address_that_is_not_ascii_does_not_reach_the_router_in_a_piece_of_its_own(size: int) -> None:
    connection, transport = undecided()
    request = b"GET /\xe4 HTTP/1.1\r\nHost: farm\r\n\r\n"
    for begin in range(0, len(request), size):
        connection.dataReceived(request[begin : begin + size])
    assert connection.wrappedProtocol.received == b""
    assert transport.value().startswith(b"HTTP/1.1 400 ")


def test_a_first_line_that_does_not_end_is_refused() -> None:
    connection, transport = undecided()
    for _ in range(70):
        connection.dataReceived(b"x" * 1024)
    assert connection.wrappedProtocol.received == b""
    assert transport.disconnecting


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x02\x00", b"\r\n\r\n\0\r\nQUIT\n\x21\x11", b"\0"])
def test_what_begins_as_nothing_that_the_router_speaks_is_closed_without_an_answer(data: bytes) -> None:
    connection, transport = undecided()
    connection.dataReceived(data)
    assert connection.wrappedProtocol.received == b""
    assert transport.value() == b""
    assert transport.disconnecting


@pytest.mark.parametrize("greeting", [b"\x7f\xf3\0\0", b"\x7f"])
def test_rawsocket_reaches_the_router_at_once(greeting: bytes) -> None:
    connection, _ = undecided()
    connection.dataReceived(greeting)
    assert connection.wrappedProtocol.received == greeting


def test_what_is_no_http_needs_no_host() -> None:
    port = Port()
    connection, transport = port.connect()
    greeting = b"\x7f\xf3\0\0" + b"\r\n\r\n" * 100
    connection.dataReceived(greeting)
    assert connection.wrappedProtocol.received == greeting
    assert transport.value() == b""


def test_a_message_that_the_router_does_not_take_ends_its_connection_and_no_more() -> None:
    port = Port()
    one, two = port.connect(), port.connect()
    inner: Any = one[0].wrappedProtocol

    def refuse(_: bytes) -> None:
        raise PayloadExceededError("too long")

    inner.dataReceived = refuse
    one[0].dataReceived(b"\x7f")
    assert (one[1].disconnecting, two[1].disconnecting) == (True, False)
