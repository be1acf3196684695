"""Many people behind one address: how long a sign-in takes while others of the address fail all the time."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import define, field
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from icefarm.farm.router.inside.icefarm_guard.factory import GuardFactory
from icefarm.farm.router.inside.icefarm_guard.limits import Limits
from icefarm.farm.router.inside.icefarm_guard.sign_in import PER_FAILURE

#: Seconds of a step of the test's clock, and of the router's time for each chunk of a sign-in: on a busy machine.
STEP, CHUNK = 0.01, 0.002


class Authenticate:
    """A token that a session shows, as the router knows it by its class."""

    def __init__(self, signature: str) -> None:
        self.signature = signature


@define(eq=False, slots=False)
class Session:
    """The router's session; control knows the good tokens."""

    shown: list[str] = field(factory=list)
    _authid: str | None = None
    _session_id: int | None = None
    _authrole: str = "client"
    _goodbye_sent: bool = False
    _pending_auth: Any = None

    def onMessage(self, message: Any) -> None:
        if isinstance(message, Authenticate):
            self.shown.append(message.signature)


@define
class Spoken:
    _session: Any = None
    _channel: Any = None


class RouterProtocol(Protocol):
    """A session begins with its second chunk, and its token is in the third."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._proto: Any = None
        self.chunks = 0

    def dataReceived(self, data: bytes) -> None:
        self.chunks += 1
        self.lab.time += CHUNK
        if self.chunks == 1:
            self._proto = Spoken(Session())
        elif self.chunks == 2:
            self._proto._session._pending_auth = "a challenge was sent"
        else:
            self._proto._session.onMessage(Authenticate(data.decode()))


class Transport(StringTransport):
    dataBuffer = b""  # noqa: N815 - Twisted's names
    offset = 0
    _tempDataLen = 0  # noqa: N815

    def abortConnection(self) -> None:
        self.disconnecting = True


class Lab:
    """A guarded port, and all who sign in there from one address."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        self.time = 0.0
        monkeypatch.setattr("time.thread_time", lambda: self.time)
        wrapped = Factory()
        wrapped.buildProtocol = lambda _: RouterProtocol(self)  # type: ignore[method-assign]
        self.factory = GuardFactory(wrapped, Limits(), self.clock)
        self.factory.doStart()
        self.people: list[Person] = []
        self.refusals = 0

    def comes(self, token: str, *, again: bool = False) -> Person:
        person = Person(self, token, again, self.clock.seconds())
        self.people.append(person)
        person.connect()
        return person

    def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP)):
            for person in self.people:
                person.go_on()
            self.clock.advance(STEP)


@define(eq=False, slots=False)
class Person:
    """Signs in once, or fails again and again."""

    lab: Lab
    token: str
    again: bool
    came_at: float
    took: float | None = None
    connection: Any = None
    sent: int = 0

    def connect(self) -> None:
        self.sent = 0
        self.connection = self.lab.factory.buildProtocol(IPv4Address("TCP", "10.0.0.1", 4711))
        self.connection.makeConnection(Transport())

    def go_on(self) -> None:
        """Send the next chunk once the one before has been answered."""
        if self.took is not None:
            return
        if self.connection.transport.disconnecting:
            self.connection.connectionLost()
            self.connect()
        inner = self.connection.wrappedProtocol
        if self.sent < 3 and inner.chunks == self.sent and self.connection.transport.producerState == "producing":
            self.sent += 1
            self.connection.dataReceived((b"\x7fgreeting", b"hello", self.token.encode())[self.sent - 1])
        if inner._proto is not None and inner._proto._session.shown:
            self._answered(inner._proto._session)

    def _answered(self, session: Session) -> None:
        if self.token.startswith("good"):
            session._authid, session._session_id = self.token, 1
            self.connection.notice_sign_in()
            self.took = self.lab.clock.seconds() - self.came_at
        else:
            self.lab.refusals += 1
            self.connection.connectionLost()
            self.connect()


