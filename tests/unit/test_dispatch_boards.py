"""Boards that come, go, rest, retire and are lost while a run's evaluations are handed out."""

from __future__ import annotations

from typing import Any

import pytest

from icefarm.client.evaluation.scheduler import DEPTH, Dispatch, WorkLeft
from icefarm.client.evaluation.tasks import Item, Sending, TaskOutcome
from icefarm.errors import DeviceFailed, InvalidArgument, InvalidBitstream, NotYours, ReservationEnded

FAILED, GONE = DeviceFailed("silent"), ReservationEnded("over")


def items(*sources: Any, serials: tuple[str, ...] | None = None) -> list[Item]:
    return [Item(source, b"", serials) for source in sources]


def sent(dispatch: Dispatch) -> list[tuple[Any, str]]:
    return [(sending.task.item.source, sending.serial) for sending in dispatch.sendable()]


def sources(sendings: list[Sending]) -> list[Any]:
    return [sending.task.item.source for sending in sendings]


def answered(answers: list[TaskOutcome]) -> list[tuple[Any, str | None, Any]]:
    return [(answer.item.source, answer.serial, answer.error) for answer in answers]


# ---- what there is to do


@pytest.mark.parametrize("wrong", [{"depth": 0}, {"look_ahead": 0}, {"fan_out": 0}])
def test_of_everything_there_is_at_least_one(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidArgument, match=r"^depth, look_ahead and fan_out are at least 1$"):
        Dispatch(["A"], **wrong)
    Dispatch(["A"], depth=1, look_ahead=1, fan_out=1)


def test_what_is_left_to_do_is_told_from_the_first_item_to_the_last_answer() -> None:
    dispatch = Dispatch(["A"], depth=1)
    assert dispatch.work_left() == WorkLeft(done=False, idle=True, wanted=1, boards=True)
    dispatch.feed([*items(1), *items(2, serials=("A",))])
    assert dispatch.work_left() == WorkLeft(done=False, idle=False, wanted=0, boards=True)
    dispatch.finish()
    for _ in range(2):
        (sending,) = dispatch.sendable()
        assert dispatch.work_left() == WorkLeft(done=False, idle=False, wanted=0, boards=True)
        (answer,) = dispatch.succeeded(sending, 7)
        assert (answer.result, answer.error) == (7, None)
    assert dispatch.work_left() == WorkLeft(done=True, idle=True, wanted=0, boards=True)


def test_the_last_items_may_be_said_to_be_the_last() -> None:
    dispatch = Dispatch(["A"])
    dispatch.feed(items(1))
    assert not dispatch.exhausted
    dispatch.feed(items(2), last=True)
    assert dispatch.exhausted
    assert dispatch.wanted == 0


def test_without_boards_it_takes_what_may_wait() -> None:
    dispatch = Dispatch([], look_ahead=7)
    assert dispatch.work_left() == WorkLeft(done=False, idle=True, wanted=7, boards=False)


def test_a_board_gets_no_more_at_a_time_than_its_depth_in_either_way() -> None:
    for serials in (None, ("A",)):
        dispatch = Dispatch(["A"])
        dispatch.feed(items(*range(10), serials=serials))
        assert len(dispatch.sendable()) == DEPTH == 3
        assert dispatch.in_flight == 3


def test_the_next_items_are_at_hand_while_the_first_are_measured() -> None:
    # Two in flight, and one to follow.
    dispatch = Dispatch(["A"], depth=2)
    assert dispatch.wanted == 3
    dispatch.feed(items(1, 2, serials=("A",)))
    assert dispatch.wanted == 1
    dispatch.sendable()
    assert dispatch.wanted == 1
    dispatch.feed(items(3, serials=("A",)))
    assert dispatch.wanted == 0
    # One board's surplus is no other's.
    dispatch.feed(items(4, 5, serials=("A",)))
    dispatch.add_board("B")
    assert dispatch.wanted == 3


def test_an_item_for_two_boards_counts_once_in_the_look_ahead() -> None:
    dispatch = Dispatch(["A", "B"], depth=10, fan_out=2, look_ahead=5)
    assert dispatch.wanted == 5
    dispatch.feed(items(1, 2, serials=("A", "B")))
    assert dispatch.wanted == 3


# ---- order


def test_of_boards_with_as_much_to_do_that_which_has_had_it_longest_is_next() -> None:
    dispatch = Dispatch(["A", "B", "C"], depth=2)
    dispatch.feed(items(1, 2, 3, 4, 5, 6))
    first = dispatch.sendable()
    assert [sending.serial for sending in first] == ["A", "B", "C", "A", "B", "C"]
    for place in (1, 0):
        dispatch.succeeded(first[place], 0)
    dispatch.feed(items(7, 8))
    assert sent(dispatch) == [(7, "B"), (8, "A")]


def test_an_item_that_failed_goes_before_those_that_wait() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2, 3, 4))
    on_a, on_b = dispatch.sendable()
    dispatch.failed(on_a, FAILED)
    # Board A may not try it again, and has the next one.
    assert sent(dispatch) == [(3, "A")]
    dispatch.succeeded(on_b, 0)
    assert sent(dispatch) == [(1, "B")]


