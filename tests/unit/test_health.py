"""A board is judged by what it did over some time."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from icefarm.worker.health import SHARE, WINDOW, Health


def health(outcomes: list[bool]) -> Health:
    made = Health()
    for good in outcomes:
        made = made.after(good)
    return made


@given(st.lists(st.booleans(), max_size=2 * WINDOW))
def test_the_verdict_depends_on_the_last_attempts_only(outcomes: list[bool]) -> None:
    last = outcomes[-WINDOW:]
    bad = len(outcomes) >= WINDOW and last.count(False) > SHARE * WINDOW
    assert (health(outcomes).verdict is not None) == bad


def test_one_bad_moment_is_forgiven() -> None:
    assert health([True] * WINDOW + [False] * 10).verdict is None
    assert health([False] * 10).verdict is None


def test_the_verdict_has_the_figures() -> None:
    assert health([False] * WINDOW).verdict == f"is unreliable: {WINDOW} of its last {WINDOW} attempts failed"


def test_a_board_is_sound_after_so_many_first_attempts() -> None:
    assert not health([True] * (WINDOW - 1)).sound
    assert health([False] + [True] * WINDOW).sound
