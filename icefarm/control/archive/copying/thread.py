"""A connection to PostgreSQL that is used in a thread: COPY, which psycopg2 has only for connections that block.

One call runs at a time.  A call that takes too long has its connection broken, which ends it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

import psycopg2
from attrs import Factory, define
from psycopg2.errors import DeadlockDetected, InterfaceError, OperationalError, SerializationFailure, UniqueViolation
from psycopg2.extensions import make_dsn
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.threads import deferToThreadPool

from icefarm.errors import Busy

__all__ = ["ThreadConnection"]

T = TypeVar("T")

#: Seconds for a connection.
CONNECT_LIMIT = 5
#: How often a transaction that conflicted with another one is tried.
TRIES = 3
_LOST_A_RACE = (DeadlockDetected, SerializationFailure, UniqueViolation)
_SESSION = "SET timezone = 'UTC'; SET idle_in_transaction_session_timeout = '60s'; SET synchronous_commit = on"


@define(eq=False)
class ThreadConnection:
    """A connection, opened with the first call and again after it broke."""

    reactor: Any
    dsn: str
    name: str
    #: Executed when it opens, in a transaction.
    prepare: str = ""
    _connection: Any = None
    _lock: DeferredLock = Factory(DeferredLock)
    _stopped: bool = False

    async def run(self, function: Callable[[Any], T], limit: float) -> T:
        """Call ``function`` with a cursor in a transaction, in a thread, and return its result.

        Raises `Busy` if the database is away, or it takes more than ``limit`` seconds.
        """
        await self._lock.acquire()
        timer = self.reactor.callLater(limit, self._break)
        try:
            if self._stopped:
                raise Busy("the farm is stopping")
            running: Deferred[T] = deferToThreadPool(
                self.reactor, self.reactor.getThreadPool(), self._transaction, function
            )
            return await running
        except (OperationalError, InterfaceError) as error:
            raise Busy(f"the archive's database does not answer ({_first_line(error)}); try again in a while") from None
        finally:
            if timer.active():
                timer.cancel()
            self._lock.release()

    def stop(self) -> None:
        """End what runs, and start nothing more."""
        self._stopped = True
        self._break()

    def _break(self) -> None:
        connection = self._connection
        if connection is None or connection.closed:
            return
        with (
            suppress(OSError, InterfaceError, OperationalError),
            socket.socket(fileno=os.dup(connection.fileno())) as own,
        ):
            own.shutdown(socket.SHUT_RDWR)

    # ------------------------------------------------------------------------------------------------ in the thread

    def _transaction(self, function: Callable[[Any], T]) -> T:
        for tries_left in reversed(range(TRIES)):
            connection = self._open()
            try:
                with connection, connection.cursor() as cursor:
                    return function(cursor)
            except _LOST_A_RACE:
                if not tries_left:
                    raise
            except (OperationalError, InterfaceError):
                self._close()
                raise
            except psycopg2.Error:
                raise
            except BaseException:
                # A COPY may have been left in the middle.
                self._close()
                raise
        raise AssertionError("the last try returns or raises")

    def _open(self) -> Any:
        if self._connection is None or self._connection.closed:
            dsn = make_dsn(self.dsn, connect_timeout=CONNECT_LIMIT, application_name=self.name)
            self._connection = psycopg2.connect(dsn)
            with self._connection, self._connection.cursor() as cursor:
                cursor.execute(f"{_SESSION}; {self.prepare}")
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
