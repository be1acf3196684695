"""Evaluations under an id: once, whoever asks."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
from twisted.internet.defer import Deferred

from icefarm.errors import Busy, DeviceFailed, InvalidArgument, ReservationEnded
from icefarm.worker.archive.rows import Note
from icefarm.worker.reservation.idempotency import KEPT, RUNNING, Evaluations


class Work:
    """Evaluations that end when the test says so."""

    def __init__(self) -> None:
        self.ended: list[BaseException | None] = []
        self.evaluations = Evaluations(self)
        self.started: list[Deferred[Any]] = []

    def evaluated(self, error: BaseException | None) -> None:
        self.ended.append(error)

    async def _work(self) -> Any:
        done: Deferred[Any] = Deferred()
        self.started.append(done)
        return await done

    def ask(self, evaluation_id: str = "a", content: str = "c") -> list[Any]:
        """Ask for an evaluation; the answer appears in the list."""
        answers: list[Any] = []
        self.asked = self.evaluations.once(evaluation_id, content, self._work)
        self.asked.addBoth(answers.append)
        return answers


@pytest.fixture
def work() -> Work:
    return Work()


def test_whoever_asks_again_joins_the_running_evaluation(work: Work) -> None:
    first, second = work.ask(), work.ask()
    work.started[0].callback(0)
    assert (first, second, len(work.started)) == ([0], [0], 1)


def test_whoever_asks_later_gets_the_kept_result(work: Work) -> None:
    work.ask()
    work.started[0].callback(0.0)
    assert work.ask() == [0.0]
    assert len(work.started) == 1


def test_a_caller_that_goes_away_does_not_end_the_evaluation(work: Work) -> None:
    work.ask()
    work.asked.cancel()
    work.started[0].callback(7)
    assert work.ask() == [7]


class Kept:
    """Keeps what would be archived."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, Any]] = []
        self.resting: list[bool] = []

    def keep(self, evaluation_id: str, note: Any, result: Any) -> None:
        self.rows.append((evaluation_id, note.attempt, result))

    def lull(self) -> None:
        self.resting.append(True)

    def resume(self) -> None:
        self.resting.append(False)


def test_a_kept_result_that_answers_a_later_call_is_archived_under_that_call() -> None:
    kept = Kept()
    evaluations = Evaluations(Work(), kept)

    async def work() -> int:
        return 7

    for attempt in (1, 3, 3, 2):
        evaluations.once("a", "c", work, Note(attempt=attempt))
    assert kept.rows == [("a", 1, 7), ("a", 3, 7)]


def test_the_archive_hears_when_nothing_is_in_progress_and_when_something_is_again() -> None:
    kept, done = Kept(), [Deferred[Any]() for _ in range(3)]
    evaluations = Evaluations(Work(), kept)
    for number, each in enumerate(done[:2]):
        evaluations.once(str(number), "c", partial(_result_of, each), Note())
    done[0].callback(1)
    assert kept.resting == [False]
    done[1].callback(1)
    assert kept.resting == [False, True]
    evaluations.once("2", "c", partial(_result_of, done[2]), Note())
    assert kept.resting == [False, True, False]


async def _result_of(done: Deferred[Any]) -> Any:
    return await done


def test_a_running_evaluation_is_archived_under_the_latest_call_that_joined_it() -> None:
    kept, done = Kept(), Deferred[Any]()
    evaluations = Evaluations(Work(), kept)

    async def work() -> Any:
        return await done

    for attempt in (1, 2):
        evaluations.once("a", "c", work, Note(attempt=attempt))
    done.callback(7)
    assert kept.rows == [("a", 2, 7)]


def test_a_failure_is_not_kept(work: Work) -> None:
    first = work.ask()
    work.started[0].errback(DeviceFailed("x"))
    assert first[0].check(DeviceFailed)
    work.ask()
    assert len(work.started) == 2


def test_an_id_stands_for_one_content(work: Work) -> None:
    work.ask("a", "one")
    with pytest.raises(InvalidArgument, match="used for another"):
        work.ask("a", "two")
    work.started[0].callback(1)
    with pytest.raises(InvalidArgument, match="used for another"):
        work.ask("a", "two")


@pytest.mark.parametrize("evaluation_id", ["", "x" * 65])
def test_an_id_of_an_impossible_length_is_refused(work: Work, evaluation_id: str) -> None:
    with pytest.raises(InvalidArgument, match="1 to 64"):
        work.ask(evaluation_id)


def test_the_end_of_the_reservation_ends_what_runs(work: Work) -> None:
    answers = work.ask()
    work.evaluations.end(ReservationEnded("released"))
    assert answers[0].check(ReservationEnded)
    assert work.started[0].called
    assert work.ended == []


def test_results_are_kept_in_bounds(work: Work) -> None:
    for number in range(KEPT + 1):
        work.ask(str(number))
        work.started[-1].callback(number)
    assert work.ask("1") == [1]
    work.ask("0")
    assert len(work.started) == KEPT + 2


def test_too_many_at_a_time_are_refused(work: Work) -> None:
    for number in range(RUNNING):
        work.ask(str(number))
    with pytest.raises(Busy):
        work.ask("one more")


def test_each_end_is_counted_once(work: Work) -> None:
    work.ask("a")
    work.ask("a")
    work.started[0].callback(1)
    work.ask("b")
    failure = DeviceFailed("x")
    swallowed = work.ask("b")
    work.started[1].errback(failure)
    assert work.ended == [None, failure]
    assert swallowed[0].value is failure
