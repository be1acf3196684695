"""Turns at a shared board, over a pipeline that the test answers by hand."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.errors import InvalidArgument
from icefarm.worker.protocol.pipeline import BoardUnusable, TakenBack
from icefarm.worker.reservation.turns import LOADING, BoardTurns, Turn


class Board:
    """A pipeline with so many buffers, and what it was asked for."""

    def __init__(self, buffers: int = 1) -> None:
        self.buffers = buffers
        self.asked: list[Any] = []
        self.how: list[tuple[Any, ...]] = []
        self.answers: list[Deferred[Any]] = []
        self.taken_back: list[Collection[str]] = []

    def evaluate(self, circuit: Any, *how: Any) -> Deferred[Any]:
        self.asked.append(circuit)
        self.how.append(how)
        self.answers.append(Deferred())
        return self.answers[-1]

    def take_back(self, keys: Collection[str]) -> None:
        self.taken_back.append(keys)

    def answer(self, result: Any) -> None:
        """Answer the first of those that it carries out."""
        answer = self.answers.pop(0)
        if isinstance(result, Exception):
            answer.errback(result)
        else:
            answer.callback(result)


class Shared:
    """A board's turns, and what became of each evaluation, by its circuit."""

    def __init__(self, buffers: int = 1) -> None:
        self.clock = Clock()
        self.turns = BoardTurns(self.clock)
        self.ended: dict[str, Any] = {}
        self.board = self.attach(Board(buffers))

    def attach(self, board: Any) -> Board:
        self.board = board
        self.turns.attach(board)
        return self.board

    def send(self, account: str, circuit: Any, window: float = 1.0, key: str | None = None) -> Deferred[Any]:
        answer = self.turns.evaluate(account, circuit, b"", window, False, key)
        answer.addBoth(lambda result: self.ended.__setitem__(circuit, getattr(result, "value", result)))
        return answer


def test_a_board_has_as_many_evaluations_as_buffers_and_the_next_one_with_each_answer() -> None:
    shared = Shared(buffers=2)
    for number in range(4):
        shared.send("ada", f"a{number}")
    assert shared.board.asked == ["a0", "a1"]
    shared.board.answer(7)
    assert shared.board.asked == ["a0", "a1", "a2"]
    shared.board.answer(8)
    assert shared.board.asked == ["a0", "a1", "a2", "a3"]
    assert shared.ended == {"a0": 7, "a1": 8}


def test_an_evaluation_reaches_the_board_as_it_was_asked_for() -> None:
    shared = Shared()
    circuit: Any = "a"
    Turn(shared.turns, "ada", "r1").evaluate(circuit, b"parameters", 2.0, True, "e1")
    Turn(shared.turns, "ada", "r1").evaluate(circuit, b"", 1.0, False)
    shared.board.answer(0)
    assert shared.board.how == [(b"parameters", 2.0, True, "r1 e1"), (b"", 1.0, False, None)]


def test_accounts_take_turns() -> None:
    shared = Shared()
    for number in range(3):
        shared.send("ada", f"a{number}")
    for number in range(3):
        shared.send("bob", f"b{number}")
    for _ in range(5):
        shared.board.answer(0)
    assert shared.board.asked == ["a0", "a1", "b0", "a2", "b1", "b2"]


def test_whoever_takes_longer_than_it_said_pays_with_its_next_turns() -> None:
    shared = Shared()
    shared.send("ada", "slow")
    for number in range(4):
        shared.send("ada", f"a{number}")
        shared.send("bob", f"b{number}")
    # Three evaluations' time more than expected.
    shared.clock.advance(4 * (1 + LOADING))
    shared.board.answer(0)
    for _ in range(6):
        shared.clock.advance(1 + LOADING)
        shared.board.answer(0)
    assert shared.board.asked[1:4] == ["b0", "b1", "b2"]
    assert "a0" in shared.board.asked[4:6]


