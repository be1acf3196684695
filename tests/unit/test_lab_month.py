"""A lab that lives by the rules of the queue: everybody gets a fair part, and nobody waits for long."""

from __future__ import annotations

import pytest

from bench.lab_month import HANDED_OVER, LONGEST_WAIT, simulate

pytestmark = pytest.mark.thorough


def test_in_two_weeks_of_a_lab_shares_are_fair_each_day_and_no_wait_is_long() -> None:
    found = simulate(7, days=14)
    assert len(found.shares) == 13 * 3
    assert 0.9 < min(found.shares) <= max(found.shares) < 1.1
    assert len(found.waits) == 8 * 15
    assert found.unserved == 0
    assert max(found.waits) <= LONGEST_WAIT
    assert len(found.guests) == 3 * 4
    assert found.missed == 0
    assert max(found.guests) <= HANDED_OVER
    assert found.released == 1
    assert found.busy > 0.999
    assert found.handovers > 200
