"""Bounds what a message may be made of, before the router makes values of it.

The router decodes each message, and encodes it again for its receiver.  A short message must not become a large one on
that way, keep the router's one thread for seconds, or be one that its receiver cannot decode: the receiver would lose
its connection for what somebody else has sent.

- Lists and maps are in each other at most `DEPTH` times.  Crossbar.io imports py_ecc, which lets Python recurse 100,000
  deep: decoding 60 kB of ``[`` and logging what came of it took the router two minutes.
- CBOR refers to no value that it has given before: 500 bytes of such references become gigabytes.  Nor does it hold
  numbers and texts that take long to make (decimal ones, fractions, regular expressions, mail).

A message with something of this is not valid; the router ends the connection and says why.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import partial
from types import ModuleType
from typing import Any

__all__ = ["DEPTH", "REFUSED_TAGS", "bound", "check_depth"]

#: How often lists and maps may be in each other; cbor2, with which control, workers and clients decode, takes 400.
DEPTH = 100
#: How deep Python's functions may call each other: its own default.
RECURSION = 1000
_TOO_DEEP = f"lists or maps are nested more than {DEPTH} deep"
#: Tags of CBOR: decimal fraction, bigfloat, reference to a text, shared value, reference to it, rational number,
#: regular expression, MIME message, namespace of references (https://www.iana.org/assignments/cbor-tags).
REFUSED_TAGS = (4, 5, 25, 28, 29, 30, 35, 36, 256)


def bound(serializer: ModuleType) -> None:
    """Bound what Autobahn's module of serializers decodes, and how deep Python recurses."""
    sys.setrecursionlimit(RECURSION)
    makers: Mapping[str, Callable[[Any], Any]] = {
        "_cbor_loads": lambda decode: partial(
            decode, max_depth=DEPTH, semantic_decoders=dict.fromkeys(REFUSED_TAGS, _refuse)
        ),
        "_unpackb": lambda decode: partial(_unpack, decode),
        "_loads": lambda decode: partial(_load, decode),
    }
    for name, make in makers.items():
        if hasattr(serializer, name):
            setattr(serializer, name, make(getattr(serializer, name)))


def check_depth(value: Any) -> None:
    """Raise ValueError if lists and maps are in each other more than `DEPTH` times."""
    level = [value]
    for _ in range(DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, list | dict)
            for inner in (each.values() if isinstance(each, dict) else each)
            if isinstance(inner, list | dict)
        ]
        if not level:
            return
    raise ValueError(_TOO_DEEP)


def _refuse(*_: object) -> Any:
    raise ValueError("a tag that is not taken here")


def _unpack(decode: Callable[[Any], Any], data: Any) -> Any:
    value = decode(data)
    check_depth(value)
    return value


def _load(decode: Callable[..., Any], text: str, **options: Any) -> Any:
    try:
        value = decode(text, **options)
    except RecursionError:
        # Its traceback has a thousand lines.
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > DEPTH:
        check_depth(value)
    return value