def test_what_waits_behind_another_one_in_the_board_is_charged_for_its_own_time() -> None:
    shared = Shared(buffers=2)
    shared.send("ada", "a0")
    shared.send("bob", "b0")
    for number in (1, 2, 3):
        shared.send("ada", f"a{number}")
        shared.send("bob", f"b{number}")
    # Both were begun at 0; the second one had to wait for the first, and took as long as it said.
    for _ in range(6):
        shared.clock.advance(1 + LOADING)
        shared.board.answer(0)
    begun = [name[0] for name in shared.board.asked]
    assert all(abs(begun[:end].count("a") - begun[:end].count("b")) <= 1 for end in range(9))


def test_what_is_taken_back_before_its_turn_is_not_carried_out() -> None:
    shared = Shared()
    shared.send("ada", "a0", key="k0")
    shared.send("ada", "a1", key="k1")
    shared.send("ada", "a2")
    shared.send("bob", "b1", key="k1")
    shared.turns.take_back("ada", {"k0", "k1"})
    # What the board has, it may still take back itself; others' keys are their own.
    assert shared.board.taken_back == [{"k0", "k1"}]
    assert list(shared.ended) == ["a1"]
    assert isinstance(shared.ended["a1"], TakenBack)
    for _ in range(3):
        shared.board.answer(0)
    assert sorted(shared.board.asked) == ["a0", "a2", "b1"]


def test_a_reservation_takes_back_its_own_evaluations_only() -> None:
    shared = Shared()
    Turn(shared.turns, "ada", "r1").take_back(["e1", "e2"])
    assert shared.board.taken_back == [{"r1 e1", "r1 e2"}]


def test_without_a_board_what_waits_can_be_taken_back_too() -> None:
    shared = Shared()
    shared.turns.detach()
    shared.send("ada", "a0", key="k0")
    shared.turns.take_back("ada", {"k0"})
    assert isinstance(shared.ended["a0"], TakenBack)
    assert shared.board.taken_back == []


def test_one_that_is_cancelled_is_not_begun_and_the_others_are() -> None:
    shared = Shared()
    shared.send("ada", "a0")
    unwanted = shared.send("ada", "a1")
    shared.send("ada", "a2")
    unwanted.cancel()
    shared.board.answer(0)
    assert shared.board.asked == ["a0", "a2"]


def test_one_that_is_cancelled_while_it_is_carried_out_needs_no_answer() -> None:
    shared = Shared()
    shared.send("ada", "a0").cancel()
    shared.send("ada", "a1")
    shared.board.answer(5)
    shared.board.answer(6)
    assert shared.ended["a1"] == 6


def test_after_the_board_fails_nothing_is_begun_until_it_is_back() -> None:
    shared = Shared(buffers=2)
    for number in range(4):
        shared.send("ada", f"a{number}")
    broken = shared.board
    broken.answer(BoardUnusable("fell off"))
    assert isinstance(shared.ended["a0"], BoardUnusable)
    assert broken.asked == ["a0", "a1"]
    again = shared.attach(Board(2))
    assert again.asked == ["a2", "a3"]
    # An answer of the board as it was before gives room for nothing.
    broken.answer(1)
    assert again.asked == ["a2", "a3"]
    assert shared.ended["a1"] == 1


def test_a_board_that_stays_away_fails_what_waits() -> None:
    shared = Shared()
    shared.turns.detach()
    shared.send("ada", "a0")
    shared.send("bob", "b0")
    assert shared.ended == {}
    shared.turns.fail("is gone")
    assert [str(error) for error in shared.ended.values()] == ["is gone", "is gone"]


def test_one_that_leaves_has_nothing_waiting() -> None:
    shared = Shared()
    shared.turns.admit("ada", 2.0)
    shared.send("ada", "a0")
    shared.send("ada", "a1")
    with pytest.raises(ValueError, match="something of ada still waits"):
        shared.turns.dismiss("ada")
    shared.board.answer(0)
    shared.turns.dismiss("ada")


def test_nobody_measures_for_so_long_that_others_wait_for_it() -> None:
    turn = Turn(Shared().turns, "ada", "r1")
    turn.check(10.0)
    with pytest.raises(InvalidArgument, match=r"measures for at most 10 s, .*and this one would for 10\.5 s"):
        turn.check(10.5)
