"""Every evaluation is answered exactly once, whatever happens to the boards."""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.client.evaluation.scheduler import Dispatch
from icefarm.client.evaluation.tasks import Blame, Item, Sending, TaskOutcome, blame
from icefarm.errors import DeviceFailed, InvalidBitstream, LinkLost, NotYours, ReservationEnded, TimedOut

FAILED = DeviceFailed("silent")


def items(*sources: Any, serials: tuple[str, ...] | None = None) -> list[Item]:
    return [Item(source, b"", serials) for source in sources]


def sent(dispatch: Dispatch) -> list[tuple[Any, str]]:
    return [(sending.task.item.source, sending.serial) for sending in dispatch.sendable()]


def pairs(answers: list[TaskOutcome]) -> list[tuple[Any, str | None]]:
    return [(answer.item.source, answer.serial) for answer in answers]


def test_items_for_any_board_go_to_the_board_with_the_least_to_do() -> None:
    dispatch = Dispatch(["A", "B"], depth=2)
    dispatch.feed(items(1, 2, 3, 4, 5))
    assert sent(dispatch) == [(1, "A"), (2, "B"), (3, "A"), (4, "B")]
    assert dispatch.sendable() == []


def test_a_board_that_answers_gets_the_next_item() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2, 3))
    _, second = dispatch.sendable()
    dispatch.succeeded(second, 7)
    assert sent(dispatch) == [(3, "B")]


def test_an_item_for_named_boards_is_answered_by_each() -> None:
    dispatch = Dispatch(["A", "B", "C"], depth=2)
    dispatch.feed(items(1, 2, serials=("A", "C")))
    dispatch.finish()
    answers = [answer for sending in dispatch.sendable() for answer in dispatch.succeeded(sending, 7)]
    assert Counter(pairs(answers)) == Counter([(1, "A"), (1, "C"), (2, "A"), (2, "C")])
    assert dispatch.done


def test_an_item_moves_on_when_its_board_fails() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1))
    (sending,) = dispatch.sendable()
    assert dispatch.failed(sending, FAILED) == []
    assert sent(dispatch) == [(1, "B")]


def test_an_item_that_failed_on_every_board_is_answered_with_the_error() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1))
    (first,) = dispatch.sendable()
    dispatch.failed(first, FAILED)
    (second,) = dispatch.sendable()
    (answer,) = dispatch.failed(second, FAILED)
    assert (answer.serial, answer.error) == ("B", FAILED)


def test_an_item_is_tried_on_three_boards_at_most() -> None:
    dispatch = Dispatch(["A", "B", "C", "D"], depth=1)
    dispatch.feed(items(1))
    answers: list[TaskOutcome] = []
    for _ in range(3):
        (sending,) = dispatch.sendable()
        answers += dispatch.failed(sending, FAILED)
    assert pairs(answers) == [(1, "C")]


def test_an_item_for_a_named_board_fails_with_it() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2, serials=("A",)))
    dispatch.sendable()
    answers, cancelled = dispatch.lose_board("A", FAILED)
    assert pairs(answers) == [(1, "A"), (2, "A")]
    assert [sending.task.item.source for sending in cancelled] == [1]


def test_items_of_a_lost_board_go_first_to_the_others() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1, 2, 3))
    _, on_b = dispatch.sendable()
    assert dispatch.lose_board("A", FAILED)[0] == []
    dispatch.succeeded(on_b, 7)
    assert sent(dispatch) == [(1, "B")]


def test_a_late_answer_of_a_lost_board_is_not_counted_twice() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed(items(1))
    (late,) = dispatch.sendable()
    dispatch.lose_board("A", FAILED)
    (moved,) = dispatch.sendable()
    assert dispatch.succeeded(late, 7) == []
    assert pairs(dispatch.succeeded(moved, 8)) == [(1, "B")]


def test_without_boards_what_waits_is_answered_and_what_comes_too() -> None:
    dispatch = Dispatch(["A"], depth=1)
    dispatch.feed(items(1, 2))
    dispatch.sendable()
    answers, _ = dispatch.lose_board("A", FAILED)
    assert pairs(answers) == [(1, None), (2, None)]
    assert [answer.error for answer in dispatch.feed(items(3))] == [FAILED]


def test_a_board_that_joins_takes_part_at_once() -> None:
    dispatch = Dispatch(["A"], depth=1)
    dispatch.feed(items(1, 2))
    dispatch.sendable()
    dispatch.add_board("B")
    assert sent(dispatch) == [(2, "B")]


def test_an_item_for_a_board_that_is_not_reserved_is_refused() -> None:
    dispatch = Dispatch(["A"])
    (answer,) = dispatch.feed(items(1, serials=("Z",)))
    assert answer.serial == "Z"
    assert isinstance(answer.error, NotYours)


def test_a_bad_item_is_answered_for_each_of_its_boards_and_never_sent() -> None:
    dispatch = Dispatch(["A", "B"])
    bad = InvalidBitstream("too short")
    answers = dispatch.feed([Item(1, None, ("A", "B"), error=bad)])
    assert pairs(answers) == [(1, "A"), (1, "B")]
    assert dispatch.sendable() == []


def test_it_wants_enough_to_keep_every_board_busy_and_no_more() -> None:
    dispatch = Dispatch(["A", "B"], depth=2)
    assert dispatch.wanted == 6
    dispatch.feed(items(*range(6)))
    dispatch.sendable()
    assert dispatch.wanted == 0


def test_it_wants_as_many_fewer_as_each_item_is_for_more_boards() -> None:
    assert Dispatch(["A", "B"], depth=2, fan_out=2).wanted == 3


