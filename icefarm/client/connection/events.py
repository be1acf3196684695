"""What a client hears: events for itself, and changes of the farm."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from attrs import frozen

if TYPE_CHECKING:
    from icefarm.client.api.reactor_thread import Engine
    from icefarm.client.connection.watch import Watch
    from icefarm.client.session import Snapshot

__all__ = ["BoardsChange", "Change", "ClientEvent", "changes"]


@frozen
class ClientEvent:
    """An event for this client: initialised, ending_soon, ended, failure, give_back, joined, ..., or one of a kind."""

    name: str
    serial: str | None
    reservation: str | None
    reason: str | None
    fields: Mapping[str, Any]


@frozen
class BoardsChange:
    """Boards that were reserved together have become more or fewer."""

    #: The serials of boards that came, and of boards that left.
    came: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    #: Why they left.
    reason: str | None = None


@frozen
class Change:
    """A change in the farm.

    ``event`` is ``snapshot`` (with a `Snapshot` that replaces everything known before), ``stale`` (with a text: why
    the connection is lost), or the name of a topic of `icefarm.contract.EVENT_TOPICS` (with a record as on the wire).
    """

    event: str
    of: Snapshot | str | Mapping[str, Any]


def changes(engine: Engine, begin: Callable[[], Watch], interval: float | None) -> Iterator[list[Change]]:
    """Yield changes in the caller's thread; an empty list after ``interval`` seconds without any."""

    async def started() -> Watch:
        return begin()

    watch = engine.run(started)

    async def take() -> list[Change]:
        return await watch.take(interval)

    try:
        while True:
            yield engine.run(take)
    finally:
        with suppress(RuntimeError):  # A forked child has nothing to stop.
            engine.post(watch.stop)
