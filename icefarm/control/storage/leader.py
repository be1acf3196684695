"""Elects the leader: of all controls of a farm one works, the others stand by, and one of these takes over from it.

Theory of operation
===================
The leader holds an advisory lock of PostgreSQL, on a connection of its own, for as long as it works::

                lock taken                  connection lost
    STANDBY ------------------> LEADS ------------------------> IN DOUBT
                claim: a new      ^                                | |
                term begins       +--------------------------------+ +------------------> OUT: the process ends
                                    lock taken again, same term         another term has begun

A leader is also out once it has reached no router for a while, and a standby reaches one (below).

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

A leader that reaches PostgreSQL but no router is of no use, and a standby may reach one.  So each standby tells the
database whether it does, by the name of its connection, and the leader sees it in the look that gives its sign of life.
For as long as it sees such a standby, it asks the same question of itself.  Once the answer has been no for `STRANDED`
seconds, and the standby's yes, the leader frees the lock and is out; its term, and the fence, go the usual way.

- A standby that reaches no router leaves the lock to one that does, and tries for it where there is none: while all
  routers are away, the leader keeps the lead, and a farm with one control never asks.
- Both ask in the same way (`RoutersInReach`), and sessions do not count: one over RawSocket does not notice that its
  network is down.  A router that hangs is the same to both, and the lead stays where it is.  So the lead moves only
  from a control without a way to one with a way.  It moves back only once the two have changed places for `STRANDED`
  seconds.
- A router that refuses the leader's sign-in (its ticket was changed, and the leader has the old one) is none that the
  leader reaches.  A standby does not sign in, so it may be refused as well: then it ends as soon as it leads, and so
  does each control after it, until an operator gives one the right ticket.  Nothing is lost by that: the farm has no
  control at a router either way.
- What a standby says counts for `FRESH` seconds, by the database's clock: one that has stopped says nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from functools import partial
from typing import Any, ClassVar, Protocol

from attrs import Factory, define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.control.storage.connection import NAME, ConnectionFailed, DatabaseConnection, Fence, Transaction
from icefarm.control.storage.pool import describe_dsn
from icefarm.errors import Busy

__all__ = ["Election", "ElectionVerdict", "Leadership", "RoutersInReach", "judge", "may_claim", "stranded_since"]

#: Seconds between signs of life of the leader, and between attempts of a standby.
BEAT = 0.5
#: Seconds of silence after which PostgreSQL (14 or newer) ends the leader's connection.
SILENCE = 3
#: Seconds for which a leader reaches no router, and a standby does, before it gives up the lead: longer than a router
#: that comes back can be in reach of the one and not yet of the other (`icefarm.control.wiring.router_probe`).
STRANDED = 4.0
#: Seconds for which a standby's sign of life counts.
FRESH = 3
#: Seconds for an answer.
ANSWER_LIMIT = 3.0
#: Key of the advisory lock: "icelead" in ASCII.  Never change it: all versions must see each other.
_LOCK = 0x6963656C656164
#: The first version of PostgreSQL that ends idle sessions, as libpq numbers them.
_ENDS_IDLE = 140000

#: The server notices a dead network path by itself, which no time limit of ours could tell it.
_WATCHED = "SET tcp_keepalives_idle = 1; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 3"
#: How the name of a standby's connection begins while it reaches a router; the rest says which control it is.  It is
#: not that of a `Fence`, so the connection is not evicted.
_ABLE = "icefarm-standby/"
_LOOK = """
SELECT {lock}, to_regclass('control_leader') IS NOT NULL, set_config('application_name', %(name)s, false)
"""
_TRY, _HAS, _LEAVES = (_LOOK.format(lock=lock) for lock in ("pg_try_advisory_lock(%(key)s)", "true", "false"))
_STANDBYS = f"""
SELECT application_name FROM pg_stat_activity
WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
  AND application_name LIKE %(able)s AND state_change > now() - interval '{FRESH}s'
