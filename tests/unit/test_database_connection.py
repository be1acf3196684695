"""A connection to PostgreSQL that is dropped at an awkward moment, or that is of no use."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg2.errors import ReadOnlySqlTransaction
from psycopg2.extensions import POLL_OK
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.control.storage.connection import ConnectionFailed, DatabaseConnection


class _Poller(Clock):
    """A clock that takes descriptors as epoll does."""

    def addReader(self, reader: Any) -> None:
        if reader.fileno() < 0:
            raise ValueError("file descriptor cannot be a negative integer (-1)")

    def removeReader(self, reader: Any) -> None: ...

    def removeWriter(self, writer: Any) -> None: ...


class _Answered:
    """A connection of psycopg2's whose server has just answered."""

    closed = 0

    def fileno(self) -> int:
        return 0

    def poll(self) -> int:
        return POLL_OK

    def close(self) -> None:
        self.closed = 1


def test_a_connection_that_is_dropped_just_when_the_server_answers_fails_with_the_reason() -> None:
    clock = _Poller()
    connection = DatabaseConnection(clock)
    connection.connectionFactory = lambda *_, **__: _Answered()
    opening = Deferred.fromCoroutine(connection.open("dbname=icefarm", 5.0))
    connection.drop("the farm is stopping")
    clock.advance(0.0)
    with pytest.raises(ConnectionFailed, match="the farm is stopping"):
        opening.result.raiseException()  # type: ignore[attr-defined]
    opening.addErrback(lambda _: None)


class _Standby(_Answered):
    """A connection to a server in recovery."""

    def cursor(self) -> _Standby:
        return self

    def execute(self, *_: object) -> None:
        raise ReadOnlySqlTransaction("cannot execute LISTEN during recovery\n")


class _Deaf:
    def table_changed(self, table: str) -> None: ...

    def missed_changes(self) -> None: ...


def test_a_server_that_is_still_a_standby_is_left_and_can_be_tried_again() -> None:
    clock = _Poller()
    connection = DatabaseConnection(clock)
    connection.connectionFactory = lambda *_, **__: _Standby()
    connection.connect("dbname=icefarm")
    clock.advance(0.0)
    listening = Deferred.fromCoroutine(connection.listen(_Deaf(), 5.0))
    with pytest.raises(ConnectionFailed, match=r"^cannot execute LISTEN during recovery$"):
        listening.result.raiseException()  # type: ignore[attr-defined]
    listening.addErrback(lambda _: None)
    assert connection.reason == "cannot execute LISTEN during recovery"
    assert connection.closed
    assert clock.getDelayedCalls() == []
