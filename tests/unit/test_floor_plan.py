"""The picture of a circuit on the chip, from what the simulator found."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from icefarm.cli.ui.floor_plan import floor_plan_svg

SVG = "{http://www.w3.org/2000/svg}"


def found(**plan: Any) -> dict[str, Any]:
    return {
        "pins": [{"pin": 27, "driver": "flip-flop 2 in tile (18, 30)", "pulses": 5, "hz": 5}],
        "clocks": [{"clock": "HFOSC", "rising": 1, "falling": 0, "hz": 48_000_000}],
        "cells": {"look_up_tables": 1, "carries": 0, "flip_flops": 1, "block_rams": 0, "sprams": 0, "dsp_blocks": 0},
        "plan": {"cells": [], "legs": [], "pads": [[27, 18, 31]], **plan},
    }


def texts(svg: str) -> list[str]:
    return ["".join(each.itertext()) for each in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def fills(svg: str) -> list[str]:
    return [each.get("fill", "") for each in ElementTree.fromstring(svg).iter(f"{SVG}rect")]


def test_the_legend_names_clocks_and_pins_with_their_frequencies() -> None:
    svg = floor_plan_svg(found(), "blink.bin")
    assert {"blink.bin", "clocked by HFOSC, 48 MHz", "pin 27: 5 Hz"} <= set(texts(svg))


def test_a_circuit_without_carries_has_none_in_its_legend() -> None:
    assert "carry" not in texts(floor_plan_svg(found(), "blink.bin"))


def test_flip_flops_have_the_colour_of_their_clock() -> None:
    cells = [["flip_flop", 18, 30, 2, 0], ["flip_flop", 17, 30, 2, 1], ["look_up_table", 18, 30, 2, -1]]
    drawn = fills(floor_plan_svg(found(cells=cells), "blink.bin"))
    assert [drawn.count(f"var(--{fill})") for fill in ("c1", "table")] == [1, 2]


def test_a_dsp_block_is_one_block_over_its_four_tiles_with_its_name() -> None:
    cells = [["register", 0, 5, 0, 0], ["dsp_block", 0, 5, 0, -1], ["dsp_block", 0, 5, 0, -1]]
    svg = floor_plan_svg(found(cells=cells), "multiply.bin")
    assert texts(svg).count("DSP") == 1
    assert "var(--c0)" in fills(svg)


def test_the_detail_shows_the_cells_and_one_tile_more_on_each_side() -> None:
    svg = floor_plan_svg(found(cells=[["flip_flop", 14, 20, 0, 0]]), "blink.bin")
    assert "columns 13 to 19, rows 19 to 31" in texts(svg)


def test_wires_that_leave_the_detail_are_in_the_overview_alone() -> None:
    legs = [[18, 31, 18, 30], [18, 30, 2, 5]]
    lines = list(ElementTree.fromstring(floor_plan_svg(found(legs=legs), "blink.bin")).iter(f"{SVG}line"))
    assert len(lines) == 2 + 1


@pytest.mark.parametrize("title", ["<b>&", 'a"b'])
def test_the_name_of_a_file_is_text_whatever_it_holds(title: str) -> None:
    assert texts(floor_plan_svg(found(), title))[0] == title


def test_the_same_circuit_gives_the_same_picture() -> None:
    assert floor_plan_svg(found(), "blink.bin") == floor_plan_svg(found(), "blink.bin")
