"""UF2 files: built, checked, refused."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icefarm.usb.uf2 import BLOCK_SIZE, FLASH_ADDRESS, BadImage, blocks, build, parse


def with_field(file: bytes, block: int, place: int, value: int) -> bytes:
    """The file with one u32 of one block changed."""
    changed = bytearray(file)
    struct.pack_into("<I", changed, block * BLOCK_SIZE + place, value)
    return bytes(changed)


@given(st.binary(min_size=1, max_size=3000), st.integers(0, 100))
def test_what_was_built_is_parsed_to_the_same_content(content: bytes, page: int) -> None:
    address = FLASH_ADDRESS + 256 * page
    image = parse(build(content, address))
    assert image.address == address
    assert image.content.rstrip(b"\xff") == content.rstrip(b"\xff")
    assert len(image.content) == -(-len(content) // 256) * 256


def test_a_gap_reads_as_erased_flash() -> None:
    file = with_field(build(bytes(512)), 1, 12, FLASH_ADDRESS + 1024)
    assert parse(file).content == bytes(256) + b"\xff" * 768 + bytes(256)


def test_blocks_are_512_bytes_and_make_up_the_file() -> None:
    file = build(bytes(1000))
    assert [len(block) for block in blocks(file)] == [512] * 4
    assert b"".join(blocks(file)) == file


FILE = build(bytes(range(256)) * 3)


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (b"", "whole number"),
        (FILE[:-1], "whole number"),
        (FILE[:-512], "3 blocks, but there are 2"),
        (FILE[512:1024] + FILE[:512] + FILE[1024:], "out of order"),
        (FILE[:512] * 3, "block 1 has the number 0"),
        (with_field(FILE, 1, 0, 0), "block 1 does not begin"),
        (with_field(FILE, 2, 508, 0), "block 2 does not begin and end"),
        (with_field(FILE, 0, 8, 0), "not for this board"),
        (with_field(FILE, 0, 28, 0xE48BFF56), "not for this board"),
        (with_field(FILE, 0, 8, 0x2001), "not for the flash"),
        (with_field(FILE, 0, 16, 476), "holds 476 bytes"),
        (with_field(FILE, 0, 12, 0x20000000), "0x20000000"),
        (with_field(FILE, 1, 12, FLASH_ADDRESS + 1), "not in the flash"),
        (with_field(FILE, 1, 12, FLASH_ADDRESS), "same address"),
    ],
)
def test_a_file_that_the_boot_rom_would_not_take_is_refused_with_the_reason(file: bytes, why: str) -> None:
    with pytest.raises(BadImage, match=why):
        parse(file)


@pytest.mark.parametrize(("content", "address"), [(b"", FLASH_ADDRESS), (b"x", FLASH_ADDRESS + 8)])
def test_an_image_that_cannot_be_is_not_built(content: bytes, address: int) -> None:
    with pytest.raises(ValueError, match="multiple of 256"):
        build(content, address)
