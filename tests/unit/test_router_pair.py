"""Two routers: one serves, the other stands by and takes over; the pair ends when no router is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.farm.errors import CannotStart
from icefarm.farm.processes.process import Program
from icefarm.farm.processes.supervisor import Ended
from icefarm.farm.router.pair import AGAIN_AFTER, STANDBY_AFTER, RouterPair

KILLED = Ended("was killed by signal 9 (SIGKILL)")


class FakeNode:
    """A node that starts when the test says so."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.pid = None
        self.started: Deferred[None] = Deferred()
        self.stopped = False
        self.end: Callable[[Ended], None] = lambda _: None

    async def start(self) -> None:
        await self.started

    async def stop(self) -> None:
        self.stopped = True

    def on_exit(self, callback: Callable[[Ended], None]) -> None:
        self.end = callback


class Paired:
    def __init__(self) -> None:
        self.clock = Clock()
        self.nodes: list[FakeNode] = []
        self.lines: list[str] = []
        self.endings: list[Ended] = []
        programs = tuple(Program("router", ("crossbar",), Path(home), Path(f"{home}.log")) for home in ("one", "two"))
        self.pair = RouterPair(self.clock, (programs[0], programs[1]), self.lines.append, self._make)
        self.pair.on_exit(self.endings.append)

    def _make(self, _: Any, program: Program, __: Callable[[str], None]) -> Any:
        self.nodes.append(FakeNode(program))
        return self.nodes[-1]

    async def start(self) -> None:
        starting = Deferred.fromCoroutine(self.pair.start())
        self.nodes[-1].started.callback(None)
        await starting

    def have_standby(self) -> FakeNode:
        self.clock.advance(STANDBY_AFTER)
        self.nodes[-1].started.callback(None)
        assert self.pair.stands_by
        return self.nodes[-1]

    def homes(self) -> list[str]:
        return [str(node.program.directory) for node in self.nodes]


@pytest.fixture
def paired() -> Paired:
    return Paired()


@ensureDeferred
async def test_the_second_node_is_started_once_the_farm_has_had_time_for_its_own_start(paired: Paired) -> None:
    await paired.start()
    assert paired.homes() == ["one"]
    paired.have_standby()
    assert paired.homes() == ["one", "two"]
    assert paired.lines == []


@ensureDeferred
async def test_the_one_that_stood_by_takes_over_and_gets_another_one_to_stand_by(paired: Paired) -> None:
    await paired.start()
    paired.have_standby()
    paired.nodes[0].end(KILLED)
    assert not paired.pair.stands_by
    paired.have_standby()
    assert paired.homes() == ["one", "two", "one"]
    paired.nodes[1].end(KILLED)
    paired.have_standby()
    assert paired.homes() == ["one", "two", "one", "two"]
    assert paired.lines == ["router was killed by signal 9 (SIGKILL); the one that stood by takes over"] * 2
    assert paired.endings == []


@ensureDeferred
async def test_one_that_is_still_starting_takes_over_as_well(paired: Paired) -> None:
    await paired.start()
    paired.clock.advance(STANDBY_AFTER)
    paired.nodes[0].end(KILLED)
    assert paired.endings == []
    paired.nodes[1].started.callback(None)
    paired.nodes[1].end(KILLED)
    assert paired.endings == [KILLED]


@ensureDeferred
async def test_the_pair_ends_when_nobody_stands_by(paired: Paired) -> None:
    await paired.start()
    paired.nodes[0].end(KILLED)
    assert paired.endings == [KILLED]
    assert not paired.clock.getDelayedCalls()


@ensureDeferred
async def test_the_pair_ends_when_the_one_that_should_take_over_cannot_start(paired: Paired) -> None:
    await paired.start()
    paired.clock.advance(STANDBY_AFTER)
    paired.nodes[0].end(KILLED)
    paired.nodes[1].started.errback(CannotStart("the port is taken"))
    assert paired.endings == [Ended("could not be started (the port is taken)")]


@ensureDeferred
async def test_one_that_ends_while_it_stands_by_is_started_again_later(paired: Paired) -> None:
    await paired.start()
    paired.have_standby().end(KILLED)
    assert not paired.pair.stands_by
    paired.clock.advance(AGAIN_AFTER)
    paired.nodes[2].started.errback(CannotStart("no memory"))
    paired.clock.advance(AGAIN_AFTER)
    paired.nodes[3].started.callback(None)
    assert paired.pair.stands_by
    assert paired.homes() == ["one", "two", "two", "two"]
    assert (paired.lines, paired.endings) == ([], [])


@ensureDeferred
async def test_a_pair_that_is_stopped_starts_nothing_more(paired: Paired) -> None:
    await paired.start()
    paired.have_standby()
    await paired.pair.stop()
    paired.nodes[0].end(KILLED)
    paired.clock.advance(AGAIN_AFTER)
    assert [node.stopped for node in paired.nodes] == [True, True]
    assert len(paired.nodes) == 2
    assert not paired.clock.getDelayedCalls()


@ensureDeferred
async def test_a_pair_that_ended_can_be_started_again(paired: Paired) -> None:
    await paired.start()
    paired.nodes[0].end(KILLED)
    await paired.start()
    paired.have_standby()
    assert paired.homes() == ["one", "one", "two"]
