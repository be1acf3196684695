"""The language of ``where``: how it is read and printed, and which boards it selects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st

import icefarm
from icefarm.contract import BoardCalibration, BoardHealth, DeviceRecord, DeviceStatus
from icefarm.errors import InvalidArgument
from icefarm.selectors.boards import (
    LONGEST_LABEL,
    NAMES,
    check_known,
    check_labels,
    narrowed,
    parse_boards,
    selects,
)
from icefarm.selectors.language import DEEPEST, LONGEST, is_selector_name, parse, quoted

BOARD = DeviceRecord(
    "E6614C", "shelf-2", DeviceStatus.AVAILABLE, None, None, None, None, "pulse_count", "1.0.0", "1-2", 90, 3,
    0, None, 0.0, labels={"lab": "3", "batch": "2025-06", "note": 'left "shelf"', "serial": "x"},
)  # fmt: skip


def board(**changes: Any) -> DeviceRecord:
    return evolve(BOARD, **changes)


def test_one_rule_says_which_boards_are_virtual() -> None:
    root = Path(icefarm.__file__).parent
    own = [path for path in root.rglob("*.py") if re.search(r"\.model is (not )?None", path.read_text("utf-8"))]
    assert [str(path.relative_to(root)) for path in own] == ["selectors/boards.py"]


@pytest.mark.parametrize(
    "text",
    [
        "lab=3", "lab = 3", "lab!=4", "lab<10", "lab<=3", "lab>2", "lab>=3.0", "lab in 1..5", "lab in (1, 3)", "lab",
        "not lab=4", "lab=3 and healthy", "lab=9 or healthy", "(lab=9 or real) and not virtual", "NOT lab=4 AND real",
        "batch=2025-06", "batch>2025-05", "batch in 2025-01..2025-12", 'note="left \\"shelf\\""', "worker=shelf-2",
        "serial=E6614C", "label.serial=x", "status=available", "firmware=pulse_count", "evaluations>=90", "room!=7",
        "not (lab=4 or lab=5)", "not not real", "kind=null", "real=true", "usb_path=1-2", "failures<5",
    ],
)  # fmt: skip
def test_a_board_is_selected(text: str) -> None:
    assert selects(parse(text), BOARD)


@pytest.mark.parametrize(
    "text",
    [
        "lab=4", "lab>10", "lab<2x", "lab in 4..5", "lab in (1, 2)", "room", "not lab",
        "lab=3 and virtual", "virtual or room=1",
        "batch>3", "serial=x", "client=ada", "note<3", "room<1", "virtual", "simulated", "landscape", "lab=03",
    ],
)  # fmt: skip
def test_a_board_is_not_selected(text: str) -> None:
    assert not selects(parse(text), BOARD)


def test_a_board_is_selected_by_its_account() -> None:
    assert selects(parse("account=ada"), board(client="ada/ga-7"))
    assert not selects(parse("account"), BOARD)


def test_a_board_is_selected_by_its_calibration_if_it_has_one() -> None:
    calibration = BoardCalibration("c1", "square", 0.0, 31.5, 12.0, 0.1, 3.0, 0.5, 0.1, 0.2, 0.1, 40)
    assert selects(parse("offset_ppm<20 and temperature in 20..40"), board(calibration=calibration))
    assert not selects(parse("offset_ppm"), BOARD)


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("lab in 1 .. 5", "lab in 1..5"),
        ("lab in ( 1 ,3 )", "lab in (1, 3)"),
        ("a and (b or c) and d", "a and (b or c) and d"),
        ("a and (b and c)", "a and (b and c)"),
        ("not (a and b)", "not (a and b)"),
        ('lab="AND"', 'lab="AND"'),
        ('note="a \\"b\\" \\\\ c"', 'note="a \\"b\\" \\\\ c"'),
    ],
)
def test_a_selector_is_printed_as_it_is_written(text: str, printed: str) -> None:
    assert str(parse(text)) == printed


def test_numbers_are_equal_by_value_also_as_labels() -> None:
    assert selects(parse("lab=3.0"), BOARD)
    assert not selects(parse("lab=4.0"), BOARD)


def test_what_is_closed_already_does_not_count_as_depth_nor_hide_it() -> None:
    parse(" and ".join(["(lab)"] * (DEEPEST + 1)))
    parse(f"(((lab) and {'(' * (DEEPEST - 3)}lab{')' * (DEEPEST - 3)}))")
    with pytest.raises(InvalidArgument, match="more than 20 deep"):
        parse(f"(((lab) and {'(' * (DEEPEST - 2)}lab{')' * (DEEPEST - 2)}))")


def test_long_numbers_that_differ_in_the_last_digit_are_not_the_same() -> None:
    one, other = "9007199254740992", "9007199254740993"
    assert selects(parse(f"serial={one}"), board(serial=one))
    assert not selects(parse(f"serial={one}"), board(serial=other))
    assert selects(parse(f"serial>{one}"), board(serial=other))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (None, {"real"}),
        ("simulated", {"virtual", "simulated"}),
        ("landscape", {"virtual", "landscape"}),
        ("simulated,landscape", {"virtual", "landscape"}),
        ("other", {"virtual"}),
    ],
)
def test_a_board_is_on_one_rung_of_the_ladder(model: str | None, names: set[str]) -> None:
    rungs = ("real", "virtual", "simulated", "landscape")
    assert {name for name in rungs if selects(parse(name), board(model=model))} == names


@pytest.mark.parametrize(
    ("changes", "healthy"),
    [
        ({}, True),
        ({"status": DeviceStatus.BROKEN}, False),
        ({"status": DeviceStatus.OFFLINE}, False),
        ({"health": BoardHealth(60, timeouts=4, retries=2)}, True),
        ({"health": BoardHealth(60, timeouts=4, retries=3)}, False),
        ({"health": BoardHealth(60, failures=60)}, True),
        ({"health": BoardHealth(set_aside=1)}, False),
    ],
)
def test_a_board_is_healthy_by_its_last_attempts(changes: dict[str, Any], healthy: bool) -> None:
    assert selects(parse("healthy"), board(**changes)) == healthy


@pytest.mark.parametrize("name", NAMES)
def test_every_name_can_be_asked_of_every_board(name: str) -> None:
    assert isinstance(selects(parse(f"{name} or {name}=1 or {name}<1"), BOARD), bool)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must say something"),
        ("   ", "must say something"),
        ("lab=", "must have a value after lab=, not the end"),
        ("lab==3", "must have a value after lab=, not '='"),
        ("=3", "must have a name"),
        ("lab=3 healthy", 'must go on with "and" or "or" after lab=3, not with \'healthy\''),
        ("note=a b", "text with blanks is in quotes"),
        ("lab=3)", "must go on with"),
        ("(lab=3", "must have ')' after lab=3, not the end"),
        ("lab in 3", "must have '..' after lab in 3"),
        ("lab in (1, 2", "must have ')' after the values that lab is in"),
        ("lab in ()", "must have a value after lab in ("),
        ('lab="3', "must close each quote"),
        ('lab="\\n"', "must close each quote"),
        ("lab ! 3", "cannot be read from '! 3' on"),
        ("and", "must have a name"),
        ("lab=3 and", "must have a name"),
        ("lab=or", "must have a value"),
        ("x" * (LONGEST + 1), "at most 1000 characters"),
        ("not " * (DEEPEST + 1) + "lab", "more than 20 deep"),
        ("(" * (DEEPEST + 1) + "lab" + ")" * (DEEPEST + 1), "more than 20 deep"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_to_write(text: str, words: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        parse(text)
    assert words in str(caught.value)


def test_names_are_those_of_all_parts_each_once_in_their_order() -> None:
    assert parse("not (lab=3 or rack=7) and lab=4 and not healthy").names == ["lab", "rack", "healthy"]


def test_an_unknown_name_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(InvalidArgument) as caught:
        check_known(parse("lba=3"), {"lab", "batch"})
    assert "where names 'lba'; there are serial, worker," in str(caught.value)
    assert str(caught.value).endswith("; and labels batch, lab")
    with pytest.raises(InvalidArgument, match="no labels yet"):
        check_known(parse("lab=3"), ())
    check_known(parse("label.lab=3 and real and lab"), {"lab"})


@pytest.mark.parametrize(
    "labels", [{}, {"": "3"}, {"a b": "3"}, {"or": "3"}, {"healthy": "3"}, {"lab": ""}, {"a": "\n"}, {"a..b": "3"}]
)
def test_labels_that_no_board_can_have_are_refused(labels: dict[str, str | None]) -> None:
    with pytest.raises(InvalidArgument):
        check_labels(labels)


def test_a_label_may_have_the_longest_name_that_is_allowed() -> None:
    check_labels({"x" * LONGEST_LABEL: "3"})
    with pytest.raises(InvalidArgument, match="the name of a label must be 1 to"):
        check_labels({"x" * (LONGEST_LABEL + 1): "3"})


def test_of_many_labels_an_error_names_some_and_counts_the_others() -> None:
    with pytest.raises(InvalidArgument, match=r"label0, label1, .* and 7 more$"):
        check_known(parse("lba=3"), {f"label{number}" for number in range(47)})


def test_each_part_says_how_many_boards_it_leaves() -> None:
    boards = [board(serial=str(n), labels={"lab": str(n % 2)}, model="simulated" if n < 3 else None) for n in range(8)]
    left, words = narrowed(parse_boards("lab=1 and (real or virtual) and not simulated"), boards)
    assert [each.serial for each in left] == ["3", "5", "7"]
    assert words == ["lab=1 leaves 4", "real or virtual leaves 4", "not simulated leaves 3"]


# ------------------------------------------------------------------------------------------- whatever comes in

names = st.from_regex(r"[a-z_][a-z0-9_.:-]{0,8}", fullmatch=True).filter(is_selector_name)
values = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
conditions = st.one_of(
    names,
    st.builds(lambda n, s, v: f"{n}{s}{quoted(v)}", names, st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), values),
    st.builds(lambda n, low, high: f"{n} in {quoted(low)}..{quoted(high)}", names, values, values),
    st.builds(
        lambda n, several: f"{n} in ({','.join(map(quoted, several))})", names, st.lists(values, min_size=1, max_size=3)
    ),
)
selectors = st.recursive(
    conditions,
    lambda inner: st.one_of(
        st.builds(lambda one: f"not ({one})", inner),
        st.builds(lambda several: " and ".join(f"({one})" for one in several), st.lists(inner, min_size=2, max_size=3)),
        st.builds(lambda several: " or ".join(f"({one})" for one in several), st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)
facts = st.dictionaries(
    names, st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6), max_size=4
)


@given(selectors, facts)
@example('a in "0."..5', {})
@example('a in 0..".5"', {})
@example('a in "."..".."', {})
@example('a="."', {"a": "."})
def test_what_is_printed_is_read_as_the_same(text: str, known: dict[str, Any]) -> None:
    if len(text) > LONGEST:
        return
    selector = parse(text)
    again = parse(str(selector)) if len(str(selector)) <= LONGEST else selector
    assert again == selector
    assert str(again) == str(selector)
    assert again.holds(known.get) == selector.holds(known.get)


@given(selectors, facts)
def test_not_selects_the_others(text: str, known: dict[str, Any]) -> None:
    if len(text) < LONGEST - 10:
        assert parse(f"not ({text})").holds(known.get) != parse(text).holds(known.get)


@given(st.text() | st.text(alphabet='()=!<>., "\\andortin3x-', max_size=60))
def test_no_text_does_harm(text: str) -> None:
    try:
        selector = parse(text)
    except InvalidArgument:
        return
    assert parse(str(selector)) == selector or len(str(selector)) > LONGEST
    selects(selector, BOARD)
