"""Reserves boards and makes them ready: all that were asked for, or none.

A request passes through three phases, each of which may fail and then leaves nothing behind:

    allocate   the store reserves boards, at once or when the request's turn in the queue comes; on probation only:
               should control end in the middle, they are free again soon, though their client never heard of them
    prepare    their workers make them ready; others replace those that fail, or the request goes back to the queue
    confirm    they get their full time, counted from now, and the client gets its answer
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from uuid import uuid4

from attrs import Factory, define, evolve
from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import ReservationRecord
from icefarm.control.reservations.calls import Allocation, Allocator, ReserveCall, UnansweredCalls
from icefarm.control.reservations.queue import WaitingQueue
from icefarm.control.reservations.sharing.groups import Groups
from icefarm.control.reservations.termination import Termination
from icefarm.control.scheduling.access import AccessRules, Allowance
from icefarm.control.scheduling.availability import holders_of
from icefarm.control.scheduling.explanations import not_yours, over_by_access
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY
from icefarm.control.scheduling.placement import ReservationRequest, Terms
from icefarm.control.sessions.events import Granted
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.storage.shared import Shared
from icefarm.control.telemetry.events import BoardReady, ReservationsExtended, ReservationsStarted
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import PREPARE_LIMIT, WorkerClient
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

__all__ = ["PROBATION", "ROUNDS", "Reservations"]

#: Seconds for which boards are reserved while they are prepared.
PROBATION = PREPARE_LIMIT + 30.0
#: Rounds of replacing boards whose preparation failed, including the first choice.
ROUNDS = 3

#: Errors of the request, not of the board: another board would not help.
_FAULTS_OF_THE_REQUEST = (InvalidArgument, UnknownKind, ReservationEnded)


class _NoReplacement(Exception):
    """Boards failed, there are no others now, and the request may wait for some."""

    def __init__(self, words: str, serials: Sequence[str]) -> None:
        super().__init__(words)
        self.serials = serials


@define(eq=False)
class Reservations:
    """Carries out the calls of clients and operators about reservations."""

    store: Store
    allocator: Allocator
    queue: WaitingQueue
    groups: Groups
    unanswered: UnansweredCalls
    worker_client: WorkerClient
    termination: Termination
    publisher: Publisher
    sessions: Sessions
    clock: Clock
    access: Shared[AccessRules]
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
        terms: Terms | None = None,
    ) -> list[ReservationRecord]:
        """Reserve boards for ``seconds``, counted from when they are ready; answers when they are.

        Raises `Unavailable`, `UnknownKind`, `UnknownDevice`, `TimedOut` (waited in vain), `DeviceFailed`,
        `InvalidArgument` (the kind refuses its options), `ReservationEnded`, `Busy`; then, and when the caller gives
        up, nothing is reserved. With ``wait``, a request whose boards turn out bad gives all of them back, and waits on
        at the place that it had. A caller that loses its session has its boards on probation; asking again with the
        same ``request_id``, it gets them; back and not asking, it loses them after `RETURN`.
        """
        terms, probation, id = terms or Terms(DEFAULT_PRIORITY), min(seconds, PROBATION), request_id or uuid4().hex
        call = ReserveCall(caller, caller.authid, request, probation, id, grace, wait, terms, timeout)
        before = await self._had_before(call) if request_id is not None else None
        while True:
            self.unanswered.begin(call)
            try:
                allocation, before = before or await self.queue.take(call), None
                try:
                    return await self._prepare_and_confirm(call, allocation.records, seconds)
                except _NoReplacement as error:
                    call = await self._wait_again(call, allocation, error)
            except BaseException as error:
                if wait or isinstance(error, CancelledError):
                    self.unanswered.close_later(call)
                else:
                    self.unanswered.close(call)
                raise

    async def extend(self, client: str, serials: Sequence[str] | None, seconds: float) -> list[ReservationRecord]:
        """Extend a client's reservations, of these boards or all, from now.  Raises what `Store.extend` does.

        Never shortens one, and extends none beyond what the client's account may have: those that have come to that end
        are left out, and if there are no others, it raises `LimitReached`.
        """
        allowed = (await self.access.get()).of(client)
        held = {} if allowed.allowed is None else {each.serial: each for each in await self.store.active(client=client)}
        until = await self._ends(allowed, held)
        records = await self.store.extend(client, serials, seconds, until=until)
        at_end = {serial for serial, end in until.items() if end <= held[serial].expires_at}
        over = [record for record in records if record.serial in at_end]
        if over and len(over) == len(records):
            raise over_by_access(over)
        extended = [record for record in records if record not in over]
        if extended:
            self.publisher.publish(ReservationsExtended(extended))
        return extended

    async def _ends(self, allowed: Allowance, held: Mapping[str, ReservationRecord]) -> dict[str, float]:
        """Return until when access rules let reservations last, by serial; those without a bound are missing."""
        if not held:
            return {}
        found = {}
        for board in (await self.store.state()).devices:
            record = held.get(board.serial)
            longest = None if record is None else allowed.holds_for(board, record.kind)
            if record is not None and longest is not None:
                found[board.serial] = record.created_at + longest
        return found

    async def end(self, client: str, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        """End a client's reservations of these boards.  Without ``serials``, of all, and what it waits for no longer.

        Raises what `Store.end` does.
        """
        if serials is None:
            self.queue.forget(client)
        else:
            await self._want_fewer(client, set(serials))
        return await self.termination.end(client, serials, reason)

    async def end_these(self, client: str, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
        """End those of a client's reservations that have these ids.  Raises `Busy`."""
        records = [record for record in await self.store.active(client=client) if record.id in ids]
        await self._want_fewer(client, {record.serial for record in records})
        return await self.termination.end_these(records, reason)

    async def _want_fewer(self, client: str, serials: set[str]) -> None:
        """Record which boards of groups their client returns unasked: the groups get no replacement for these.

        Raises `UnknownDevice`, and `NotYours`, as ending them does.
        """
        asked = self.groups.asked()
        given_back: dict[str, list[str]] = {}
        for record in await self.store.active(client=client):
            of_group = record.request is not None and record.wanted is not None
            if record.serial in serials and of_group and record.id not in asked:
                given_back.setdefault(record.request or "", []).append(record.serial)
        if given_back:
            # If one cannot be ended, none is.
            found = await self.store.devices(sorted(serials))
            foreign = [board.serial for board in found if board.client and client not in holders_of(board)]
            if foreign:
                raise not_yours(foreign)
        for request_id, boards in given_back.items():
            await self.store.want_fewer(client, request_id, len(boards))
            self.groups.returned(request_id, boards)

    async def _had_before(self, call: ReserveCall) -> Allocation | None:
        """Return the boards already allocated to a request, if its client missed the answer.

        If some of its boards are gone meanwhile, it returns the others and starts over.
        """
        limit = None if call.timeout is None else self.clock.seconds() + call.timeout
        while got := await self.store.answered(call.client, call.id):
            if len(got) < call.request.most and call.terms.wanted is None:
                await self.termination.end_these(got, "not all boards of its request are there any more")
                break
            try:
                return Allocation.of(await self.allocator.reserve(call, call.request), None, limit)
            except Unavailable:
                # One of them has just gone.
                continue
        return None

    async def _prepare_and_confirm(
        self, call: ReserveCall, taken: list[ReservationRecord], seconds: float
    ) -> list[ReservationRecord]:
        """Prepare the boards of a request, and give them their full time.  Also raises `_NoReplacement`."""
        if self.termination.is_due_to_end(taken):
            raise Busy("what this request had got before is just being ended; try again in a while")
        self.unanswered.hold(taken)
        if call.grace is not None:
            self.sessions.tell(Granted(call.client, call.grace))
        self.publisher.publish(ReservationsStarted(tuple(taken)))
        try:
            ready = await self._prepare(call, taken)
            confirmed = await self._confirm(call.client, ready, seconds)
        except CancelledError:
            self.unanswered.abandon(call, taken)
            raise
        except IcefarmError as error:
            self.termination.schedule_end([record.id for record in taken], f"not all boards got ready: {error}")
            raise
        finally:
            self.unanswered.let_go(taken)
        self.unanswered.close(call)
        self.publisher.publish(ReservationsExtended(confirmed))
        return confirmed

    async def _wait_again(self, call: ReserveCall, allocation: Allocation, error: _NoReplacement) -> ReserveCall:
        """Release a request's boards, and return it with its old place.  Raises `Busy`."""
        reason = f"not all boards got ready: {error}"
        try:
            await self.termination.end_these(allocation.records, reason)
        except Busy:
            self.termination.schedule_end([record.id for record in allocation.records], reason)
            raise
        left = None if allocation.until is None else max(0.0, allocation.until - self.clock.seconds())
        request = evolve(call.request, avoid=call.request.avoid.union(error.serials))
        return evolve(call, request=request, timeout=left, since=allocation.since)

    async def _prepare(self, call: ReserveCall, taken: list[ReservationRecord]) -> list[ReservationRecord]:
        """Prepare boards, and replacements for those that fail; ``taken`` grows by all that were reserved.

        A request that can begin with fewer boards does so where no others replace those that failed.  Raises
        `DeviceFailed`, `Unavailable`, `_NoReplacement` for a call that waits, and the worker's error if the request
        itself is wrong.
        """
        fewer = call.request.at_least is not None
        ready: list[ReservationRecord] = []
        batch, avoid = list(taken), call.request.avoid
        for round in range(1, ROUNDS + 1):
            failed = await self._prepare_all(batch)
            ready += [record for record in batch if record.id not in failed]
            if not failed:
                return ready
            lost = [record for record in batch if record.id in failed]
            words = "; ".join(f"board {record.serial}: {failed[record.id]}" for record in lost)
            self._log.warn("for {client}, boards did not get ready: {words}", client=call.client, words=words)
            serials = [record.serial for record in lost]
            enough = fewer and len(ready) >= call.request.least
            if fewer:
                # It gets others later, but none of these now.
                self.groups.avoid(serials)
            if call.request.serials is not None or (round == ROUNDS and not enough):
                raise DeviceFailed(f"not all boards got ready: {words}", serials=serials)
            self.termination.schedule_end(failed, "the board did not get ready")
            avoid = avoid.union(serials)
            least = max(1, call.request.least - len(ready)) if fewer else None
            again = evolve(call.request, amount=len(lost), at_least=least, avoid=avoid)
            if ready:
                await self._confirm(call.client, ready, call.seconds)
            if round == ROUNDS:
                return ready
            try:
                batch = await self._replace(call, again, words, serials)
            except (Unavailable, _NoReplacement):
                if enough:
                    return ready
                raise
            taken += batch
            self.unanswered.hold(batch)
            self.publisher.publish(ReservationsStarted(batch))
        raise AssertionError("the last round returns or raises")

    async def _confirm(
        self, client: str, ready: Sequence[ReservationRecord], seconds: float
    ) -> list[ReservationRecord]:
        """Give boards their full time from now; if one was ended during preparation, the request fails."""
        try:
            extended = await self.store.extend(client, [record.serial for record in ready], seconds)
        except NotYours:
            extended = []
        by_id = {record.id: record for record in extended}
        if any(record.id not in by_id for record in ready):
            raise ReservationEnded("the reservation was ended while its boards were made ready")
        return [by_id[record.id] for record in ready]

    async def _replace(
        self, call: ReserveCall, request: ReservationRequest, words: str, serials: Sequence[str]
    ) -> list[ReservationRecord]:
        """Reserve replacements for boards that failed."""
        try:
            return await self.allocator.replace(call, request)
        except Unavailable as error:
            if call.wait:
                raise _NoReplacement(words, serials) from None
            raise Unavailable(f"{words}; and no others: {error.message}", **error.fields) from None

    async def _prepare_all(self, records: Sequence[ReservationRecord]) -> dict[str, IcefarmError]:
        """Prepare boards concurrently; return the errors of those that failed, by reservation."""
        failed = await self.worker_client.prepare_all(records)
        for record in records:
            if record.id not in failed:
                self.publisher.publish(BoardReady(record))
        for error in failed.values():
            if isinstance(error, _FAULTS_OF_THE_REQUEST):
                raise error
        return failed
