"""Whether two runs agree: values of all kinds, uncertainty, noise, and what is said of it."""

from __future__ import annotations

import random
from math import sqrt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.errors import InvalidArgument
from icefarm.runs.agreement import CLOCK_PPM, compared, noise_of, samples_of


def line(
    value: Any = None, index: int = 0, serial: str = "A", error: str | None = None, **fields: Any
) -> dict[str, Any]:
    usual = {"index": index, "serial": serial, "value": value, "error": error, "circuit": "a.bin", "sha256": "ab" * 32}
    return {**usual, **fields}


@pytest.mark.parametrize(
    ("kind", "value", "samples"),
    [
        ("pulsecount", 7, [[7.0]]),
        ("pulsecount", [7, 8], [[7.0, 8.0]]),
        ("multipulsecount", [7, 8], [[7.0], [8.0]]),
        ("multipulsecount", [[7, 8], [9, 10]], [[7.0, 9.0], [8.0, 10.0]]),
        ("variance", 0.5, [[0.5]]),
        ("variance", [0.5, 0.6], [[0.5, 0.6]]),
        ("variance", [0.5, [1, 2, 3]], [[0.5]]),
        ("variance", [[0.5, [1, 2]], [0.6, [3, 4]]], [[0.5, 0.6]]),
        ("another", 3, [[3.0]]),
    ],
)
def test_what_a_value_measures_is_found_for_each_kind(kind: str, value: Any, samples: list[list[float]]) -> None:
    assert samples_of(kind, value) == samples


@pytest.mark.parametrize("value", ["text", True, None, [], {}, [[]], [[1], [1, 2]], [True], [["a"]]])
def test_a_value_that_is_no_number_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument, match="no numbers that can be compared"):
        samples_of("pulsecount", value)


@pytest.mark.parametrize(("second", "agrees"), [(1000, True), (1002, True), (998, True), (1003, False), (997, False)])
def test_single_counts_agree_within_three_uncertainties_of_one_count(second: int, agrees: bool) -> None:
    (cell,) = compared("pulsecount", [(line(1000), line(second))]).cells
    assert cell.uncertainty == pytest.approx(sqrt(2 / 3))
    assert (cell.difference, cell.agrees) == (second - 1000, agrees)


def test_other_boards_have_other_clocks() -> None:
    found = compared("pulsecount", [(line(1_000_000), line(1_000_060, serial="B"))])
    (cell,) = found.cells
    assert cell.uncertainty == pytest.approx(sqrt(2 / 3 + (CLOCK_PPM**2) / 3))
    assert found.agrees
    assert not compared("pulsecount", [(line(1_000_000), line(1_000_060))]).agrees


def test_noise_is_what_repeats_scatter_about_their_means() -> None:
    noise = noise_of("pulsecount", [line([90, 110]), line([900, 1100], sha256="cd" * 32), line(error="x")])
    assert (noise.relative, noise.freedom) == (pytest.approx(sqrt(0.02)), 2)
    # The same circuit on the same board in several evaluations is a repetition, too; on others it is none.
    assert noise_of("pulsecount", [line(90), line(110, index=1)]).freedom == 1
    assert noise_of("pulsecount", [line(90), line(110, serial="B")]).freedom == 0


@given(st.integers(1, 10**6), st.floats(0, 0.01), st.integers(2, 5), st.integers(0, 2**32))
def test_two_runs_of_one_noise_mostly_agree(frequency: int, sigma: float, repeats: int, seed: int) -> None:
    source = random.Random(seed)

    def measured(index: int) -> dict[str, Any]:
        counts = [max(0, round(source.gauss(frequency, sigma * frequency))) for _ in range(repeats)]
        return line(counts, index, sha256=f"{index:064x}")

    found = compared("pulsecount", [(measured(index), measured(index)) for index in range(60)])
    assert sum(bool(cell.agrees) for cell in found.cells) >= 56


@given(st.integers(1000, 10**6), st.integers(0, 2**32))
def test_a_clock_that_is_off_by_a_thousandth_is_found(frequency: int, seed: int) -> None:
    source = random.Random(seed)
    pairs = [
        (line(frequency * 20 + source.randint(-1, 1), n), line(round(frequency * 20.02) + source.randint(-1, 1), n))
        for n in range(10)
    ]
    found = compared("pulsecount", pairs)
    assert not found.agrees
    assert "the median difference is +" in found.summary


def test_the_uncertainty_becomes_less_with_repeats() -> None:
    few = compared("pulsecount", [(line([1000, 1002]), line([1000, 1002]))]).cells[0].uncertainty
    many = compared("pulsecount", [(line([1000, 1002] * 8), line([1000, 1002] * 8))]).cells[0].uncertainty
    assert few is not None
    assert many is not None
    assert many < few / 2


def test_of_several_pins_each_is_compared() -> None:
    found = compared("multipulsecount", [(line([10, 1000]), line([10, 1100]))])
    assert [(cell.quantity, cell.agrees) for cell in found.cells] == [(0, True), (1, False)]


def test_a_value_that_is_lost_disagrees_and_a_failure_of_both_says_nothing() -> None:
    good = (line(7), line(7))
    assert compared("pulsecount", [good, (line(error="x", index=1), line(error="y", index=1))]).agrees
    assert compared("pulsecount", [good, (line(error="x", index=1), line(3, index=1))]).agrees
    lost = compared("pulsecount", [good, (line(7, index=1), line(error="device_failed", index=1)), (line(7, 2), None)])
    assert not lost.agrees
    assert [cell.errors for cell in lost.cells] == [(), ["device_failed"], ["not measured"]]
    assert "1 of 1 value agrees" in lost.summary
    assert "2 have no value now" in lost.summary
    assert not compared("pulsecount", []).agrees


def test_a_cell_says_what_was_measured_on_which_boards() -> None:
    failed = line(None, 4, "B", error="x")
    found = compared("multipulsecount", [(line([9, 7], 3), line([9, 7], 3, "B")), (line([9, 7], 4), failed)]).cells
    assert [(cell.index, cell.quantity) for cell in found] == [(3, 0), (3, 1), (4, 0), (4, 1)]
    assert {(cell.circuit, cell.sha256) for cell in found} == {("a.bin", "ab" * 32)}
    assert {(cell.first_board, cell.second_board) for cell in found} == {("A", "B")}


def test_each_run_has_the_noise_of_its_own_repeats() -> None:
    noisy, steady = line([90, 110]), line([99, 101])
    assert compared("pulsecount", [(noisy, steady)]).noise == tuple(
        noise_of("pulsecount", [x]) for x in (noisy, steady)
    )


def test_only_counts_are_off_by_a_part_of_one() -> None:
    assert compared("variance", [(line(0.5), line(0.5))]).cells[0].uncertainty == 0.0


def test_runs_of_other_pins_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="has 2 values in one run and 3 in the other"):
        compared("multipulsecount", [(line([1, 2]), line([1, 2, 3]))])


def test_it_is_said_where_nothing_was_repeated() -> None:
    assert "noise is not in the uncertainty" in compared("pulsecount", [(line(7), line(7))]).summary
    assert "noise is not" not in compared("pulsecount", [(line([7, 8]), line(7))]).summary
