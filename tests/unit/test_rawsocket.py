"""Messages over RawSocket: in whatever pieces they arrive, and what happens to those that fail."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError

import icefarm.wamp._lean_autobahn  # noqa: F401 isort: skip
from autobahn.exception import PayloadExceededError
from autobahn.twisted.rawsocket import WampRawSocketProtocol
from autobahn.wamp.exception import TransportLost
from autobahn.wamp.message import Goodbye
from autobahn.wamp.serializer import CBORSerializer
from twisted.internet.testing import StringTransport

from icefarm.concurrency.prompt.icefarm_rawsocket import MOST_PIECES, data_received, receives, sends

LONGEST = 1000


class Receiver:
    """Takes messages, and notes them."""

    MAX_LENGTH = LONGEST

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.too_long: list[int] = []

    def stringReceived(self, string: bytes) -> None:
        self.received.append(string)

    def lengthLimitExceeded(self, length: int) -> None:
        self.too_long.append(length)


@given(st.lists(st.binary(max_size=40)), st.lists(st.integers(1, 60)))
def test_messages_arrive_in_whatever_pieces(messages: list[bytes], sizes: list[int]) -> None:
    receiver = Receiver()
    stream = b"".join(len(each).to_bytes(4) + each for each in messages)
    for size in [*sizes, len(stream)]:
        data_received(receiver, stream[:size])
        stream = stream[size:]
    assert receiver.received == messages


def test_a_message_arrives_byte_by_byte() -> None:
    receiver = Receiver()
    for byte in b"\0\0\0\3abc\0\0\0\0\0\0\0\1d":
        data_received(receiver, bytes([byte]))
    assert receiver.received == [b"abc", b"", b"d"]


def test_many_small_pieces_are_not_kept_apart() -> None:
    receiver = Receiver()
    receiver.MAX_LENGTH = length = 5 * MOST_PIECES
    data_received(receiver, length.to_bytes(4))
    for number in range(length):
        assert receiver.received == []
        assert len(receiver.__dict__["_pieces"]) <= MOST_PIECES
        data_received(receiver, bytes([number % 251]))
    assert receiver.received == [bytes(number % 251 for number in range(length))]


def test_what_follows_a_message_that_is_too_long_is_not_read() -> None:
    receiver = Receiver()
    for length in (LONGEST, LONGEST + 1):
        data_received(receiver, length.to_bytes(4) + b"x" * length)
    data_received(receiver, b"")
    assert ([len(each) for each in receiver.received], receiver.too_long) == ([LONGEST], [LONGEST + 1])


class Socket(WampRawSocketProtocol):
    """Autobahn's protocol, as clients and the router have it."""

    send = sends(WampRawSocketProtocol.send)
    stringReceived = receives(WampRawSocketProtocol.stringReceived)  # noqa: N815

    def __init__(self) -> None:
        self.transport: Any = StringTransport()
        self._serializer = CBORSerializer()
        self._session: Any = self
        self._max_len_send = LONGEST
        self.error: Exception | None = None
        self.got: list[Any] = []

    def onMessage(self, message: Any) -> None:
        if self.error is not None:
            raise self.error
        self.got.append(message)


GOODBYE = Goodbye("wamp.close.normal")


def test_messages_are_handed_over_and_sent() -> None:
    socket = Socket()
    socket.send(GOODBYE)
    string = socket.transport.value()[4:]
    socket.stringReceived(string)
    assert [each.reason for each in socket.got] == [GOODBYE.reason]
    assert not socket.transport.disconnecting


@pytest.mark.parametrize(("error", "ends"), [(RuntimeError("a bug"), True), (CancelledError(), False)])
def test_an_error_while_a_message_is_handled_ends_the_connection(error: Exception, ends: bool) -> None:
    socket = Socket()
    socket.error = error
    socket.stringReceived(CBORSerializer().serialize(GOODBYE)[0])
    assert socket.transport.disconnected is ends


def test_what_is_no_message_ends_the_connection() -> None:
    socket = Socket()
    socket.stringReceived(b"no message")
    assert socket.transport.disconnected


def test_what_cannot_be_sent_is_refused_as_autobahn_does_it() -> None:
    socket = Socket()
    with pytest.raises(PayloadExceededError, match="exceeding payload limit of 1000"):
        socket.send(Goodbye("wamp.close.normal", "x" * LONGEST))
    socket._session = None
    with pytest.raises(TransportLost):
        socket.send(GOODBYE)
    assert socket.transport.value() == b""
