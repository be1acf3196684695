"""What a peer without a token can do at the farm's port: raw sockets, with and without TLS."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from urllib.parse import urlsplit

import cbor2
import pytest
from attacks.farms import Target
from pytest_twisted import ensureDeferred
from twisted.internet.threads import deferToThread

from icefarm.farm.router.config import MESSAGE_LIMIT
from icefarm.farm.router.inside.icefarm_guard.limits import Limits

pytestmark = [pytest.mark.integration, pytest.mark.attacks]

LIMITS = Limits()
#: Seconds beyond a limit that a busy machine may take.
SLACK = 10.0
#: RawSocket with CBOR, messages of at most 16 MiB.
RAW = b"\x7f\xf3\x00\x00"


@contextmanager
def connected(target: Target, protocols: list[str] | None = None) -> Iterator[socket.socket]:
    where = urlsplit(target.url)
    plain = socket.create_connection((where.hostname, where.port), timeout=LIMITS.sign_in + SLACK)
    if target.ca_file is None:
        with plain:
            yield plain
        return
    context = ssl.create_default_context(cafile=target.ca_file)
    if protocols is not None:
        context.set_alpn_protocols(protocols)
    with plain, context.wrap_socket(plain, server_hostname=where.hostname) as secured:
        yield secured


def read_to_the_end(connection: socket.socket) -> bytes:
    """Return what still comes; raises TimeoutError if the connection stays open."""
    found = b""
    with suppress(ConnectionError, ssl.SSLError):
        while chunk := connection.recv(65536):
            found += chunk
    return found


DETAILS = {"roles": {"caller": {}}, "authmethods": ["ticket"], "authid": "x"}
HELLO = cbor2.dumps([1, "icefarm", DETAILS])
SILENT = {
    "nothing": b"",
    "half a greeting": RAW[:2],
    "a greeting": RAW,
    "half a frame": RAW + struct.pack("!I", MESSAGE_LIMIT - 1) + b"x" * 1000,
    "a sign-in without its token": RAW + struct.pack("!I", len(HELLO)) + HELLO,
    "half a request": b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-",
    "half a body": b"POST /api/reserve HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n{",
    "half a WebSocket": b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n",
    "an answered request": b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@ensureDeferred
async def test_silent_and_unfinished_connections_end(target: Target) -> None:
    def attack() -> dict[str, float]:
        with ExitStack() as stack:
            began = time.monotonic()
            open_ones = {name: stack.enter_context(connected(target)) for name in SILENT}
            for name, connection in open_ones.items():
                connection.sendall(SILENT[name])
            ended = {}
            for name, connection in open_ones.items():
                read_to_the_end(connection)
                ended[name] = time.monotonic() - began
            return ended

    ended = await deferToThread(attack)
    assert set(ended) == set(SILENT)
    assert max(ended.values()) < LIMITS.sign_in + SLACK


@ensureDeferred
async def test_one_byte_a_second_does_not_keep_a_connection(target: Target) -> None:
    def attack() -> float:
        with connected(target) as connection:
            began = time.monotonic()
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
            with suppress(ConnectionError, ssl.SSLError):
                while time.monotonic() - began < LIMITS.sign_in + SLACK:
                    connection.sendall(b"x")
                    time.sleep(0.5)
            return time.monotonic() - began

    assert await deferToThread(attack) < LIMITS.sign_in + SLACK


TOO_MUCH: dict[str, Callable[[], bytes]] = {
    "a frame that is too large": lambda: RAW + struct.pack("!I", MESSAGE_LIMIT + 1),
    "a large frame before sign-in": lambda: RAW + struct.pack("!I", MESSAGE_LIMIT - 1) + bytes(128 * 1024),
    "a large body": lambda: (
        b"POST /api/reserve HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16000000\r\n\r\n" + bytes(2 * LIMITS.request)
    ),
    "many headers": lambda: b"GET / HTTP/1.1\r\n" + b"X-Header: x\r\n" * 100_000,
    "many requests at once": lambda: b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000,
}


@pytest.mark.parametrize("what", TOO_MUCH)
@ensureDeferred
async def test_too_many_bytes_end_the_connection_at_once(target: Target, what: str) -> None:
    def attack() -> tuple[float, bytes]:
        with connected(target) as connection:
            began, answer = time.monotonic(), b""
            with suppress(ConnectionError, ssl.SSLError):
                connection.sendall(TOO_MUCH[what]())
                answer = read_to_the_end(connection)
            return time.monotonic() - began, answer

    seconds, answer = await deferToThread(attack)
    assert seconds < LIMITS.sign_in - 2
    assert answer.count(b"200 OK") <= 1


def references(levels: int = 12, width: int = 20) -> list[object]:
    """Return a list of which CBOR with references is short, and without them has ``width ** levels`` elements."""
    value: list[object] = [0] * width
    for _ in range(levels):
        value = [value] * width
    return value


def web_socket(serializer: bytes, opcode: int, message: bytes) -> bytes:
    request = (
        b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n"
        b"Sec-WebSocket-Protocol: wamp.2.%s\r\n\r\n" % serializer
    )
    # Masked with zeros, which change nothing.
    return request + bytes([0x80 | opcode, 0x80 | 126]) + struct.pack("!H", len(message)) + bytes(4) + message


#: What takes long to decode, or to encode again.
LABORIOUS: dict[str, Callable[[], bytes]] = {
    "lists in JSON": lambda: web_socket(b"json", 1, b"[" * 60_000),
    "maps in JSON": lambda: web_socket(b"json", 1, b'{"a":' * 12_000),
    "lists in msgpack": lambda: web_socket(b"msgpack", 2, b"\x91" * 900 + b"\x01"),
    "lists in CBOR": lambda: web_socket(b"cbor", 2, b"\x81" * 60_000),
    "references": lambda: web_socket(
        b"cbor", 2, cbor2.dumps([1, "icefarm", {**DETAILS, "authextra": {"x": references()}}], value_sharing=True)
    ),
    "a decimal number": lambda: web_socket(
        b"cbor", 2, cbor2.dumps([1, "icefarm", {**DETAILS, "authextra": cbor2.CBORTag(4, [1, 2**400_000])}])
    ),
}
#: With which a WebSocket is closed for it (RFC 6455, section 7.4.1).
PROTOCOL_ERROR = struct.pack("!H", 1002)


@pytest.mark.parametrize("what", LABORIOUS)
@ensureDeferred
async def test_a_message_that_makes_work_is_refused_with_its_reason_and_holds_up_nobody(
    target: Target, what: str
) -> None:
    def attack() -> tuple[bytes, float]:
        with connected(target) as connection, connected(target) as other:
            connection.sendall(LABORIOUS[what]())
            answer = b""
            while b"nvalid serialization" not in answer and (chunk := connection.recv(65536)):
                answer += chunk
            began = time.monotonic()
            other.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert read_to_the_end(other).startswith(b"HTTP/1.1 200 ")
            return answer, time.monotonic() - began

    log = target.process.data_dir / "log" / "router.log"
    before = log.stat().st_size
    answer, seconds = await deferToThread(attack)
    assert PROTOCOL_ERROR + b"WAMP Protocol Error (invalid serialization" in answer
    assert seconds < LIMITS.sign_in - 2
    # A traceback of a thousand calls would be one of 100 kB.
    assert log.stat().st_size - before < 10_000


@ensureDeferred
async def test_many_silent_connections_leave_room_for_a_sign_in(target: Target) -> None:
    def attack() -> int:
        with ExitStack() as stack:
            for _ in range(LIMITS.pending + 20):
                stack.enter_context(connected(target))
            with connected(target) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return int(connection.recv(4096).split(b" ")[1])

    assert await deferToThread(attack) == 200


@ensureDeferred
async def test_http_2_is_not_spoken(target: Target) -> None:
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"

    def attack() -> tuple[str | None, bytes]:
        with connected(target, ["h2", "http/1.1"]) as connection:
            chosen = connection.selected_alpn_protocol() if isinstance(connection, ssl.SSLSocket) else None
            connection.sendall(preface)
            return chosen, read_to_the_end(connection)

    chosen, answer = await deferToThread(attack)
    assert chosen == (None if target.ca_file is None else "http/1.1")
    # A frame of settings would be HTTP/2's answer.
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4") or b"400" in answer[:20]


@ensureDeferred
async def test_who_offers_http_2_alone_gets_no_connection_or_http_1(target: Target) -> None:
    if target.ca_file is None:
        pytest.skip("there is nothing to negotiate without TLS")

    def attack() -> str | None:
        with connected(target, ["h2"]) as connection:
            assert isinstance(connection, ssl.SSLSocket)
            return connection.selected_alpn_protocol()

    with suppress(ssl.SSLError):
        assert await deferToThread(attack) != "h2"


@ensureDeferred
async def test_who_asks_and_is_gone_before_the_answer_leaves_no_traceback(target: Target) -> None:
    request = b"GET /api/snapshot HTTP/1.1\r\nHost: localhost\r\n\r\n"

    def attack() -> bytes:
        for _ in range(20):
            with connected(target) as connection:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.sendall(request)
        # It is answered after all of them.
        with connected(target) as connection:
            connection.sendall(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            return read_to_the_end(connection)

    log = target.process.data_dir / "log" / "router.log"
    before = log.read_text(errors="replace").count("Traceback")
    assert (await deferToThread(attack)).startswith(b"HTTP/1.1 ")
    assert log.read_text(errors="replace").count("Traceback") == before


@pytest.mark.parametrize("headers", [b"Host: ex\xe4mple", b"Host: [::1", b"Host: a b", b"X: y", b"Host: a\r\nHost: b"])
@ensureDeferred
async def test_a_request_that_names_no_host_or_several_gets_400_and_no_traceback(
    target: Target, headers: bytes
) -> None:
    def attack() -> bytes:
        with connected(target) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\n" + headers + b"\r\nConnection: close\r\n\r\n")
            return read_to_the_end(connection)

    log = target.process.data_dir / "log" / "router.log"
    before = log.read_text(errors="replace").count("Traceback")
    assert (await deferToThread(attack)).startswith(b"HTTP/1.1 400 ")
    assert log.read_text(errors="replace").count("Traceback") == before


@ensureDeferred
async def test_a_long_first_line_is_read_in_any_pieces_and_one_that_is_not_ascii_in_none(target: Target) -> None:
    def answer(*pieces: bytes) -> bytes:
        with connected(target) as connection:
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(0.1)
            return read_to_the_end(connection)

    def attack() -> tuple[bytes, bytes, bytes]:
        line, rest = b"GET /health?x=%s HTTP/1.1\r\n" % (b"y" * 4000), b"Host: localhost\r\nConnection: close\r\n\r\n"
        return answer(line + rest), answer(line[:9], line[9:], rest), answer(b"GET /\xe4 HTTP/1.1\r\n")

    log = target.process.data_dir / "log" / "router.log"
    before = log.read_text(errors="replace").count("Traceback")
    whole, in_pieces, not_ascii = await deferToThread(attack)
    assert whole.startswith(b"HTTP/1.1 200 ")
    assert in_pieces.startswith(b"HTTP/1.1 200 ")
    assert not_ascii.startswith(b"HTTP/1.1 400 ")
    assert log.read_text(errors="replace").count("Traceback") == before
