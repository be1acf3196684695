"""What is away is tried again soon at first, and later in proportion to its absence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.concurrency.retry import doubled, retry_pause
from icefarm.contract import Role
from icefarm.errors import IcefarmError
from icefarm.wamp.credentials import Credentials
from icefarm.wamp.link import Link

CHANCES = st.floats(0.0, 1.0)


@given(away=st.floats(0.0, 5.0), chance=CHANCES)
def test_in_the_first_seconds_it_is_tried_two_to_five_times_a_second(away: float, chance: float) -> None:
    assert 0.2 <= retry_pause(away, chance, longest=5.0) <= 0.5


@pytest.mark.parametrize(("times", "seconds"), [(-1, 2), (0, 2), (1, 4), (3, 16), (5, 60), (5_000, 60), (10**400, 60)])
def test_a_doubled_pause_grows_to_the_longest_and_stays(times: int, seconds: float) -> None:
    assert doubled(2.0, times, 60.0) == seconds


@given(away=st.floats(5.0, 1e6), chance=CHANCES)
def test_what_comes_back_is_found_a_tenth_of_its_absence_later_at_most(away: float, chance: float) -> None:
    assert 0.2 <= retry_pause(away, chance, longest=5.0) <= min(5.0, away / 10)


@given(chance=CHANCES)
def test_pauses_stay_below_the_longest_and_differ_between_those_who_wait(chance: float) -> None:
    assert 2.0 <= retry_pause(3600.0, chance, longest=5.0) <= 5.0
    assert retry_pause(3600.0, 0.0, longest=0.5) == pytest.approx(0.2)


def test_an_outage_of_ten_seconds_costs_no_more_than_fifty_attempts() -> None:
    away, attempts = 0.0, 0
    while away < 10.0:
        away += retry_pause(away, 0.0, longest=5.0)
        attempts += 1
    assert attempts <= 50


async def _unwanted(_: Bus) -> None:
    raise AssertionError("nobody answers, so there is no session")


def test_a_link_whose_router_is_away_knocks_at_its_socket_twice_a_second_or_more_for_as_long_as_it_takes() -> None:
    reactor = MemoryReactorClock()
    credentials = Credentials("control", Role.CONTROL, "instance")
    refused: list[IcefarmError] = []

    def note(error: IcefarmError) -> bool:
        refused.append(error)
        return True

    link = Link(reactor, "unix:/run/nobody.sock", credentials, _unwanted, note)
    link.startService()
    for _ in range(int(120 / 0.05)):
        for attempt in reactor.unixClients:
            attempt[1].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
        reactor.unixClients.clear()
        reactor.advance(0.05)
    assert len(refused) >= 2 * 120
    assert len(refused) <= 5 * 120 + 1
