"""An operation that is started every so many seconds."""

from __future__ import annotations

from twisted.internet.task import Clock

from icefarm.concurrency.deferreds import Repeated


class Counted:
    def __init__(self) -> None:
        self.times: list[float] = []
        self.clock = Clock()
        self.repeated = Repeated(self.clock, 10.0, "counting", self.count)

    async def count(self) -> None:
        self.times.append(self.clock.seconds())


def test_it_is_started_at_the_first_time_and_then_regularly() -> None:
    counted = Counted()
    counted.repeated.start(first=1.0)
    counted.repeated.start()
    counted.clock.pump([1.0] * 25)
    assert counted.times == [1.0, 11.0, 21.0]


def test_the_next_time_can_be_moved_once() -> None:
    counted = Counted()
    counted.repeated.start()
    counted.repeated.next_in(3.0)
    counted.clock.pump([1.0] * 14)
    assert counted.times == [3.0, 13.0]


def test_after_a_stop_it_is_not_started_again() -> None:
    counted = Counted()
    counted.repeated.start()
    counted.repeated.stop()
    counted.repeated.start()
    counted.repeated.next_in(1.0)
    counted.clock.advance(100)
    assert counted.times == []
