"""What listens at a port: whether it waits for TLS, whether a router greets there."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, fail
from twisted.internet.error import ConnectionDone, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from icefarm.wamp.probe import GREETING_LIMIT, greets, speaks_tls
from icefarm.wamp.url import parse_url

#: What Crossbar answers over RawSocket: messages of up to 16 MB, in CBOR.
GREETING = b"\x7f\xf3\x00\x00"


@implementer(IStreamClientEndpoint)
class FailingEndpoint:
    def __init__(self, error: Exception) -> None:
        self._error = error

    def connect(self, _: object) -> Deferred[object]:
        return fail(self._error)


@pytest.mark.parametrize("error", [ConnectionRefusedError(), DNSLookupError("no such host")])
@ensureDeferred
async def test_a_port_that_cannot_be_reached_is_not_said_to_speak_tls(error: Exception) -> None:
    assert not await speaks_tls(Clock(), "farm.example", FailingEndpoint(error))


def asked(reactor: MemoryReactorClock) -> tuple[list[bool], Any]:
    """Ask whether a router greets at a Unix socket; return where the answer comes, and the attempt to connect."""
    answers: list[bool] = []
    Deferred.fromCoroutine(greets(reactor, parse_url("unix:/run/control.sock"))).addCallback(answers.append)
    (attempt,) = reactor.unixClients
    return answers, attempt[1]


def connected(factory: Any) -> tuple[Any, StringTransport]:
    protocol, transport = factory.buildProtocol(None), StringTransport()
    protocol.makeConnection(transport)
    return protocol, transport


def test_a_router_that_answers_the_greeting_greets_and_the_connection_ends_with_that() -> None:
    answers, factory = asked(MemoryReactorClock())
    protocol, transport = connected(factory)
    sent = transport.value()
    protocol.dataReceived(GREETING[:2])
    assert answers == []
    protocol.dataReceived(GREETING[2:])
    assert answers == [True]
    assert transport.disconnected
    assert transport.value() == sent, "no session begins"


def test_a_port_that_accepts_connections_and_says_nothing_does_not_greet() -> None:
    reactor = MemoryReactorClock()
    answers, factory = asked(reactor)
    _, transport = connected(factory)
    reactor.advance(GREETING_LIMIT - 0.1)
    assert answers == []
    reactor.advance(0.2)
    assert answers == [False]
    assert transport.disconnected


def test_a_socket_at_which_nobody_listens_does_not_greet() -> None:
    answers, factory = asked(MemoryReactorClock())
    factory.clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    assert answers == [False]


def test_what_ends_the_connection_first_does_not_greet() -> None:
    answers, factory = asked(MemoryReactorClock())
    protocol, _ = connected(factory)
    protocol.connectionLost(Failure(ConnectionDone()))
    assert answers == [False]