def test_items_that_no_free_board_may_try_keep_their_order() -> None:
    dispatch = Dispatch(["A", "B"], depth=2)
    dispatch.rest("B")
    dispatch.feed(items(1, 2))
    for sending in reversed(dispatch.sendable()):
        dispatch.failed(sending, FAILED)
    assert sent(dispatch) == []
    dispatch.wake("B")
    assert sent(dispatch) == [(1, "B"), (2, "B")]


def test_an_item_for_a_board_fails_with_its_first_failure() -> None:
    dispatch = Dispatch(["A", "B"])
    dispatch.feed(items(1, serials=("A",)))
    (sending,) = dispatch.sendable()
    assert answered(dispatch.failed(sending, FAILED)) == [(1, "A", FAILED)]


def test_an_item_that_is_wrong_is_not_tried_on_another_board() -> None:
    dispatch = Dispatch(["A", "B"])
    wrong = InvalidBitstream("short")
    dispatch.feed(items(1))
    (sending,) = dispatch.sendable()
    assert answered(dispatch.failed(sending, wrong)) == [(1, "A", wrong)]
    assert dispatch.failed(sending, wrong) == []


# ---- boards that are lost


def test_a_lost_board_leaves_its_own_items_answered_in_their_order_and_gives_others_back() -> None:
    dispatch = Dispatch(["A", "B"], depth=3)
    dispatch.feed([*items(1, 2, 3, 4, serials=("A",))])
    dispatch.sendable()
    dispatch.feed(items("x", "y", "z"))
    dispatch.sendable()
    answers, cancelled = dispatch.lose_board("A", GONE)
    assert answered(answers) == [(number, "A", GONE) for number in (1, 2, 3, 4)]
    assert sources(cancelled) == [1, 2, 3]
    assert dispatch.boards == ["B"]
    assert dispatch.in_flight == 3
    dispatch.finish()
    assert not dispatch.idle


def test_what_was_on_its_way_to_a_lost_board_goes_on_in_its_order() -> None:
    dispatch = Dispatch(["A"], depth=3)
    dispatch.feed(items(1, 2, 3, 4))
    dispatch.sendable()
    dispatch.add_board("B")
    dispatch.lose_board("A", GONE)
    assert sent(dispatch) == [(1, "B"), (2, "B"), (3, "B")]
    assert dispatch.in_flight == 3


def test_an_item_that_only_a_lost_board_could_still_try_is_answered_with_its_last_error() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2))
    on_a, _ = dispatch.sendable()
    dispatch.failed(on_a, FAILED)
    answers, _ = dispatch.lose_board("B", GONE)
    # Board A failed item 1; item 2 was on its way to B, and may go to A.
    assert answered(answers) == [(1, "A", FAILED)]
    assert sent(dispatch) == [(2, "A")]


def test_an_item_that_waited_for_another_board_is_answered_with_why_it_had_to_move() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.rest("B")
    dispatch.feed(items(1))
    dispatch.sendable()
    assert dispatch.lose_board("A", GONE)[0] == []
    answers, _ = dispatch.lose_board("B", FAILED)
    assert answered(answers) == [(1, None, GONE)]


def test_what_waits_for_other_boards_still_waits_when_one_is_lost() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed([*items(1, 2, 3, serials=("A",)), *items(4, 5, serials=("B",))], last=True)
    _, on_b = dispatch.sendable()
    dispatch.lose_board("A", GONE)
    dispatch.succeeded(on_b, 0)
    assert not dispatch.idle
    (last,) = dispatch.sendable()
    dispatch.succeeded(last, 0)
    assert dispatch.done


def test_losing_a_board_twice_or_one_that_never_was_is_harmless() -> None:
    dispatch = Dispatch(["A", "B"])
    assert dispatch.lose_board("Z", GONE) == ([], [])
    assert dispatch.last_loss is None
    dispatch.lose_board("A", GONE)
    assert dispatch.lose_board("A", FAILED) == ([], [])
    assert dispatch.last_loss is GONE


def test_the_board_that_was_lost_last_says_why_there_is_none() -> None:
    dispatch = Dispatch(["A", "B"])
    dispatch.lose_board("B", GONE)
    dispatch.lose_board("A", FAILED)
    assert dispatch.last_loss is FAILED
    assert answered(dispatch.feed(items(1))) == [(1, None, FAILED)]
    assert answered(dispatch.feed(items(2, serials=("B", "A")))) == [(2, "B", GONE), (2, "A", FAILED)]
    dispatch.add_board("A")
    assert dispatch.last_loss is GONE


def test_what_is_for_no_board_says_so() -> None:
    (answer,) = Dispatch([]).feed(items(1))
    assert isinstance(answer.error, NotYours)
    assert str(answer.error) == "there is no board to evaluate on"
    (answer,) = Dispatch(["A"]).feed(items(1, serials=("Z",)))
    assert str(answer.error) == "board Z is not reserved"
    assert answer.error.fields["serial"] == "Z"


