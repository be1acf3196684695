"""Reserves boards and makes them ready: all that were asked for, or none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import uuid4

from attrs import Factory, define, evolve, frozen
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.logger import Logger

from icefarm.bus import Caller
from icefarm.contract import ReservationRecord
from icefarm.control.reservations.queue import GIVEN_UP, RETURN, Allocation, ReserveCall, WaitingQueue
from icefarm.control.reservations.termination import Termination
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.sessions.events import Granted
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import PREPARE_LIMIT, WorkerClient
from icefarm.deferreds import outcomes, shielded
from icefarm.errors import (
    Busy,
    DeviceFailed,
    IcefarmError,
    InvalidArgument,
    NotYours,
    ReservationEnded,
    Unavailable,
    UnknownKind,
)

__all__ = ["PROBATION", "ROUNDS", "Allocator"]

#: Seconds that boards are reserved for at first, while they are made ready: should control end in the middle, they are
#: free again soon, though their client never heard of them.
PROBATION = PREPARE_LIMIT + 30.0
#: Times that boards which failed to get ready are replaced by others, the first choice included.
ROUNDS = 3
#: Boards that are made ready at once, over all workers, for one request.
AT_ONCE = 256

#: What is wrong with the request, not with the board: another board would not help.
_FAULTS_OF_THE_REQUEST = (InvalidArgument, UnknownKind, ReservationEnded)


@frozen(eq=False)
class _Orphan:
    """Reservations whose client does not know of them, and may ask for them."""

    client: str
    ids: frozenset[str]


class _NoReplacement(Exception):
    """Boards turned out bad, there are no others just now, and the request waits for some."""

    def __init__(self, words: str, serials: Sequence[str]) -> None:
        super().__init__(words)
        self.serials = serials


@define(eq=False)
class Allocator:
    """Carries out requests for boards."""

    store: Store
    line: WaitingQueue
    orders: WorkerClient
    endings: Termination
    announcements: Publisher
    sessions: Sessions
    #: Boards that are being made ready.
    preparing: set[str] = Factory(set)
    #: Reservations whose client has not been answered: they are on probation, and no notice is given of their end.
    unconfirmed: set[str] = Factory(set)
    #: The call that was made last for each request that has no answer yet.
    _latest: dict[str, ReserveCall] = Factory(dict)
    #: What was reserved for clients that then lost their sessions, by request.
    _orphans: dict[str, _Orphan] = Factory(dict)
    _log: Logger = Factory(Logger)

    async def reserve(
        self,
        caller: Caller,
        request: ReservationRequest,
        seconds: float,
        *,
        wait: bool = False,
        timeout: float | None = None,
        request_id: str | None = None,
        grace: float | None = None,
    ) -> list[ReservationRecord]:
        """Reserve boards for ``seconds``, counted from when they are ready; answers when they are.

        Raises `Unavailable`, `UnknownKind`, `UnknownDevice`, `TimedOut` (waited in vain), `DeviceFailed`,
        `InvalidArgument` (the kind refuses its options), `ReservationEnded`, `Busy`; then, and when the caller gives
        up, nothing is reserved. With ``wait``, a request whose boards turn out bad gives all of them back, and waits on
        at the place that it had. A caller that loses its session has its boards on probation; asking again with the
        same ``request_id``, it gets them; back and not asking, it loses them after `RETURN`.
        """
        client, probation = caller.authid, min(seconds, PROBATION)
        here = partial(self.sessions.is_here, caller)
        asked = ReserveCall(
            client, request, probation, request_id or uuid4().hex, grace, wait, timeout, None, caller.progress, here
        )
        had = await self._had_before(asked) if request_id is not None else None
        while True:
            self._latest[asked.id] = asked
            self._orphans.pop(asked.id, None)
            try:
                taken, had = had or await self.line.take(asked), None
                try:
                    return await self._deliver(asked, taken.records, seconds)
                except _NoReplacement as error:
                    asked = await self._wait_again(asked, taken, error)
            except CancelledError:
                # What it leaves behind is judged later, when the transaction that was under way has ended.
                self.endings.clock.callLater(PREPARE_LIMIT, self._close, asked)
                raise
            except BaseException:
                self._close(asked)
                raise

    def _close(self, asked: ReserveCall) -> None:
        if self._latest.get(asked.id) is asked:
            del self._latest[asked.id]

    async def _deliver(
        self, asked: ReserveCall, taken: list[ReservationRecord], seconds: float
    ) -> list[ReservationRecord]:
        """Make the boards of a request ready, and give them their full time.  Raises `_NoReplacement` as well."""
        if self.endings.is_due_to_end(taken):
            raise Busy("what this request had got before is just being ended; try again in a while")
        self.unconfirmed |= {record.id for record in taken}
        if asked.grace is not None:
            self.sessions.tell(Granted(asked.client, asked.grace))
        try:
            self.endings.touch(taken)
            ready = await self._make_ready(asked, taken)
            confirmed = await self._confirm(asked.client, ready, seconds)
        except CancelledError:
            self.abandon(asked, taken)
            raise
        except IcefarmError as error:
            self.endings.schedule_end([record.id for record in taken], f"not all boards got ready: {error}")
            raise
        finally:
            self.unconfirmed -= {record.id for record in taken}
        self._close(asked)
        self.endings.touch(confirmed)
        return confirmed

    async def _had_before(self, asked: ReserveCall) -> Allocation | None:
        """Return what a request has got already, where its client missed the answer.

        Where some of its boards are gone meanwhile, the others are given back, and it begins anew.
        """
        size = asked.request.amount or len(asked.request.serials or ())
        limit = None if asked.timeout is None else self.endings.clock.seconds() + asked.timeout
        while got := await self.store.answered(asked.client, asked.id):
            if len(got) < size:
                await self.endings.end_these(got, "not all boards of its request are there any more")
                break
            try:
                return Allocation.of(await self.line.reserve(asked, asked.request), None, limit)
            except Unavailable:
                # One of them has just gone.
                continue
        return None

    async def _wait_again(self, asked: ReserveCall, taken: Allocation, error: _NoReplacement) -> ReserveCall:
        """Give back what a request has got, and return it with the place that it had.  Raises `Busy`."""
        reason = f"not all boards got ready: {error}"
        try:
            await self.endings.end_these(taken.records, reason)
        except Busy:
            self.endings.schedule_end([record.id for record in taken.records], reason)
            raise
        left = None if taken.until is None else max(0.0, taken.until - self.endings.clock.seconds())
        request = evolve(asked.request, avoid=asked.request.avoid.union(error.serials))
        return evolve(asked, request=request, timeout=left, since=taken.since)

    async def _confirm(
        self, client: str, ready: Sequence[ReservationRecord], seconds: float
    ) -> list[ReservationRecord]:
        """Give reservations their full time; one that was ended while its board was made ready spoils the request."""
        try:
            extended = await self.store.extend(client, [record.serial for record in ready], seconds)
        except NotYours:
            extended = []
        by_id = {record.id: record for record in extended}
        if any(record.id not in by_id for record in ready):
            raise ReservationEnded("the reservation was ended while its boards were made ready")
        return [by_id[record.id] for record in ready]

    async def _make_ready(self, asked: ReserveCall, taken: list[ReservationRecord]) -> list[ReservationRecord]:
        """Make boards ready, and others for those that fail; ``taken`` grows by all that were reserved."""
        client, request = asked.client, asked.request
        ready: list[ReservationRecord] = []
        batch, avoid = list(taken), request.avoid
        for round in range(1, ROUNDS + 1):
            failed = await self._prepare_all(batch)
            ready += [record for record in batch if record.id not in failed]
            if not failed:
                return ready
            lost = [record for record in batch if record.id in failed]
            words = "; ".join(f"board {record.serial}: {failed[record.id]}" for record in lost)
            self._log.warn("for {client}, boards did not get ready: {words}", client=client, words=words)
            serials = [record.serial for record in lost]
            if request.serials is not None or round == ROUNDS:
                raise DeviceFailed(f"not all boards got ready: {words}", serials=serials)
            self.endings.schedule_end(failed, "the board did not get ready")
            avoid = avoid.union(serials)
            again = evolve(request, amount=len(lost), avoid=avoid)
            if ready:
                await self._confirm(client, ready, asked.seconds)
            batch = await self._replace(asked, again, words, serials)
            taken += batch
            self.unconfirmed |= {record.id for record in batch}
        raise AssertionError("the last round returns or raises")

    async def _replace(
        self, asked: ReserveCall, request: ReservationRequest, words: str, serials: Sequence[str]
    ) -> list[ReservationRecord]:
        """Reserve others in the place of boards that failed."""
        reserving = ensureDeferred(
            self.store.reserve(asked.client, request, asked.seconds, request_id=asked.id, grace=asked.grace, more=True)
        )
        try:
            return await shielded(reserving)
        except CancelledError:
            # The transaction goes on without us; what it reserves is nobody's.
            reserving.addCallbacks(partial(self.abandon, asked), lambda _: None)
            raise
        except Unavailable as error:
            if asked.wait:
                raise _NoReplacement(words, serials) from None
            raise Unavailable(f"{words}; and no others: {error.message}", **error.fields) from None

    async def _prepare_all(self, records: Sequence[ReservationRecord]) -> dict[str, IcefarmError]:
        """Make boards ready at once; return what those met that failed, by reservation."""
        results = await outcomes([partial(self._prepare, record) for record in records], AT_ONCE)
        failed = {
            record.id: result
            for record, result in zip(records, results, strict=True)
            if isinstance(result, IcefarmError)
        }
        for error in failed.values():
            if isinstance(error, _FAULTS_OF_THE_REQUEST):
                raise error
        return failed

    async def _prepare(self, record: ReservationRecord) -> None:
        self.preparing.add(record.serial)
        try:
            await self.orders.prepare(record)
        finally:
            self.preparing.discard(record.serial)
        self.announcements.tell(record, "initialised")

    def abandon(self, asked: ReserveCall, records: Sequence[ReservationRecord]) -> None:
        """A call ended before its answer: end what it had got, unless its client lost its session and may call again.

        A lost session looks like a client that gives up, until the router says so; hence after a moment.
        """
        self.endings.clock.callLater(GIVEN_UP, self._judge, asked, [record.id for record in records])

    def client_is_back(self, client: str) -> None:
        """A client has a session again: what it does not ask for in a while is not wanted any more."""
        for request_id, orphan in self._orphans.items():
            if orphan.client == client:
                self.endings.clock.callLater(RETURN, self._end_orphan, request_id, orphan)

    def forget(self, client: str) -> None:
        """A client did not come back in time, and all it had has ended, or soon expires."""
        self._orphans = {id: orphan for id, orphan in self._orphans.items() if orphan.client != client}

    def _judge(self, asked: ReserveCall, ids: Sequence[str]) -> None:
        if self._latest.get(asked.id) is not asked:
            # Another call for the same has what this one left behind.
            return
        del self._latest[asked.id]
        if asked.here():
            self.endings.schedule_end(ids, "the client gave up")
        else:
            self._orphans[asked.id] = _Orphan(asked.client, frozenset(ids))
            if self.sessions.state.client_is_here(asked.client):
                self.client_is_back(asked.client)

    def _end_orphan(self, request_id: str, orphan: _Orphan) -> None:
        if self._orphans.get(request_id) is orphan and self.sessions.state.client_is_here(orphan.client):
            del self._orphans[request_id]
            self.endings.schedule_end(orphan.ids, "its client came back and did not ask for it")
