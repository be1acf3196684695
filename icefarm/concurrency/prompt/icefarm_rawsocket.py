"""What Autobahn's RawSocket does with each message, with fewer functions and copies.

Its own methods make lines of a log for each message that nobody reads, and Twisted's copies what has arrived of a
message again with each piece that follows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

__all__ = ["MOST_PIECES", "data_received", "receives", "sends"]

#: Bytes of the number before each message.
PREFIX = 4
#: Pieces of a message that are kept apart; one of a few bytes takes twenty times as much memory.
MOST_PIECES = 1000


def data_received(protocol: Any, data: bytes) -> None:
    """Take what has arrived; the method ``dataReceived`` of a protocol, once it has shaken hands."""
    pieces = protocol.__dict__.setdefault("_pieces", [])
    if pieces:
        pieces.append(data)
        protocol._missing -= len(data)
        if protocol._missing > 0:
            if len(pieces) > MOST_PIECES:
                pieces[:] = [b"".join(pieces)]
            return
        data = b"".join(pieces)
        pieces.clear()
    start, end = 0, len(data)
    while start < end:
        body = start + PREFIX
        length = int.from_bytes(data[start:body]) if body <= end else 0
        if length > protocol.MAX_LENGTH:
            protocol.lengthLimitExceeded(length)
            return
        if body + length > end:
            protocol._missing = body + length - end
            pieces.append(data[start:])
            return
        start = body + length
        protocol.stringReceived(data[body:start])


class RawSocket:
    """What Autobahn's method for a message asks of a protocol, of one whose message failed."""

    def __init__(self, protocol: Any, error: Exception) -> None:
        self.log, self.abort, self._serializer, self._error = protocol.log, protocol.abort, self, error

    def unserialize(self, _: bytes) -> Any:
        raise self._error


def receives(string_received: Callable[[Any, bytes], None]) -> Callable[[Any, bytes], None]:
    """Make the method ``stringReceived`` of a protocol, which takes a message; Autobahn's own takes one that fails."""

    def received(protocol: Any, payload: bytes) -> None:
        try:
            for message in protocol._serializer.unserialize(payload):
                protocol._session.onMessage(message)
        except Exception as error:
            string_received(RawSocket(protocol, error), payload)

    return received


def sends(send: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
    """Make the method ``send`` of a protocol; Autobahn's own refuses what cannot be sent."""

    def sent(protocol: Any, message: Any) -> None:
        if protocol._session is None:
            send(protocol, message)
            return
        payload, _ = protocol._serializer.serialize(message)
        if 0 < protocol._max_len_send < len(payload):
            send(protocol, message)
        else:
            protocol.sendString(payload)

    return sent
