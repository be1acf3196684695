"""Pure: no I/O, no clock.  Checks a .bin for the iCE40UP5K by walking its commands, as the FPGA would.

It accepts what configures the FPGA completely, after any comment and in any order of commands: each configuration bit
written once, all of it covered by the CRC, and nothing missing or left over.  A circuit without block RAM may lack the
content for it (``icepack -n``).
"""

from __future__ import annotations

from attrs import define, evolve, field

from icefarm.bitstream.up5k import (
    BODY_LENGTH,
    BOOT_SETTINGS,
    BRAM_BLOCKS,
    BRAM_CHUNK,
    BRAM_HEIGHT,
    BRAM_WIDTHS,
    CRAM_BLOCKS,
    OTHER_DEVICES,
    PREAMBLE,
    Action,
    Block,
    Command,
    crc16,
)

__all__ = ["LONGEST_BODY", "REBUILD", "Walk", "WrongBinary"]

#: The end of a sentence about a damaged file.
REBUILD = "copy the file again, or build it again"
#: More bytes than any tool writes from a preamble to the end.
LONGEST_BODY = BODY_LENGTH + 4096

_SETTINGS: dict[int, str] = {
    Command.BANK: "bank",
    Command.WIDTH: "width",
    Command.HEIGHT: "height",
    Command.OFFSET: "offset",
}
_BLOCKS: dict[int, tuple[str, frozenset[Block]]] = {
    Action.WRITE_CRAM: ("CRAM", frozenset(CRAM_BLOCKS)),
    Action.WRITE_BRAM: ("BRAM", frozenset(BRAM_BLOCKS)),
}
_EXPECTED = {(kind, block) for kind, blocks in _BLOCKS.values() for block in blocks}
_ALL_BRAM = {(kind, block) for kind, block in _EXPECTED if kind == "BRAM"}


class WrongBinary(Exception):
    """What is wrong with the body of a bitstream."""


@define
class Walk:
    """The walk through the commands of a body; it ends after the last byte, or raises `WrongBinary`."""

    body: memoryview
    position: int = len(PREAMBLE)
    boot: int = BOOT_SETTINGS["enabled"]
    _settings: dict[str, int] = field(factory=dict)
    _written: dict[tuple[str, Block], slice] = field(factory=dict)
    #: Where the CRC's range begins, once a command has reset it, and ends, once it was right.
    crc_start: int | None = None
    crc_end: int = 0

    @property
    def cram(self) -> list[slice]:
        """Where the contents of the CRAM banks are, by bank."""
        return [self._written["CRAM", block] for block in CRAM_BLOCKS]

    @property
    def bram_banks(self) -> list[list[slice]]:
        """Where the contents of each BRAM bank are, by row; empty lists where the bitstream has none."""
        banks: list[list[slice]] = [[] for _ in BRAM_WIDTHS]
        for block in BRAM_BLOCKS if self.bram else ():
            banks[block.bank].append(self._written["BRAM", block])
        return banks

    @property
    def bram(self) -> list[slice]:
        """Where the contents of the BRAM banks are, as they come; empty where the bitstream has none."""
        return [content for (kind, _), content in self._written.items() if kind == "BRAM"]

    def run(self) -> None:
        while not self._command():
            pass
        missing = _EXPECTED - self._written.keys()
        if missing and missing != _ALL_BRAM:
            kind, block = min(missing, key=lambda item: (item[0], item[1].bank))
            raise WrongBinary(f"it has no content for {kind} bank {block.bank}; pack it without options of icepack")
        if self._take(1)[0] != 0:
            raise WrongBinary(f"its last byte is not 0; {REBUILD}")

    def check_end(self) -> None:
        """Refuse anything after the end.  Raises `WrongBinary`."""
        surplus = len(self.body) - self.position
        if surplus > 0:
            raise WrongBinary(f"{surplus:,} extra bytes follow its end; remove them, or build it again")

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.body):
            raise WrongBinary(
                f"it is cut short, {len(self.body):,} of {BODY_LENGTH:,} bytes from its preamble; {REBUILD}"
            )
        taken = self.body[self.position : end]
        self.position = end
        return taken

    def _command(self) -> bool:
        """Carry out one command; return True if it was the one that wakes the FPGA up."""
        start = self.position
        opcode = self._take(1)[0]
        payload = int.from_bytes(self._take(opcode & 0x0F))
        if self.crc_end:
            return self._after_crc(opcode, payload, start)
        if opcode in _SETTINGS and self.crc_start is not None:
            self._settings[_SETTINGS[opcode]] = payload + (opcode == Command.WIDTH)
            return False
        if opcode == Command.OSCILLATOR and payload <= 2:
            return False
        if opcode == Command.DO and payload == Action.RESET_CRC and self.crc_start is None:
            self.crc_start = self.position
        elif self.crc_start is None:
            raise self._unknown(opcode, payload, start)
        elif opcode == Command.DO and payload in _BLOCKS:
            self._write(payload)
        elif opcode == Command.CHECK_CRC:
            self._check_crc(self.crc_start)
        elif opcode == Command.BOOT:
            self.boot = payload
        else:
            raise self._unknown(opcode, payload, start)
        return False

    def _after_crc(self, opcode: int, payload: int, start: int) -> bool:
        if opcode != Command.DO or payload != Action.WAKE_UP:
            raise self._unknown(opcode, payload, start)
        return True

    def _write(self, action: int) -> None:
        kind, blocks = _BLOCKS[action]
        known = self._settings.get
        block = Block(known("bank", 0), known("offset", 0), known("width", 0), known("height", 0))
        for part in _parts(block):
            if part not in blocks:
                raise WrongBinary(_wrong_block(kind, block))
            if (kind, part) in self._written:
                raise WrongBinary(f"it writes {kind} bank {part.bank} twice; pack it with icepack")
            self._written[kind, part] = slice(self.position, self.position + part.length)
            self._take(part.length)
        if any(self._take(2)):
            raise WrongBinary(f"there are no zero bytes after {kind} bank {block.bank}; {REBUILD}")

    def _check_crc(self, start: int) -> None:
        if crc16(memoryview(self.body)[start : self.position]) != 0:
            raise WrongBinary(f"its CRC is wrong, so something in it was changed; {REBUILD}")
        self.crc_end = self.position

    def _unknown(self, opcode: int, payload: int, start: int) -> WrongBinary:
        command = f"{opcode:02X} {payload:0{2 * (opcode & 0x0F)}X}".strip()
        return WrongBinary(f"command {command} at byte {start} from its preamble is unknown or out of place; {REBUILD}")


def _parts(block: Block) -> list[Block]:
    """Return a block as those that `icepack` writes: it writes a BRAM bank in parts, which others do at once."""
    if block.height != BRAM_HEIGHT or block.offset != 0:
        return [block]
    return [evolve(block, offset=offset, height=BRAM_CHUNK) for offset in range(0, BRAM_HEIGHT, BRAM_CHUNK)]


def _wrong_block(kind: str, block: Block) -> str:
    device = OTHER_DEVICES.get((block.width, block.height))
    if kind == "CRAM" and device is not None and block.bank == 0:
        return f"it was built for an {device}; build it with --up5k (nextpnr) or device 5k"
    size = f"{block.width} x {block.height} bits at row {block.offset}"
    return f"its {kind} bank {block.bank} of {size} does not fit; build it for the iCE40UP5K"
