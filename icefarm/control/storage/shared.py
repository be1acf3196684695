"""Reads that are the same for everybody, made once for all who ask while nothing has changed.

Many displays, and a client that asks again and again, cost the database one read for each change.  Each answer is as of
the moment of its question or later: a change is an event before the call that made it is answered, and a read that
began before the event is for those alone who asked before it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Generic, TypeVar

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import started
from icefarm.contract import BookingRecord, DeviceRecord, ReservationRecord, WorkerRecord, to_wire
from icefarm.control.scheduling.access import AccessRules, Allowance
from icefarm.control.scheduling.availability import free
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import Event
from icefarm.selectors.language import Selector

__all__ = ["FRESH", "FarmRecords", "Shared", "access_rules"]

T = TypeVar("T")

#: Seconds after which a read is made again though no event says that something changed: when a worker was last seen,
#: and what somebody changed in the database itself.
FRESH = 1.0


@define(eq=False)
class Shared(Generic[T]):
    """One read, shared.  It hears of what changes its answer."""

    clock: Clock
    read: Callable[[], Coroutine[Any, Any, T]]
    #: How many events it has heard; of those, how many before the last read, and before the one that runs.
    _events: int = 0
    _known_at: int = -1
    _begun_at: int | None = None
    _last: list[T] = Factory(list)
    _read_at: float = float("-inf")
    #: Who waits for the read that runs, and for the one after it.
    _joined: list[Deferred[T]] = Factory(list)
    _waiting: list[Deferred[T]] = Factory(list)

    def heard(self, _: Event) -> None:
        """Something changed."""
        self._events += 1

    @property
    def age(self) -> float:
        """Seconds since the last read."""
        return self.clock.seconds() - self._read_at

    async def get(self) -> T:
        """Return the answer.  Raises what the read does."""
        if self._known_at == self._events and self.age < FRESH:
            return self._last[0]
        answer: Deferred[T] = Deferred()
        if self._begun_at == self._events:
            self._joined.append(answer)
        else:
            self._waiting.append(answer)
            if self._begun_at is None:
                self._begin()
        return await answer

    def _begin(self) -> None:
        self._joined, self._waiting, self._begun_at = self._waiting, [], self._events
        started(self.read).addBoth(self._done)

    def _done(self, result: T | Failure) -> None:
        joined, self._joined = self._joined, []
        if not isinstance(result, Failure):
            assert self._begun_at is not None
            self._last, self._known_at, self._read_at = [result], self._begun_at, self.clock.seconds()
        self._begun_at = None
        for answer in joined:
            # One that was given up has its answer.
            if not answer.called:
                answer.callback(result)
        if self._waiting and self._begun_at is None:
            self._begin()


@define(eq=False)
class FarmRecords:
    """Workers, boards, active reservations, and bookings that have not ended."""

    workers: list[WorkerRecord]
    devices: list[DeviceRecord]
    reservations: list[ReservationRecord]
    bookings: list[BookingRecord]
    #: The store's time of the read.
    now: float
    #: Free boards, by what was asked.
    _free: dict[tuple[str | None, str | None], list[str]] = Factory(dict)
    _wire: Mapping[str, list[dict[str, Any]]] | None = None

    def free(self, kind: str | None, where: Selector | None, allowance: Allowance, text: str | None) -> list[str]:
        """Return `icefarm.control.scheduling.availability.free` of these; ``text`` is the selector's.

        Counted once while nothing changes, for all accounts that may have everything.
        """
        if allowance.allowed is not None:
            return free(self.devices, self.workers, kind, where, allowance)
        asked = kind, text
        if asked not in self._free:
            self._free[asked] = free(self.devices, self.workers, kind, where)
        return self._free[asked]

    def wire(self) -> Mapping[str, list[dict[str, Any]]]:
        """Return the records for the wire, made once; nobody may change them."""
        if self._wire is None:
            self._wire = {
                "workers": [to_wire(record) for record in self.workers],
                "devices": [to_wire(record) for record in self.devices],
                "reservations": [to_wire(record) for record in self.reservations],
                "bookings": [to_wire(record) for record in self.bookings],
            }
        return self._wire


def access_rules(store: Store, clock: Clock) -> Shared[AccessRules]:
    """Return the shared read of who may have which boards."""

    async def read() -> AccessRules:
        return await store.access()

    return Shared(clock, read)
