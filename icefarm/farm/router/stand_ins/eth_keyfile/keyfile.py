"""Stands in for eth_keyfile.keyfile; see the package around it."""

from __future__ import annotations

from functools import partial

from icefarm_later import attribute_of

__getattr__ = partial(attribute_of, "eth_keyfile.keyfile")
#: The name of a type.
KDFType = str
