"""Requests for boards that can't be served at once, in the order that `icefarm.control.scheduling.fair_queue` decides.

Those that wait are kept in the store, so that they keep their places when control is restarted: their clients then call
again, with the same id.  A client that is away has `RETURN` seconds in which its turn is kept; after that others pass,
and when its grace period is over too, its request is forgotten; so it is when the client is there and does not ask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, evolve, field, frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger

from icefarm.bus import Progress
from icefarm.clock import Clock
from icefarm.contract import QueueRecord, ReservationRecord
from icefarm.control.scheduling.explanations import foreign_request
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict, decide
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.publisher import Publisher
from icefarm.deferreds import AGAIN, Coalesced, Tasks, shielded
from icefarm.durations import in_words
from icefarm.errors import Busy, IcefarmError, InternalError, LinkLost, TimedOut, Unavailable

__all__ = ["AVOIDED", "GIVEN_UP", "RETURN", "SETTLE", "Allocation", "ReserveCall", "WaitingQueue"]

#: Seconds until the line is looked at again when a board was gone before it was taken.
SOON = 0.5
#: Seconds that a request waits, without being asked to, for boards that are being flashed or tested just now: about
#: three times what that takes.
SETTLE = 10.0
#: Seconds until a call that ended early counts as given up: a lost session looks the same, until the router says so.
GIVEN_UP = 1.0
#: Seconds that a turn is kept for a client that is away; counted from when control itself is at the router.
RETURN = 10.0
#: Seconds for which a request that waits again is not served with the boards that failed it: time to recover, or to be
#: set aside.
AVOIDED = 30.0


def _always() -> bool:
    return True


@frozen(eq=False)
class ReserveCall:
    """A call for boards."""

    client: str
    request: ReservationRequest
    #: Seconds that boards are reserved for at first.
    seconds: float
    #: Chosen by the client, the same one when it calls again.
    id: str
    grace: float | None = None
    wait: bool = False
    #: Seconds to wait at most; None: for ever.
    timeout: float | None = None
    #: It waits since then by the store's clock, for it was served before, with boards that turned out bad.
    since: float | None = None
    progress: Progress | None = None
    #: Tells whether the caller's session stands: if so, it is its own will when the call ends early.
    here: Callable[[], bool] = _always


@frozen
class Allocation:
    """Boards for a request, and the place that it had."""

    records: list[ReservationRecord]
    #: Since when it waited, by the store's clock.
    since: float
    #: Until when it would have waited, by the reactor's; None: for ever.
    until: float | None

    @classmethod
    def of(cls, records: list[ReservationRecord], since: float | None, until: float | None) -> Allocation:
        """Return what was taken; ``since`` None: it did not wait."""
        return cls(records, min(record.created_at for record in records) if since is None else since, until)


@define(eq=False)
class _Waiter:
    """A place in the line."""

    queued: QueuedRequest
    #: The call that waits; None while its client is away.
    asked: ReserveCall | None = None
    answer: Deferred[list[ReservationRecord]] | None = None
    #: It is in the store.
    kept: bool = False
    #: Its client has been away for so long that others pass.
    passed: bool = False
    #: Its client was there when it was last looked at, and had not asked again.
    idle: bool = False
    #: Until when it waits; None: for ever.
    limit: float | None = None
    #: What its client does not say: until when it waits for boards that are being prepared.
    until: float = 0.0
    place: int = 0
    reason: str = ""
    #: The reason that was told last.
    told: str = ""
    timers: list[Any] = Factory(list)

    def record(self) -> QueueRecord:
        """Return what everybody may know of it."""
        request = self.queued.request
        serials = list(request.serials or ())
        amount = request.amount or len(serials)
        return QueueRecord(
            self.queued.id,
            self.queued.client,
            request.kind,
            amount,
            serials,
            self.queued.since,
            self.place,
            self.reason,
        )

    def stop_timers(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            if timer.active():
                timer.cancel()


@define(eq=False)
class WaitingQueue:
    """Everybody who asked for boards and has no answer yet.  ``abandon`` deals with what came too late for its
    call."""

    store: Store
    announcements: Publisher
    clock: Clock
    abandon: Callable[[ReserveCall, list[ReservationRecord]], None]
    #: Tells whether a client of that name is at the router.
    is_here: Callable[[str], bool]
    _line: list[_Waiter] = Factory(list)
    #: Requests that were served or struck off since the store was last asked who waits: its answer may be older.
    _settled: set[str] = Factory(set)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)
    _walks: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._walks = Coalesced("the waiting line", self._walk, self._tasks)

    def records(self) -> list[QueueRecord]:
        """Return those that wait, the next one first."""
        return [spot.record() for spot in sorted(self._line, key=lambda spot: spot.place) if spot.place]

    async def take(self, asked: ReserveCall) -> Allocation:
        """Reserve what is asked for; with ``wait``, as soon as it can be had, in at most ``timeout`` seconds.

        Raises what `Store.reserve` does, and `TimedOut`. Giving up leaves nothing behind; a caller whose session ended
        keeps its place for a while.
        """
        if not self._line:
            limit = None if asked.timeout is None else self.clock.seconds() + asked.timeout
            try:
                return Allocation.of(await self.reserve(asked, asked.request), asked.since, limit)
            except Unavailable:
                # Perhaps it may wait.
                pass
        lining_up = ensureDeferred(self._line_up(asked))
        try:
            spot = await shielded(lining_up)
        except CancelledError:
            # It may be in the store by now, and then it has its place here as well.
            lining_up.addCallbacks(partial(self._deserted, asked=asked), lambda _: None)
            raise
        answer = spot.answer
        assert answer is not None
        self.poke()
        try:
            return Allocation.of(await answer, spot.queued.since if spot.kept else None, spot.limit)
        except CancelledError:
            if spot.answer is answer:
                self._deserted(spot, asked)
            raise

    async def reserve(self, asked: ReserveCall, request: ReservationRequest) -> list[ReservationRecord]:
        """Reserve, past the line.

        Whoever gives up meanwhile leaves nothing behind, for the transaction goes on to its end.
        """
        reserving = ensureDeferred(
            self.store.reserve(asked.client, request, asked.seconds, request_id=asked.id, grace=asked.grace)
        )
        reserving.addCallback(self._served, asked)
        try:
            return await shielded(reserving)
        except CancelledError:
            reserving.addCallbacks(partial(self.abandon, asked), lambda _: None)
            raise

    async def restore(self) -> None:
        """Learn who waited when control, or its session, ended; each has its time to call again.  Raises `Busy`."""
        settled: set[str] = set()
        self._settled = settled
        for queued in await self.store.waiting():
            if queued.id not in settled and self._find(queued.id) is None:
                spot = _Waiter(queued, kept=True)
                self._line.append(spot)
                self._limit(spot, queued.left)
        for spot in self._line:
            if spot.asked is None:
                self._expect(spot)
        self.poke()

    def clients(self) -> list[str]:
        """Return the names of those that wait."""
        return sorted({spot.queued.client for spot in self._line if spot.kept})

    def forget(self, client: str) -> None:
        """A client did not come back, or ended all it has: what it waits for no longer is forgotten."""
        for spot in list(self._line):
            if spot.queued.client == client and spot.asked is None:
                self._remove(spot)
        self.poke()

    def dismiss(self, ids: Collection[str], reason: str) -> list[str]:
        """Let these requests wait no longer: they are answered with `Unavailable`; returns those that did."""
        found = [spot for spot in self._line if spot.kept and spot.queued.id in ids]
        for spot in found:
            self._finish(spot, Unavailable(reason))
        self.poke()
        return [spot.queued.id for spot in found]

    def poke(self) -> None:
        """Something changed: see who can be served now."""
        if self._line:
            self._walks.poke()

    def stop(self) -> None:
        """Serve nobody any more.  Who waits keeps its place: another control carries on."""
        self._tasks.stop()
        line, self._line = self._line, []
        for spot in line:
            spot.stop_timers()
            if spot.answer is not None:
                spot.answer.errback(Busy("the farm is shutting down"))

    # ----------------------------------------------------------------------------------------------- coming, going

    async def _line_up(self, asked: ReserveCall) -> _Waiter:
        """Give a call its place: the one that it had, or the last."""
        spot = self._find(asked.id)
        if spot is not None and spot.queued.client != asked.client:
            raise foreign_request(asked.id)
        if spot is None and asked.wait:
            queued = await self.store.enqueue(asked.client, asked.request, asked.id, asked.timeout, since=asked.since)
            spot = self._find(asked.id)
            if spot is None:
                spot = _Waiter(evolve(queued, request=asked.request), kept=True)
                self._line.append(spot)
                self._limit(spot, queued.left)
                if asked.request.avoid:
                    spot.timers.append(self.clock.callLater(AVOIDED, self._forgive, spot))
        elif spot is None:
            spot = _Waiter(QueuedRequest(asked.id, asked.client, asked.request), until=self.clock.seconds() + SETTLE)
            self._line.append(spot)
            spot.timers.append(self.clock.callLater(SETTLE, self.poke))
        if spot.answer is not None:
            spot.answer.errback(LinkLost("the same request was made again"))
        spot.asked, spot.answer, spot.passed, spot.idle = asked, Deferred(), False, False
        return spot

    def _find(self, id: str) -> _Waiter | None:
        return next((spot for spot in self._line if spot.queued.id == id), None)

    def _limit(self, spot: _Waiter, seconds: float | None) -> None:
        if seconds is not None:
            spot.limit = self.clock.seconds() + seconds
            spot.timers.append(self.clock.callLater(seconds, self._time_out, spot, seconds))

    def _forgive(self, spot: _Waiter) -> None:
        spot.queued = evolve(spot.queued, request=evolve(spot.queued.request, avoid=()))
        self.poke()

    def _time_out(self, spot: _Waiter, seconds: float) -> None:
        why = spot.reason or "there was no answer"
        self._finish(spot, TimedOut(f"waited {in_words(seconds)} in vain: {why}", place=spot.place))
        self.poke()

    def _deserted(self, spot: _Waiter, asked: ReserveCall) -> None:
        """A call ended early: its client gave up, or lost its session and may call again."""
        if spot.asked is not asked:
            return
        spot.asked, spot.answer = None, None
        if not spot.kept:
            self._remove(spot)
            self.poke()
        elif asked.here():
            spot.timers.append(self.clock.callLater(GIVEN_UP, self._judge, spot, asked))
        else:
            self._expect(spot)

    def _judge(self, spot: _Waiter, asked: ReserveCall) -> None:
        if spot.asked is not None:
            return
        if asked.here():
            self._remove(spot)
            self.poke()
        else:
            self._expect(spot)

    def _expect(self, spot: _Waiter) -> None:
        spot.timers.append(self.clock.callLater(RETURN, self._pass, spot))

    def _pass(self, spot: _Waiter) -> None:
        if spot.asked is not None or spot not in self._line:
            return
        is_here = self.is_here(spot.queued.client)
        if is_here and spot.idle:
            self._remove(spot)
        else:
            spot.passed, spot.idle = True, is_here
            self._hide(spot)
            self._expect(spot)
        self.poke()

    def _finish(self, spot: _Waiter, result: Any) -> None:
        """Answer one of the line: with its reservations, or an error."""
        answer = spot.answer
        self._remove(spot, served=not isinstance(result, IcefarmError))
        if answer is not None:
            spot.answer = None
            if isinstance(result, IcefarmError):
                answer.errback(result)
            else:
                answer.callback(result)

    def _remove(self, spot: _Waiter, *, served: bool = False) -> None:
        if spot not in self._line:
            return
        self._line.remove(spot)
        self._settled.add(spot.queued.id)
        spot.stop_timers()
        self._hide(spot)
        if spot.kept and not served:
            self._tasks.persist(self.clock, "a request is struck off", partial(self._dequeue, spot.queued.id))

    def _hide(self, spot: _Waiter) -> None:
        """Say that a request does not wait; that of a client that comes back appears again."""
        if spot.place:
            spot.place, spot.reason, spot.told = 0, "", ""
            self.announcements.queue(spot.record())

    async def _dequeue(self, id: str) -> None:
        # A client may have asked again under this id while the database was away.
        if self._find(id) is None:
            await self.store.dequeue([id])

    # ----------------------------------------------------------------------------------------------------- serving

    async def _walk(self) -> None:
        if not self._line:
            return
        try:
            await self._serve_all()
        except Busy as error:
            self._database_is_away(error)

    async def _serve_all(self) -> None:
        state = await self.store.state()
        spots = {spot.queued.id: spot for spot in self._line if not spot.passed}
        verdicts = decide([spot.queued for spot in spots.values()], state.devices, state.workers, state.now)
        for verdict in verdicts:
            spot = spots[verdict.id]
            if spot not in self._line:
                continue
            try:
                await self._carry_out(spot, verdict)
            except Busy:
                raise
            except IcefarmError as error:
                self._finish(spot, error)
            except Exception:
                # One request must not hold up the line, whatever is wrong with it.
                self._log.failure("a request of {client} failed", client=spot.queued.client)
                self._finish(spot, InternalError())
        self._tell_places([spots[verdict.id] for verdict in verdicts])

    async def _carry_out(self, spot: _Waiter, verdict: Verdict) -> None:
        if verdict.error is not None:
            may_wait = spot.kept or (verdict.soon and self.clock.seconds() < spot.until)
            if not isinstance(verdict.error, Unavailable) or not may_wait:
                raise verdict.error
            spot.reason = verdict.error.message
        elif spot.asked is not None:
            await self._serve(spot, spot.asked, verdict.serials)
        else:
            spot.reason = "it is its turn, and its client is away"

    async def _serve(self, spot: _Waiter, asked: ReserveCall, serials: Sequence[str]) -> None:
        try:
            records = await self.reserve(asked, evolve(asked.request, amount=None, serials=serials, avoid=()))
        except Unavailable as error:
            # A board has changed since the state was read.
            spot.reason = error.message
            self.clock.callLater(SOON, self.poke)
            return
        if spot not in self._line:
            self.abandon(asked, records)
        else:
            # Where the client was lost meanwhile, it finds them when it asks again.
            self._finish(spot, records)

    def _served(self, records: list[ReservationRecord], asked: ReserveCall) -> list[ReservationRecord]:
        self._settled.add(asked.id)
        return records

    def _database_is_away(self, error: Busy) -> None:
        for spot in list(self._line):
            if not spot.kept:
                self._finish(spot, error)
        if self._line:
            self.clock.callLater(AGAIN, self.poke)

    def _tell_places(self, spots: Sequence[_Waiter]) -> None:
        """Tell those whose place or reason is another one than they heard last."""
        waiting = [spot for spot in spots if spot.kept and spot.reason and spot in self._line and not spot.passed]
        for place, spot in enumerate(waiting, start=1):
            told = (spot.place, spot.told) == (place, spot.reason)
            spot.place, spot.told = place, spot.reason
            if not told:
                self.announcements.queue(spot.record())
                if spot.asked is not None and spot.asked.progress is not None:
                    spot.asked.progress({"place": place, "reason": spot.reason})
