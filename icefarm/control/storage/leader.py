"""Elects the leader: of all controls of a farm one works, the others stand by, and one of these takes over from it.

Theory of operation
===================
The leader holds an advisory lock of PostgreSQL, on a connection of its own, for as long as it works::

                lock taken                  connection lost
    STANDBY ------------------> LEADS ------------------------> IN DOUBT
                claim: a new      ^                                | |
                term begins       +--------------------------------+ +------------------> OUT: the process ends
                                    lock taken again, same term         another term has begun

What always holds:

- PostgreSQL gives the lock to one connection at a time, and frees it when that connection ends.  It ends a connection
  of a leader that is silent for `SILENCE` seconds: the process is stopped, or its network is.
- A term has one leader.  A leader in doubt goes on with what needs no database, since nobody leads until the database
  is back; then either its own term goes on, or another one has begun.
- Whoever claims a term first ends every connection of earlier leaders (`Fence`), and they get no new one.  So no
  transaction of theirs commits after that.
- A control that joins the router takes procedures over from another session only if the database has just said that it
  leads.  In doubt it registers what nobody else offers.
- A leader that is out ends its process.  Its supervisor starts it again, as a standby: nothing that it remembers is
  mixed with what the next leader decided.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from typing import Any, ClassVar

from attrs import Factory, define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.control.storage.connection import ConnectionFailed, DatabaseConnection, Fence, Transaction
from icefarm.control.storage.pool import describe_dsn
from icefarm.errors import Busy

__all__ = ["Election", "ElectionVerdict", "Leadership", "judge"]

#: Seconds between signs of life of the leader, and between attempts of a standby.
BEAT = 0.5
#: Seconds of silence after which PostgreSQL (14 or newer) ends the leader's connection.
SILENCE = 3
#: Seconds for an answer.
ANSWER_LIMIT = 3.0
#: Key of the advisory lock: "icelead" in ASCII.  Never change it: all versions must see each other.
_LOCK = 0x6963656C656164
#: The first version of PostgreSQL that ends idle sessions, as libpq numbers them.
_ENDS_IDLE = 140000

#: The server notices a dead network path by itself, which no time limit of ours could tell it.
_WATCHED = "SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"
_TRY = "SELECT pg_try_advisory_lock(%(key)s), to_regclass('control_leader') IS NOT NULL"
_KNOWN = "SELECT true, to_regclass('control_leader') IS NOT NULL"
_LEADER = "SELECT term, host, pid FROM control_leader"
_CLAIM = """
INSERT INTO control_leader AS leader (term, host, pid) VALUES (1, %(host)s, %(pid)s)
ON CONFLICT (only_row) DO UPDATE SET term = leader.term + 1, host = %(host)s, pid = %(pid)s, since = now()
RETURNING term
"""
#: A role may end its own sessions.
_EVICT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name LIKE %(controls)s AND application_name <> %(mine)s
"""


class ElectionVerdict(Enum):
    """A control's conclusion from what the database says."""

    LEAD = "lead"
    WAIT = "wait"
    OUT = "out"


@frozen
class Election:
    """What the database says."""

    #: Whether this control's connection has the lock.
    locked: bool
    #: The newest term, and its leader; no term before the first one.
    term: int | None = None
    leader: str = ""


def judge(mine: int | None, seen: Election) -> ElectionVerdict:
    """Decide what to do; ``mine`` is the term in which this control leads, None for a standby."""
    if mine is not None and seen.term != mine:
        return ElectionVerdict.OUT
    return ElectionVerdict.LEAD if seen.locked else ElectionVerdict.WAIT


