"""JSON of mappings of which neighbours are equal."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from icefarm.text.repeated_json import repeated_json

options = st.dictionaries(
    st.sampled_from("ab"), st.sampled_from([1, 1.0, True, 0, "1", None]) | st.just([1]) | st.just([True]), max_size=2
)


@given(st.lists(st.none() | options, max_size=4), st.integers(1, 3))
def test_each_mapping_is_written_as_by_itself(values: list[dict[str, Any] | None], times: int) -> None:
    repeated = [each for each in values for _ in range(times)]
    assert repeated_json(json.dumps, repeated) == [None if each is None else json.dumps(each) for each in repeated]


def test_equal_neighbours_are_written_once_unless_they_look_different() -> None:
    asked: list[Any] = []

    def encode(value: Any) -> str:
        asked.append(value)
        return json.dumps(value)

    assert repeated_json(encode, [{"a": 1}, {"a": 1}, {"a": 2}, None, None, {"a": 2}]) == (
        ['{"a": 1}', '{"a": 1}', '{"a": 2}', None, None, '{"a": 2}']
    )
    assert asked == [{"a": 1}, {"a": 2}, {"a": 2}]
    assert repeated_json(encode, [{"a": 1}, {"a": 1.0}, {"a": True}]) == ['{"a": 1}', '{"a": 1.0}', '{"a": true}']
    in_another_order = [{"a": 1.0, "b": 1}, {"b": 1.0, "a": 1}]
    assert repeated_json(json.dumps, in_another_order) == list(map(json.dumps, in_another_order))
    # What is in a list may look different as well, so it is not compared.
    assert repeated_json(encode, [{"a": [1]}, {"a": [True]}]) == ['{"a": [1]}', '{"a": [true]}']
