"""The store in memory holds to the rules of any store, so that tests over it say something."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest
from booking_rules import BookingMachine
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from store_rules import StoreMachine, hello_of
from twisted.internet.task import Clock

from icefarm.contract import DeviceReport, DeviceStatus
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.errors import NotYours
from icefarm.testing.memory.store import MemoryStore


def run(call: Awaitable[Any]) -> Any:
    """Return what a call answers that waits for nothing."""
    steps = call.__await__()
    with pytest.raises(StopIteration) as ended:
        next(steps)
    return ended.value.value


@pytest.mark.thorough
def test_the_rules_hold_whatever_happens() -> None:
    def machine() -> StoreMachine:
        clock = Clock()
        return StoreMachine([MemoryStore(clock)], _run_raising, clock.advance)

    run_state_machine_as_test(machine, settings=settings(max_examples=120, stateful_step_count=40, deadline=None))


@pytest.mark.thorough
def test_the_rules_of_bookings_hold_whatever_happens() -> None:
    def machine() -> BookingMachine:
        clock = Clock()
        clock.advance(1_000_000)
        return BookingMachine([MemoryStore(clock)], _run_raising, clock.advance)

    run_state_machine_as_test(machine, settings=settings(max_examples=40, stateful_step_count=30, deadline=None))


def _run_raising(call: Awaitable[Any]) -> Any:
    try:
        next(call.__await__())
    except StopIteration as ended:
        return ended.value
    raise AssertionError("the store in memory waits for something")


def farm_of_two() -> MemoryStore:
    store = MemoryStore(Clock())
    boards = [DeviceReport(serial, DeviceStatus.AVAILABLE) for serial in ("A", "B")]
    run(store.hello(hello_of("w1", boards)))
    return store


def test_a_worker_may_not_take_a_board_that_another_one_sees() -> None:
    store = farm_of_two()
    assert run(store.hello(hello_of("w2", [DeviceReport("A", DeviceStatus.AVAILABLE)]))) == ["A"]
    assert run(store.devices(["A"]))[0].worker == "w1"


def test_a_board_that_moves_takes_its_reservation_along() -> None:
    store = farm_of_two()
    (made,) = run(store.reserve("ada", ReservationRequest("counter", serials=["A"]), 60.0))
    run(store.report("w1", [DeviceReport("A", DeviceStatus.OFFLINE, reason="unplugged")]))
    run(store.hello(hello_of("w2", [DeviceReport("A", DeviceStatus.RESERVED, reservation=made.id)])))
    assert [record.worker for record in run(store.active(client="ada"))] == ["w2"]


def test_ending_another_clients_board_ends_none() -> None:
    store = farm_of_two()
    run(store.reserve("ada", ReservationRequest("counter", serials=["A"]), 60.0))
    run(store.reserve("bob", ReservationRequest("counter", serials=["B"]), 60.0))
    with pytest.raises(NotYours):
        _run_raising(store.end(client="ada", serials=["A", "B"], reason="done"))
    assert len(run(store.active())) == 2
