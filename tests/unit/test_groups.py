"""Boards that were reserved together become fewer and more, and no evaluation is lost or carried out twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from waiting import wait_until

from icefarm.bitstream import made_up_bitstream
from icefarm.client.connection.events import BoardsChange
from icefarm.errors import InvalidArgument, LimitReached
from icefarm.testing.in_memory import FarmInMemory


@pytest.fixture
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=4, grace=30.0) as farm:
        yield farm


@pytest.mark.thorough
def test_a_group_gives_a_board_to_a_higher_priority_and_gets_it_back(farm: FarmInMemory) -> None:
    ada, bob = farm.client("ada"), farm.client("bob")
    changes: list[BoardsChange] = []
    boards = ada.reserve(4, at_least=2, preemptible=True, priority=10.0, on_boards_changed=changes.append)
    assert len(boards) == 4
    circuits = [made_up_bitstream(number).data for number in range(300)]
    results = boards.evaluate(iter(circuits))
    first = [next(results) for _ in range(20)]
    taken = bob.reserve(1, wait=True, timeout=60)
    assert len(boards) == 3
    (given,) = taken.serials
    assert [change.left for change in changes] == [(given,)]
    middle = [next(results) for _ in range(50)]
    taken.end()
    wait_until(lambda: len(boards) == 4, "the group has all of its boards")
    assert changes[-1] == BoardsChange(came=(given,))
    all_results = [*first, *middle, *results]
    assert [result.error for result in all_results if result.error is not None] == []
    assert Counter(result.source for result in all_results) == Counter(circuits)
    assert {result.measurement.attempt for result in all_results} == {1}
    assert given in {result.serial for result in all_results[70:]}


def test_a_group_keeps_what_it_needs_at_least(farm: FarmInMemory) -> None:
    ada, bob = farm.client("ada"), farm.client("bob")
    boards = ada.reserve(4, at_least=3, preemptible=True, priority=10.0)
    other = bob.reserve(2, at_least=1, wait=True, timeout=60)
    assert (len(other), len(boards)) == (1, 3)


def test_one_that_does_not_say_so_is_not_asked_for_boards(farm: FarmInMemory) -> None:
    ada, bob = farm.client("ada"), farm.client("bob")
    boards = ada.reserve(4, priority=10.0)
    with pytest.raises(Exception, match="waited 1 s in vain"):
        bob.reserve(1, wait=True, timeout=1)
    assert len(boards) == 4


def test_it_begins_with_fewer_boards_and_gets_others_when_they_are_free(farm: FarmInMemory) -> None:
    ada, bob = farm.client("ada"), farm.client("bob")
    other = bob.reserve(3)
    boards = ada.reserve(4, at_least=1)
    assert len(boards) == 1
    other.end()
    wait_until(lambda: len(boards) == 4, "the group has all of its boards")


def test_boards_that_its_client_gives_back_do_not_come_again(farm: FarmInMemory) -> None:
    ada = farm.client("ada")
    boards = ada.reserve(3, at_least=1, preemptible=True)
    ada.end(boards.serials[:1])
    wait_until(lambda: len(ada.available()) == 2, "the board is free")
    assert len(boards) == 2


@pytest.mark.parametrize(
    "wrong",
    [{"at_least": 0}, {"at_least": 3}, {"priority": -1.0}, {"serials": ["x"], "preemptible": True}],
)
def test_terms_that_make_no_sense_are_refused(farm: FarmInMemory, wrong: dict[str, Any]) -> None:
    asked = wrong if "serials" in wrong else {"amount": 2, **wrong}
    with pytest.raises(InvalidArgument):
        farm.client("ada").reserve(**asked)


def test_no_priority_is_above_that_of_the_account(farm: FarmInMemory) -> None:
    with pytest.raises(LimitReached, match="at most 50 as the priority of a request"):
        farm.client("ada").reserve(1, priority=51.0)
