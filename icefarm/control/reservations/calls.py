"""Calls for boards: how they get some, and what a call that ended early left behind.

A call that ends before its answer may already have boards.  Either its client gave up, and they are released; or it
lost its session, and may call again with the same request id to get them.  The two look alike until the router reports
the session's end, so the decision comes a moment later:

    begin ──> unanswered ──close──> (answered, or failed: nothing is left)
                  │
               abandon ── GIVEN_UP s later ──┬─ a later call has the same id: it has what is left
                                             ├─ the session stands: its client gave up, end the reservations
                                             └─ the session ended: orphaned
    orphaned ──┬─ begin, under the same id: they are that call's
               ├─ its client is back, and RETURN s later has not called: end the reservations
               └─ its client is gone: forgotten, for they ended or soon expire

A call that fails while it waits, because its time is over for example, stays unanswered for `PREPARE_LIMIT`: a
transaction may just be reserving boards for it, and these are abandoned when it ends.

Until its client is answered, a reservation is unconfirmed: on probation, and without notice of its end.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred, DeferredLock

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import shielded
from icefarm.contract import ReservationRecord, account_of
from icefarm.control.reservations.termination import Termination
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY
from icefarm.control.scheduling.placement import MAX_BOARDS, ReservationRequest, Terms
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import ReservationsStarted
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import PREPARE_LIMIT

__all__ = ["GIVEN_UP", "RETURN", "Allocation", "Allocator", "ReserveCall", "UnansweredCalls"]

#: Seconds until a call that ended early counts as given up: a lost session looks the same until the router reports it.
GIVEN_UP = 1.0
#: Seconds that a turn is kept for a client that is away; counted from when control itself is at the router.
RETURN = 10.0


@frozen(eq=False)
class ReserveCall:
    """A call for boards."""

    caller: Caller
    #: The name of the client.
    client: str
    request: ReservationRequest
    #: Seconds that boards are reserved for until all are ready.
    seconds: float
    #: Chosen by the client; the same when it repeats the call.
    id: str
    grace: float | None = None
    wait: bool = False
    terms: Terms = Factory(partial(Terms, DEFAULT_PRIORITY))
    #: Maximum seconds to wait; None: forever.
    timeout: float | None = None
    #: Since when it waits, by the store's clock, if it was served before with boards that failed.
    since: float | None = None


@frozen
class Allocation:
    """Boards for a request, and its place in the queue."""

    records: list[ReservationRecord]
    #: Since when it waited, by the store's clock.
    since: float
    #: Until when it would have waited, by the reactor's clock; None: forever.
    until: float | None

    @classmethod
    def of(cls, records: list[ReservationRecord], since: float | None, until: float | None) -> Allocation:
        """Return an allocation; ``since`` None: it did not wait."""
        return cls(records, min(record.created_at for record in records) if since is None else since, until)


@frozen(eq=False)
class _Orphan:
    """Reservations that their client does not know of, and may ask for."""

    client: str
    ids: frozenset[str]


@define(eq=False)
class UnansweredCalls:
    """Tracks unanswered calls, and decides about the boards that they leave behind."""

    termination: Termination
    sessions: Sessions
    clock: Clock
    #: The latest call for each unanswered request.
    _latest: dict[str, ReserveCall] = Factory(dict)
    #: Reservations of clients that then lost their sessions, by request.
    _orphans: dict[str, _Orphan] = Factory(dict)
    #: Reservations of calls without an answer yet.
    _unconfirmed: set[str] = Factory(set)

    def begin(self, call: ReserveCall) -> None:
        """Record a call, first or repeated: it takes over what earlier ones for the same request left."""
        self._latest[call.id] = call
        self._orphans.pop(call.id, None)

    def close(self, call: ReserveCall) -> None:
        """A call has its answer, or failed."""
        if self._latest.get(call.id) is call:
            del self._latest[call.id]

    def close_later(self, call: ReserveCall) -> None:
        """A call was cancelled, or failed while it waited: a pending transaction may still reserve boards for it."""
        self.clock.callLater(PREPARE_LIMIT, self.close, call)

    def hold(self, records: Iterable[ReservationRecord]) -> None:
        """Record reservations for a client that has no answer yet."""
        self._unconfirmed |= {record.id for record in records}

    def let_go(self, records: Iterable[ReservationRecord]) -> None:
        """Their client has its answer, or they end."""
        self._unconfirmed -= {record.id for record in records}

    def is_unconfirmed(self, id: str) -> bool:
        """Tell whether a reservation's client does not yet know of it."""
        return id in self._unconfirmed

    def abandon(self, call: ReserveCall, records: Sequence[ReservationRecord]) -> None:
        """A call ended before its answer: decide about its boards."""
        self.clock.callLater(GIVEN_UP, self._judge, call, [record.id for record in records])

    def client_is_back(self, client: str) -> None:
        """A client has a session again: boards for which it does not repeat its call in time are released."""
        for request_id, orphan in self._orphans.items():
            if orphan.client == client:
                self.clock.callLater(RETURN, self._end_orphan, request_id, orphan)

    def forget(self, client: str) -> None:
        """A client did not come back in time: all its reservations have ended, or soon expire."""
        self._orphans = {id: orphan for id, orphan in self._orphans.items() if orphan.client != client}

    def _judge(self, call: ReserveCall, ids: Sequence[str]) -> None:
        if self._latest.get(call.id) is not call:
            # Another call for the same request has taken over what this one left behind.
            return
        del self._latest[call.id]
        if self.sessions.is_here(call.caller):
            self.termination.schedule_end(ids, "the client gave up")
        else:
            self._orphans[call.id] = _Orphan(call.client, frozenset(ids))
            if self.sessions.state.client_is_here(call.client):
                self.client_is_back(call.client)

    def _end_orphan(self, request_id: str, orphan: _Orphan) -> None:
        if self._orphans.get(request_id) is orphan and self.sessions.state.client_is_here(orphan.client):
            del self._orphans[request_id]
            self.termination.schedule_end(orphan.ids, "its client came back and did not ask for it")


