"""Placements: who measures what, the same again with the same seed."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.client.evaluation.payload import Placing
from icefarm.client.placement import (
    AnyBoard,
    Distinct,
    EachBoard,
    Given,
    Placement,
    SameBoard,
    Spread,
    alternating,
)
from icefarm.errors import InvalidArgument

BOARDS = ["A", "B", "C", "D"]


def chosen(placement: Placement, count: int = 20, boards: list[str] = BOARDS) -> list[Any]:
    return [placement.choose(index, f"circuit{index}.bin", boards) for index in range(count)]


def test_any_board_leaves_the_choice_open() -> None:
    assert chosen(AnyBoard(), 2) == [None, None]


def test_each_board_and_given_ones_are_all_of_these() -> None:
    assert chosen(EachBoard(), 1) == [("A", "B", "C", "D")]
    assert chosen(Given(["C", "A", "C"]), 1) == [("C", "A")]


@pytest.mark.parametrize("placement", [SameBoard, Spread, lambda seed: Distinct(2, seed)])
def test_a_seed_gives_the_same_order_and_another_seed_another_one(placement: Any) -> None:
    assert chosen(placement(7)) == chosen(placement(7))
    assert chosen(placement(7)) != chosen(placement(8))


def test_the_order_of_a_seed_never_changes() -> None:
    assert chosen(Distinct(2, 1), 3) == [("A", "B"), ("C", "D"), ("A", "B")]


@given(st.integers(), st.integers(1, 4))
def test_distinct_boards_are_distinct(seed: int, k: int) -> None:
    for boards in chosen(Distinct(k, seed), 5):
        assert len(set(boards)) == k


def test_more_distinct_boards_than_there_are_cannot_be_had() -> None:
    with pytest.raises(InvalidArgument, match="5 distinct boards"):
        Placing(Distinct(5), BOARDS)


@given(st.integers(), st.integers(1, 6))
def test_spreading_gives_each_board_its_share_in_each_round(seed: int, rounds: int) -> None:
    counts = Counter(boards[0] for boards in chosen(Spread(seed), rounds * len(BOARDS)))
    assert counts == dict.fromkeys(BOARDS, rounds)


def test_the_same_circuit_goes_to_the_same_board_wherever_it_comes_in_the_run() -> None:
    placement = SameBoard(3)
    first = {source: placement.choose(0, source, BOARDS) for source in ("a", "b", b"bytes")}
    assert {source: placement.choose(9, source, BOARDS) for source in first} == first


def test_when_a_board_is_gone_only_its_own_circuits_move() -> None:
    before, after = chosen(SameBoard(), 200), chosen(SameBoard(), 200, BOARDS[:3])
    assert all(was == now for was, now in zip(before, after, strict=True) if was != ("D",))
    assert {("A",), ("B",), ("C",), ("D",)} == set(before)


def test_items_say_how_their_boards_were_chosen() -> None:
    placing = Placing(Distinct(2, 5), ["B", "A"])
    items = [placing.item(b"rubbish"), placing.item(b"rubbish")]
    assert [item.placement for item in items] == [
        {"placement": "distinct", "k": 2, "seed": 5, "index": index} for index in (0, 1)
    ]
    assert all(set(item.serials or ()) == {"A", "B"} for item in items)


def test_alternating_reverses_every_second_round() -> None:
    assert "".join(alternating([*"AB"], 4)) == "ABBAABBA"


def test_alternating_with_a_seed_draws_each_round_and_is_reproducible() -> None:
    drawn = "".join(alternating([*"AB"], 30, seed=1))
    assert drawn == "".join(alternating([*"AB"], 30, seed=1))
    assert drawn != "".join(alternating([*"AB"], 30))
    assert {drawn[index : index + 2] for index in range(0, 60, 2)} == {"AB", "BA"}
