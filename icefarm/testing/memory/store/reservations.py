"""The in-memory stand-in for `icefarm.control.storage.postgres.store.PostgresStore`: reservations, queue, bookings."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import Factory, define, evolve

from icefarm.contract import (
    BookingRecord,
    ReservationRecord,
    account_of,
)
from icefarm.control.scheduling.availability import free
from icefarm.control.scheduling.explanations import (
    foreign_request,
    incomplete,
    not_yours,
)
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY, Hold, Ledger
from icefarm.control.scheduling.placement import ReservationRequest, Terms, allot, extended
from icefarm.control.storage.interface import Kept, Lately, State
from icefarm.testing.memory.store.inventory import ClientPart, MemoryInventory

__all__ = ["MemoryStore"]


@define(repr=False)
class MemoryStore(MemoryInventory):
    """Implements `Store` on ``clock``, such as a `twisted.internet.task.Clock`."""

    #: The boards allocated to each request, and waiting requests with the moment at which they give up.
    _got: dict[str, list[str]] = Factory(dict)
    _queue: dict[str, tuple[QueuedRequest, float | None]] = Factory(dict)

    # ---------------------------------------------------------------------------------------------- reservations

    async def available(self, kind: str | None = None) -> list[str]:
        return free(self._all_devices(), self._all_workers(), kind)

    async def state(self) -> State:
        return State(self._all_devices(), self._all_workers(), self.clock.seconds(), self._booked.calendar())

    async def reserve(
        self,
        client: str,
        request: ReservationRequest,
        seconds: float,
        *,
        request_id: str | None = None,
        grace: float | None = None,
        more: bool = False,
        terms: Terms | None = None,
    ) -> list[ReservationRecord]:
        now = self.clock.seconds()
        before = [] if more else self._answered(client, request_id)
        terms = terms or Terms(DEFAULT_PRIORITY)
        if len(before) == request.most or (before and before[0].wanted is not None):
            self._strike(client, request_id)
            return before
        if before:
            raise incomplete(len(before), request.most)
        made, calendar = [], self._booked.calendar()
        chosen = allot(self._all_devices(), self._all_workers(), request, now, client, seconds, calendar)
        for serial in chosen.serials:
            reservation = ReservationRecord(
                id=self.new_id(),
                serial=serial,
                worker=self._boards[serial].worker,
                client=client,
                kind=request.kind,
                options=request.options,
                created_at=now,
                expires_at=now + chosen.seconds,
                grace=grace,
                labels=self._labels_of(serial),
                limited_by=chosen.limited_by,
                request=request_id,
                priority=terms.priority,
                wanted=terms.wanted,
                at_least=terms.at_least,
                where=terms.where,
                within=None if request.sharers is None else self._own(serial, request.kind, now + chosen.seconds),
                calibration=self._calibrated.id_of(serial),
            )
            self._reservations[reservation.id] = reservation
            if reservation.within is None:
                self._holds[serial] = reservation.id
                self._boards[serial].changed_at = now
            else:
                self._within[reservation.within][reservation.id] = ClientPart(now)
                self._recount(reservation.within)
            made.append(self._shown(reservation))
        if request_id is not None:
            self._strike(client, request_id)
            self._got.setdefault(request_id, []).extend(one.id for one in made)
        return made

    def _own(self, serial: str, kind: str, expires_at: float) -> str:
        """Return the farm's own reservation of a board that is shared, or about to be."""
        held = self._holds.get(serial)
        if held is None:
            worker, now = self._boards[serial].worker, self.clock.seconds()
            own = ReservationRecord(self.new_id(), serial, worker, "", kind, {}, now, expires_at)
            held = self._holds[serial] = own.id
            self._reservations[held], self._within[held] = own, {}
            self._boards[serial].changed_at = now
        return held

    def _recount(self, own: str) -> None:
        """The clients that share a board have changed, or the time for which they do."""
        parts, now = self._within[own], self.clock.seconds()
        if not parts:
            reason = "nobody shares the board any more"
            self._reservations[own] = evolve(self._reservations[own], ended_at=now, end_reason=reason)
            serial = self._reservations[own].serial
            del self._within[own], self._holds[serial]
            self._boards[serial].changed_at = now
            return
        for part in parts.values():
            part.count(now, len(parts))
        last = max(self._reservations[id].expires_at for id in parts)
        self._reservations[own] = evolve(self._reservations[own], expires_at=last)

    async def answered(self, client: str, request_id: str) -> list[ReservationRecord]:
        return self._answered(client, request_id)

    def _answered(self, client: str, request_id: str | None) -> list[ReservationRecord]:
        return [one for one in self._active(client=client) if one.id in self._got.get(request_id or "", ())]

    def _strike(self, client: str, request_id: str | None) -> None:
        """Remove a served request from the queue; another client's request of the same id is not affected."""
        queued, _ = self._queue.get(request_id or "", (None, None))
        if queued is not None and queued.client == client:
            del self._queue[queued.id]

    async def extend(
        self,
        client: str,
        serials: Sequence[str] | None,
        seconds: float,
        *,
        until: Mapping[str, float] | None = None,
    ) -> list[ReservationRecord]:
        own = {reservation.serial: reservation for reservation in self._active(client=client)}
        if serials is not None:
            foreign = [serial for serial in serials if serial not in own]
            if foreign:
                raise not_yours(foreign)
        records = [own[serial] for serial in sorted(own if serials is None else set(serials))]
        now, calendar = self.clock.seconds(), self._booked.calendar()
        for each in extended(records, self._all_devices(), self._all_workers(), now, seconds, calendar, until or {}):
            longer = evolve(own[each.serial], expires_at=each.until, limited_by=each.limited_by)
            self._reservations[longer.id] = longer
            if longer.within is not None:
                self._recount(longer.within)
        return [self._reservations[record.id] for record in records]

    async def end(self, *, client: str | None, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        if serials is None:
            if client is None:
                raise ValueError("whose reservations, or which boards?")
            return self._end([reservation.id for reservation in self._active(client=client)], reason)
        self._check_known(serials)
        held = [reservation for serial in set(serials) for reservation in self._held(serial)]
        ending = [reservation for reservation in held if client in (None, reservation.client)]
        foreign = {one.serial for one in held} - {one.serial for one in ending}
        if foreign:
            raise not_yours(sorted(foreign))
        return self._end([reservation.id for reservation in ending], reason)

    async def want_fewer(self, client: str, request_id: str, boards: int) -> None:
        for one in self._active(client=client):
            if one.request == request_id and one.wanted is not None:
                wanted = max(1, one.wanted - boards)
                least = None if one.at_least is None else min(one.at_least, wanted)
                self._reservations[one.id] = evolve(one, wanted=wanted, at_least=least)

    async def end_reservations(self, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
        return self._end(ids, reason)

    async def end_expired(self) -> list[ReservationRecord]:
        now = self.clock.seconds()
        ended = []
        for one in [one for one in self._active() if one.expires_at <= now]:
            ended += self._end([one.id], "expired" if one.limited_by is None else f"expired: {one.limited_by}")
        return ended

    async def active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        return self._active(client=client, worker=worker)

    def all_reservations(self) -> list[ReservationRecord]:
        """Return all reservations of clients, also ended ones."""
        return [self._shown(one) for one in self._reservations.values() if one.client]

    async def reservation(self, id: str) -> ReservationRecord | None:
        return self._reservations.get(id)

    async def lately(self, half_life: float, holds: int) -> Lately:
        past = [one for one in self._reservations.values() if one.ended_at is not None and one.client]
        past.sort(key=lambda one: (one.ended_at or 0.0, one.serial))
        ledger = Ledger(half_life)
        for one in past:
            ledger.add(Hold(account_of(one.client), one.created_at, one.ended_at, one.part))
        alone = [one for one in past if one.within is None]
        last = [Hold(account_of(one.client), one.created_at, one.ended_at) for one in alone]
        return Lately(self.clock.seconds(), ledger.at(self.clock.seconds()), last[-holds:])

    async def now(self) -> float:
        return self.clock.seconds()

    def _end(self, ids: Collection[str], reason: str) -> list[ReservationRecord]:
        now = self.clock.seconds()
        ended = []
        for one in self._active():
            if one.id not in ids and one.within not in ids:
                continue
            self._reservations[one.id] = over = evolve(one, ended_at=now, end_reason=reason)
            ended.append(over)
            if one.within is None:
                del self._holds[one.serial]
                self._boards[one.serial].changed_at = now
            else:
                del self._within[one.within][one.id]
                self._recount(one.within)
        return ended

    # ------------------------------------------------------------------------------------------------------ queue

    async def enqueue(
        self,
        client: str,
        request: ReservationRequest,
        request_id: str,
        timeout: float | None,
        *,
        since: float | None = None,
        priority: float = DEFAULT_PRIORITY,
    ) -> QueuedRequest:
        now = self.clock.seconds()
        known, _ = self._queue.get(request_id, (None, None))
        if known is not None and known.client != client:
            raise foreign_request(request_id)
        if known is None:
            began = now if since is None else since
            queued = QueuedRequest(request_id, client, request, next(self._numbers), began, priority=priority)
            self._queue[request_id] = (queued, None if timeout is None else now + timeout)
        return self._queued(request_id)

    async def dequeue(self, ids: Sequence[str]) -> list[str]:
        return [id for id in sorted(set(ids)) if self._queue.pop(id, None) is not None]

    async def waiting(self) -> list[QueuedRequest]:
        now = self.clock.seconds()
        for id, (_, until) in list(self._queue.items()):
            if until is not None and until <= now:
                del self._queue[id]
        return sorted(map(self._queued, self._queue), key=lambda queued: (queued.since, queued.number))

    def _queued(self, id: str) -> QueuedRequest:
        queued, until = self._queue[id]
        return evolve(queued, left=None if until is None else max(0.0, until - self.clock.seconds()))

    # --------------------------------------------------------------------------------------------------- bookings

    async def book(self, wanted: BookingRecord, most: Mapping[str, float] | None = None) -> BookingRecord:
        self._check_known(wanted.serials)
        return self._booked.book(wanted, most, self._all_devices(), self._all_workers())

    async def bookings(self, since: float | None = None) -> list[BookingRecord]:
        def shown(each: BookingRecord) -> bool:
            return each.ended_at is None or (since is not None and each.ends_at > since)

        return [each for each in self._booked.sorted() if shown(each)]

    async def cancel_bookings(self, ids: Sequence[str], account: str | None, reason: str) -> list[BookingRecord]:
        return self._booked.cancel(ids, account, reason)

    async def keep_bookings(self) -> Kept:
        held = {serial: [one.id for one in self._held(serial)] for serial in self._holds}
        kept = self._booked.keep(self._reservations, held, self._all_devices(), self._all_workers())
        for own in list(self._within):
            self._recount(own)
        return kept