@define(eq=False)
class Allocator:
    """Makes the store reserve boards for calls, within the limits of their accounts.

    A transaction runs to its end even if its call ends before; what it reserves is abandoned then.
    """

    store: Store
    limits: FarmLimits
    unanswered: UnansweredCalls
    publisher: Publisher
    #: Calls of an account with a limit take turns.
    _locks: dict[str, DeferredLock] = Factory(dict)
    #: Requests served while the store is asked which ones wait; None: it is not asked.
    served: set[str] | None = None

    async def reserve(self, call: ReserveCall, request: ReservationRequest) -> list[ReservationRecord]:
        """Reserve boards for a call.  Raises what `Store.reserve` does."""
        return await self._to_its_end(call, self._reserve_within_limit(call, request))

    async def replace(self, call: ReserveCall, request: ReservationRequest) -> list[ReservationRecord]:
        """Reserve more boards for a call, in place of some that failed.  Raises what `Store.reserve` does."""
        return await self._to_its_end(call, self._reserve(call, request, more=True))

    async def _to_its_end(
        self, call: ReserveCall, operation: Coroutine[Deferred[Any], Any, list[ReservationRecord]]
    ) -> list[ReservationRecord]:
        reserving = Deferred.fromCoroutine(operation)
        try:
            return await shielded(reserving)
        except CancelledError:
            reserving.addCallbacks(partial(self.abandon, call), lambda _: None)
            raise

    def abandon(self, call: ReserveCall, records: Sequence[ReservationRecord]) -> None:
        """A call ended before these boards were reserved for it: until that is decided, they are reserved as others."""
        self.publisher.publish(ReservationsStarted(records))
        self.unanswered.abandon(call, records)

    async def _reserve_within_limit(self, call: ReserveCall, request: ReservationRequest) -> list[ReservationRecord]:
        """Reserve boards, as many as the account may hold."""
        account = account_of(call.client)
        if self.limits.of(account).boards >= MAX_BOARDS:
            return await self._reserve(call, request)
        lock = self._locks.setdefault(account, DeferredLock())
        await lock.acquire()
        try:
            active = await self.store.active()
            # A repeated call gets the boards that it has already.
            got = {record.id for record in await self.store.answered(call.client, call.id)}
            others = [each for each in active if account_of(each.client) == account and each.id not in got]
            self.limits.check(account, "boards", len(others), request.most)
            return await self._reserve(call, request)
        finally:
            lock.release()
            if not lock.locked:
                self._locks.pop(account, None)

    async def _reserve(
        self, call: ReserveCall, request: ReservationRequest, *, more: bool = False
    ) -> list[ReservationRecord]:
        records = await self.store.reserve(
            call.client, request, call.seconds, request_id=call.id, grace=call.grace, more=more, terms=call.terms
        )
        if self.served is not None:
            self.served.add(call.id)
        return records