@define(eq=False)
class Leadership:
    """This control's role in the election."""

    _reactor: Any
    _dsn: str
    #: Called once, with a sentence, when another control has taken over.
    _out: Callable[[str], None]
    fence: Fence = Factory(Fence)
    #: Who leads, as far as this control knows; empty before it does.
    leader: str = ""
    _connection: DatabaseConnection | None = None
    #: Whether that connection has the lock.
    _locked: bool = False
    _acquired: Deferred[None] = Factory(Deferred)
    _claimed: Deferred[None] = Factory(Deferred)
    _claiming: bool = False
    _confirming: list[Deferred[ElectionVerdict]] = Factory(list)
    _keeper: Deferred[None] | None = None
    _pause: Deferred[None] | None = None
    _running: bool = False
    _said: str = ""
    _here: str = field(factory=socket.gethostname)
    _log: ClassVar[Logger] = Logger()

    @property
    def stands_by(self) -> bool:
        """Whether this control does not lead yet."""
        return self.fence.term is None

    async def acquire(self) -> None:
        """Wait until no other control leads: as long as it takes, also while the database is away."""
        self._running = True
        self._keeper = Deferred.fromCoroutine(self._keep())
        self._keeper.addErrback(self._failed)
        await self._acquired

    async def claim(self) -> None:
        """Begin a term, as soon as this control has the lock; the database has this version's schema now."""
        self._claiming = True
        self._look_now()
        await self._claimed

    async def confirm(self) -> bool:
        """Ask the database now, and return whether it says that this control leads; False while it is away.

        Raises `Busy` if another control leads.
        """
        if not self._running:
            raise Busy("another control leads the farm")
        verdict: Deferred[ElectionVerdict] = Deferred()
        self._confirming.append(verdict)
        self._look_now()
        found = await verdict
        if found is ElectionVerdict.OUT:
            raise Busy("another control leads the farm")
        return found is ElectionVerdict.LEAD

    async def stop(self) -> None:
        """Give up the lead."""
        self._running = False
        self._look_now()
        self._drop("the farm is stopping")
        if self._keeper is not None:
            await self._keeper

    async def _begin_term(self, transaction: Transaction) -> int:
        rows = await transaction.rows(_CLAIM, {"host": self._here, "pid": os.getpid()})
        await transaction.rows(_EVICT, {"controls": Fence.PREFIX + "%", "mine": self.fence.name})
        return int(rows[0][0])

    # ------------------------------------------------------------------------------------------- signs of life

    async def _keep(self) -> None:
        """Ask for the lead, and then give signs of life, until `stop` or until another control leads."""
        while self._running:
            # Those that ask during the look get the answer of the next one.
            waiting, self._confirming = self._confirming, []
            verdict = await self._look()
            _answer(waiting, verdict)
            if verdict is ElectionVerdict.LEAD and not self._acquired.called:
                self._acquired.callback(None)
            elif verdict is ElectionVerdict.OUT:
                self._running = False
                self._drop("another control leads")
                self._out(f"{self.leader} has taken over from this control, which ends")
            await self._wait()
        _answer(self._confirming, ElectionVerdict.OUT)

    async def _look(self) -> ElectionVerdict:
        """Ask the database who leads, on a new connection if there is none."""
        try:
            seen = await self._asked()
        except ConnectionFailed as error:
            self._drop(str(error))
            if self.stands_by:
                self._say(f"cannot connect to PostgreSQL ({describe_dsn(self._dsn)}): {error}; retrying")
            return ElectionVerdict.WAIT
        self.leader = seen.leader
        verdict = judge(self.fence.term, seen)
        if verdict is ElectionVerdict.WAIT and self.stands_by:
            self._say(f"standing by: {seen.leader or 'another control'} leads the farm")
        elif verdict is ElectionVerdict.LEAD:
            self._said = ""
        return verdict

    async def _asked(self) -> Election:
        if self._connection is None:
            self._connection, self._locked = DatabaseConnection(self._reactor), False
            await self._connection.open(self._dsn, ANSWER_LIMIT)
            await self._connection.transaction(_watch, lambda: True, ANSWER_LIMIT)
        seen = await self._connection.transaction(self._see, lambda: True, ANSWER_LIMIT)
        if seen.locked and self._claiming and self.stands_by:
            self.fence.term = await self._connection.transaction(self._begin_term, lambda: True, ANSWER_LIMIT)
            self._log.info("this control leads the farm, in term {term}", term=self.fence.term)
            self._claimed.callback(None)
            return evolve(seen, term=self.fence.term)
        return seen

    async def _see(self, transaction: Transaction) -> Election:
        # A session may take its lock several times, and would have to free it as often.
        question = _KNOWN if self._locked else _TRY
        locked, has_leader = (await transaction.rows(question, {"key": _LOCK}))[0]
        self._locked = locked
        rows = await transaction.rows(_LEADER) if has_leader else []
        if not rows:
            return Election(locked)
        term, host, pid = rows[0]
        return Election(locked, term, f"control {pid} on {host}")

    def _drop(self, why: str) -> None:
        connection, self._connection, self._locked = self._connection, None, False
        if connection is not None:
            connection.drop(why)

    def _say(self, sentence: str) -> None:
        """Log why this control does not lead, once for each reason."""
        if self._running and sentence != self._said:
            self._said = sentence
            self._log.warn("{sentence}", sentence=sentence)

    def _look_now(self) -> None:
        if self._pause is not None:
            self._pause.cancel()

    async def _wait(self) -> None:
        if not self._running or self._confirming:
            return
        self._pause = deferLater(self._reactor, BEAT)
        with suppress(CancelledError):
            await self._pause
        self._pause = None

    def _failed(self, failure: Failure) -> None:
        self._log.failure("keeping the lead failed", failure)
        self._running = False
        self._out("this control can't tell whether it leads, and ends")


def _answer(waiting: list[Deferred[ElectionVerdict]], verdict: ElectionVerdict) -> None:
    for asked in waiting:
        if not asked.called:  # Cancelled: nobody waits any more.
            asked.callback(verdict)


async def _watch(transaction: Transaction) -> None:
    """Let PostgreSQL notice a leader that is gone or stopped."""
    await transaction.rows(_WATCHED)
    version = await transaction.rows("SELECT current_setting('server_version_num')::integer")
    if version[0][0] >= _ENDS_IDLE:
        await transaction.rows(f"SET idle_session_timeout = '{SILENCE}s'")
