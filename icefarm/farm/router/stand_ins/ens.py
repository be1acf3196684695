"""Stands in for ens; see the package."""

from __future__ import annotations

from functools import partial

from icefarm_later import attribute_of

__getattr__ = partial(attribute_of, "ens")
#: The name of a type.
ENS = object
#: Crossbar.io looks whether it is there, and calls nothing of it.
main = None
