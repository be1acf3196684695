"""The CRC of a bitstream: the same value with the compiled package as without it."""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.bitstream import up5k


@pytest.fixture(scope="module")
def without_package() -> ModuleType:
    """Return `icefarm.bitstream.up5k` as it is where `fastcrc` can't be imported."""
    spec = importlib.util.spec_from_file_location("up5k_without_fastcrc", up5k.__file__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "fastcrc.crc16", None)
        spec.loader.exec_module(module)
    return module


def _bit_by_bit(data: bytes) -> int:
    value = 0xFFFF
    for byte in data:
        value ^= byte << 8
        for _ in range(8):
            value = (value << 1 ^ (0x1021 if value & 0x8000 else 0)) & 0xFFFF
    return value


@given(st.binary(max_size=200))
def test_the_crc_equals_one_computed_bit_by_bit(data: bytes) -> None:
    assert up5k.crc16(data) == up5k.crc16(memoryview(data)) == _bit_by_bit(data)


@given(data=st.binary(max_size=200))
def test_the_crc_is_the_same_where_there_is_no_wheel(without_package: ModuleType, data: bytes) -> None:
    assert without_package.crc16(data) == without_package.crc16(memoryview(data)) == up5k.crc16(data)
    assert without_package.crc16.__module__ == without_package.__name__
