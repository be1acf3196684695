"""One connection to PostgreSQL: txpostgres with async functions, our own errors, and a signal when it is lost."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Protocol, TypeVar

import psycopg2
from attrs import define, field
from psycopg2.errors import DataError, DiskFull, InterfaceError, OperationalError
from psycopg2.extensions import TransactionRollbackError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionClosed
from twisted.python.failure import Failure
from txpostgres import txpostgres

from icefarm.errors import InvalidArgument

__all__ = ["NAME", "ChangeListener", "ConnectionFailed", "DatabaseConnection", "DatabaseFull", "Fence", "Transaction"]

T = TypeVar("T")

#: Errors of psycopg2 and txpostgres when the connection or the server fails, not the statement.
_CONNECTION_ERRORS = (OperationalError, InterfaceError, ConnectionClosed)

#: How PostgreSQL lists the connection of a control.
NAME = "icefarm-control"
#: Sent first on every connection. The times are seconds; a hanging control must not hold locks against the next one.
_SESSION = f"""
SET application_name = '{NAME}';
SET timezone = 'UTC';
SET statement_timeout = '8s';
SET idle_in_transaction_session_timeout = '20s'
"""
#: The channel on which the database says which table was changed (schema/V27__changes_are_announced.sql).
CHANNEL = "icefarm"


class ChangeListener(Protocol):
    """Hears that a table was changed, by whatever process; `icefarm.control.wiring.service.Control` does."""

    def table_changed(self, table: str) -> None:
        """A transaction that changed the table has been committed."""

    def missed_changes(self) -> None:
        """A connection was lost, perhaps the only one: what was changed meanwhile may not have been announced."""


class ConnectionFailed(Exception):
    """The connection broke, or the server could not answer; the text is PostgreSQL's.

    ``again``: nothing was committed, and another connection may succeed at once.
    """

    def __init__(self, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.again = again


class DatabaseFull(ConnectionFailed):
    """The server answers, and has no room on its disk for what is to be written."""


@define(eq=False)
class Fence:
    """Keeps a control that no longer leads away from the database (`icefarm.control.storage.leader`).

    Its connections have a name, so that the next leader can end them, and are refused outside its own term.
    """

    PREFIX: ClassVar[str] = f"{NAME}/"

    name: str = field(factory=lambda: Fence.PREFIX + secrets.token_hex(8))
    #: The term in which this control leads; None before it does.
    term: int | None = None

    async def check(self, cursor: Any) -> None:
        """Name a new connection, and refuse it outside the term.  Raises `ConnectionFailed`."""
        # In this order: a leader that claims its term in between sees the name.
        await cursor.execute("SELECT set_config('application_name', %(name)s, false)", {"name": self.name})
        if self.term is not None:
            await cursor.execute("SELECT term FROM control_leader")
            if cursor.fetchall() != [(self.term,)]:
                raise ConnectionFailed("another control leads the farm")


class _WithoutTracebacks(txpostgres._PollingMixin):
    """Reports the end of a connection to its waiters, and logs nothing.

    Before psycopg2 notes that a connection has ended, libpq may have closed its socket.  The reactor then refuses the
    descriptor -1 by a ValueError.
    """

    _pollingD: Any = None  # noqa: N815

    def continuePolling(self, swallowErrors: bool = False) -> None:
        try:
            super().continuePolling(swallowErrors)
        except ValueError:
            if not _socket_is_closed(self):
                raise
            waiting, self._pollingD = self._pollingD, None
            if waiting is not None:
                self.reactor.callLater(0, waiting.errback, Failure(_closed()))
            elif not swallowErrors:
                raise _closed() from None

    def doRead(self) -> Exception | None:
        return self._quietly(super().doRead)

    def doWrite(self) -> Exception | None:
        return self._quietly(super().doWrite)

    def _quietly(self, work: Callable[[], None]) -> Exception | None:
        """Return the error of an ended connection to the reactor; raising it would log a traceback each time."""
        try:
            work()
        except psycopg2.Error as error:
            return error
        except ValueError:
            if not _socket_is_closed(self):
                raise
            return _closed()
        return None


def _socket_is_closed(polling: Any) -> bool:
    return bool(polling.fileno() < 0)


def _closed() -> OperationalError:
    return OperationalError("the server closed the connection")


class _Cursor(_WithoutTracebacks, txpostgres.Cursor):
    """A cursor of a `DatabaseConnection`."""


@define
class Transaction:
    """An open transaction; statements run one after the other."""

    _cursor: Any

    async def rows(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Execute a statement and return its rows, none if it has no result.

        Raises `InvalidArgument` if PostgreSQL can't store a value, otherwise psycopg2's errors.
        """
        try:
            await self._cursor.execute(statement, parameters)
        except CancelledError:
            # Not a cancellation: txpostgres reports statement_timeout so.
            raise ConnectionFailed("PostgreSQL took too long for a statement") from None
        except (DataError, ValueError) as error:
            # ValueError: psycopg2 itself refuses text with NUL characters or unpaired surrogates.
            raise InvalidArgument(f"the database can't keep that: {_first_line(error)}") from error
        return [] if self._cursor.description is None else self._cursor.fetchall()


