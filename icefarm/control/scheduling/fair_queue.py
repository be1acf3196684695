"""Pure: no I/O, no clock.  Which waiting request gets which boards, and the reason for the others.

Theory of operation
-------------------
`decide` walks once along the queue.  It looks at each request in its order, at the boards as they are, and at what
requests before have got or keep; it knows nothing of earlier walks, so the same state always gives the same verdicts.

The order (`arranged`) is that of `icefarm.control.scheduling.fair_share`: by priority, then by what accounts have used
lately, then first come, first served.  An account that gets boards goes behind at once, with all its other requests.

Each request meets one of four ends:

    request ── choose ──┬── enough boards that are not kept ──> SERVED: they are kept, and count as reserved
                        ├── not enough, but within reach ─────> WAITS; once it has waited for KEEP_AFTER,
                        │                                       everything within reach is kept for it
                        ├── not enough, and out of reach ─────> WAITS, and nothing is kept for it
                        └── another error ────────────────────> REFUSED: waiting does not change that

Within reach are boards that are free, or become so by themselves: those that others have reserved, and those that are
being flashed or tested.

A booking that has begun keeps boards for its account (`icefarm.control.scheduling.bookings.calendar`).  Requests of
that account that fit into what it keeps come before all others, and nobody else's request gets those boards or keeps
them.

Boards that are kept for a request go to none behind it: all or nothing means that a large request needs several at the
same time, and it would never get them if small ones behind it took each as it comes free.  Kept boards are idle, so
that begins only when a request has waited for `KEEP_AFTER`; until then, others use what it can't use yet.

Requests that would share boards stand in the same queue.  A board that a request would share is within its reach like
one that it would have for itself; one that gets it leaves room on it for those behind.  For a request that wants a
board for itself and has waited for `KEEP_AFTER`, of the shared boards as many are kept as it needs, those that the
fewest share: nobody behind it joins these, so they become free.  Joining only the others, later requests never make
these boards more shared than they are.

Invariants:

- No board is in two verdicts of one walk, unless both share it.
- No board is free that a request could use, and no place on a shared one, except those that are kept for an earlier
  one.
- A request is held up by one behind it for at most `KEEP_AFTER`, and never by one without a board in common with it.
- A request that may wait forever (for a board that is broken, offline or drained, or that its own client has) keeps
  no boards from others.
- Whether a request that does not wait is worth a moment's patience is said by ``soon``: only boards that are being
  flashed or tested are missing.
- `Verdict.behind` names the earlier requests that wait for boards which this one could use, too.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from math import inf

from attrs import Factory, evolve, field, frozen

from icefarm.contract import BookingRecord, DeviceRecord, WorkerRecord
from icefarm.control.scheduling.access import Allowance
from icefarm.control.scheduling.availability import UnavailableReason, select, unavailable_reason
from icefarm.control.scheduling.bookings.calendar import NO_BOOKINGS, Calendar, Holding, Shelf
from icefarm.control.scheduling.elastic import Group, spared
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY, Standing
from icefarm.control.scheduling.placement import ReservationRequest, booked_for_others, choose
from icefarm.errors import IcefarmError, Unavailable
from icefarm.selectors.language import Selector

__all__ = ["KEEP_AFTER", "LAST", "QueuedRequest", "Verdict", "arranged", "decide"]

#: The number of a request that does not wait: it comes after those that do.
LAST = 2**63 - 1
#: Seconds that a request has waited when boards begin to be kept for it.
KEEP_AFTER = 300.0
#: How many of the requests before it a verdict names.
BEHIND = 10


#: What makes two requests alike: kind, amount, selector, what the account may have, whether boards are kept for it, and
#: whether it waits.
_Alike = tuple[str, int, Selector | None, Allowance | None, bool, bool]


@frozen
class QueuedRequest:
    """A request for boards that has not been served."""

    id: str
    client: str
    request: ReservationRequest
    #: In order of arrival; distinguishes requests of the same moment.
    number: int = LAST
    #: Seconds since the epoch.
    since: float = 0.0
    #: Seconds that it still waits; None: forever.
    left: float | None = None
    priority: float = DEFAULT_PRIORITY
    #: It is for more boards of a group that has some.
    grows: bool = False


@frozen
class Verdict:
    """The decision on one request: its boards, or the reason for none."""

    id: str
    serials: list[str] = Factory(list)
    error: IcefarmError | None = None
    #: The only boards missing are being flashed or tested.
    soon: bool = False
    #: The serials of the boards that it could use, where it waits: free, or so by themselves.
    reach: frozenset[str] = frozenset()
    #: The ids of the first earlier requests that wait for boards among these.
    behind: tuple[str, ...] = ()
    #: The boards whose groups are to give them up for it.
    asks: tuple[str, ...] = ()


def arranged(queue: Iterable[QueuedRequest], standing: Standing) -> list[QueuedRequest]:
    """Return the requests in their order, as their accounts stand."""

    def turn(queued: QueuedRequest) -> tuple[float, ...]:
        # Its waiting time and not its number, which is new if it waits again.
        waits = queued.number != LAST
        return standing.turn(
            queued.client, queued.priority, queued.since, queued.number, waits=waits, grows=queued.grows
        )

    return sorted(queue, key=turn)


def decide(
    queue: Sequence[QueuedRequest],
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    now: float,
    standing: Standing | None = None,
    calendar: Calendar = NO_BOOKINGS,
    lenders: Sequence[Group] = (),
    leaving: Collection[str] = (),
) -> list[Verdict]:
    """Decide on each request, the first in the queue first.

    ``lenders`` are the groups that may give up boards, ``leaving`` the boards that they were asked for already.
    """
    by_name, shelf = {worker.name: worker for worker in workers}, Shelf.of(devices, workers, now)
    standing = Standing(now) if standing is None else standing
    walk = _Round(list(devices), by_name, list(workers), now, calendar, shelf, lenders, set(leaving))
    return walk.walk(queue, standing)


@frozen
class _Round:
    """One walk along the queue."""

    #: As they are once earlier requests have what they get of shared boards.
    devices: list[DeviceRecord]
    by_name: Mapping[str, WorkerRecord]
    workers: Sequence[WorkerRecord]
    now: float
    calendar: Calendar
    shelf: Shelf
    lenders: Sequence[Group] = ()
    #: Boards that groups are asked for.
    leaving: set[str] = field(factory=set)
    #: Boards that earlier requests get, or that are kept for them.
    kept: set[str] = field(factory=set)
    #: The new holders of boards that earlier requests get, by serial.
    got: dict[str, str] = field(factory=dict)
    #: The reasons for requests of equal kind and amount, as long as no more boards are kept.
    told: dict[_Alike, tuple[int, Verdict]] = field(factory=dict)
    #: The earlier requests that wait, and what they wait for.
    waiting: list[tuple[str, frozenset[str]]] = field(factory=list)
    #: The clients that have boards.
    holders: set[str] = field(factory=set)

    def walk(self, queue: Sequence[QueuedRequest], standing: Standing) -> list[Verdict]:
        self.holders.update(device.client for device in self.devices if device.client is not None)
        self.holders.update(client for device in self.devices for client in device.shares.values())
        rest, verdicts = self._arranged(queue, standing), []
        while rest:
            queued = rest.pop(0)
            verdict = self._judge(queued, standing)
            verdicts.append(self._placed(queued, verdict))
            if verdict.serials:
                self.holders.add(queued.client)
                standing = standing.given(queued.client, len(verdict.serials))
                rest = self._arranged(rest, standing)
        return verdicts

    def _placed(self, queued: QueuedRequest, verdict: Verdict) -> Verdict:
        """Record a waiting request, and return the requests ahead of it."""
        if not verdict.reach:
            return verdict
        behind = (id for id, reach in self.waiting if reach is verdict.reach or reach & verdict.reach)
        first = tuple(islice(behind, BEHIND))
        self.waiting.append((queued.id, verdict.reach))
        return evolve(verdict, behind=first)

    def _arranged(self, queue: Iterable[QueuedRequest], standing: Standing) -> list[QueuedRequest]:
        """Return the requests in their order: those first for which a booking keeps enough boards."""
        order = arranged(queue, standing)
        needs = self.calendar.needs(self._shelf_now()) if self.calendar else []
        return sorted(order, key=lambda queued: not self._is_booked(queued, needs)) if needs else order

    def _is_booked(self, queued: QueuedRequest, needs: Sequence[tuple[BookingRecord, int]]) -> bool:
        kept = sum(left for booking, left in needs if self.calendar.serves(booking, queued.client))
        return kept >= queued.request.least

    def _shelf_now(self) -> Shelf:
        """Return the shelf with the boards that earlier requests get."""
        return self.shelf.with_held({serial: Holding(client, self.now, inf) for serial, client in self.got.items()})

    def _booked_for_others(self, queued: QueuedRequest) -> Mapping[str, str]:
        if not self.calendar:
            return {}
        return booked_for_others(self._shelf_now(), queued.request, queued.client, self.calendar)

    def _judge(self, queued: QueuedRequest, standing: Standing) -> Verdict:
        request = queued.request
        # One that was served with boards that failed has waited before.
        keeps = self.now - queued.since >= KEEP_AFTER or bool(request.avoid)
        alike: _Alike | None = None
        plain = request.amount is not None and not request.avoid and queued.client not in self.holders
        plain = plain and request.sharers is None
        if plain and not self.calendar and not self.lenders:
            allowance = None if request.allowance.allowed is None else request.allowance
            alike = (request.kind, request.least, request.where, allowance, keeps, queued.number != LAST)
        if alike is not None and alike in self.told and self.told[alike][0] == len(self.kept):
            return evolve(self.told[alike][1], id=queued.id)
        booked = self._booked_for_others(queued)
        try:
            serials = self._choose(queued, booked)
        except Unavailable as error:
            verdict = self._waits(queued, error, standing, booked, keeps=keeps)
            if alike is not None:
                self.told[alike] = (len(self.kept), verdict)
            return verdict
        except IcefarmError as error:
            return Verdict(queued.id, error=error)
        if request.sharers is None:
            self.kept.update(serials)
        else:
            self._share(queued, serials)
        self.got.update(dict.fromkeys(serials, queued.client))
        return Verdict(queued.id, serials)

    def _share(self, queued: QueuedRequest, serials: Collection[str]) -> None:
        """Count one more client on these shared boards, for later requests."""
        for place, device in enumerate(self.devices):
            if device.serial in serials:
                shares = {**device.shares, queued.id: queued.client}
                own, client = device.reservation or queued.id, device.client or queued.client
                self.devices[place] = evolve(
                    device, shares=shares, reservation=own, client=client, kind=queued.request.kind
                )

    def _choose(self, queued: QueuedRequest, booked: Mapping[str, str]) -> list[str]:
        request = queued.request
        taken = [serial for serial in request.serials or () if serial in self.kept]
        if taken:
            raise Unavailable(f"an earlier request waits for {', '.join(taken)}", serials=taken)
        avoiding = evolve(request, avoid=request.avoid | self.kept)
        return choose(self.devices, self.workers, avoiding, self.now, booked, queued.client)

    def _waits(
        self, queued: QueuedRequest, error: Unavailable, standing: Standing, booked: Mapping[str, str], *, keeps: bool
    ) -> Verdict:
        usable = self._usable(queued.request)
        unbooked = [device for device in usable if device.serial not in booked]
        soon = self._within_reach(queued, [device for device in unbooked if not self._is_held(device, queued.request)])
        reach = self._within_reach(queued, unbooked)
        waits = queued.number != LAST
        asks = self._asks(queued, standing, unbooked) if self.lenders and (waits or queued.grows) else None
        # One that does not wait is refused now, unless it has the boards in a moment.
        if asks is None and keeps and not queued.grows and (waits or soon):
            self.kept.update(self._kept_for(queued.request, reach))
        seen = frozenset() if queued.grows else frozenset(device.serial for device in usable)
        return Verdict(queued.id, error=error, soon=bool(soon), reach=seen, asks=tuple(asks or ()))

    def _kept_for(self, request: ReservationRequest, reach: set[str]) -> set[str]:
        """Return the boards within a request's reach that are kept for it: of shared ones only as many as it needs.

        Those that the fewest share are free first, since nobody else joins them.
        """
        shared = [device for device in self.devices if device.serial in reach and device.shares]
        shared.sort(key=lambda device: (len(device.shares), device.serial))
        spared = shared[request.least :] if request.sharers is None else []
        return reach - {device.serial for device in spared}

    def _coming(self, request: ReservationRequest, boards: Iterable[DeviceRecord]) -> list[str]:
        """Return those of these boards that it could use in a moment, the soonest first: free, made ready, or given up
        by a group.
        """
        found = [device for device in boards if device.serial in self.leaving or not self._is_held(device, request)]

        def turn(device: DeviceRecord) -> tuple[bool, bool, bool, str]:
            preparing = self._obstacle(device, request.kind) is not None
            return device.serial in request.avoid, device.serial in self.leaving, preparing, device.serial

        return [device.serial for device in sorted(found, key=turn)]

    def _asks(self, queued: QueuedRequest, standing: Standing, usable: Iterable[DeviceRecord]) -> list[str] | None:
        """Return which boards groups give up for it; None if it can't have enough in this way, nor without it.

        These are kept for it, and as many of those that come as it wants: the others are for those behind it, who
        then need not ask a group for any.
        """
        request, left = queued.request, [device for device in usable if device.serial not in self.kept]
        wanted = 1 if queued.grows else request.most
        coming = self._coming(request, left)
        others = {device.serial for device in left} - set(coming)
        offered = spared(queued.client, queued.priority, self.lenders, standing, self.leaving | self.kept, others)
        asks = offered[: max(0, wanted - len(coming))]
        if len(coming) + len(asks) < request.least:
            return None
        self.kept.update(asks, coming[:wanted])
        return asks

    def _usable(self, request: ReservationRequest) -> list[DeviceRecord]:
        """Return the boards that it waits for, also those that are kept for others.

        Only boards that are free, or will be free by themselves, count: a request that waits for broken, offline or
        drained boards may wait forever, and holds up nobody.
        """
        obstacles = (None, UnavailableReason.PREPARING, UnavailableReason.RESERVED)
        return [
            device
            for device in self._selected(request)
            if not self._drained(device)
            and self._obstacle(device, request.kind) in obstacles
            and (request.sharers is None or request.kind in self.by_name[device.worker].shared_kinds)
        ]

    def _within_reach(self, queued: QueuedRequest, usable: Iterable[DeviceRecord]) -> set[str]:
        """Return which of these boards it could use, where they are enough; none that are kept for others, or its own.

        This includes boards that it avoids for a while: later requests would be no better off with them.  Boards that
        others get in this round count as reserved, and will be returned like all reserved ones.
        """
        found = {
            device.serial
            for device in usable
            if (device.serial in self.got or device.serial not in self.kept)
            and self.got.get(device.serial, device.client) != queued.client
            and queued.client not in device.shares.values()
        }
        return found if len(found) >= queued.request.least else set()

    def _selected(self, request: ReservationRequest) -> list[DeviceRecord]:
        """Return the boards that a request names or selects."""
        if request.serials is not None:
            return [device for device in self.devices if device.serial in request.serials]
        return select(self.devices, self.by_name, request.kind, request.where, request.allowance).boards

    def _obstacle(self, device: DeviceRecord, kind: str) -> UnavailableReason | None:
        found = unavailable_reason(device, self.by_name.get(device.worker), kind)
        return UnavailableReason.RESERVED if found is None and device.serial in self.got else found

    def _is_held(self, device: DeviceRecord, request: ReservationRequest) -> bool:
        return self._obstacle(device, request.kind) is UnavailableReason.RESERVED

    def _drained(self, device: DeviceRecord) -> bool:
        worker = self.by_name.get(device.worker)
        return worker is not None and worker.draining
