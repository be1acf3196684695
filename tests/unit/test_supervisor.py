"""What ends unasked is started again; what fails while the farm starts is told at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.farm.errors import CannotStart
from icefarm.farm.processes.supervisor import FIRST_DELAY, LASTING, LONGEST_DELAY, Ended, Supervisor


class RecordingPart:
    """A part that does as the test says, and counts what it was asked for."""

    def __init__(self) -> None:
        self.starts = 0
        self.stops = 0
        self.outcome: Deferred[None] | None = None
        self.end: Callable[[Ended], None] = lambda _: None

    async def start(self) -> None:
        self.starts += 1
        if self.outcome is not None:
            await self.outcome

    async def stop(self) -> None:
        self.stops += 1

    def on_exit(self, callback: Callable[[Ended], None]) -> None:
        self.end = callback


class Supervised:
    def __init__(self) -> None:
        self.clock = Clock()
        self.part = RecordingPart()
        self.lines: list[str] = []
        self.failures: list[CannotStart] = []
        self.supervisor = Supervisor(self.clock, "part", self.part, self.lines.append, failed=self.failures.append)


@pytest.fixture
def supervised() -> Supervised:
    return Supervised()


async def settled(supervised: Supervised) -> None:
    await supervised.supervisor.start()
    supervised.supervisor.settle()


@ensureDeferred
async def test_a_part_that_ends_while_the_farm_starts_fails_the_start(supervised: Supervised) -> None:
    await supervised.supervisor.start()
    supervised.part.end(Ended("exited with code 1"))
    assert [str(error) for error in supervised.failures] == ["part exited with code 1"]
    supervised.clock.advance(LONGEST_DELAY)
    assert supervised.part.starts == 1


@ensureDeferred
async def test_a_part_that_ends_later_is_started_again_at_once_and_then_after_a_pause(supervised: Supervised) -> None:
    await settled(supervised)
    supervised.part.end(Ended("was killed"))
    supervised.clock.advance(0)
    assert supervised.part.starts == 2
    supervised.part.end(Ended("exited with code 1"))
    supervised.clock.advance(0)
    assert supervised.part.starts == 2
    supervised.clock.advance(FIRST_DELAY)
    assert supervised.part.starts == 3
    assert supervised.lines == [
        "part was killed; starting it again",
        "part runs again",
        "part exited with code 1; starting it again in 0.5 s",
        "part runs again",
    ]


@ensureDeferred
async def test_a_part_that_has_left_stays_away(supervised: Supervised) -> None:
    await settled(supervised)
    supervised.part.end(Ended("it was drained", left=True))
    supervised.clock.advance(LONGEST_DELAY)
    assert supervised.part.starts == 1
    assert supervised.lines == ["part has left: it was drained"]


@ensureDeferred
async def test_a_part_that_keeps_ending_is_started_later_and_later(supervised: Supervised) -> None:
    await settled(supervised)
    delays = []
    for _ in range(9):
        supervised.part.end(Ended("killed"))
        (call,) = supervised.clock.getDelayedCalls()
        delays.append(call.getTime() - supervised.clock.seconds())
        supervised.clock.advance(delays[-1])
    assert delays == [0, 0.5, 1, 2, 4, 8, 16, 30, 30]


@ensureDeferred
async def test_a_part_that_ran_for_long_is_started_again_at_once(supervised: Supervised) -> None:
    await settled(supervised)
    for _ in range(4):
        supervised.part.end(Ended("killed"))
        supervised.clock.advance(LONGEST_DELAY)
    supervised.clock.advance(LASTING + 1)
    supervised.part.end(Ended("killed"))
    supervised.clock.advance(0)
    assert supervised.part.starts == 6


@ensureDeferred
async def test_a_failed_attempt_is_followed_by_another_one(supervised: Supervised) -> None:
    await settled(supervised)
    supervised.part.outcome = Deferred()
    supervised.part.end(Ended("killed"))
    supervised.clock.advance(FIRST_DELAY)
    supervised.part.outcome.errback(CannotStart("no memory"))
    supervised.part.outcome = None
    supervised.clock.advance(FIRST_DELAY * 2)
    assert supervised.part.starts == 3
    assert "part could not be started (no memory); starting it again in 0.5 s" in supervised.lines


@ensureDeferred
async def test_a_stopped_part_stays_stopped(supervised: Supervised) -> None:
    await settled(supervised)
    supervised.part.end(Ended("killed"))
    await supervised.supervisor.stop()
    supervised.part.end(Ended("stopped"))
    supervised.clock.advance(LONGEST_DELAY)
    assert (supervised.part.starts, supervised.part.stops) == (1, 1)
    assert not supervised.clock.getDelayedCalls()


@ensureDeferred
async def test_stopping_gives_up_an_attempt_to_start_again(supervised: Supervised) -> None:
    await settled(supervised)
    supervised.part.outcome = Deferred()
    supervised.part.end(Ended("killed"))
    supervised.clock.advance(FIRST_DELAY)
    await supervised.supervisor.stop()
    supervised.clock.advance(LONGEST_DELAY)
    assert (supervised.part.starts, supervised.part.stops) == (2, 1)