@pytest.mark.parametrize("failing", [1, 20, 200])
def test_a_class_of_thirty_signs_in_within_seconds_while_a_script_of_theirs_fails_all_the_time(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(monkeypatch)
    for _ in range(failing):
        lab.comes("wrong", again=True)
    lab.pass_time(10)
    students = [lab.comes(f"good {number}") for number in range(30)]
    lab.pass_time(12)
    took = [student.took for student in students]
    assert None not in took
    # All at once, they use the share of sign-ins, of which the script gets one of 31 parts.
    assert max(each or 0.0 for each in took) < 30 * PER_FAILURE / Limits().share * 1.5 + 2
    one = lab.comes("good of a latecomer")
    lab.pass_time(5)
    assert one.took is not None
    assert one.took < 3


def test_a_token_that_has_signed_in_does_not_wait_for_those_that_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    lab.comes("good 1")
    lab.pass_time(2)
    for number in range(200):
        lab.comes(f"wrong {number}", again=True)
    lab.pass_time(10)
    again, new = lab.comes("good 1"), lab.comes("good 2")
    lab.pass_time(5)
    assert again.took is not None
    assert again.took < 3
    # 200 tokens that nobody knows take turns with another one that nobody knows.
    lab.pass_time(30)
    assert new.took is not None


def test_what_fails_uses_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    for _ in range(50):
        lab.comes("wrong", again=True)
    lab.pass_time(10)
    before = lab.refusals
    lab.pass_time(20)
    most = 20 * Limits().share / PER_FAILURE
    assert most * 0.5 < lab.refusals - before < most * 1.2


def test_a_token_that_fails_is_not_known_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    lab.comes("good 1")
    lab.pass_time(1)
    (known,) = lab.factory.accepted
    assert known == lab.factory.mark("good 1")
    revoked = lab.comes("good 1")

    def refused(_: Session) -> None:
        revoked.took = 0.0
        revoked.connection.connectionLost()

    revoked._answered = refused  # type: ignore[method-assign]
    lab.pass_time(1)
    assert revoked.took is not None
    assert not lab.factory.accepted


def test_one_that_shows_a_token_before_it_is_asked_is_not_ahead_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)
    hasty = lab.comes("wrong")
    inner = hasty.connection.wrappedProtocol
    session = Session()
    session._pending_auth = "a challenge was sent"
    inner._proto = Spoken(session)
    inner.chunks = 2
    left = hasty.connection.turns.bucket.left
    hasty.connection.dataReceived(b"all in one chunk")
    hasty.connection.connectionLost()
    assert hasty.connection.turns.bucket.left < left - PER_FAILURE


@pytest.mark.parametrize("spent", [0.0, 1.0])
def test_a_connection_that_shows_a_second_token_is_closed_whether_or_not_the_first_one_waits(
    spent: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    lab = Lab(monkeypatch)
    connection = lab.comes("wrong 1").connection
    lab.people.clear()
    connection.sign_in.attempts.spend(spent)
    for chunk in (b"\x7fgreeting", b"hello", b"wrong 1"):
        connection.dataReceived(chunk)
    shown = connection.wrappedProtocol._proto._session.shown
    assert shown == ([] if spent else ["wrong 1"])
    connection.dataReceived(b"wrong 2")
    assert connection.transport.disconnecting
    connection.connectionLost()
    lab.pass_time(10)
    assert shown == ([] if spent else ["wrong 1"])
    assert not lab.factory.accepted


def test_requests_over_http_of_an_address_do_not_hold_up_its_sessions(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = Lab(monkeypatch)

    @define
    class Channel:
        _handlingRequest: bool = False  # noqa: N815 - Twisted's name
        _dataBuffer: list[bytes] = field(factory=list)  # noqa: N815

    askers = [lab.comes("wrong").connection for _ in range(200)]
    lab.people.clear()
    lab.pass_time(3)
    for connection in askers:
        inner = connection.wrappedProtocol
        inner._proto, inner.chunks = Spoken(None, Channel()), 3
        inner.dataReceived = lambda _: lab.factory.turns_of("address", "10.0.0.1").spend(0.05)
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: farm\r\n\r\n")
        connection.dataReceived(b"GET / HTTP/1.1\r\nHost: farm\r\n\r\n")
    student = lab.comes("good 1")
    lab.pass_time(5)
    assert student.took is not None
    assert student.took < 4
