"""The clock of tests that have many calls: it does what Twisted's does, in the same order."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any

import pytest
from twisted.internet.task import Clock

from icefarm.testing.memory.clock import OrderedClock


class Story:
    """Calls at random, which make others, and move or cancel any; half of their moments are those of another call."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self.clock = clock
        self.random = Random(seed)
        #: Which call was made when, and which are due next.
        self.told: list[Any] = []
        self.calls: list[Any] = []

    def happen(self, number: int) -> None:
        self.told.append((number, self.clock.seconds()))
        for _ in range(self.random.choice((0, 0, 1, 2))):
            self.act()

    def act(self) -> None:
        seconds = self.random.randrange(8) / 2
        waiting = [call for call in self.calls if call.active()]
        what = self.random.randrange(5)
        if what < 2 or not waiting:
            self.calls.append(self.clock.callLater(seconds, partial(self.happen, len(self.calls))))
        elif what == 2:
            self.random.choice(waiting).reset(seconds)
        elif what == 3:
            self.random.choice(waiting).delay(seconds - 1)
        else:
            self.random.choice(waiting).cancel()

    def run(self) -> list[Any]:
        for _ in range(60):
            self.act()
            if self.random.random() < 0.3:
                self.clock.advance(self.random.randrange(4) / 2)
                self.told.append(sorted(call.getTime() for call in self.clock.getDelayedCalls()))
        self.clock.advance(100)
        return self.told


@pytest.mark.parametrize("seed", range(30))
def test_calls_come_at_the_moments_and_in_the_order_of_twisteds_clock(seed: int) -> None:
    assert Story(OrderedClock(), seed).run() == Story(Clock(), seed).run()


def test_it_says_when_the_next_call_is_due_also_after_calls_were_moved() -> None:
    clock = OrderedClock()
    assert clock.next_call() is None
    first, second = clock.callLater(3, int), clock.callLater(5, int)
    assert clock.next_call() == 3
    first.delay(4)
    assert clock.next_call() == 5
    first.reset(1)
    assert clock.next_call() == 1
    first.cancel()
    clock.advance(2)
    assert clock.next_call() == 5
    second.reset(7)
    assert clock.next_call() == 9
