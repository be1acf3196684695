"""Writes at once what a transport takes, instead of in the reactor's next turn.

Twisted gathers what is written in one turn, asks the kernel when the transport takes it, and writes it in the next
turn.  For a message that is alone that is a turn and three system calls more than to write it: a quarter of the time of
an evaluation that is alone, since its messages pass six transports.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.interfaces import ITCPTransport
from twisted.logger import Logger

__all__ = ["APART", "poll", "poll_directly", "rest_of", "send_string", "without_delay"]

#: Seconds from one message to the next from which on each is written at once; closer ones are gathered, which costs
#: less where there are many.
APART = 0.001

_log = Logger(namespace="icefarm.prompt")


def without_delay(connection_made: Callable[[Any], None]) -> Callable[[Any], None]:
    """Have the kernel send a message also while an earlier one is not acknowledged yet: makes a ``connectionMade``.

    Otherwise (Nagle's algorithm) it waits for an acknowledgement, which the other end may delay by 40 ms.  Autobahn
    does so for WebSocket, and not for RawSocket.
    """

    def connected(protocol: Any) -> None:
        if ITCPTransport.providedBy(protocol.transport):
            # Some systems refuse it once the other end has closed the connection.
            with suppress(OSError):
                protocol.transport.setTcpNoDelay(True)
        connection_made(protocol)

    return connected


def rest_of(transport: Any, data: bytes) -> bytes:
    """Write as much of ``data`` as a transport takes at once; return the rest, which is to be written as usual.

    Nothing is written where earlier data waits, or where the transport is no descriptor, as with TLS.
    """
    if not isinstance(transport, FileDescriptor) or not transport.connected or transport.disconnecting:
        return data
    # Of a Twisted that counts in another way what waits, nothing is known: all is written as usual.
    if transport.dataBuffer or getattr(transport, "_tempDataLen", True):
        return data
    written = transport.writeSomeData(data)
    # Of an error, which is no number, the reactor hears as it writes the rest.
    return data[written:] if isinstance(written, int) and written > 0 else data


def poll(reactor: Any, timeout: float | None) -> None:
    """Wait for events and handle them: the method ``doPoll`` of a reactor with epoll.

    Twisted's own one notes for each event, in a context, whose it is, for a kind of log lines that nobody writes here.
    """
    try:
        events = reactor._poller.poll(-1 if timeout is None else timeout, len(reactor._selectables))
    except InterruptedError:
        return
    for number, event in events:
        selectable = reactor._selectables.get(number)
        if selectable is not None:
            try:
                reactor._doReadOrWrite(selectable, number, event)
            except Exception:
                _log.failure("reading from or writing to {selectable} failed", selectable=selectable)


def poll_directly(reactor: object) -> None:
    """Have the reactor of a service handle events in this way, if it is one with epoll."""
    kind: Any = type(reactor)
    # A reactor with poll(2) has a poller too, which counts in milliseconds.
    if isinstance(getattr(reactor, "_poller", None), getattr(select, "epoll", ())):
        kind.doPoll = kind.doIteration = poll


def send_string(protocol: Any, string: bytes) -> None:
    """Send a message over RawSocket: the method ``sendString`` of a protocol."""
    now = monotonic()
    apart = now - getattr(protocol, "_sent_at", 0.0) >= APART
    protocol._sent_at = now
    data = len(string).to_bytes(4) + string
    if apart:
        data = rest_of(protocol.transport, data)
    if data:
        protocol.transport.write(data)
