"""Pure: no I/O, no clock.  Writes the commands of an iCE40UP5K bitstream around the contents of its banks."""

from __future__ import annotations

from collections.abc import Sequence

from icefarm.bitstream.up5k import BRAM_BLOCKS, CRAM_BLOCKS, CRAM_WIDTH, PREAMBLE, Action, Block, Command, crc16

__all__ = ["body"]


Bank = bytes | bytearray | memoryview


def body(boot: int, cram: Sequence[Bank], bram: Sequence[Bank] | None) -> bytes:
    """Return a bitstream from its preamble on, in the order of ``icepack``: BODY_LENGTH (104,086) bytes.

    ``cram`` and ``bram`` are the bytes of the four banks, row after row; ``boot`` is a value of BOOT_SETTINGS.
    Without ``bram`` it is what ``icepack -n`` writes: BODY_LENGTH_WITHOUT_BRAM (88,694) bytes.
    """
    checked = [
        _command(Command.BOOT, boot),
        _command(Command.WIDTH, CRAM_WIDTH - 1),
        _command(Command.OFFSET, 0),
        *(part for block in CRAM_BLOCKS for part in _cram_commands(block, cram[block.bank])),
        _command(Command.HEIGHT, BRAM_BLOCKS[0].height),
        *(part for block in BRAM_BLOCKS for part in _bram_commands(block, None if bram is None else bram[block.bank])),
        bytes([Command.CHECK_CRC]),
    ]
    under_crc = b"".join(checked)
    head = PREAMBLE + _command(Command.OSCILLATOR, 0) + _command(Command.DO, Action.RESET_CRC)
    tail = crc16(under_crc).to_bytes(2) + _command(Command.DO, Action.WAKE_UP) + b"\0"
    return head + under_crc + tail


def _command(command: Command, payload: int) -> bytes:
    return bytes([command]) + payload.to_bytes(command & 0x0F)


def _cram_commands(block: Block, content: Bank) -> list[Bank]:
    height, bank = _command(Command.HEIGHT, block.height), _command(Command.BANK, block.bank)
    return [height, bank, _command(Command.DO, Action.WRITE_CRAM), content, b"\0\0"]


def _bram_commands(block: Block, content: Bank | None) -> list[Bank]:
    settings: list[Bank] = [
        _command(Command.BANK, block.bank) if block.offset == 0 else b"",
        _command(Command.OFFSET, block.offset),
        _command(Command.WIDTH, block.width - 1),
    ]
    if content is None:
        return settings
    start = block.offset * block.width // 8
    return [*settings, _command(Command.DO, Action.WRITE_BRAM), content[start : start + block.length], b"\0\0"]
