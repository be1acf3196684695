"""Pure: no I/O, no clock.  Which waiting request gets which boards, and the reason for the others.

Theory of operation
-------------------
`decide` walks once along the queue.  It looks at each request in its order, at the boards as they are, and at what
requests before have got or keep; it knows nothing of earlier walks, so the same state always gives the same verdicts.

The order (`arranged`): clients without boards first, then those that hold some; within each, who waits longest, and
last the requests that don't wait.  A client that gets boards goes behind at once, with all its other requests.

Each request meets one of four ends:

    request ── choose ──┬── enough boards that are not kept ──> SERVED: they are kept, and count as reserved
                        ├── not enough, but within reach ─────> WAITS, and everything within reach is kept for it
                        ├── not enough, and out of reach ─────> WAITS, and nothing is kept for it
                        └── another error ────────────────────> REFUSED: waiting does not change that

Within reach are boards that are free, or become so by themselves: those that others have reserved, and those that are
being flashed or tested.

Boards that are kept for a request go to none behind it: all or nothing means that a large request needs several at the
same time, and it would never get them if small ones behind it took each as it comes free.

Invariants:

- No board is in two verdicts of one walk.
- A request is never held up by one behind it, nor by one that has no board in common with it.
- A request that may wait forever (for a board that is broken, offline or drained, or that its own client has) keeps
  no boards from others.
- Whether a request that does not wait is worth a moment's patience is said by ``soon``: only boards that are being
  flashed or tested are missing.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import Factory, evolve, field, frozen

from icefarm.contract import DeviceRecord, WorkerRecord
from icefarm.control.scheduling.availability import UnavailableReason, unavailable_reason
from icefarm.control.scheduling.placement import ReservationRequest, choose
from icefarm.errors import IcefarmError, Unavailable

__all__ = ["LAST", "QueuedRequest", "Verdict", "arranged", "decide"]

#: The number of a request that does not wait: it comes after those that do.
LAST = 2**63 - 1


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


@frozen
class Verdict:
    """The decision on one request: its boards, or the reason for none."""

    id: str
    serials: list[str] = Factory(list)
    error: IcefarmError | None = None
    #: The only boards missing are being flashed or tested.
    soon: bool = False


def arranged(queue: Iterable[QueuedRequest], holders: Collection[str]) -> list[QueuedRequest]:
    """Return the requests in their order; ``holders`` are the clients that have boards."""

    def turn(queued: QueuedRequest) -> tuple[bool, bool, float, int]:
        # Since when it waits, and not its number, which is a new one where it waits again.
        return queued.client in holders, queued.number == LAST, queued.since, queued.number

    return sorted(queue, key=turn)


def decide(
    queue: Sequence[QueuedRequest], devices: Sequence[DeviceRecord], workers: Sequence[WorkerRecord], now: float
) -> list[Verdict]:
    """Decide on each request, the first in the queue first."""
    holders = {device.client for device in devices if device.client is not None}
    return _Round(devices, {worker.name: worker for worker in workers}, list(workers), now, holders).walk(queue)


@frozen
class _Round:
    """One walk along the queue."""

    devices: Sequence[DeviceRecord]
    by_name: Mapping[str, WorkerRecord]
    workers: Sequence[WorkerRecord]
    now: float
    holders: set[str]
    #: Boards that earlier requests get, or that are kept for them.
    kept: set[str] = field(factory=set)
    #: The new holders of boards that earlier requests get, by serial.
    got: dict[str, str] = field(factory=dict)
    #: What requests for so many boards of a kind were told, as long as no more boards are kept.
    told: dict[tuple[str, int | None], tuple[int, Verdict]] = field(factory=dict)

    def walk(self, queue: Sequence[QueuedRequest]) -> list[Verdict]:
        rest, verdicts = arranged(queue, self.holders), []
        while rest:
            queued = rest.pop(0)
            verdict = self._judge(queued)
            verdicts.append(verdict)
            if verdict.serials and queued.client not in self.holders:
                self.holders.add(queued.client)
                rest = arranged(rest, self.holders)
        return verdicts

    def _judge(self, queued: QueuedRequest) -> Verdict:
        request = queued.request
        alike = None
        if request.amount is not None and not request.avoid and queued.client not in self.holders:
            alike = (request.kind, request.amount)
        if alike is not None and alike in self.told and self.told[alike][0] == len(self.kept):
            return evolve(self.told[alike][1], id=queued.id)
        try:
            serials = self._choose(request)
        except Unavailable as error:
            verdict = self._waits(queued, error)
            if alike is not None:
                self.told[alike] = (len(self.kept), verdict)
            return verdict
        except IcefarmError as error:
            return Verdict(queued.id, error=error)
        self.kept.update(serials)
        self.got.update(dict.fromkeys(serials, queued.client))
        return Verdict(queued.id, serials)

    def _choose(self, request: ReservationRequest) -> list[str]:
        taken = [serial for serial in request.serials or () if serial in self.kept]
        if taken:
            raise Unavailable(f"an earlier request waits for {', '.join(taken)}", serials=taken)
        return choose(self.devices, self.workers, evolve(request, avoid=request.avoid | self.kept), self.now)

    def _waits(self, queued: QueuedRequest, error: Unavailable) -> Verdict:
        soon = self._within_reach(queued, {None, UnavailableReason.PREPARING})
        reach = self._within_reach(queued, {None, UnavailableReason.PREPARING, UnavailableReason.RESERVED})
        self.kept.update(reach)
        return Verdict(queued.id, error=error, soon=bool(soon))

    def _within_reach(self, queued: QueuedRequest, obstacles: Collection[UnavailableReason | None]) -> set[str]:
        """Return the boards that it could use, where they are enough; what is kept for others is not among them.

        This includes boards that it avoids for a while: later requests would be no better off with them.  Boards that
        others get in this round count as reserved, and will be returned like all reserved ones.

        Only boards that are free, or will be free by themselves, count: a request that waits for broken, offline or
        drained boards, or for its own, may wait forever, and holds up nobody.
        """
        request = queued.request
        found = {
            device.serial
            for device in self.devices
            if (device.serial in self.got or device.serial not in self.kept)
            and self.got.get(device.serial, device.client) != queued.client
            and (request.serials is None or device.serial in request.serials)
            and not self._drained(device)
            and self._obstacle(device, request.kind) in obstacles
        }
        wanted = len(request.serials) if request.serials is not None else request.amount or 0
        return found if len(found) >= wanted else set()

    def _obstacle(self, device: DeviceRecord, kind: str) -> UnavailableReason | None:
        found = unavailable_reason(device, self.by_name.get(device.worker), kind)
        return UnavailableReason.RESERVED if found is None and device.serial in self.got else found

    def _drained(self, device: DeviceRecord) -> bool:
        worker = self.by_name.get(device.worker)
        return worker is not None and worker.draining
