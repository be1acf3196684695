"""Placements: who measures what, the same again with the same seed."""

from __future__ import annotations

import os
from collections import Counter
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from attrs import evolve, frozen, make_class
from hypothesis import given
from hypothesis import strategies as st

from icefarm.client.evaluation.payload import Placing
from icefarm.client.evaluation.results import Result
from icefarm.client.placement import (
    AnyBoard,
    Distinct,
    EachBoard,
    Given,
    Placement,
    SameBoard,
    SameBoardAsParent,
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


OFFSETS = {"A": 900.0, "B": -50.0, "C": 40.0, "D": -700.0}
#: From slow to fast.
ORDER = ["D", "B", "C", "A"]


@frozen
class Calibrated:
    """What a calibration has of one, and more."""

    serial: str
    offset_ppm: float


def test_a_child_goes_where_its_parent_was_measured() -> None:
    parents = {b"child": Result(b"parent", "C"), "by serial.bin": "B"}
    placement = SameBoardAsParent(parents)
    assert placement.choose(0, b"child", BOARDS) == ("C",)
    assert placement.choose(1, "by serial.bin", BOARDS) == ("B",)
    parents[b"later"] = Result(b"child", "D")
    assert placement.choose(2, b"later", BOARDS) == ("D",)


def test_a_child_without_parent_or_board_of_it_goes_where_it_always_goes() -> None:
    placement = SameBoardAsParent({"orphan": "gone", "unmeasured": Result("x", None)}, 3)
    for source in ("founder", "orphan", "unmeasured"):
        assert placement.choose(0, source, BOARDS) == SameBoard(3).choose(0, source, BOARDS)
    assert placement.record() == {"placement": "parent", "seed": 3}


def test_a_child_that_cannot_be_looked_up_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="pass bytes or a path"):
        SameBoardAsParent({}).choose(0, bytearray(b"child"), BOARDS)


@given(st.integers(), st.integers(1, 6))
def test_spreading_over_unlike_offsets_gives_each_board_its_share_in_each_round(seed: int, rounds: int) -> None:
    counts = Counter(boards[0] for boards in chosen(Spread(seed, OFFSETS), rounds * len(BOARDS)))
    assert counts == dict.fromkeys(BOARDS, rounds)


@given(st.integers(), st.integers(2, 40))
def test_two_bitstreams_in_a_row_meet_a_slow_and_a_fast_board(seed: int, count: int) -> None:
    boards = [f"{n:02}" for n in range(2 * count)]
    offsets = {serial: float(n) for n, serial in enumerate(boards)}
    order = [boards.index(each[0]) for each in chosen(Spread(seed, offsets), 2 * count, boards)]
    apart = [abs(one - other) for one, other in pairwise(order)]
    assert fmean(apart) >= 0.35 * len(boards)


@given(st.integers(), st.integers(1, 4))
def test_boards_of_distinct_fabric_are_from_slow_to_fast(seed: int, k: int) -> None:
    for boards in chosen(Distinct(k, seed, OFFSETS), 5):
        ranks = [ORDER.index(serial) for serial in boards]
        assert [rank * k // 4 for rank in ranks] == list(range(k)) or k == 3
        assert ranks == sorted(set(ranks))


def test_calibrations_serve_as_offsets() -> None:
    given_calibrations = [Calibrated(serial, ppm) for serial, ppm in OFFSETS.items()]
    assert chosen(Distinct(2, 1, given_calibrations)) == chosen(Distinct(2, 1, OFFSETS))
    assert Distinct(2, 1, OFFSETS).record() == {"placement": "distinct", "k": 2, "seed": 1, "offsets": OFFSETS}


@pytest.mark.parametrize("placement", [Spread(0, {"A": 1.0}), Distinct(2, 0, {"A": 1.0})])
def test_a_board_without_an_offset_is_refused_by_name(placement: Placement) -> None:
    with pytest.raises(InvalidArgument, match="no offset: B; they have one when"):
        Placing(placement, ["A", "B"])


def test_calibrations_of_two_references_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="calibrations of one reference"):
        Spread(0, [Calibrated("A", 1.0), Calibrated("A", 5.0)])


