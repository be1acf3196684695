"""A pool of connections to PostgreSQL, reopened when they break, and transactions on any free one.

While the database is away, a call waits a bounded time for it and then raises `Busy`, without any other effect.  Once
the database has been away for that long, calls fail at once: a caller that retries later finds it back soon enough.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar, TypeVar

import psycopg2
from attrs import Factory, define
from psycopg2.errors import DeadlockDetected, SerializationFailure, UniqueViolation
from psycopg2.extensions import make_dsn, parse_dsn
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, TimeoutError, ensureDeferred
from twisted.internet.task import deferLater
from twisted.logger import Logger

from icefarm.control.storage.connection import (
    ChangeListener,
    ConnectionFailed,
    DatabaseConnection,
    DatabaseFull,
    Fence,
    Transaction,
)
from icefarm.errors import Busy, InvalidArgument

__all__ = ["Database", "check_dsn", "describe_dsn"]

T = TypeVar("T")

#: Connections kept open; a control makes a few hundred small transactions a second at most.
CONNECTIONS = 4
#: Seconds that a call waits for a free connection; after that much absence, it does not wait at all.
FREE_LIMIT = 5.0
#: Seconds for a connection.
CONNECT_LIMIT = 5.0
#: Seconds for a whole transaction, including the wait for a connection and retries; the server's own limit for a
#: statement is shorter.
TRANSACTION_LIMIT = 10.0
#: Seconds until a broken connection is reopened: at first, at most; doubled each time.
FIRST_DELAY, LONGEST_DELAY = 0.1, 2.0
#: Seconds for which a write that found the disk full counts: control writes several times a minute.
FULL_FOR = 120.0
#: How often to run a transaction that conflicted with another one.
TRIES = 5
_SHOWN = ("service", "host", "hostaddr", "port", "dbname", "user")
_LOST_A_RACE = (DeadlockDetected, SerializationFailure, UniqueViolation)


def check_dsn(text: str) -> str:
    """Check a connection string (libpq's, or a ``postgresql://`` URL), and return it.  Raises `InvalidArgument`."""
    try:
        make_dsn(text)
    except psycopg2.ProgrammingError as error:
        reason = str(error).strip().replace("\n", " ")
        raise InvalidArgument(
            f"that is not a connection string for PostgreSQL ({reason}); write postgresql://user@host/database "
            "or 'host=... dbname=... user=...'"
        ) from None
    return text


def describe_dsn(dsn: str) -> str:
    """Describe a connection string's database for users; never with its password."""
    parts = parse_dsn(dsn)
    return " ".join(f"{name}={parts[name]}" for name in _SHOWN if name in parts) or "as libpq's environment says"


@define(eq=False)
class Database:
    """Connections to the database named by ``dsn``, from ``start`` to ``stop``."""

    reactor: Any
    dsn: str
    size: int = CONNECTIONS
    #: Of a control that leads.
    fence: Fence | None = None
    #: Called with the reason when the last connection is lost, and with None when there is one again.
    on_change: Callable[[str | None], None] | None = None
    #: Hears of changed tables on each connection: one that is lost, or busy, delays nothing.  Set it before `start`.
    listener: ChangeListener | None = None
    #: Why there is no connection; None while there is one.
    problem: str | None = "not connected yet"
    #: What the server said when it had no room for a write, and when.
    _full: tuple[str, float] | None = None
    #: Since when there is none.
    _away_since: float | None = None
    #: All, also those that are still connecting; how many are open; those that no call uses.
    _connections: set[DatabaseConnection] = Factory(set)
    _opened: int = 0
    _free: deque[DatabaseConnection] = Factory(deque)
    _waiting: deque[Deferred[DatabaseConnection]] = Factory(deque)
    #: Of transactions that choose boards.
    _turn: DeferredLock = Factory(DeferredLock)
    _delays: set[Deferred[None]] = Factory(set)
    _keepers: list[Deferred[None]] = Factory(list)
    _first: Deferred[None] = Factory(Deferred)
    _running: bool = False
    _log: ClassVar[Logger] = Logger()

    def full(self) -> str:
        """Say why a write of the last minutes failed for lack of room on the server's disk; "" if none did."""
        if self._full is None or self.reactor.seconds() - self._full[1] > FULL_FOR:
            return ""
        return self._full[0]

    async def start(self) -> None:
        """Open the connections; returns once there is one.

        Raises `Busy`, with what PostgreSQL said, when the first attempt fails; the attempts go on until `stop`.
        """
        self._running = True
        for _ in range(self.size):
            keeper = ensureDeferred(self._keep())
            keeper.addErrback(lambda failure: self._log.failure("keeping a connection", failure))
            self._keepers.append(keeper)
        await self._first

    async def stop(self) -> None:
        """Close all connections; pending and later calls raise `Busy`."""
        self._running = False
        for connection in list(self._connections):
            connection.drop("the farm is stopping")
        for delay in list(self._delays):
            delay.cancel()
        while self._waiting:
            self._waiting.popleft().errback(Busy("the farm is stopping"))
        if self._keepers and not self._first.called:
            self._first.errback(Busy("the farm is stopping"))
        for keeper in self._keepers:
            await keeper

    async def transaction(
        self, function: Callable[[Transaction], Awaitable[T]], *, limit: float = TRANSACTION_LIMIT
    ) -> T:
        """Run ``function`` in a transaction and return its result; if it raises, nothing of it remains.

        It is run again if it conflicted with another transaction, or its connection broke before the commit.
        Cancelled before the commit, it is rolled back; a caller that must know whether it committed shields the call
        and waits for its end. Raises `Busy`, after ``limit`` seconds at the latest.
        """
        until = self.reactor.seconds() + limit
        for tries_left in reversed(range(TRIES)):
            try:
                return await self._attempt(function, until)
            except _LOST_A_RACE:
                if not tries_left:
                    raise
            except DatabaseFull as error:
                self._note_full(str(error))
                raise Busy(
                    f"the database has no room to write ({error}); an operator frees space on its disk"
                ) from error
            except ConnectionFailed as error:
                if not (error.again and tries_left):
                    raise Busy(f"the database does not answer ({error}); try again in a while") from error
        raise AssertionError("the last try returns or raises")

    async def transaction_in_turn(self, function: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run a transaction that chooses boards, after those before it.

        They would wait for each other in the database, each on a connection that a heartbeat may need.
        """
        turn = self._turn.acquire()
        turn.addTimeout(TRANSACTION_LIMIT, self.reactor)
        try:
            await turn
        except TimeoutError:
            raise Busy("too many requests for boards at the same time; try again in a while") from None
        try:
            return await self.transaction(function)
        finally:
            self._turn.release()

    def _note_full(self, reason: str) -> None:
        if not self.full():
            self._log.error("the database has no room to write: {reason}; free space on its disk", reason=reason)
        self._full = (reason, self.reactor.seconds())

    async def _attempt(self, function: Callable[[Transaction], Awaitable[T]], until: float) -> T:
        connection = await self._take_free(until - self.reactor.seconds())
        limit = max(0.0, until - self.reactor.seconds())
        cancelled = False

        def cancel(_: Deferred[T]) -> None:
            nonlocal cancelled
            cancelled = True

        def done(result: Any) -> None:
            self._give_back(connection)
            if not cancelled:
                outcome.callback(result)

        outcome: Deferred[T] = Deferred(cancel)
        running = ensureDeferred(connection.transaction(function, lambda: not cancelled, limit))
        running.addBoth(done)
        return await outcome

    async def _take_free(self, limit: float) -> DatabaseConnection:
        if not self._running:
            raise Busy("the farm is stopping") if self._keepers else self._absence()
        if self._free:
            return self._free.popleft()
        if self._away_since is not None and self.reactor.seconds() - self._away_since > FREE_LIMIT:
            raise self._absence()
        waiting: Deferred[DatabaseConnection] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        waiting.addTimeout(max(0.0, min(FREE_LIMIT, limit)), self.reactor)
        try:
            return await waiting
        except TimeoutError:
            raise self._absence() from None

    def _absence(self) -> Busy:
        return Busy(f"the database is away ({self.problem or 'too much to do'}); try again in a while")

    def _give_back(self, connection: DatabaseConnection) -> None:
        if connection.reason is not None:
            return
        if self._waiting:
            self._waiting.popleft().callback(connection)
        else:
            self._free.append(connection)

    async def _keep(self) -> None:
        """Keep one connection open, until `stop`."""
        delay, again = FIRST_DELAY, False
        while self._running:
            connection = DatabaseConnection(self.reactor)
            self._connections.add(connection)
            try:
                await connection.open(self.dsn, CONNECT_LIMIT, self.fence)
                if self.listener is not None:
                    await connection.listen(self.listener, CONNECT_LIMIT)
                delay = FIRST_DELAY
                await self._serve(connection, again)
                again = True
            except ConnectionFailed as error:
                self._away(str(error))
                await self._wait(delay)
                delay = min(2 * delay, LONGEST_DELAY)
            finally:
                self._connections.remove(connection)

    async def _serve(self, connection: DatabaseConnection, again: bool) -> None:
        """Lend an open connection to calls until it is lost; ``again``: it replaces one that was lost."""
        self._opened += 1
        self._back()
        self._give_back(connection)
        if again and self.listener is not None:
            self.listener.missed_changes()
        await connection.lost
        self._opened -= 1
        if connection in self._free:
            self._free.remove(connection)
        self._away(connection.reason or "closed")

    async def _wait(self, seconds: float) -> None:
        if not self._running:
            return
        delay: Deferred[None] = deferLater(self.reactor, seconds)
        self._delays.add(delay)
        with suppress(CancelledError):
            await delay
        self._delays.remove(delay)

    def _away(self, reason: str) -> None:
        if self._opened or not self._running:
            return
        known, self.problem = self.problem, reason
        if self._away_since is None:
            self._away_since = self.reactor.seconds()
        if not self._first.called:
            self._first.errback(Busy(f"cannot connect to PostgreSQL ({describe_dsn(self.dsn)}): {reason}"))
        if known is None:
            self._log.warn("the database is away: {reason}", reason=reason)
            self._tell(reason)

    def _back(self) -> None:
        self._away_since = None
        if self.problem is None:
            return
        self.problem = None
        if not self._first.called:
            self._first.callback(None)
        else:
            self._log.info("the database is back")
        self._tell(None)

    def _tell(self, problem: str | None) -> None:
        if self.on_change is not None:
            self.on_change(problem)
