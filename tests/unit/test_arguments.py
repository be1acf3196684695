"""What arrives from outside is checked, and refused in words that say what is wrong."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Any

import pytest
from attrs import Factory, field, frozen, make_class
from attrs.validators import and_, ge, gt, le, lt
from cbor2 import CBORTag
from hypothesis import given
from hypothesis import strategies as st

from icefarm.arguments import CheckedFunction, from_wire, to_wire
from icefarm.errors import InvalidArgument


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@frozen
class Item:
    name: str
    colour: Colour = Colour.RED
    weight: float | None = None
    tags: list[str] = Factory(list)


@frozen
class Box:
    items: list[Item]
    by_name: dict[str, Item] = Factory(dict)


@frozen
class Tag:
    text: str


@frozen
class Limits:
    share: float = field(default=0.5, validator=and_(gt(0), lt(1)))
    boards: int = field(default=1, validator=and_(ge(1), le(10_000)))
    seconds: float = field(default=1.0, validator=ge(0.5))


async def reserve(
    caller: object,
    amount: int | None = None,
    serials: list[str] | None = None,
    options: dict[str, Any] | None = None,
    timeout: float | None = None,
    wait: bool = False,
    payload: bytes | Item = b"",
) -> None:
    """Something to check."""


RESERVE = CheckedFunction.of(reserve, skip=1)


def test_arguments_are_taken_by_place_and_by_name() -> None:
    assert RESERVE.bind((2,), {"serials": ["a"], "timeout": 3}) == {"amount": 2, "serials": ["a"], "timeout": 3.0}


def test_what_is_left_out_is_left_to_the_function() -> None:
    assert RESERVE.bind((), {}) == {}


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {"amount": "2"}, "amount: must be a whole number, not '2'"),
        ((), {"amount": 2.0}, "amount: must be a whole number"),
        ((), {"amount": True}, "amount: must be a whole number, not True"),
        ((), {"timeout": math.nan}, "timeout: must be a finite number, not nan"),
        ((), {"timeout": math.inf}, "timeout: must be a finite number"),
        ((), {"timeout": 10**400}, "timeout: must be a finite number"),
        ((), {"timeout": "1"}, "timeout: must be a number, not '1'"),
        ((), {"serials": "abc"}, "serials: must be a list, not 'abc'"),
        ((), {"serials": ["a", 1]}, r"serials: \[1\] must be text, not 1"),
        ((), {"options": [1]}, r"options: must be a mapping, not \[1\]"),
        ((), {"options": {1: 2}}, "options: must have text for keys, not 1"),
        ((), {"wait": 1}, "wait: must be true or false, not 1"),
        ((), {"payload": "text"}, r"payload: must be bytes \(in JSON: .*base64\), not 'text', or must be a mapping"),
        ((), {"payload": {"0": 1}}, r"must be bytes \(in JSON: .*base64\), not {'0': 1}"),
        ((), {"payload": CBORTag(69, b"ab")}, r"must be bytes \(.*Uint8Array\), not a typed array \(CBOR tag 69\)"),
        ((), {"payload": 5}, r"payload: must be bytes, not 5"),
        ((), {"payload": CBORTag(64, "ab")}, "must be bytes.*, not 'ab'"),
        ((), {"payload": CBORTag(1000, b"ab")}, r"must be bytes.*, not CBOR tag 1000"),
        ((), {"serials": CBORTag(64, b"ab")}, r"serials: must be a list, not a typed array \(CBOR tag 64\)"),
        ((), {"nonsense": 1}, "unexpected keyword argument 'nonsense'.*it takes .amount, serials"),
        ((1, [], {}, 1, True, b"", 7), {}, "too many positional arguments"),
    ],
)
def test_a_wrong_argument_is_refused_with_its_name(args: Any, kwargs: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        RESERVE.bind(args, kwargs)


@pytest.mark.parametrize("tag", [64, 68])
def test_an_array_of_bytes_that_cbor_tags_is_bytes(tag: int) -> None:
    assert RESERVE.bind((), {"payload": CBORTag(tag, b"\x00\xff")}) == {"payload": b"\x00\xff"}


@pytest.mark.parametrize(
    ("length", "said"),
    [(78, f"'{'x' * 78}'"), (79, f"'{'x' * 78}…"), (80, f"'{'x' * 78}…"), (1_000_000, f"'{'x' * 78}…")],
)
def test_of_a_wrong_value_the_first_eighty_characters_are_repeated(length: int, said: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        RESERVE.bind(("x" * length,), {})
    assert str(caught.value).endswith(f"amount: must be a whole number, not {said}")


def test_many_unknown_names_are_not_repeated_whole() -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_wire({"items": [], **{f"name_{number:02}": 1 for number in range(100)}}, Box)
    assert "there is no 'name_00', 'name_01', " in str(caught.value)
    assert len(str(caught.value)) < 200


def test_everything_that_is_wrong_with_a_record_is_said() -> None:
    with pytest.raises(InvalidArgument) as caught:
        from_wire({"boards": "a", "seconds": "b"}, Limits)
    assert str(caught.value) == "Limits: boards must be a whole number, not 'a'; seconds must be a number, not 'b'"


def test_what_may_be_nothing_may_be_something_too() -> None:
    def measure(limit: None | int | str = None) -> None:  # noqa: RUF036
        del limit

    checked = CheckedFunction.of(measure)
    for right in (None, 5, "none"):
        assert checked.bind((right,), {}) == {"limit": right}
    with pytest.raises(InvalidArgument, match=r"must be a whole number, not 1.5, or must be text, not 1.5"):
        checked.bind((1.5,), {})


def test_a_number_is_checked_also_where_its_type_is_just_the_declared_one() -> None:
    def wait(seconds: float, times: int = 1) -> None:
        del seconds, times

    checked = CheckedFunction.of(wait)
    assert checked.bind((), {"seconds": 1.5, "times": 2}) == {"seconds": 1.5, "times": 2}
    for wrong in (math.nan, math.inf, -math.inf):
        with pytest.raises(InvalidArgument, match="seconds: must be a finite number"):
            checked.bind((), {"seconds": wrong})


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"share": 0.0}, "share must be above 0 and below 1, not 0.0"),
        ({"boards": 0}, "boards must be 1 to 10,000, not 0"),
        ({"seconds": 0.25}, "seconds must be at least 0.5, not 0.25"),
        ({"boards": 20_000, "seconds": 0.0}, "boards must be 1 to 10,000, not 20000"),
    ],
)
def test_a_number_out_of_range_is_refused_with_its_range(value: Any, message: str) -> None:
    assert from_wire({}, Limits) == Limits()
    with pytest.raises(InvalidArgument, match=message):
        from_wire(value, Limits)


def test_a_union_takes_the_member_that_fits() -> None:
    bound = RESERVE.bind((), {"payload": {"name": "n", "colour": "blue"}})
    assert bound == {"payload": Item("n", Colour.BLUE)}


def test_a_parameter_without_annotation_is_a_fault_of_the_code() -> None:
    def bare(a) -> None:  # type: ignore[no-untyped-def]
        del a

    with pytest.raises(TypeError, match="'a' has no annotation"):
        CheckedFunction.of(bare)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (5, "Box: must be a mapping, not 5"),
        ({}, "items is missing"),
        ({"items": [{"name": "n", "colour": "green"}]}, "colour must be one of red, blue, not 'green'"),
        ({"items": [], "x": 1}, "there is no 'x'; there are items, .*by_name"),
        ({"items": [], "by_name": {"a": {}}}, "name is missing"),
        ({"items": [], "by_name": {"a": 5}}, r"by_name \['a'\] must be a mapping, not 5"),
    ],
)
def test_a_wrong_record_is_refused_naming_the_field(value: Any, message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        from_wire(value, Box)


def test_the_one_name_that_there_is_is_said_for_an_unknown_one() -> None:
    with pytest.raises(InvalidArgument, match=r"there is no 'name'; there is text$"):
        from_wire({"text": "a", "name": 1}, Tag)


@pytest.mark.parametrize("amount", [0, 13])
def test_no_names_are_said_where_there_are_none_or_too_many(amount: int) -> None:
    made = make_class("Made", {f"name_{number}": field(default=0) for number in range(amount)})
    with pytest.raises(InvalidArgument, match=r"^Made: there is no 'a', 'b'$"):
        from_wire({"b": 1, "a": 2}, made)


def test_a_record_with_a_mapping_goes_over_the_wire() -> None:
    box = Box([Item("a", Colour.BLUE)], {"b": Item("b", weight=2.0)})
    wire = to_wire(box)
    assert wire["by_name"] == {"b": {"name": "b", "colour": "red", "weight": 2.0, "tags": []}}
    assert wire["items"][0]["colour"] == "blue"
    assert from_wire(wire, Box) == box
    assert from_wire({"items": [], "by_name": {}}, Box).by_name == {}


def test_a_whole_number_that_is_no_float_is_shown() -> None:
    with pytest.raises(InvalidArgument, match="must be a finite number, not 1000000"):
        from_wire(10**400, float)


def test_a_checked_function_can_be_called() -> None:
    class Shelf:
        def size(self, boards: int) -> int:
            return boards

    checked = CheckedFunction.of(Shelf().size)
    assert checked.function(**checked.bind((3,), {})) == 3
    assert RESERVE.function is reserve


items = st.builds(
    Item,
    name=st.text(),
    colour=st.sampled_from(Colour),
    weight=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    tags=st.lists(st.text()),
)


@given(st.builds(Box, items=st.lists(items), by_name=st.dictionaries(st.text(), items)))
def test_a_record_comes_back_from_the_wire_as_it_was(box: Box) -> None:
    assert from_wire(to_wire(box), Box) == box


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.binary()
    | st.builds(CBORTag, st.integers(0, 100), st.binary()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


@given(anything)
def test_whatever_arrives_is_a_record_or_a_named_error(value: Any) -> None:
    try:
        box = from_wire(value, Box)
    except InvalidArgument as error:
        message = str(error)
    else:
        message = "Box: " if isinstance(box, Box) else "something else came out"
    assert message.startswith("Box: ")