class DatabaseConnection(_WithoutTracebacks, txpostgres.Connection):
    """A connection.  ``lost`` fires once when it is gone; ``reason`` then says why."""

    cursorFactory = _Cursor  # noqa: N815

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.lost: Deferred[None] = Deferred()
        self.reason: str | None = None
        self._committing = False

    async def open(self, dsn: str, limit: float, fence: Fence | None = None) -> None:
        """Connect, within ``limit`` seconds.  Must not be cancelled; `drop` ends it.  Raises `ConnectionFailed`."""
        await self._limited(self._open(dsn, fence), limit)

    async def listen(self, listener: ChangeListener, limit: float) -> None:
        """Pass on what the database says of changed tables, from now on.

        Raises `ConnectionFailed`: also at a server that is a standby, which refuses that.
        """
        self.addNotifyObserver(lambda notice: listener.table_changed(notice.payload))
        try:
            await self._limited(self.cursor().execute(f"LISTEN {CHANNEL}"), limit)
        except psycopg2.Error as error:
            self.drop(_first_line(error))
            raise ConnectionFailed(_first_line(error)) from error

    async def _open(self, dsn: str, fence: Fence | None) -> None:
        try:
            await self.connect(dsn)
        except ValueError:
            # It was dropped while the server answered, and txpostgres gives its socket to the reactor all the same.
            if not _socket_is_closed(self):
                raise
            raise _closed() from None
        cursor = self.cursor()
        await cursor.execute(_SESSION)
        if fence is None:
            return
        try:
            await fence.check(cursor)
        except ConnectionFailed as error:
            self.drop(str(error))
            raise

    async def transaction(
        self, function: Callable[[Transaction], Awaitable[T]], may_commit: Callable[[], bool], limit: float
    ) -> T:
        """Run ``function`` in a transaction, within ``limit`` seconds; it is rolled back if it raises.

        ``may_commit`` is called last: if it returns False, the transaction is rolled back and CancelledError raised.
        Must not be cancelled itself (txpostgres can't). Raises `ConnectionFailed`.
        """
        return await self._limited(self._transaction(function, may_commit), limit)

    async def _transaction(self, function: Callable[[Transaction], Awaitable[T]], may_commit: Callable[[], bool]) -> T:
        self._committing = False
        cursor = self.cursor()
        await cursor.execute("BEGIN")
        try:
            result = await function(Transaction(cursor))
            if not may_commit():
                raise CancelledError
            self._committing = True
            await cursor.execute("COMMIT")
        except BaseException:
            if not self.closed:
                await cursor.execute("ROLLBACK")
            raise
        return result

    async def _limited(self, operation: Awaitable[T], limit: float) -> T:
        """Await it; a server that stays silent gets the connection closed, which ends every wait on it."""
        timer = self.reactor.callLater(limit, self.drop, f"no answer within {limit:.2g} s")
        try:
            return await operation
        except TransactionRollbackError:
            # A deadlock and the like: an OperationalError too, but the connection is as good as before.
            raise
        except DiskFull as error:
            raise DatabaseFull(_first_line(error)) from error
        except _CONNECTION_ERRORS as error:
            # If there is a reason already, we closed it ourselves; a retry would only take as long again.
            again = self.reason is None and not self._committing and self._is_closed()
            if self._is_closed():
                self.drop(_first_line(error))
            raise ConnectionFailed(self.reason or _first_line(error), again=again) from error
        finally:
            if timer.active():
                timer.cancel()

    def drop(self, reason: str) -> None:
        """Close it, whatever runs on it."""
        if self.reason is None:
            self.reason = reason
        if self.pollable() is not None:
            self.close()
        if not self.lost.called:
            self.lost.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        super().connectionLost(reason)
        if self._is_closed() and self.reason is None:
            self.drop(_first_line(reason.value or reason))

    def _is_closed(self) -> bool:
        return self.pollable() is None or bool(self.pollable().closed)


def _first_line(error: object) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
