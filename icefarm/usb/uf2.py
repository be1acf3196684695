"""Pure: no I/O, no clock.  UF2 files: firmware images as the boot drive of an RP2350 takes them.

Sources: UF2 specification (github.com/microsoft/uf2); RP2350 datasheet, section 5.5, for the family and for the payload
size of 256 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from attrs import frozen

__all__ = ["BLOCK_SIZE", "FAMILY_RP2350_ARM_S", "FLASH_ADDRESS", "BadImage", "Uf2Image", "blocks", "build", "parse"]

BLOCK_SIZE = 512
PAYLOAD_SIZE = 256
#: RP2350, ARM, secure: the boot ROM takes this for an application.
FAMILY_RP2350_ARM_S = 0xE48BFF59
#: Where the RP2350 shows its flash.
FLASH_ADDRESS = 0x1000_0000
#: Its window for the flash, for both chip selects: no image is larger.
_FLASH_SPAN = 32 * 1024 * 1024

_MAGIC_0, _MAGIC_1, _MAGIC_END = 0x0A324655, 0x9E5D5157, 0x0AB16F30
_FLAG_NOT_MAIN_FLASH = 0x0000_0001
_FLAG_FAMILY = 0x0000_2000
_BLOCK = struct.Struct("<8I476sI")


class BadImage(ValueError):
    """A file is not a UF2 image for an RP2350."""


@frozen
class Uf2Image:
    """A checked image: its lowest address, the bytes from there on (0xFF in gaps, as erased flash), and the file."""

    address: int
    content: bytes
    file: bytes


@frozen
class _Block:
    address: int
    number: int
    amount: int
    payload: bytes


def blocks(file: bytes) -> Iterator[bytes]:
    """Yield the blocks of a file, 512 bytes each."""
    for at in range(0, len(file), BLOCK_SIZE):
        yield file[at : at + BLOCK_SIZE]


def build(content: bytes, address: int = FLASH_ADDRESS, family: int = FAMILY_RP2350_ARM_S) -> bytes:
    """Return the UF2 file that puts ``content`` at ``address``; the last block is filled up with 0xFF.

    Raises ValueError for an empty content or an address that is not a multiple of 256.
    """
    if not content or address % PAYLOAD_SIZE:
        raise ValueError("an image has at least one byte, and an address that is a multiple of 256")
    amount = -(-len(content) // PAYLOAD_SIZE)
    padded = content.ljust(amount * PAYLOAD_SIZE, b"\xff")
    return b"".join(
        _BLOCK.pack(
            _MAGIC_0,
            _MAGIC_1,
            _FLAG_FAMILY,
            address + at,
            PAYLOAD_SIZE,
            at // PAYLOAD_SIZE,
            amount,
            family,
            padded[at : at + PAYLOAD_SIZE],
            _MAGIC_END,
        )
        for at in range(0, len(padded), PAYLOAD_SIZE)
    )


def parse(file: bytes, family: int = FAMILY_RP2350_ARM_S) -> Uf2Image:
    """Return the image in a UF2 file, if a boot ROM would accept all of it and restart.

    Raises BadImage, which says what is wrong and in which block.
    """
    if not file or len(file) % BLOCK_SIZE:
        raise BadImage(f"{len(file)} bytes are not a whole number of {BLOCK_SIZE}-byte blocks")
    found = [_parse_block(block, at, family) for at, block in enumerate(blocks(file))]
    for at, block in enumerate(found):
        if block.amount != len(found):
            raise BadImage(f"block {at} says that there are {block.amount} blocks, but there are {len(found)}")
        if block.number != at:
            raise BadImage(f"block {at} has the number {block.number}: one is missing, repeated or out of order")
    by_address = {block.address: block.payload for block in found}
    if len(by_address) != len(found):
        raise BadImage("two blocks are for the same address")
    lowest, highest = min(by_address), max(by_address)
    content = bytearray(b"\xff" * (highest - lowest + PAYLOAD_SIZE))
    for address, payload in by_address.items():
        content[address - lowest : address - lowest + PAYLOAD_SIZE] = payload
    return Uf2Image(lowest, bytes(content), file)


def _parse_block(block: bytes, at: int, family: int) -> _Block:
    magic_0, magic_1, flags, address, size, number, amount, its_family, payload, magic_end = _BLOCK.unpack(block)
    if (magic_0, magic_1, magic_end) != (_MAGIC_0, _MAGIC_1, _MAGIC_END):
        raise BadImage(f"block {at} does not begin and end as a UF2 block does")
    if not flags & _FLAG_FAMILY or its_family != family:
        raise BadImage(f"block {at} is not for this board (family {its_family:#010x}, not {family:#010x})")
    if flags & _FLAG_NOT_MAIN_FLASH:
        raise BadImage(f"block {at} is not for the flash")
    if size != PAYLOAD_SIZE:
        raise BadImage(f"block {at} holds {size} bytes, and the boot ROM takes {PAYLOAD_SIZE}")
    if address % PAYLOAD_SIZE or not FLASH_ADDRESS <= address < FLASH_ADDRESS + _FLASH_SPAN:
        raise BadImage(f"block {at} is for the address {address:#010x}, which is not in the flash")
    return _Block(address, number, amount, payload[:PAYLOAD_SIZE])
