"""Requests for boards that can't be served at once.  `icefarm.control.scheduling.fair_queue` decides who is next.

Theory of operation
-------------------
Each request that waits is a `Waiter` in the `Line`.  It is in one of three states:

                      take (a new request: at the end of the line)
                        │
                        ▼      served, refused, timed out, dismissed, forgotten
                    ATTENDED ───────────────────────────────────────────────────> answered, not in the line
                      │    ▲
      its call ends   │    │ take, with the same request id: it has its place still
      before the      ▼    │
      answer         AWAY ─┴── after GIVEN_UP s, where its session stands: its client gave up ──> struck off
                      │    ▲
     RETURN s later   │    │ take
                      ▼    │
                    PASSED ┴── RETURN s later, its client was here at both moments and did not ask ──> struck off
                      ▲ │
                      └─┘ RETURN s later, its client is not here

AWAY, its turn is kept: boards that it can use go to nobody behind it.  PASSED, others go first, and displays don't show
it.  A request that is not to wait (``wait`` False) stays ATTENDED for at most `SETTLE` seconds, in which boards that
are just being flashed or tested may become available, and is struck off as soon as its call ends.

Requests that wait are kept in the store, so that they keep their places when control is restarted: `restore` puts them
AWAY, and their clients call again with the same id.  A client whose grace period is over is forgotten (`forget`).

Whenever something changes, somebody pokes.  A walk along the line then asks the store for its state and
`fair_queue.decide` for a verdict on each request, and serves those whose turn it is (`Line.serve`).

Invariants:

- A waiter has a call exactly when it has an answer to give; each call gets one answer.
- One walk at a time; a poke during a walk is followed by another walk.
- What the store reserved for a waiter whose wait has ended meanwhile goes to `Allocator.abandon`.
- ``kept`` means that the store has the request, or soon forgets it: `Line.remove` persists.
- A timer of a waiter does nothing once the waiter has another call, or has left the line.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from functools import partial
from typing import Any

from attrs import Factory, define, evolve, field
from twisted.internet.defer import CancelledError

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import AGAIN, Coalesced, Tasks, shielded, started
from icefarm.contract import QueueRecord, account_of
from icefarm.control.reservations.calls import GIVEN_UP, RETURN, Allocation, Allocator, ReserveCall
from icefarm.control.reservations.line import Line
from icefarm.control.reservations.waiter import Waiter
from icefarm.control.scheduling.explanations import foreign_request
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.telemetry.events import Event, ReservationsStarted
from icefarm.errors import Busy, TimedOut, Unavailable
from icefarm.text.durations import in_words

__all__ = ["AVOIDED", "GIVEN_UP", "RETURN", "SETTLE", "WaitingQueue"]

#: Seconds until the line is looked at again when a board was gone before it was taken.
SOON = 0.5
#: Seconds that a request waits, without being asked to, for boards that are being flashed or tested just now: about
#: three times what that takes.
SETTLE = 10.0
#: Seconds for which a request that waits again is not served with the boards that failed it: time to recover, or to be
#: set aside.
AVOIDED = 30.0
#: Seconds until the next look at the line, if requests wait or boards may change hands: their terms change with time.
LOOK_AGAIN = 60.0


@define(eq=False)
class WaitingQueue:
    """All calls for boards without an answer yet."""

    line: Line
    allocator: Allocator
    limits: FarmLimits
    sessions: Sessions
    clock: Clock
    #: Requests of each account that are being stored.
    _arriving: Counter[str] = Factory(Counter)
    _next: Any = None
    _tasks: Tasks = Factory(Tasks)
    _walks: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._walks = Coalesced("the queue", self._walk, self._tasks)

    def heard(self, event: Event) -> None:
        """Something changed about boards or reservations: see who can be served now."""
        if isinstance(event, ReservationsStarted) and any(record.wanted is not None for record in event.records):
            self.line.group_began()
        self.poke()

    @property
    def busy(self) -> bool:
        """Whether somebody waits, or boards may change hands."""
        return bool(self.line.waiters) or self.line.has_groups

    def records(self) -> list[QueueRecord]:
        """Return those that wait, the next one first."""
        return self.line.records()

    def clients(self) -> list[str]:
        """Return the names of those that wait."""
        return sorted({waiter.queued.client for waiter in self.line if waiter.kept})

    async def take(self, call: ReserveCall) -> Allocation:
        """Reserve the requested boards; with ``wait``, as soon as they are available, within ``timeout`` seconds.

        Raises what `Store.reserve` does, and `TimedOut`. Giving up leaves nothing behind; a caller whose session ended
        keeps its place for a while.
        """
        if not self.line.waiters:
            limit = None if call.timeout is None else self.clock.seconds() + call.timeout
            try:
                return Allocation.of(await self.allocator.reserve(call, call.request), call.since, limit)
            except Unavailable:
                # Perhaps it may wait.
                pass
        lining_up = started(partial(self._line_up, call))
        try:
            waiter = await shielded(lining_up)
        except CancelledError:
            # It may be in the store by now, and then it has its place here as well.
            lining_up.addCallbacks(partial(self._deserted, call=call), lambda _: None)
            raise
        answer = waiter.answer
        assert answer is not None
        self.poke()
        try:
            return Allocation.of(await answer, waiter.queued.since if waiter.kept else None, waiter.limit)
        except CancelledError:
            if waiter.answer is answer:
                self._deserted(waiter, call)
            raise

    async def restore(self) -> None:
        """Restore the requests that waited when control, or its session, ended; each may call again.  Raises `Busy`."""
        for waiter in await self.line.restore():
            self._limit(waiter, waiter.queued.left)
        for waiter in self.line:
            if waiter.call is None:
                self._expect(waiter)
        self.poke()

    def forget(self, client: str) -> None:
        """A client did not come back, or ended all it has: forget its abandoned requests."""
        for waiter in self.line:
            if waiter.queued.client == client and waiter.call is None:
                self.line.remove(waiter)
        self.poke()

    def dismiss(self, ids: Collection[str], reason: str) -> list[str]:
        """Let these requests wait no longer: they are answered with `Unavailable`; returns those that did."""
        found = [waiter for waiter in self.line if waiter.kept and waiter.queued.id in ids]
        for waiter in found:
            self.line.finish(waiter, Unavailable(reason))
        self.poke()
        return [waiter.queued.id for waiter in found]

    def poke(self) -> None:
        """Something changed: see who can be served now."""
        if self.busy:
            self._walks.poke()

    def stop(self) -> None:
        """Stop serving."""
        if self._next is not None and self._next.active():
            self._next.cancel()
        self._tasks.stop()
        self.line.close(Busy("the farm is shutting down"))

    # ----------------------------------------------------------------------------------------------- coming, going

    async def _line_up(self, call: ReserveCall) -> Waiter:
        """Give a call its place: the one that it had, or the last."""
        waiter = self.line.find(call.id)
        if waiter is not None and waiter.queued.client != call.client:
            raise foreign_request(call.id)
        if waiter is None and call.wait:
            queued = await self._enqueue(call)
            waiter = self.line.find(call.id) or self._add(queued)
        elif waiter is None:
            queued = QueuedRequest(call.id, call.client, call.request, priority=call.terms.priority)
            waiter = self.line.add(Waiter(queued, until=self.clock.seconds() + SETTLE))
            waiter.timers.append(self.clock.callLater(SETTLE, self.poke))
        waiter.take(call)
        return waiter

    async def _enqueue(self, call: ReserveCall) -> QueuedRequest:
        """Store a request that is to wait.  Raises `LimitReached` if its account has too many."""
        account = account_of(call.client)
        self.limits.check(account, "queue", self.line.count(account) + self._arriving[account])
        self._arriving[account] += 1
        try:
            return await self.line.enqueue(call)
        finally:
            self._arriving[account] -= 1
            if not self._arriving[account]:
                del self._arriving[account]

    def _add(self, queued: QueuedRequest) -> Waiter:
        waiter = self.line.add(Waiter(queued, kept=True))
        self._limit(waiter, queued.left)
        if queued.request.avoid:
            waiter.timers.append(self.clock.callLater(AVOIDED, self._forgive, waiter))
        return waiter

    def _limit(self, waiter: Waiter, seconds: float | None) -> None:
        if seconds is not None:
            waiter.limit = self.clock.seconds() + seconds
            waiter.timers.append(self.clock.callLater(seconds, self._time_out, waiter, seconds))

    def _forgive(self, waiter: Waiter) -> None:
        waiter.queued = evolve(waiter.queued, request=evolve(waiter.queued.request, avoid=()))
        self.poke()

    def _time_out(self, waiter: Waiter, seconds: float) -> None:
        why = waiter.reason or "there was no answer"
        self.line.finish(waiter, TimedOut(f"waited {in_words(seconds)} in vain: {why}", place=waiter.place))
        self.poke()

    def _deserted(self, waiter: Waiter, call: ReserveCall) -> None:
        """A call ended early: its client gave up, or lost its session and may call again."""
        if waiter.call is not call:
            return
        waiter.call, waiter.answer = None, None
        if not waiter.kept:
            self._strike_off(waiter)
        elif self.sessions.is_here(call.caller):
            waiter.timers.append(self.clock.callLater(GIVEN_UP, self._judge, waiter, call))
        else:
            self._expect(waiter)

    def _judge(self, waiter: Waiter, call: ReserveCall) -> None:
        if waiter.call is not None:
            return
        if self.sessions.is_here(call.caller):
            self._strike_off(waiter)
        else:
            self._expect(waiter)

    def _expect(self, waiter: Waiter) -> None:
        waiter.timers.append(self.clock.callLater(RETURN, self._pass, waiter))

    def _pass(self, waiter: Waiter) -> None:
        if waiter.call is not None or waiter not in self.line:
            return
        is_here = self.sessions.state.client_is_here(waiter.queued.client)
        if is_here and waiter.idle:
            self._strike_off(waiter)
            return
        waiter.passed, waiter.idle = True, is_here
        self.line.hide(waiter)
        self._expect(waiter)
        self.poke()

    def _strike_off(self, waiter: Waiter) -> None:
        self.line.remove(waiter)
        self.poke()

    # ----------------------------------------------------------------------------------------------------- serving

    async def _walk(self) -> None:
        if not self.busy:
            return
        try:
            boards_were_gone = await self.line.serve()
            if boards_were_gone:
                self.clock.callLater(SOON, self.poke)
            if self.busy and (self._next is None or not self._next.active()):
                self._next = self.clock.callLater(LOOK_AGAIN, self.poke)
        except Busy as error:
            self._database_is_away(error)

    def _database_is_away(self, error: Busy) -> None:
        for waiter in self.line:
            if not waiter.kept:
                self.line.finish(waiter, error)
        if self.busy:
            self.clock.callLater(AGAIN, self.poke)
