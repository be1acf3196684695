"""A waiting request: its call, its place, and the progress sent."""

from __future__ import annotations

from typing import Any

from attrs import Factory, define, evolve, frozen
from twisted.internet.defer import Deferred

from icefarm.contract import QueueRecord, ReservationRecord
from icefarm.control.reservations.calls import ReserveCall
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.errors import IcefarmError, LinkLost

__all__ = ["Outlook", "Waiter"]


@frozen
class Outlook:
    """How a request stands, as of the last look at the queue."""

    #: Board-seconds that its account has used lately.
    used: float = 0.0
    #: The clients of the first requests before it.
    behind: tuple[str, ...] = ()
    #: When it is likely to be served; None: unknown.
    earliest: float | None = None
    latest: float | None = None


@define(eq=False)
class Waiter:
    """A request in the queue."""

    queued: QueuedRequest
    #: The call that waits; None while its client is away.
    call: ReserveCall | None = None
    answer: Deferred[list[ReservationRecord]] | None = None
    #: It is in the store.
    kept: bool = False
    #: Its client has been away so long that others pass it.
    passed: bool = False
    #: At the last check its client was connected, and had not asked again.
    idle: bool = False
    #: Until when it waits; None: forever.
    limit: float | None = None
    #: What its client does not say: until when it waits for boards that are being prepared.
    until: float = 0.0
    place: int = 0
    reason: str = ""
    #: Its account's use, the clients before it, and when it is likely to be served: as of the last look.
    outlook: Outlook = Factory(Outlook)
    #: The reason, and the clients before it, that were sent last.
    told: tuple[str, tuple[str, ...]] = ("", ())
    timers: list[Any] = Factory(list)

    def record(self) -> QueueRecord:
        """Return its public record."""
        request = self.queued.request
        serials = list(request.serials or ())
        return QueueRecord(
            id=self.queued.id,
            client=self.queued.client,
            kind=request.kind,
            amount=request.amount or len(serials),
            serials=serials,
            since=self.queued.since,
            place=self.place,
            reason=self.reason,
            where=None if request.where is None else str(request.where),
            shared=request.sharers is not None,
            used=self.outlook.used,
            behind=list(self.outlook.behind),
            earliest=self.outlook.earliest,
            latest=self.outlook.latest,
        )

    def progress(self) -> dict[str, Any]:
        """Return the progress that its client gets while it waits."""
        record = self.record()
        return {name: getattr(record, name) for name in ("place", "reason", "behind", "earliest", "latest")}

    def apply(self, access: AccessRules) -> None:
        """Let its account have what the rules of access say now."""
        request = self.queued.request
        seconds = (request if self.call is None else self.call.request).allowance.seconds
        allowance = access.of(self.queued.client).lasting(seconds)
        if allowance != request.allowance:
            self.queued = evolve(self.queued, request=evolve(request, allowance=allowance))

    def take(self, call: ReserveCall) -> Deferred[list[ReservationRecord]]:
        """Let a call wait for it, in the place of an earlier one for the same; returns what will be its answer."""
        if self.answer is not None:
            self.answer.errback(LinkLost("the same request was made again"))
        self.call, self.answer, self.passed, self.idle = call, Deferred(), False, False
        return self.answer

    def reply(self, result: list[ReservationRecord] | IcefarmError) -> None:
        """Answer its call, if it has one."""
        answer, self.answer = self.answer, None
        if answer is None:
            return
        if isinstance(result, IcefarmError):
            answer.errback(result)
        else:
            answer.callback(result)

    def stop_timers(self) -> None:
        timers, self.timers = self.timers, []
        for timer in timers:
            if timer.active():
                timer.cancel()
