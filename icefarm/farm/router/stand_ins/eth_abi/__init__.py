"""Stands in for eth_abi; see the package around it."""

from __future__ import annotations

import importlib
from functools import partial
from pkgutil import extend_path

from icefarm_later import attribute_of, later

__getattr__ = partial(attribute_of, "eth_abi")
# Modules of it that have no stand-in are the real ones.
__path__ = extend_path(__path__, __name__)

encode = later("eth_abi", "encode")
decode = later("eth_abi", "decode")
is_encodable = later("eth_abi", "is_encodable")
is_encodable_type = later("eth_abi", "is_encodable_type")
# Crossbar.io gives them to versions that have them no more, for the packages that it takes.
encode_abi = encode_single = encode
# `from eth_abi import abi` would ask `__getattr__` for it.
importlib.import_module("eth_abi.abi")
