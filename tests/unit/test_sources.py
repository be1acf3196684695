"""Where a worker's boards come from."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.virtual.usb_bus import VirtualBusOptions
from icefarm.worker import sources
from icefarm.worker.sources import RESTART_FIRST, RESTART_LONGEST, VirtualBoards


class BriefBus:
    """A process of virtual boards that a test ends."""

    started: list[BriefBus] = []

    def __init__(self, *_: object) -> None:
        self.spare: list[str] = []
        self.end: Deferred[str] = Deferred()

    def subscribe(self, _: object) -> None:
        """Nobody listens."""

    async def start(self) -> None:
        self.started.append(self)

    async def stop(self) -> None:
        """Stop."""

    def when_ended(self) -> Deferred[str]:
        return self.end


def test_the_pause_before_boards_are_started_again_is_the_first_again_once_they_have_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[BriefBus] = []
    monkeypatch.setattr(BriefBus, "started", started)
    monkeypatch.setattr(sources, "VirtualBus", BriefBus)
    clock: Any = Clock()
    boards = VirtualBoards(clock, VirtualBusOptions(boards=1))
    Deferred.fromCoroutine(boards.start(lambda _: None))
    pauses: list[float] = []
    for runs in (0.0, 0.0, RESTART_LONGEST, 0.0):
        clock.advance(runs)
        started[-1].end.callback("it broke")
        pauses.append(clock.getDelayedCalls()[0].getTime() - clock.seconds())
        clock.advance(pauses[-1])
    assert pauses == [RESTART_FIRST, 2 * RESTART_FIRST, RESTART_FIRST, 2 * RESTART_FIRST]
    assert len(started) == 5
