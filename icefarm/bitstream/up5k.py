"""Pure: no I/O, no clock.  Sizes of an iCE40UP5K bitstream, and its commands.

All numbers are those of Project IceStorm: "Bitstream File Format Documentation" and "UltraPlus Features Documentation"
for the commands and the CRC; the order of commands and the sizes of banks are what its ``icepack`` writes for ``5k``.
"""

from __future__ import annotations

from enum import IntEnum

from attrs import frozen

# crc16(data, initial=0xFFFF) is the CRC-16 of what follows the command that resets it: polynomial 0x1021, MSB first;
# ``initial`` is that of what comes before the data.  The CRC of data followed by their own CRC is 0.
try:
    from fastcrc.crc16 import ibm_3740 as crc16
except ImportError:  # a platform for which there is no wheel: the same CRC, 40 times slower
    from binascii import crc_hqx

    def crc16(data: bytes | memoryview, initial: int | None = None) -> int:  # type: ignore[misc]
        return crc_hqx(data, 0xFFFF if initial is None else initial)


__all__ = [
    "BODY_LENGTH",
    "BODY_LENGTH_WITHOUT_BRAM",
    "BOOT_SETTINGS",
    "BRAM_BLOCKS",
    "BRAM_CHUNK",
    "BRAM_HEIGHT",
    "BRAM_WIDTHS",
    "CRAM_BLOCKS",
    "CRAM_HEIGHTS",
    "CRAM_WIDTH",
    "EMPTY_COMMENT",
    "LENGTH",
    "LENGTH_WITHOUT_BRAM",
    "OTHER_DEVICES",
    "OTHER_DEVICE_NAMES",
    "PREAMBLE",
    "Action",
    "Block",
    "Command",
    "crc16",
]

#: What starts the commands.
PREAMBLE = bytes.fromhex("7eaa997e")
#: A comment section without a comment: it precedes the preamble in the normal form.
EMPTY_COMMENT = bytes.fromhex("ff0000ff")
#: Bytes from the preamble to the padding byte that ends the file.
BODY_LENGTH = 104_086
#: The same without the contents of the block RAMs, as ``icepack -n`` writes it.
BODY_LENGTH_WITHOUT_BRAM = 88_694
#: Bytes of a bitstream in its normal form: empty comment and body.
LENGTH = len(EMPTY_COMMENT) + BODY_LENGTH
LENGTH_WITHOUT_BRAM = len(EMPTY_COMMENT) + BODY_LENGTH_WITHOUT_BRAM

#: Bits of a row of each CRAM bank.
CRAM_WIDTH = 692
#: Rows of CRAM banks 0 to 3: left bottom, left top, right bottom, right top quadrant.
CRAM_HEIGHTS = (336, 176, 336, 176)
#: Bits of a row of BRAM banks 0 to 3: 16 for each block RAM of the quadrant.
BRAM_WIDTHS = (160, 80, 160, 80)
#: Rows of each BRAM bank, and how many of them one command writes.
BRAM_HEIGHT = 256
BRAM_CHUNK = 128

#: Payloads of the command ``BOOT``, by what ``.warmboot`` of an .asc file says.
BOOT_SETTINGS = {"enabled": 0x20, "disabled": 0x00}


class Command(IntEnum):
    """First byte of a command: opcode in the upper four bits, number of payload bytes in the lower four."""

    DO = 0x01
    BANK = 0x11
    CHECK_CRC = 0x22
    OSCILLATOR = 0x51
    WIDTH = 0x62
    HEIGHT = 0x72
    OFFSET = 0x82
    BOOT = 0x92


class Action(IntEnum):
    """Payload of the command ``DO``."""

    WRITE_CRAM = 1
    WRITE_BRAM = 3
    RESET_CRC = 5
    WAKE_UP = 6


@frozen
class Block:
    """A rectangle of configuration bits that one command writes: bank, first row, bits of a row, rows."""

    bank: int
    offset: int
    width: int
    height: int

    @property
    def length(self) -> int:
        """Bytes of the block in the file, without the two zero bytes that follow."""
        return self.width * self.height // 8


CRAM_BLOCKS = tuple(Block(bank, 0, CRAM_WIDTH, height) for bank, height in enumerate(CRAM_HEIGHTS))
BRAM_BLOCKS = tuple(
    Block(bank, offset, width, BRAM_CHUNK)
    for bank, width in enumerate(BRAM_WIDTHS)
    for offset in range(0, BRAM_HEIGHT, BRAM_CHUNK)
)

#: Width and height of CRAM bank 0 in bitstreams for other devices of the family.
OTHER_DEVICES = {
    (182, 80): "iCE40 LP384",
    (332, 144): "iCE40 LP1K or HX1K",
    (872, 272): "iCE40 LP8K or HX8K (or their 4K versions)",
    (692, 176): "iCE40 Ultra (iCE5LP4K)",
    (656, 176): "iCE40 LM4K",
}
#: The same devices by the name that ``.device`` of an .asc file gives them.
OTHER_DEVICE_NAMES = {
    "384": OTHER_DEVICES[182, 80],
    "1k": OTHER_DEVICES[332, 144],
    "8k": OTHER_DEVICES[872, 272],
    "u4k": OTHER_DEVICES[692, 176],
    "lm4k": OTHER_DEVICES[656, 176],
}
