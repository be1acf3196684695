"""Pure: no I/O, no clock.  JSON of mappings, of which neighbours are mostly equal: options of evaluations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

__all__ = ["repeated_json"]

Encode = Callable[[Any], str]


def repeated_json(encode: Encode, values: Sequence[Mapping[str, Any] | None]) -> list[str | None]:
    """Return each mapping as JSON, or None for None; ``encode`` writes one, and is not asked for equal neighbours.

    Raises what ``encode`` raises.
    """
    texts: list[str | None] = []
    for value, equal in groupby(values):
        some = list(equal)
        if value is None:
            texts += [None] * len(some)
        elif len(some) == 1 or _are_the_same(some):
            texts += [encode(value)] * len(some)
        else:
            texts += map(encode, some)
    return texts


def _are_the_same(equal: Sequence[Any]) -> bool:
    """Tell whether equal mappings are written the same.

    1, 1.0 and True are equal, and written differently; so are the same keys in another order.  What is in lists and
    mappings is not looked at.
    """
    if len(set(map(tuple, equal))) > 1:
        return False
    for values in zip(*map(dict.values, equal), strict=True):
        types = set(map(type, values))
        if len(types) > 1 or not types.isdisjoint((list, dict)):
            return False
    return True
