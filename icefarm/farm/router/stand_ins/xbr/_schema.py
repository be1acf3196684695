"""Stands in for xbr._schema; see the package around it."""

from __future__ import annotations

from functools import partial

from icefarm_later import Later, attribute_of

__getattr__ = partial(attribute_of, "xbr._schema")


class FbsObject(metaclass=Later):
    """The name of a type."""


class FbsSchema(metaclass=Later):
    """The schemas of a realm that has some."""


class FbsRepository(metaclass=Later):
    """Where a realm has its schemas."""
