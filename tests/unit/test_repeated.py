"""Operations that run again and again: every so many seconds, or when they are due."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.concurrency.deferreds import AGAIN, LONGEST, DueTimer, Repeated
from icefarm.errors import Busy


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


def test_a_run_that_takes_longer_than_the_time_between_two_is_not_joined_by_another() -> None:
    clock, running = Clock(), list[Deferred[None]]()

    async def slow() -> None:
        running.append(Deferred())
        await running[-1]

    Repeated(clock, 10.0, "waiting", slow).start()
    clock.pump([10.0] * 3)
    assert len(running) == 1
    running[0].callback(None)
    clock.advance(10.0)
    assert len(running) == 2


class Due:
    """What is due at the times given, one after the other."""

    def __init__(self, *sleeps: float | Exception | None) -> None:
        self.clock = Clock()
        self.sleeps = list(sleeps)
        self.times: list[float] = []
        self.timer = DueTimer(self.clock, "what is due", self.act)

    async def act(self) -> float | None:
        self.times.append(self.clock.seconds())
        sleep = self.sleeps.pop(0)
        if isinstance(sleep, Exception):
            raise sleep
        return sleep


def test_what_is_due_is_done_when_asked_for_and_when_the_next_of_it_is_due() -> None:
    due = Due(5.0, None, 1.0, None)
    due.timer.poke()
    due.clock.pump([1.0] * 20)
    assert due.times == [0.0, 5.0]
    due.timer.poke()
    due.clock.pump([1.0] * 20)
    assert due.times == [0.0, 5.0, 20.0, 21.0]


def test_being_asked_before_it_is_due_takes_the_place_of_the_time_before() -> None:
    due = Due(5.0, 10.0, None)
    due.timer.poke()
    due.clock.advance(2.0)
    due.timer.poke()
    due.clock.pump([1.0] * 20)
    assert due.times == [0.0, 2.0, 12.0]


def test_while_the_database_is_away_it_is_tried_again_soon() -> None:
    due = Due(Busy("away"), None)
    due.timer.poke()
    due.clock.pump([1.0] * 20)
    assert due.times == [0.0, AGAIN]


def test_after_an_error_that_nobody_expected_it_is_tried_again_as_well() -> None:
    due = Due(RuntimeError("a bug"), None, None)
    due.timer.poke()
    due.timer.at_latest(60.0)
    due.clock.pump([1.0] * 20)
    assert due.times == [0.0, AGAIN]


def test_a_timer_that_is_stopped_does_nothing_more() -> None:
    due = Due(5.0, None)
    due.timer.poke()
    due.timer.stop()
    due.clock.advance(10.0)
    due.timer.poke()
    assert due.times == [0.0]


def test_clocks_that_drift_apart_matter_for_an_hour_at_most() -> None:
    due = Due(1e6, None)
    due.timer.poke()
    due.clock.pump([600.0] * 10)
    assert due.times == [0.0, LONGEST]


def test_it_is_done_at_the_latest_when_that_was_asked_for_and_not_later_than_it_would_be_anyway() -> None:
    due = Due(5.0, None, None)
    due.timer.poke()
    due.timer.at_latest(8.0)
    due.clock.pump([1.0] * 6)
    assert due.times == [0.0, 5.0]
    due.timer.at_latest(3.0)
    due.timer.at_latest(2.0)
    due.clock.pump([1.0] * 10)
    assert due.times == [0.0, 5.0, 8.0]


def test_what_is_asked_for_while_it_looks_counts_as_well() -> None:
    clock, answer, looks = Clock(), Deferred[float | None](), list[float]()

    async def look() -> float | None:
        looks.append(clock.seconds())
        return await answer if len(looks) == 1 else None

    timer = DueTimer(clock, "what is due", look)
    timer.poke()
    timer.at_latest(2.0)
    answer.callback(60.0)
    clock.pump([1.0] * 100)
    assert looks == [0.0, 2.0]
