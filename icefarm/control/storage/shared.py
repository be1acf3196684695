"""Reads that are the same for all callers, and shared by them while nothing changes.

Many displays, and a client that polls, cost the database one read for each change.  Each answer is as of
the moment of its call or later: a change publishes its event before the call that made it is answered, and a read that
began before the event answers only calls from before it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Coroutine
from typing import Any, Generic, TypeVar

from attrs import Factory, define
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import AccessChanged, Event
from icefarm.control.telemetry.publisher import Publisher

__all__ = ["ACCESS_TABLES", "FRESH", "Shared", "access_rules"]

T = TypeVar("T")

#: The tables of `access_rules`.
ACCESS_TABLES = ("access_rule", "account_group")
#: Seconds after which a read is made again though no event says that something changed: when a worker was last seen,
#: and what somebody changed in the database itself.
FRESH = 1.0


@define(eq=False)
class Shared(Generic[T]):
    """One read, shared."""

    clock: Clock
    publisher: Publisher
    #: Events of these types change the answer.
    changes: Collection[type[Event]]
    read: Callable[[], Coroutine[Any, Any, T]]
    #: How many changes there were before the last read, and before the one that runs.
    _known_at: int = -1
    _begun_at: int | None = None
    _last: list[T] = Factory(list)
    _read_at: float = float("-inf")
    #: Who waits for the read that runs, and for the one after it.
    _joined: list[Deferred[T]] = Factory(list)
    _waiting: list[Deferred[T]] = Factory(list)

    async def get(self) -> T:
        """Return the answer.  Raises what the read does."""
        changes = self.publisher.count(self.changes)
        if self._known_at == changes and self.clock.seconds() - self._read_at < FRESH:
            return self._last[0]
        answer: Deferred[T] = Deferred()
        if self._begun_at == changes:
            self._joined.append(answer)
        else:
            self._waiting.append(answer)
            if self._begun_at is None:
                self._begin(changes)
        return await answer

    def _begin(self, changes: int) -> None:
        self._joined, self._waiting, self._begun_at = self._waiting, [], changes
        ensureDeferred(self.read()).addBoth(self._done)

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
            self._begin(self.publisher.count(self.changes))


def access_rules(store: Store, publisher: Publisher, clock: Clock) -> Shared[AccessRules]:
    """Return the shared read of who may have which boards."""

    async def read() -> AccessRules:
        return await store.access()

    return Shared(clock, publisher, (AccessChanged,), read)