def test_a_placement_by_offset_can_be_changed_as_any_record() -> None:
    assert evolve(Distinct(2, 1, OFFSETS), seed=5) == Distinct(2, 5, OFFSETS)


def test_parents_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="parents is a mapping"):
        SameBoardAsParent([b"child"])  # type: ignore[arg-type]


@pytest.mark.parametrize("offsets", [5, {"A": "fast"}, ["A"], {"A": float("nan")}])
def test_offsets_that_are_none_are_refused(offsets: Any) -> None:
    with pytest.raises(InvalidArgument, match="offsets"):
        Spread(0, offsets)


def test_items_say_how_their_boards_were_chosen() -> None:
    placing = Placing(Distinct(2, 5), ["B", "A"])
    items = [placing.item(b"rubbish"), placing.item(b"rubbish")]
    assert [item.placement for item in items] == [
        {"placement": "distinct", "k": 2, "seed": 5, "index": index} for index in (0, 1)
    ]
    assert all(set(item.serials or ()) == {"A", "B"} for item in items)


@pytest.mark.parametrize(
    ("placement", "fan_out", "record"),
    [
        (AnyBoard(), 1, {"placement": "any"}),
        (EachBoard(), 4, {"placement": "each"}),
        (Given(["C", "A"]), 2, {"placement": "given", "serials": ["C", "A"]}),
        (SameBoard(3), 1, {"placement": "same", "seed": 3}),
        (SameBoardAsParent({}, 3), 1, {"placement": "parent", "seed": 3}),
        (Spread(3), 1, {"placement": "spread", "seed": 3}),
        (Distinct(2, 3), 2, {"placement": "distinct", "k": 2, "seed": 3}),
    ],
)
def test_a_placement_says_for_how_many_boards_it_is_and_what_makes_it_reproducible(
    placement: Placement, fan_out: int, record: dict[str, Any]
) -> None:
    assert placement.fan_out(BOARDS) == fan_out
    assert placement.record() == record


def test_offsets_are_recorded() -> None:
    offsets = {"B": 2.0, "A": 1.0}
    assert Spread(0, offsets).record()["offsets"] == {"A": 1.0, "B": 2.0}
    assert Distinct(1, 0, offsets).record()["offsets"] == {"A": 1.0, "B": 2.0}


def test_where_there_are_no_boards_none_is_chosen() -> None:
    assert chosen(SameBoard(), 1, []) == chosen(Spread(), 1, []) == chosen(EachBoard(), 1, []) == [()]
    assert EachBoard().fan_out([]) == 1


def test_each_round_is_in_an_order_of_its_own() -> None:
    rounds = chosen(Spread(1), 12)
    assert len({tuple(rounds[begin : begin + 4]) for begin in (0, 4, 8)}) == 3


def test_a_bitstream_is_the_same_under_its_path_in_whichever_form_and_by_its_content() -> None:
    def where(source: Any) -> Any:
        return SameBoard().choose(0, source, [f"board {number}" for number in range(1_000)])

    named = make_class("Named", ["sha256"])
    assert where("a/b.bin") == where(Path("a/b.bin")) == where(named("a/b.bin")) == where(b"a/b.bin")
    assert where(bytearray(b"x")) == where(memoryview(b"x")) == where(b"x") != where(b"y")
    # A name that is no UTF-8, as a directory lists it.
    assert where(os.fsdecode(b"\xff.bin")) == where(b"\xff.bin")


def test_alternating_reverses_every_second_round() -> None:
    assert "".join(alternating([*"AB"], 4)) == "ABBAABBA"


def test_alternating_with_a_seed_draws_each_round_and_is_reproducible() -> None:
    drawn = "".join(alternating([*"AB"], 30, seed=1))
    assert drawn == "".join(alternating([*"AB"], 30, seed=1))
    assert drawn != "".join(alternating([*"AB"], 30))
    assert {drawn[index : index + 2] for index in range(0, 60, 2)} == {"AB", "BA"}
