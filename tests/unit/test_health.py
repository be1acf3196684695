"""A board is judged by what it did over some time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.contract import BoardHealth
from icefarm.worker.protocol.health import RUN, SHARE, WINDOW, Health, Outcome

GOOD, TIMEOUT, RETRY, FAILURE = Outcome.GOOD, Outcome.TIMEOUT, Outcome.RETRY, Outcome.FAILURE


def health(outcomes: list[Outcome], made: Health | None = None) -> Health:
    made = made or Health()
    for outcome in outcomes:
        made = made.after(outcome)
    return made


@given(st.lists(st.sampled_from(Outcome), max_size=2 * WINDOW))
def test_the_verdict_depends_on_the_last_attempts_only(outcomes: list[Outcome]) -> None:
    last = outcomes[-WINDOW:]
    bad = len(outcomes) >= WINDOW and last.count(TIMEOUT) + last.count(RETRY) > SHARE * WINDOW
    assert (health(outcomes).verdict is not None) == bad


@given(st.lists(st.sampled_from(Outcome), max_size=2 * WINDOW))
def test_what_is_shown_counts_the_last_attempts(outcomes: list[Outcome]) -> None:
    last = outcomes[-WINDOW:]
    counts = (last.count(outcome) for outcome in (TIMEOUT, RETRY, FAILURE))
    assert health(outcomes).shown(2) == BoardHealth(len(last), *counts, set_aside=2)


def test_one_bad_moment_is_forgiven() -> None:
    assert health([GOOD] * WINDOW + [RETRY] * 10).verdict is None
    assert health([TIMEOUT] * 10).verdict is None


def test_the_verdict_has_the_figures() -> None:
    assert health([RETRY] * WINDOW).verdict == f"is unreliable: {WINDOW} of its last {WINDOW} attempts failed"


def test_a_board_that_was_judged_gets_a_whole_new_chance_and_keeps_its_figures() -> None:
    judged = health([RETRY] * WINDOW).judged()
    assert judged.verdict is None
    assert judged.shown(1) == BoardHealth(WINDOW, 0, WINDOW, 0, 1)
    assert health([RETRY] * (WINDOW - 1), judged).verdict is None
    assert health([RETRY] * WINDOW, judged).verdict is not None


def test_a_board_is_sound_after_so_many_first_attempts() -> None:
    assert not health([GOOD] * (WINDOW - 1)).sound
    assert health([RETRY] + [GOOD] * WINDOW).sound


@pytest.mark.parametrize("outcome", [TIMEOUT, RETRY, FAILURE])
def test_a_board_is_mended_after_a_run_of_results_without_fault(outcome: Outcome) -> None:
    assert health([GOOD] * RUN).mended
    assert not health([GOOD] * RUN, health([GOOD] * RUN).judged()).after(outcome).mended
    assert not health([GOOD] * (RUN - 1) + [outcome] + [GOOD] * (RUN - 1)).mended