def test_an_item_that_cannot_be_sent_is_answered_even_if_it_is_for_any_board() -> None:
    wrong = InvalidBitstream("short")
    two = [Item(number, None, None, error=wrong) for number in (1, 2)]
    assert answered(Dispatch(["A"]).feed(two)) == [(1, None, wrong), (2, None, wrong)]


def test_a_board_that_comes_again_begins_anew() -> None:
    dispatch = Dispatch(["A"], depth=2)
    dispatch.feed(items(1, 2, serials=("A",)))
    dispatch.sendable()
    dispatch.rest("A")
    dispatch.retire("A")
    dispatch.board_away("A")
    dispatch.lose_board("A", GONE)
    dispatch.add_board("A")
    dispatch.feed([*items(3), *items(4, serials=("A",))])
    assert sent(dispatch) == [(4, "A"), (3, "A")]


def test_adding_a_board_that_is_there_takes_nothing_from_it() -> None:
    dispatch = Dispatch(["A"], depth=1)
    dispatch.feed(items(1, 2))
    (sending,) = dispatch.sendable()
    dispatch.add_board("A")
    assert dispatch.boards == ["A"]
    assert dispatch.sendable() == []
    assert len(dispatch.succeeded(sending, 7)) == 1


# ---- boards that retire


def test_a_board_that_retires_does_what_it_has_and_gets_nothing_new() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2, serials=("A",)))
    (sending,) = dispatch.sendable()
    dispatch.retire("A")
    (answer,) = dispatch.feed(items(3, serials=("A",)))
    assert isinstance(answer.error, ReservationEnded)
    assert str(answer.error) == "board A is being given back: others wait for it"
    assert (answer.serial, answer.error.fields["serial"]) == ("A", "A")
    dispatch.succeeded(sending, 0)
    dispatch.feed(items(4))
    assert sent(dispatch) == [(2, "A"), (4, "B")]


def test_a_board_that_retires_asks_for_no_more() -> None:
    dispatch = Dispatch(["A", "B"], depth=2)
    dispatch.retire("A")
    assert dispatch.wanted == 3
    dispatch.retire("Z")
    assert dispatch.wanted == 3


def test_a_board_is_in_use_while_something_is_on_its_way_to_it_or_waits_for_it() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    assert not dispatch.uses("A")
    assert not dispatch.uses("Z")
    dispatch.feed(items(1, serials=("A",)))
    assert dispatch.uses("A")
    (sending,) = dispatch.sendable()
    assert dispatch.uses("A")
    assert not dispatch.uses("B")
    dispatch.succeeded(sending, 0)
    assert not dispatch.uses("A")


def test_what_another_board_that_stays_may_do_can_be_moved() -> None:
    dispatch = Dispatch(["A", "B", "C"], depth=2)
    dispatch.rest("B")
    dispatch.rest("C")
    dispatch.feed([*items(1, serials=("A",)), *items(2)])
    dispatch.sendable()
    # Not what is for this very board.
    assert sources(dispatch.movable("A")) == [2]
    assert dispatch.movable("Z") == []
    dispatch.retire("B")
    assert sources(dispatch.movable("A")) == [2]
    dispatch.retire("C")
    assert dispatch.movable("A") == []


def test_what_every_other_board_has_failed_stays_where_it_is() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1))
    (sending,) = dispatch.sendable()
    dispatch.failed(sending, FAILED)
    (again,) = dispatch.sendable()
    assert (again.serial, dispatch.movable("B")) == ("B", [])
    dispatch.add_board("C")
    assert dispatch.movable("B") == [again]


def test_what_a_board_did_not_begin_goes_to_another_before_what_waits() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2, 3))
    on_a, on_b = dispatch.sendable()
    dispatch.retire("A")
    dispatch.returned(on_a)
    assert dispatch.in_flight == 1
    dispatch.returned(on_a)
    dispatch.succeeded(on_b, 0)
    assert sent(dispatch) == [(1, "B")]
    # It has not failed there.
    assert dispatch.in_flight == 1


# ---- boards that rest or are away


def test_only_boards_that_there_are_rest_retire_and_are_away() -> None:
    dispatch = Dispatch(["A"], depth=1)
    dispatch.rest("B")
    dispatch.retire("B")
    assert dispatch.board_away("B") == []
    dispatch.add_board("B")
    dispatch.feed(items(1, 2))
    assert sent(dispatch) == [(1, "A"), (2, "B")]


def test_what_leaves_a_board_that_is_away_goes_on_in_its_order_before_what_waits() -> None:
    dispatch = Dispatch(["A"], depth=3)
    dispatch.feed(items(1, 2, 3, 4))
    first = dispatch.sendable()
    dispatch.add_board("B")
    assert dispatch.board_away("A") == first
    assert dispatch.in_flight == 0
    assert sent(dispatch) == [(1, "B"), (2, "B"), (3, "B")]


def test_items_for_a_board_that_is_away_are_sent_when_it_is_back() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.board_away("A")
    dispatch.feed(items(1, 2, serials=("A", "B")))
    assert sent(dispatch) == [(1, "B")]
    dispatch.board_back("A")
    assert sent(dispatch) == [(1, "A")]
