"""What happens is published once: who hears of it, and in which order."""

from __future__ import annotations

from typing import get_args

import pytest
from attrs import Factory, define
from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from icefarm.contract import DeviceStatus
from icefarm.control.inventory.board_reports import SHOWN_WITHIN
from icefarm.control.telemetry.events import (
    BoardsAvailable,
    BoardsChanged,
    BoardsDeleted,
    Event,
    RouterJoined,
    WorkerLost,
)
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.wiring.assembly import assemble
from icefarm.control.wiring.settings import ControlSettings
from icefarm.testing.memory.control_harness import MemoryControl
from icefarm.testing.memory.history import MemoryHistory
from icefarm.testing.memory.store import MemoryStore


@define(eq=False)
class Listener:
    """A subscriber that writes down what it hears, in a list that several may share."""

    name: str
    heard_of: list[tuple[str, Event]] = Factory(list)

    def heard(self, event: Event) -> None:
        self.heard_of.append((self.name, event))


def test_a_subscriber_hears_of_the_types_that_it_asked_for() -> None:
    publisher, listener = Publisher(), Listener("a")
    publisher.subscribe(listener, BoardsDeleted, WorkerLost)
    for event in (BoardsAvailable(["A"]), BoardsDeleted(["A"]), RouterJoined(), WorkerLost("w1")):
        publisher.publish(event)
    assert listener.heard_of == [("a", BoardsDeleted(["A"])), ("a", WorkerLost("w1"))]


def test_subscribers_hear_in_the_order_in_which_they_subscribed() -> None:
    publisher, first = Publisher(), Listener("first")
    publisher.subscribe(first, RouterJoined)
    publisher.subscribe(Listener("second", first.heard_of), RouterJoined)
    publisher.publish(RouterJoined())
    assert [name for name, _ in first.heard_of] == ["first", "second"]


def test_what_nobody_subscribed_to_is_published_all_the_same() -> None:
    Publisher().publish(RouterJoined())


@pytest.mark.parametrize("event", get_args(Event))
def test_somebody_hears_of_each_event(event: type[Event]) -> None:
    clock = Clock()
    parts = assemble(clock, MemoryStore(clock), MemoryHistory(), ControlSettings())
    assert parts.publisher._subscribers.get(event)


async def holders_shown(*reports: DeviceStatus) -> list[str | None]:
    """Return who has a board, as often as it is shown once it is reserved and its worker has reported it."""
    farm, listener = MemoryControl(), Listener("display")
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    farm.clock.advance(1.0)
    farm.control.parts.publisher.subscribe(listener, BoardsChanged)
    await client.call("reserve", 1, kind="pulsecount")
    listener.heard_of.clear()
    for status in reports:
        await worker.report("A", status)
    farm.clock.advance(SHOWN_WITHIN)
    return [event.records[0].client for _, event in listener.heard_of if isinstance(event, BoardsChanged)]


@ensureDeferred
async def test_a_board_that_changes_hands_is_shown_soon_if_its_worker_does_not_report_it() -> None:
    (holder,) = await holders_shown()
    assert holder is not None
    assert holder.startswith("ada")


@ensureDeferred
async def test_a_board_that_changes_hands_is_shown_once_if_its_worker_reports_it() -> None:
    (holder,) = await holders_shown(DeviceStatus.RESERVED)
    assert holder is not None
    assert holder.startswith("ada")
