"""Stands in for eth_abi.abi; see the package around it."""

from __future__ import annotations

from functools import partial

from icefarm_later import attribute_of, later

__getattr__ = partial(attribute_of, "eth_abi.abi")

encode = later("eth_abi.abi", "encode")
decode = later("eth_abi.abi", "decode")
is_encodable = later("eth_abi.abi", "is_encodable")
is_encodable_type = later("eth_abi.abi", "is_encodable_type")
# Crossbar.io looks whether they are there, and calls neither.
collapse_type = later("eth_abi.abi", "collapse_type")
process_type = later("eth_abi.abi", "process_type")
