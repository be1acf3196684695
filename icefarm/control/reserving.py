"""Reserves boards and makes them ready: all that were asked for, or none."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import uuid4

from attrs import Factory, define, evolve
from twisted.internet.defer import CancelledError, ensureDeferred
from twisted.logger import Logger

from icefarm.bus import Caller
from icefarm.contract import ReservationRecord
from icefarm.control.announcements import Announcements
from icefarm.control.concurrency import outcomes, shielded
from icefarm.control.endings import Endings
from icefarm.control.orders import PREPARE_LIMIT, Orders
from icefarm.control.policy import ReservationRequest
from icefarm.control.presence_events import Granted
from icefarm.control.sessions import Sessions
from icefarm.control.store import Store
from icefarm.control.waiting import GIVEN_UP, Asked, WaitingLine
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

__all__ = ["PROBATION", "ROUNDS", "Reserving"]

#: Seconds that boards are reserved for at first, while they are made ready: should control end in the middle, they are
#: free again soon, though their client never heard of them.
PROBATION = PREPARE_LIMIT + 30.0
#: Times that boards which failed to get ready are replaced by others, the first choice included.
ROUNDS = 3
#: Boards that are made ready at once, over all workers, for one request.
AT_ONCE = 256

#: What is wrong with the request, not with the board: another board would not help.
_FAULTS_OF_THE_REQUEST = (InvalidArgument, UnknownKind, ReservationEnded)


@define(eq=False)
class Reserving:
    """Carries out requests for boards."""

    store: Store
    line: WaitingLine
    orders: Orders
    endings: Endings
    announcements: Announcements
    sessions: Sessions
    #: Boards that are being made ready.
    preparing: set[str] = Factory(set)
    #: Reservations whose client has not been answered: they are on probation, and no notice is given of their end.
    unconfirmed: set[str] = Factory(set)
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
        up, nothing is reserved. A caller that loses its session has its boards on probation; asking again with the
        same ``request_id``, it gets them.
        """
        client, probation = caller.authid, min(seconds, PROBATION)
        here = partial(self.sessions.is_here, caller)
        asked = Asked(
            client, request, probation, request_id or uuid4().hex, grace, wait, timeout, caller.progress, here
        )
        taken = await self._had_before(asked) if request_id is not None else []
        taken = taken or await self.line.take(asked)
        if self.endings.is_doomed(taken):
            raise Busy("what this request had got before is just being ended; try again in a while")
        self.unconfirmed |= {record.id for record in taken}
        if grace is not None:
            self.sessions.tell(Granted(client, grace))
        try:
            self.endings.touch(taken)
            ready = await self._make_ready(asked, taken)
            confirmed = await self._confirm(client, ready, seconds)
        except CancelledError:
            self.abandon(asked, taken)
            raise
        except IcefarmError as error:
            self.endings.doom([record.id for record in taken], f"not all boards got ready: {error}")
            raise
        finally:
            self.unconfirmed -= {record.id for record in taken}
        self.endings.touch(confirmed)
        return confirmed

    async def _had_before(self, asked: Asked) -> list[ReservationRecord]:
        """Return what a request has got already, where its client missed the answer.

        Where some of its boards are gone meanwhile, the others are given back, and it begins anew.
        """
        size = asked.request.amount or len(asked.request.serials or ())
        while got := await self.store.answered(asked.client, asked.id):
            if len(got) < size:
                await self.endings.end_these(got, "not all boards of its request are there any more")
                break
            try:
                return await self.line.reserve(asked, asked.request)
            except Unavailable:
                # One of them has just gone.
                continue
        return []

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

    async def _make_ready(self, asked: Asked, taken: list[ReservationRecord]) -> list[ReservationRecord]:
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
            self.endings.doom(failed, "the board did not get ready")
            avoid = avoid.union(serials)
            again = evolve(request, amount=len(lost), avoid=avoid)
            if ready:
                await self._confirm(client, ready, asked.seconds)
            batch = await self._replace(asked, again, words)
            taken += batch
            self.unconfirmed |= {record.id for record in batch}
        raise AssertionError("the last round returns or raises")

    async def _replace(self, asked: Asked, request: ReservationRequest, words: str) -> list[ReservationRecord]:
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
                # What passes is asked again by the client's engine; then it waits.
                raise Busy(f"{words}; and no others just now, so ask again and wait: {error.message}") from None
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

    def abandon(self, asked: Asked, records: Sequence[ReservationRecord]) -> None:
        """A call ended before its answer: end what it had got, unless its client lost its session and may call again.

        A lost session looks like a client that gives up, until the router says so; hence after a moment.
        """
        self.endings.clock.callLater(GIVEN_UP, self._judge, asked, [record.id for record in records])

    def _judge(self, asked: Asked, ids: Sequence[str]) -> None:
        if asked.here():
            self.endings.doom(ids, "the client gave up")
