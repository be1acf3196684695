"""Usage, added up by account, board and experiment."""

from __future__ import annotations

import pytest

from icefarm.control.archive.usage import HeldTime, Measured, dimensions, used
from icefarm.errors import InvalidArgument

HELD = [
    HeldTime("ada", "A", 2, 100.0, 10.0, 200.0),
    HeldTime("ada", "B", 1, 50.0, 20.0, 70.0),
    HeldTime("bob", "A", 1, 500.0, 300.0, 800.0),
]
MEASURED = [
    Measured("ada", "ga", "A", 7, 1, 30.0, 15.0, 45.0),
    Measured("ada", "ga", "B", 3, 0, 20.0, 25.0, 45.0),
    Measured("ada", "other", "A", 5, 0, 10.0, 50.0, 60.0),
    Measured("eve", "old", "C", 1, 0, 1.0, 5.0, 6.0),
]


def test_by_account_it_is_the_time_of_reservations_with_all_that_was_measured() -> None:
    found = used(["account"], HELD, MEASURED)
    assert [(each.account, each.seconds, each.reservations, each.boards) for each in found] == [
        ("bob", 500.0, 1, 1), ("ada", 150.0, 3, 2), ("eve", 0.0, 0, 1)
    ]  # fmt: skip
    assert [(each.evaluations, each.failed) for each in found] == [(0, 0), (15, 1), (1, 0)]
    assert (found[1].first_at, found[1].last_at, found[1].serial, found[1].experiment) == (10.0, 200.0, None, None)
    assert found[2].first_at is None


def test_by_board_it_is_that_of_all_accounts() -> None:
    found = {each.serial: each for each in used(["board"], HELD, MEASURED)}
    assert (found["A"].seconds, found["A"].reservations, found["A"].evaluations) == (600.0, 3, 12)
    assert found["A"].account is None


def test_by_experiment_it_is_the_time_of_results() -> None:
    found = used(["account", "experiment"], HELD, MEASURED)
    assert [(each.account, each.experiment, each.seconds, each.boards) for each in found] == [
        ("ada", "ga", 50.0, 2), ("ada", "other", 10.0, 1), ("eve", "old", 1.0, 1)
    ]  # fmt: skip
    assert {each.reservations for each in found} == {0}


def test_several_are_told_apart_at_once() -> None:
    assert len(used(["account", "board"], HELD, MEASURED)) == 4


@pytest.mark.parametrize("by", ["", "place", "account,", "board,board"])
def test_what_cannot_be_told_apart_is_refused(by: str) -> None:
    with pytest.raises(InvalidArgument, match="by must be"):
        dimensions(by)


def test_names_may_have_blanks() -> None:
    assert dimensions("account, board") == ["account", "board"]