def test_a_board_far_behind_does_not_make_it_hold_more_than_its_look_ahead() -> None:
    dispatch = Dispatch(["A", "B"], depth=1, look_ahead=10)
    taken = 0
    while dispatch.wanted:
        taken += dispatch.wanted
        dispatch.feed(items(*range(dispatch.wanted), serials=("A",)))
        dispatch.sendable()
    assert taken == 11


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (InvalidBitstream(), Blame.ITEM),
        (DeviceFailed(), Blame.BOARD),
        (TimedOut(), Blame.BOARD),
        (LinkLost(), Blame.BOARD),
        (ReservationEnded(), Blame.GONE),
    ],
)
def test_each_error_says_what_is_to_blame(error: Any, verdict: Blame) -> None:
    assert blame(error) is verdict


SERIALS = ["A", "B", "C", "D"]
ERRORS = [DeviceFailed("x"), InvalidBitstream("x"), ReservationEnded("x"), LinkLost("x")]


def check_load(dispatch: Dispatch, flying: list[Sending], depth: int) -> None:
    """No board has more than ``depth`` evaluations, and the dispatch counts right."""
    assert all(count <= depth for count in Counter(sending.serial for sending in flying).values())
    assert dispatch.in_flight == len(flying)


@given(
    boards=st.sets(st.sampled_from(SERIALS)),
    depth=st.integers(1, 4),
    look_ahead=st.integers(1, 8),
    wishes=st.lists(st.none() | st.lists(st.sampled_from(SERIALS), unique=True, min_size=1), max_size=40),
    data=st.data(),
)
def test_every_item_is_answered_once_under_any_interleaving(
    boards: set[str], depth: int, look_ahead: int, wishes: list[list[str] | None], data: st.DataObject
) -> None:
    dispatch = Dispatch(sorted(boards), depth=depth, look_ahead=look_ahead)
    coming = [Item(number, b"", None if serials is None else tuple(serials)) for number, serials in enumerate(wishes)]
    owed = Counter((item.source, serial) for item in coming for serial in (item.serials or (None,)))
    answered: Counter[tuple[Any, str | None]] = Counter()
    flying: list[Sending] = []

    def note(answers: list[TaskOutcome]) -> None:
        for answer in answers:
            answered[answer.item.source, answer.serial if answer.item.serials else None] += 1

    for _ in takewhile(lambda _: not dispatch.done, range(2000)):
        wanted = dispatch.wanted
        batch, coming = coming[:wanted], coming[wanted:]
        note(dispatch.feed(batch))
        if not coming:
            dispatch.finish()
        flying += dispatch.sendable()
        check_load(dispatch, flying, depth)
        if not flying:
            continue
        sending = data.draw(st.sampled_from(flying))
        match data.draw(st.sampled_from(["answer", "answer", "answer", "error", "lose", "add"])):
            case "answer":
                flying.remove(sending)
                note(dispatch.succeeded(sending, 1))
            case "error":
                flying.remove(sending)
                note(dispatch.failed(sending, data.draw(st.sampled_from(ERRORS))))
            case "lose":
                answers, cancelled = dispatch.lose_board(sending.serial, FAILED)
                flying = [other for other in flying if other not in cancelled]
                note(answers)
                assert dispatch.succeeded(sending, 1) == []
            case "add":
                dispatch.add_board(data.draw(st.sampled_from(SERIALS)))
    assert dispatch.done
    assert answered == owed


def test_a_board_that_rests_gets_no_items_for_any_board_but_its_own() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.rest("A")
    dispatch.feed([*items("x", "y"), *items("z", serials=("A",))])
    assert sent(dispatch) == [("z", "A"), ("x", "B")]
    dispatch.wake("A")
    assert sent(dispatch) == []


def test_an_item_waits_for_the_board_that_rests_where_no_other_may_try_it() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.rest("A")
    dispatch.feed(items("x"))
    (sending,) = dispatch.sendable()
    assert dispatch.failed(sending, DeviceFailed("silent")) == []
    assert not dispatch.idle
    assert sent(dispatch) == []
    dispatch.wake("A")
    assert sent(dispatch) == [("x", "A")]


def test_items_for_any_board_leave_a_board_that_is_away_and_those_for_it_wait() -> None:
    dispatch = Dispatch(["A", "B"], depth=2)
    dispatch.feed([Item("any 1", None), Item("for A", None, ("A",)), Item("any 2", None)], last=True)
    assert {serial for _, serial in sent(dispatch)} == {"A", "B"}
    moved = dispatch.board_away("A")
    assert all(sending.task.pinned is None for sending in moved)
    assert {sending.serial for sending in moved} <= {"A"}
    assert {serial for _, serial in sent(dispatch)} == {"B"}
    assert not dispatch.done


def test_items_for_any_board_stay_where_every_board_is_away_until_one_is_back() -> None:
    dispatch = Dispatch(["A", "B"], depth=1)
    dispatch.feed([Item(1, None), Item(2, None)], last=True)
    assert len(dispatch.sendable()) == 2
    (moved,) = dispatch.board_away("A")
    assert moved.serial == "A"
    assert dispatch.sendable() == []
    assert dispatch.board_away("B") == []
    (freed,) = dispatch.board_back("A")
    assert freed.serial == "B"
    (sending,) = dispatch.sendable()
    assert sending.serial == "A"


def test_a_board_that_is_away_gets_nothing_new() -> None:
    dispatch = Dispatch(["A"])
    dispatch.board_away("A")
    dispatch.feed([Item(1, None), Item(2, None, ("A",))], last=True)
    assert dispatch.sendable() == []
    dispatch.board_back("A")
    assert len(dispatch.sendable()) == 2
