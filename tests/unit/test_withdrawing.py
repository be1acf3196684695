"""Evaluations that are withdrawn: those that a board has not begun come back, all others go on; each ends once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from attrs import Factory, define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from test_device import ASSIGNMENT, Shelf
from test_worker_board import PARAMETERS, Bench
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from icefarm.errors import Busy, InvalidArgument, Withdrawn
from icefarm.kinds.circuit import Circuit
from icefarm.worker.protocol.frames import FrameType
from icefarm.worker.protocol.pipeline import TakenBack
from icefarm.worker.reservation.measuring import MOST_WITHDRAWN


@pytest.fixture
def reserved() -> Shelf:
    """A board that serves a reservation."""
    shelf = Shelf()
    shelf.prepare()
    shelf.settle()
    return shelf


#: A step of a run: an evaluation comes (0), the board ends one (1), some are withdrawn (2), an answer is damaged (3).
STEPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 7)), max_size=40)


@define(eq=False)
class Line:
    """A board that ends evaluations when it is told to, the pipeline to it, and what became of each evaluation."""

    buffers: int
    bench: Bench = field(init=False)
    outcomes: dict[str, list[str]] = Factory(dict)
    #: How often the board carried out each circuit.
    executed: Counter[str] = Factory(Counter)

    def __attrs_post_init__(self) -> None:
        self.bench = Bench(patient=True, buffers=self.buffers, pulses=self._carried_out)
        self.bench.greet()

    def _carried_out(self, payload: bytes, _: int) -> int:
        self.executed[payload.decode()] += 1
        return 100

    def evaluate(self, *, overlap: bool = True) -> str:
        key = f"e{len(self.outcomes)}"
        found = self.outcomes[key] = []

        def ended(outcome: Any) -> None:
            found.append("taken back" if isinstance(outcome, Failure) and outcome.check(TakenBack) else "result")

        circuit = Circuit(key.encode(), False, 104_090, "00" * 32)
        evaluating: Deferred[Any] = self.bench.board.pipeline.evaluate(circuit, PARAMETERS, 1.0, overlap, key)
        evaluating.addBoth(ended)
        self.bench.settle()
        return key

    def end_one(self) -> None:
        if self.bench.peer.evaluating:
            self.bench.peer.finish()
        self.bench.settle()

    def withdraw(self, keys: set[str]) -> None:
        self.bench.board.pipeline.take_back(keys)
        self.bench.settle()

    def step(self, what: int, which: int) -> None:
        match what:
            case 0:
                self.evaluate(overlap=which > 0)
            case 1:
                self.end_one()
            case 2:
                self.withdraw({key for number, key in enumerate(self.outcomes) if number % 8 <= which})
            case 3:
                self.bench.peer.garble = 1

    def finish(self) -> int:
        """Withdraw everything, and return how many evaluations the board ends after that."""
        self.bench.peer.garble = 0
        self.withdraw(set(self.outcomes))
        ended = 0
        while self.bench.peer.evaluating:
            self.end_one()
            ended += 1
        return ended


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 4), STEPS.map(lambda steps: [step for step in steps if step[0] != 3]))
def test_an_evaluation_is_carried_out_and_answered_or_it_is_taken_back(
    buffers: int, steps: list[tuple[int, int]]
) -> None:
    line = Line(buffers)
    for step in steps:
        line.step(*step)
    assert line.finish() <= 1
    for key, outcomes in line.outcomes.items():
        assert outcomes == (["result"] if line.executed[key] else ["taken back"])
        assert line.executed[key] <= 1


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 4), STEPS)
def test_an_evaluation_ends_once_even_if_answers_are_damaged(buffers: int, steps: list[tuple[int, int]]) -> None:
    line = Line(buffers)
    for step in steps:
        line.step(*step)
    line.finish()
    assert {key: len(outcomes) for key, outcomes in line.outcomes.items()} == dict.fromkeys(line.outcomes, 1)


def test_the_board_cancels_what_is_in_its_buffers_and_ends_what_it_carries_out() -> None:
    line = Line(buffers=3)
    keys = [line.evaluate() for _ in range(4)]
    line.withdraw(set(keys))
    assert [line.outcomes[key] for key in keys] == [[], ["taken back"], ["taken back"], ["taken back"]]
    assert line.bench.peer.asked.count(FrameType.CANCEL) == 2
    line.end_one()
    assert line.outcomes[keys[0]] == ["result"]


def test_the_board_goes_on_with_what_is_not_withdrawn() -> None:
    line = Line(buffers=2)
    keys = [line.evaluate() for _ in range(3)]
    line.withdraw({keys[1]})
    line.end_one()
    line.end_one()
    assert [line.outcomes[key] for key in keys] == [["result"], ["taken back"], ["result"]]


def test_what_is_withdrawn_before_it_arrives_is_not_begun(reserved: Shelf) -> None:
    assert reserved.device.reservation is not None
    reserved.device.reservation.withdraw(["late"])
    (answer,) = reserved.evaluate("late")
    assert isinstance(answer, Withdrawn)
    reserved.settle()
    assert reserved.board.sequence == 0


def test_what_has_its_result_keeps_it(reserved: Shelf) -> None:
    reserved.evaluate("done")
    reserved.settle()
    assert reserved.device.reservation is not None
    reserved.device.reservation.withdraw(["done"])
    assert reserved.evaluate("done")[0]["value"] == 100


def test_what_waits_for_a_board_that_is_away_comes_back_at_once(reserved: Shelf) -> None:
    reserved.board.unplug()
    waiting, staying = reserved.evaluate("withdrawn"), reserved.evaluate("kept")
    assert reserved.device.reservation is not None
    reserved.device.reservation.withdraw(["withdrawn"])
    assert isinstance(waiting[0], Withdrawn)
    assert staying == []
    reserved.board.plug()
    reserved.settle()
    assert staying[0]["value"] == 100


def test_what_is_withdrawn_counts_for_nothing(reserved: Shelf) -> None:
    reserved.board.patient = True
    for number in range(3):
        reserved.evaluate(f"e{number}")
    assert reserved.device.reservation is not None
    reserved.device.reservation.withdraw([f"e{number}" for number in range(3)])
    reserved.settle()
    tally = reserved.device.tally
    assert (tally.evaluations, tally.failures, tally.retries) == (0, 0, 0)


def test_a_client_withdraws_a_bounded_number(reserved: Shelf) -> None:
    assert reserved.device.reservation is not None
    reserved.device.reservation.withdraw([f"e{number}" for number in range(MOST_WITHDRAWN)])
    with pytest.raises(Busy, match="end it instead"):
        reserved.device.reservation.withdraw(["one more"])


@pytest.mark.parametrize("id", ["", "x" * 65])
def test_an_id_that_no_evaluation_has_is_not_kept_as_withdrawn(reserved: Shelf, id: str) -> None:
    assert reserved.device.reservation is not None
    with pytest.raises(InvalidArgument, match="1 to 64 characters"):
        reserved.device.reservation.withdraw(["e1", id])
    answers = reserved.evaluate("e1")
    reserved.settle()
    assert answers[0]["value"] == 100


def test_a_reservation_begins_with_nothing_withdrawn(reserved: Shelf) -> None:
    assert reserved.device.reservation is not None
    reserved.device.reservation.withdraw(["e1"])
    reserved.device.release(ASSIGNMENT.reservation, "given back")
    reserved.prepare()
    reserved.settle()
    answers = reserved.evaluate("e1")
    reserved.settle()
    assert answers[0]["value"] == 100