ORDER BY backend_start LIMIT 1
"""
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
    #: Give up the lead: a standby reaches a router, and this control has reached none for long.
    YIELD = "yield"
    OUT = "out"


@frozen
class Election:
    """What the database says."""

    #: Whether this control's connection has the lock.
    locked: bool
    #: The newest term, and its leader; no term before the first one.
    term: int | None = None
    leader: str = ""
    #: Another control, which stands by and says that it reaches a router; empty if none does.
    able: str = ""


class RoutersInReach(Protocol):
    """Finds out whether this control reaches a router, with a session or without."""

    def reaches(self) -> bool | None:
        """Return what was found lately, None before that; go on finding out for as long as this is asked."""


def judge(mine: int | None, seen: Election, stranded_for: float = 0.0) -> ElectionVerdict:
    """Decide what to do; ``mine`` is the term in which this control leads, None for a standby.

    ``stranded_for``: seconds for which a standby reaches a router, and this control none.
    """
    if mine is not None and seen.term != mine:
        return ElectionVerdict.OUT
    if not seen.locked:
        return ElectionVerdict.WAIT
    return ElectionVerdict.YIELD if mine is not None and stranded_for >= STRANDED else ElectionVerdict.LEAD


def may_claim(mine: int | None, reaches: bool | None, able: str) -> bool:
    """Tell whether a control tries for the lock: a standby leaves it to another one that can do more with it."""
    return mine is not None or reaches is True or not able


def stranded_since(before: float | None, now: float, reaches: bool | None, able: str) -> float | None:
    """Return since when a standby reaches a router and this control none; None if that is not so now."""
    if reaches is not False or not able:
        return None
    return now if before is None else before


@define(eq=False)
class Leadership:
    """This control's role in the election."""

    _reactor: Any
    _dsn: str
    #: Called once, with a sentence, when another control has taken over, or is to.
    _out: Callable[[str], None]
    _routers: RoutersInReach
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
    #: The standby that reached a router at the last look; empty if none did.
    _able: str = ""
    #: Whether another control leads, or could: then it matters whether this one reaches a router.
    _compares: bool = False
    _stranded_since: float | None = None
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
        if found in (ElectionVerdict.OUT, ElectionVerdict.YIELD):
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
                self._end(f"{self.leader} has taken over from this control, which ends")
            elif verdict is ElectionVerdict.YIELD:
                self._end(
                    f"{self._able} reaches a router and takes over from this control, which reaches none and ends"
                )
            await self._wait()
        _answer(self._confirming, ElectionVerdict.OUT)

    def _end(self, why: str) -> None:
        """Give up the lead for good."""
        self._running = False
        self._drop(why)
        self._out(why)

    async def _look(self) -> ElectionVerdict:
        """Ask the database who leads, on a new connection if there is none."""
        reaches = self._routers.reaches() if self._compares else None
        try:
            seen = await self._asked(reaches)
        except ConnectionFailed as error:
            self._drop(str(error))
            self._stranded_since = None
            if self.stands_by:
                self._say(f"cannot connect to PostgreSQL ({describe_dsn(self._dsn)}): {error}; retrying")
            return ElectionVerdict.WAIT
        self.leader, self._able = seen.leader, seen.able
        verdict = judge(self.fence.term, seen, self._stranded_for(reaches))
        self._compares = bool(seen.able) or (verdict is ElectionVerdict.WAIT and self.stands_by)
        if verdict is ElectionVerdict.WAIT and self.stands_by:
            lack = "; this control reaches no router" if reaches is False else ""
            self._say(f"standing by: {seen.leader or 'another control'} leads the farm{lack}")
        elif verdict is ElectionVerdict.LEAD:
            self._said = ""
        return verdict

    def _stranded_for(self, reaches: bool | None) -> float:
        now = self._reactor.seconds()
        self._stranded_since = stranded_since(self._stranded_since, now, reaches, self._able)
        return 0.0 if self._stranded_since is None else now - self._stranded_since

    async def _asked(self, reaches: bool | None) -> Election:
        if self._connection is None:
            self._connection, self._locked = DatabaseConnection(self._reactor), False
            await self._connection.open(self._dsn, ANSWER_LIMIT)
            await self._connection.transaction(_watch, lambda: True, ANSWER_LIMIT)
        seen = await self._connection.transaction(partial(self._see, reaches), lambda: True, ANSWER_LIMIT)
        if seen.locked and self._claiming and self.stands_by:
            self.fence.term = await self._connection.transaction(self._begin_term, lambda: True, ANSWER_LIMIT)
            self._log.info("this control leads the farm, in term {term}", term=self.fence.term)
            self._claimed.callback(None)
            return evolve(seen, term=self.fence.term)
        return seen

    async def _see(self, reaches: bool | None, transaction: Transaction) -> Election:
        standbys = await transaction.rows(_STANDBYS, {"able": _ABLE + "%"})
        able = f"control {standbys[0][0].removeprefix(_ABLE)}" if standbys else ""
        says = self.stands_by and not self._locked and reaches
        name = f"{_ABLE}{os.getpid()} on {self._here}" if says else NAME
        question = self._question(may_claim(self.fence.term, reaches, able))
        locked, has_leader, _ = (await transaction.rows(question, {"key": _LOCK, "name": name}))[0]
        self._locked = locked
        rows = await transaction.rows(_LEADER) if has_leader else []
        if not rows:
            return Election(locked, able=able)
        term, host, pid = rows[0]
        return Election(locked, term, f"control {pid} on {host}", able)

    def _question(self, claims: bool) -> str:
        # A session may take its lock several times, and would have to free it as often.
        if self._locked:
            return _HAS
        return _TRY if claims else _LEAVES

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
