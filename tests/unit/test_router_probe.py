"""Whether a control reaches a router: when it asks, and how long the answer counts."""

from __future__ import annotations

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.control.wiring.router_probe import PAUSE, VALID, RouterProbe


@define(eq=False)
class Way:
    """A control's way to a router, which answers when the test says so."""

    asked: list[Deferred[bool]] = Factory(list)

    async def is_of_use(self) -> bool:
        answer: Deferred[bool] = Deferred()
        self.asked.append(answer)
        return await answer


def probe_of(*ways: Way) -> tuple[Clock, RouterProbe]:
    clock = Clock()
    return clock, RouterProbe(clock, ways)  # type: ignore[arg-type]


def test_nobody_is_asked_until_somebody_wants_to_know() -> None:
    way = Way()
    clock, probe = probe_of(way)
    clock.advance(60.0)
    assert way.asked == []
    assert probe.reaches() is None
    assert len(way.asked) == 1


def test_one_router_that_greets_is_enough_and_none_is_not() -> None:
    one, other = Way(), Way()
    clock, probe = probe_of(one, other)
    probe.reaches()
    one.asked[0].callback(False)
    other.asked[0].callback(True)
    assert probe.reaches() is True
    clock.advance(PAUSE)
    probe.reaches()
    one.asked[1].callback(False)
    other.asked[1].callback(False)
    assert probe.reaches() is False


def test_the_next_probe_begins_a_pause_after_the_end_of_the_last_one() -> None:
    way = Way()
    clock, probe = probe_of(way)
    probe.reaches()
    clock.advance(2 * PAUSE)
    probe.reaches()
    assert len(way.asked) == 1, "one runs"
    way.asked[0].callback(True)
    probe.reaches()
    assert len(way.asked) == 1, "one has just ended"
    clock.advance(PAUSE)
    assert probe.reaches() is True
    assert len(way.asked) == 2


def test_an_answer_that_is_old_says_nothing() -> None:
    way = Way()
    clock, probe = probe_of(way)
    probe.reaches()
    way.asked[0].callback(True)
    clock.advance(VALID + 0.1)
    assert probe.reaches() is None


def test_a_probe_that_is_stopped_asks_no_more() -> None:
    way = Way()
    clock, probe = probe_of(way)
    probe.reaches()
    probe.stop()
    clock.advance(2 * PAUSE)
    probe.reaches()
    assert len(way.asked) == 1
