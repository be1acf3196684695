"""The device kind multipulsecount: what it asks of the firmware, and what it makes of the answer."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from icefarm.errors import DeviceFailed, InvalidArgument
from icefarm.kinds import Kinds
from icefarm.kinds.multipulsecount import PINS, MultiPulseCount

KIND = Kinds.of(MultiPulseCount).get("multipulsecount")


def made(**options: Any) -> MultiPulseCount:
    kind: MultiPulseCount = KIND.make(None, KIND.check_options(options))
    return kind


def repeated(repeats: int = 1) -> MultiPulseCount.EvaluationOptions:
    return MultiPulseCount.EvaluationOptions(repeats)


def test_existing_scripts_get_their_four_pins_in_their_order() -> None:
    parameters = made().parameters(repeated())
    assert parameters.content == struct.pack("<IHH4B", 1_000_000, 1, 48, 9, 11, 25, 27)
    assert (parameters.window, parameters.overlap) == (1.0, True)


def test_the_board_counts_on_the_pins_asked_for_in_that_order() -> None:
    kind = made(pins=[27, 9], window=0.25, clock_mhz="off", overlap=False)
    parameters = kind.parameters(repeated(3))
    assert parameters.content == struct.pack("<IHH2B", 250_000, 3, 0xFFFF, 27, 9)
    assert (parameters.window, parameters.overlap) == (0.75, False)


def test_the_value_is_a_count_for_each_pin() -> None:
    assert made(pins=[27, 9, 18]).decode(struct.pack("<IIII", 1_000_000, 2000, 0, 7), repeated()) == [2000, 0, 7]


def test_repeats_give_the_counts_of_each_window() -> None:
    content = struct.pack("<III", 1000, 1, 2) + struct.pack("<III", 1000, 3, 4)
    assert made(pins=[27, 9]).decode(content, repeated(2)) == [[1, 2], [3, 4]]


@pytest.mark.parametrize("size", [0, 8, 11, 13, 24])
def test_an_answer_of_another_size_is_the_boards_fault(size: int) -> None:
    with pytest.raises(DeviceFailed):
        made(pins=[27, 9]).decode(bytes(size), repeated())


@pytest.mark.parametrize("pins", [[], [35], [15], [27, 27], [0], list(PINS), [27.0], ["27"], 27, None, [True]])
def test_pins_that_cannot_be_counted_are_refused(pins: object) -> None:
    with pytest.raises(InvalidArgument, match="pins"):
        KIND.check_options({"pins": pins})


def test_more_than_a_board_can_answer_or_take_time_for_is_refused() -> None:
    eight = made(pins=list(PINS[:8]), window=0.001)
    assert eight.parameters(repeated(112))
    with pytest.raises(InvalidArgument, match="a board holds 112 repeats of 8 pins, not 113"):
        eight.parameters(repeated(113))
    with pytest.raises(InvalidArgument, match="600 s"):
        made(pins=[27], window=60.0).parameters(repeated(11))
