"""A board is judged by what it did over some time."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import Factory, define, evolve
from hypothesis import given
from hypothesis import strategies as st

from icefarm.contract import BoardHealth, BoardReading
from icefarm.errors import DeviceFailed, Withdrawn
from icefarm.kinds.handle import Answer
from icefarm.worker.protocol.health import RUN, SHARE, WINDOW, Health, Outcome, Tally

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


def test_what_a_board_did_before_it_was_judged_does_not_mend_it() -> None:
    judged = health([GOOD] * RUN).judged()
    assert not health([GOOD] * (RUN - 1), judged).mended
    assert health([GOOD] * RUN, judged).mended


def test_a_board_is_sound_after_so_many_first_attempts() -> None:
    assert not health([GOOD] * (WINDOW - 1)).sound
    assert health([RETRY] + [GOOD] * WINDOW).sound


@pytest.mark.parametrize("outcome", [TIMEOUT, RETRY, FAILURE])
def test_a_board_is_mended_after_a_run_of_results_without_fault(outcome: Outcome) -> None:
    assert health([GOOD] * RUN).mended
    assert not health([GOOD] * RUN, health([GOOD] * RUN).judged()).after(outcome).mended
    assert not health([GOOD] * (RUN - 1) + [outcome] + [GOOD] * (RUN - 1)).mended


# ---------------------------------------------------------------------------------------------------- its counters


@define
class Remedies:
    """What is done about a board."""

    #: Why it needs one, and whether it had one already for that.
    bad: list[tuple[str, bool]] = Factory(list)
    well: int = 0

    def did_well(self) -> None:
        self.well += 1

    def did_badly(self, why: str, again: bool) -> None:
        self.bad.append((why, again))


def answer(**more: Any) -> Answer:
    return evolve(Answer(b"", 1, 34_600, 1_000_000, 0, None, 10.0, 11.5), **more)


def test_a_board_counts_what_it_did_and_how_long_that_took() -> None:
    tally = Tally(Remedies())
    for seconds in (8.0, 9.5):
        tally.flashed(seconds)
    tally.measured(answer(temperature_c=27.5))
    # The clock of its host was set back meanwhile.
    tally.measured(answer(window_us=500_000, ended_at=3.0))
    for error in (None, None, None, DeviceFailed("it is broken"), DeviceFailed("again"), Withdrawn("not wanted")):
        tally.evaluated(error)
    for outcome in (RETRY, TIMEOUT, RETRY, RETRY, RETRY):
        tally.went_wrong(outcome)
    assert tally.reading("A", "counter") == BoardReading(
        "A",
        "counter",
        evaluations=3,
        failures=2,
        retries=4,
        flashes=2,
        flash_s=17.5,
        measured=2,
        load_s=34_600 / 1e6 + 34_600 / 1e6,
        window_s=1.5,
        measured_s=1.5,
        temperature_c=27.5,
    )
    # What was withdrawn says nothing about the board.
    assert tally.health.shown(0) == BoardHealth(10, timeouts=1, retries=4, failures=2, set_aside=0)


def test_a_board_that_is_unreliable_is_flashed_and_set_aside_only_if_that_did_not_help() -> None:
    remedies = Remedies()
    tally, verdict = Tally(remedies), health([RETRY] * WINDOW).verdict

    def goes_wrong(times: int) -> None:
        for _ in range(times):
            tally.went_wrong(RETRY)

    goes_wrong(2 * WINDOW)
    assert remedies.bad == [(verdict, False), (verdict, True)]
    goes_wrong(WINDOW)
    for _ in range(WINDOW):
        tally.evaluated(None)
    # It worked well for so long: flashing it has helped, and is tried first again.
    goes_wrong(WINDOW)
    assert [again for _, again in remedies.bad[2:]] == [False, False]


def test_only_a_board_on_trial_is_said_to_do_well() -> None:
    remedies = Remedies()
    tally = Tally(remedies)
    tally.evaluated(None)
    tally.on_trial = True
    tally.evaluated(DeviceFailed("it is broken"))
    assert remedies.well == 0
    tally.evaluated(None)
    assert remedies.well == 1
