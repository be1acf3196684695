"""A lab that lives by the rules of the queue: everybody gets a fair part, and nobody waits for long."""

from __future__ import annotations

from bench.lab_month import simulate
from icefarm.control.scheduling.fair_share import HALF_LIFE


def test_in_two_weeks_of_a_lab_shares_are_fair_each_day_and_no_wait_is_long() -> None:
    found = simulate(7, days=14)
    assert len(found.shares) == 13 * 3
    assert 0.9 < min(found.shares) <= max(found.shares) < 1.1
    assert len(found.waits) == 8 * 15
    assert found.unserved == 0
    assert max(found.waits) < HALF_LIFE
    assert found.busy > 0.999
    assert found.handovers > 200
