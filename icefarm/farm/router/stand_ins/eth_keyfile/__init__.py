"""Stands in for eth_keyfile; see the package around it."""

from __future__ import annotations

from functools import partial

from icefarm_later import attribute_of, later

__getattr__ = partial(attribute_of, "eth_keyfile")
create_keyfile_json = later("eth_keyfile", "create_keyfile_json")
decode_keyfile_json = later("eth_keyfile", "decode_keyfile_json")
extract_key_from_keyfile = later("eth_keyfile", "extract_key_from_keyfile")
load_keyfile = later("eth_keyfile", "load_keyfile")
