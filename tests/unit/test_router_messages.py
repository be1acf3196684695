"""What a message may be made of is bounded before the router makes values of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import cbor2
import msgpack
import pytest
from autobahn.wamp import serializer

from icefarm.farm.router.inside.icefarm_messages import DEPTH, RECURSION, REFUSED_TAGS, bound

#: Autobahn's functions that make values of a message, and those that make a message of values.
DECODERS = ("_loads", "_cbor_loads", "_unpackb")
ENCODERS = {"_loads": json.dumps, "_cbor_loads": cbor2.dumps, "_unpackb": msgpack.packb}


@pytest.fixture
def bounded() -> Iterator[ModuleType]:
    limit = sys.getrecursionlimit()
    module = ModuleType("serializer")
    for name in DECODERS:
        setattr(module, name, getattr(serializer, name))
    bound(module)
    yield module
    sys.setrecursionlimit(limit)


def nested(depth: int, kind: type = list) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value] if kind is list else {"a": value}
    return value


@pytest.mark.parametrize("kind", [list, dict])
@pytest.mark.parametrize("name", DECODERS)
def test_lists_and_maps_may_be_in_each_other_so_often(bounded: ModuleType, name: str, kind: type) -> None:
    decode, encode = getattr(bounded, name), ENCODERS[name]
    assert decode(encode(nested(DEPTH, kind))) == nested(DEPTH, kind)
    with pytest.raises((ValueError, cbor2.CBORDecodeError), match="nest"):
        decode(encode(nested(DEPTH + 1, kind)))


@pytest.mark.parametrize("name", DECODERS)
def test_many_lists_side_by_side_are_taken(bounded: ModuleType, name: str) -> None:
    message = [[number] for number in range(10 * DEPTH)]
    assert getattr(bounded, name)(ENCODERS[name](message)) == message


def test_the_limit_of_recursion_is_that_of_python_again(bounded: ModuleType) -> None:
    sys.setrecursionlimit(100 * RECURSION)
    bound(bounded)
    assert sys.getrecursionlimit() == RECURSION


@pytest.mark.parametrize("opening", ["[", '{"a":', '[[],{"a":'])
def test_json_that_is_far_too_deep_gives_one_short_error(bounded: ModuleType, opening: str) -> None:
    with pytest.raises(ValueError, match=f"more than {DEPTH} deep") as error:
        bounded._loads(opening * 10_000)
    assert error.value.__suppress_context__


@pytest.mark.parametrize("tag", REFUSED_TAGS)
def test_tags_that_make_much_of_little_are_refused(bounded: ModuleType, tag: int) -> None:
    value: Any = 0 if tag in (25, 29) else [1, 2] if tag in (4, 5, 30) else "a"
    with pytest.raises(cbor2.CBORDecodeError, match=f"tag {tag}"):
        bounded._cbor_loads(cbor2.dumps([1, cbor2.CBORTag(tag, value)]))


def test_values_that_are_written_again_and_again_by_reference_are_refused(bounded: ModuleType) -> None:
    text = ["x" * 1000]
    message = cbor2.dumps([text, [text] * 10], value_sharing=True)
    assert len(message) < 1200
    with pytest.raises(cbor2.CBORDecodeError, match=r"tag 2[89]"):
        bounded._cbor_loads(message)


def test_numbers_times_and_bytes_of_cbor_are_taken_as_before(bounded: ModuleType) -> None:
    message = [2**80, 1.5, b"bytes", "text", None, True, {"a": [1]}]
    assert bounded._cbor_loads(cbor2.dumps(message)) == message


def test_a_decoder_that_is_not_there_is_not_added() -> None:
    module = ModuleType("serializer")
    limit = sys.getrecursionlimit()
    bound(module)
    sys.setrecursionlimit(limit)
    assert not any(hasattr(module, name) for name in DECODERS)
