"""A worker's boards on one hub, which all re-enumerate at once."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from icefarm.contract import Assignment, DeviceStatus
from icefarm.kinds import Kinds
from icefarm.kinds.circuit import Admission
from icefarm.kinds.pulsecount import PulseCount
from icefarm.testing.memory.boards import MemoryBoard, MemoryHardware, memory_images
from icefarm.usb.usb_events import UsbEvent
from icefarm.worker.board.context import WorkerContext
from icefarm.worker.board.registry import BoardRegistry

IMAGES = memory_images("default", "pulse_count")
BOARDS = 24


class Hub:
    """Boards, and what a worker knows of them."""

    def __init__(self, boards: int = BOARDS) -> None:
        self.clock = Clock()
        self.hardware = MemoryHardware()
        self.registry = BoardRegistry(WorkerContext("w1", self.clock, self.hardware, Kinds.of(PulseCount), Admission()))
        self.boards = [MemoryBoard(self.clock, f"{number:016X}", self.tell) for number in range(boards)]
        self.hardware.boards += self.boards
        for board in self.boards:
            board.plug()
        self.settle()

    def tell(self, event: UsbEvent) -> None:
        self.registry.usb(IMAGES, event)

    def settle(self, seconds: float = 2.0) -> None:
        self.clock.pump([0.05] * round(seconds / 0.05))

    def reserve(self) -> None:
        for number, board in enumerate(self.registry):
            board.assign(Assignment(f"r{number}", "alice", "pulsecount"))

    @property
    def statuses(self) -> set[DeviceStatus]:
        return {board.report().status for board in self.registry}


def test_all_boards_of_a_hub_are_flashed_at_once_and_each_once() -> None:
    hub = Hub()
    assert hub.statuses == {DeviceStatus.AVAILABLE}
    hub.reserve()
    hub.settle()
    assert hub.statuses == {DeviceStatus.RESERVED}
    assert {(board.flashed, board.runs) for board in hub.boards} == {(1, "pulse_count 1.0")}


def test_a_hub_that_loses_its_power_while_all_its_boards_are_flashed_comes_back_whole() -> None:
    hub = Hub()
    hub.reserve()
    hub.settle(0.15)
    for board in hub.boards:
        board.unplug()
    hub.settle(1)
    for board in reversed(hub.boards):
        board.plug()
    hub.settle()
    assert hub.statuses == {DeviceStatus.RESERVED}
    assert {board.runs for board in hub.boards} == {"pulse_count 1.0"}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 8), st.booleans()), max_size=40))
def test_boards_that_come_and_go_in_any_order_all_serve_their_reservations_in_the_end(steps: list[Any]) -> None:
    hub = Hub(boards=6)
    hub.reserve()
    for number, ticks, goes in steps:
        board = hub.boards[number]
        if goes and board.plugged:
            board.unplug()
        elif not goes and not board.plugged:
            board.plug()
        hub.clock.pump([0.05] * ticks)
    for board in hub.boards:
        if not board.plugged:
            board.plug()
    # A board that went while it was flashed, and was given up, is found again by its time limits.
    hub.settle(60)
    assert hub.statuses == {DeviceStatus.RESERVED}
    assert {board.report().reservation for board in hub.registry} == {f"r{number}" for number in range(6)}
