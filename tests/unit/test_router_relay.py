"""What the router asks of control for somebody over HTTP ends when that one is gone."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from twisted.internet.error import ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.test.requesthelper import DummyChannel

from icefarm.farm.router.inside.icefarm_relay import Relay

GONE = Failure(ConnectionDone())
ANSWER = b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n[]"


@define(eq=False)
class Connector:
    """Twisted's side of a connection to control that is about to be made, or is there."""

    factory: Relay
    connected: Any = None
    disconnecting: bool = False
    transport: StringTransport = field(factory=StringTransport)

    def connect(self) -> None:
        self.connected = self.factory.buildProtocol(self.transport.getPeer())
        self.connected.makeConnection(self.transport)

    def disconnect(self) -> None:
        self.disconnecting = True
        if self.connected is None:
            self.factory.clientConnectionFailed(self, Failure(ConnectionRefusedError()))
        else:
            self.connected.connectionLost(GONE)


@pytest.fixture
def asked() -> tuple[Connector, Request, DummyChannel]:
    channel = DummyChannel()
    request = Request(channel, False)
    request.clientproto = b"HTTP/1.1"
    relay = Relay(b"GET", b"/x", b"HTTP/1.1", {b"host": b"here"}, b"", request)
    connector = Connector(relay)
    relay.startedConnecting(connector)
    return connector, request, channel


def test_an_answer_is_passed_on_and_the_connection_to_control_ends(
    asked: tuple[Connector, Request, DummyChannel],
) -> None:
    connector, request, channel = asked
    connector.connect()
    assert connector.transport.value().startswith(b"GET /x HTTP/1.0\r\n")
    connector.connected.dataReceived(ANSWER)
    assert request.finished
    assert channel.transport.written.getvalue().endswith(b"\r\n\r\n[]")
    assert connector.transport.disconnecting


def test_control_hears_at_once_that_somebody_is_gone_and_its_answer_is_for_nobody(
    asked: tuple[Connector, Request, DummyChannel],
) -> None:
    connector, request, channel = asked
    connector.connect()
    request.connectionLost(GONE)
    assert connector.disconnecting
    connector.connected.dataReceived(ANSWER)
    assert not request.finished
    assert channel.transport.written.getvalue() == b""


def test_control_is_not_asked_for_somebody_who_is_gone_before_it_is_reached(
    asked: tuple[Connector, Request, DummyChannel],
) -> None:
    connector, request, channel = asked
    request.connectionLost(GONE)
    assert connector.disconnecting
    assert not request.finished
    assert channel.transport.written.getvalue() == b""


def test_who_asks_while_control_is_away_gets_an_error(asked: tuple[Connector, Request, DummyChannel]) -> None:
    connector, request, channel = asked
    connector.factory.clientConnectionFailed(connector, Failure(ConnectionRefusedError()))
    assert request.finished
    assert b" 501 " in channel.transport.written.getvalue()
