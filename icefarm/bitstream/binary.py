"""Pure: no I/O, no clock.  Checks a .bin for the iCE40UP5K by walking its commands, as the FPGA would.

It accepts what configures the FPGA completely, after any comment and in any order of commands: each configuration bit
written once, all of it covered by the CRC, and nothing missing or left over.  A circuit without block RAM may lack the
content for it (``icepack -n``).  The normal form has the order of ``icepack``; what other tools write is rearranged.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from attrs import define, evolve, field, frozen

from icefarm.bitstream.block_ram import uses_block_ram
from icefarm.bitstream.image import body as written
from icefarm.bitstream.up5k import (
    BODY_LENGTH,
    BOOT_SETTINGS,
    BRAM_BLOCKS,
    BRAM_CHUNK,
    BRAM_HEIGHT,
    BRAM_WIDTHS,
    CRAM_BLOCKS,
    CRAM_HEIGHTS,
    CRAM_WIDTH,
    EMPTY_COMMENT,
    LENGTH,
    OTHER_DEVICES,
    PREAMBLE,
    Action,
    Block,
    Command,
    crc16,
)
from icefarm.errors import InvalidBitstream

__all__ = ["COMMENT_LIMIT", "WrongBinary", "bitstream_at", "check", "for_loading", "normal_form", "refusal"]

#: Longest comment section that is searched for the preamble, in bytes.
COMMENT_LIMIT = 65_536

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
_REBUILD = "copy the file again, or build it again"
#: More bytes than any tool writes from a preamble to the end.
_LONGEST_BODY = BODY_LENGTH + 4096
#: Where the commands begin that follow the one for the oscillator, which `icepack` writes first.
_BEHIND_OSCILLATOR = len(PREAMBLE) + 2


def refusal(name: str | None, reason: str) -> InvalidBitstream:
    """Return the error for a refused bitstream: ``reason`` says what is wrong with "it", and what to do."""
    label = name if name is not None else "what was given"
    return InvalidBitstream(f"{label} is not a bitstream for an iCE40UP5K: {reason}", file=name, reason=reason)


def check(data: bytes, name: str | None = None) -> None:
    """Raise InvalidBitstream, naming file and reason, unless ``data`` is a complete .bin for the iCE40UP5K.

    A comment before the preamble may have any content. Takes about 0.1 ms.
    """
    normal_form(data, name)


def normal_form(data: bytes, name: str | None = None) -> bytes:
    """Return the checked bitstream with an empty comment: LENGTH (104,090) bytes, or 88,698 without block RAM content.

    Raises InvalidBitstream, naming file and reason.
    """
    if len(data) == 0:
        raise refusal(name, f"it is empty; {_REBUILD}")
    if len(data) > LENGTH + COMMENT_LIMIT:
        raise refusal(name, f"it is too long, {len(data):,} bytes instead of {LENGTH:,}; was the right file named?")
    start = data.find(PREAMBLE, 0, COMMENT_LIMIT + len(PREAMBLE))
    if start < 0:
        raise refusal(name, "it has no preamble (7E AA 99 7E); give a .bin that icepack wrote, or the .asc")
    body = data[start:]
    try:
        return EMPTY_COMMENT + _arranged_body(body)
    except WrongBinary as error:
        raise refusal(name, str(error)) from None


def bitstream_at(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the normal form of the bitstream whose preamble is at ``start``, and where it ends; anything may follow.

    Raises `WrongBinary`.
    """
    walk = _Walk(memoryview(data)[start : start + _LONGEST_BODY])
    walk.run()
    return EMPTY_COMMENT + _arranged(walk), start + walk.position


def for_loading(data: bytes) -> bytes:
    """Return what a board is given for a bitstream in its normal form: the same circuit, if possible in fewer bytes.

    Where no block RAM is used, and all content for it is 0, the content is left out, as ``icepack -n`` does: a seventh
    of the bytes.  Where one is used the content stays, or the circuit would find what an earlier one left there.
    """
    body = data[len(EMPTY_COMMENT) :]
    frame = next((frame for frame in _frames() if frame.has_parts_of(body)), None)
    if frame is None or not frame.bram:
        return data
    cram = [memoryview(body)[content] for content in frame.cram]
    if uses_block_ram(cram) or not all(_is_zero(body, content) for content in frame.bram):
        return data
    return EMPTY_COMMENT + written(frame.boot, cram, None)


def _is_zero(body: bytes, content: slice) -> bool:
    part = body[content]
    return part.count(0) == len(part)


def _arranged_body(body: bytes) -> bytes:
    """Return a body with its commands in the order of `icepack`.  Raises `WrongBinary`."""
    frame = next((frame for frame in _frames() if frame.is_of(body)), None)
    if frame is not None:
        if not frame.bram:
            _check_block_ram([memoryview(body)[content] for content in frame.cram])
        return body
    walk = _Walk(memoryview(body))
    walk.run()
    walk.check_end()
    return _arranged(walk)


def _arranged(walk: _Walk) -> bytes:
    """Return what a walk was through, in the order of `icepack`.  Raises `WrongBinary`."""
    body = walk.body
    cram = [body[content] for content in walk.cram]
    bram = [b"".join(body[content] for content in bank) for bank in walk.bram_banks]
    if not any(bram):
        _check_block_ram(cram)
    ordered = written(walk.boot, cram, bram if any(bram) else None)
    # The speed of the FPGA's own oscillator is not under the CRC, and may be another one.
    return bytes(body) if ordered[_BEHIND_OSCILLATOR:] == body[_BEHIND_OSCILLATOR:] else ordered


def _check_block_ram(cram: Sequence[memoryview]) -> None:
    """Refuse a circuit that uses block RAM without content for it.  Raises `WrongBinary`."""
    if uses_block_ram(cram):
        raise WrongBinary(
            "it uses block RAM without content for it, and would find what an earlier circuit left there; "
            "pack it without the option -n of icepack"
        )


@frozen
class _Frame:
    """The commands of a body whose walk found nothing wrong.

    Nearly every bitstream has the same commands; comparing them takes a hundredth of the walk's time.
    """

    boot: int
    #: Where the contents are: of CRAM by bank, of BRAM as they come, if there are any.
    cram: tuple[slice, ...]
    bram: tuple[slice, ...]
    length: int
    #: Positions and bytes of everything that is not content, up to the command that checks the CRC.
    parts: tuple[tuple[int, bytes], ...]
    #: What the CRC covers: from, to (including its own two bytes).
    under_crc: slice
    #: The bytes from there to the end.
    tail: bytes

    def is_of(self, body: bytes) -> bool:
        """Tell whether the walk would find nothing wrong with a body, and has these commands."""
        return self.has_parts_of(body) and crc16(memoryview(body)[self.under_crc]) == 0

    def has_parts_of(self, body: bytes) -> bool:
        """Tell whether a body has these commands; its CRC is not looked at."""
        return (
            len(body) == self.length
            and body.endswith(self.tail)
            and all(body.startswith(part, position) for position, part in self.parts)
        )


@cache
def _frames() -> tuple[_Frame, ...]:
    """Return the frames of what `icepack` writes, with and without a warm boot and content of BRAM."""
    cram = [bytes(CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS]
    bram = [bytes(width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS]
    return tuple(
        _frame_of(boot, written(boot, cram, content)) for content in (bram, None) for boot in BOOT_SETTINGS.values()
    )


def _frame_of(boot: int, body: bytes) -> _Frame:
    walk = _Walk(memoryview(body))
    walk.run()
    assert walk.crc_start is not None
    contents = [*walk.cram, *walk.bram]
    starts = [0, *(content.stop for content in contents)]
    ends = [*(content.start for content in contents), walk.crc_end - 2]
    parts = tuple((start, body[start:end]) for start, end in zip(starts, ends, strict=True))
    cram, bram = tuple(walk.cram), tuple(walk.bram)
    return _Frame(boot, cram, bram, len(body), parts, slice(walk.crc_start, walk.crc_end), body[walk.crc_end :])


class WrongBinary(Exception):
    """What is wrong with the body of a bitstream."""


@define
class _Walk:
    """The walk through the commands of a body; it ends after the last byte, or raises _Wrong."""

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
            raise WrongBinary(f"its last byte is not 0; {_REBUILD}")

    def check_end(self) -> None:
        """Refuse anything after the end.  Raises `WrongBinary`."""
        surplus = len(self.body) - self.position
        if surplus > 0:
            raise WrongBinary(f"{surplus:,} extra bytes follow its end; remove them, or build it again")

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if end > len(self.body):
            raise WrongBinary(
                f"it is cut short, {len(self.body):,} of {BODY_LENGTH:,} bytes from its preamble; {_REBUILD}"
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
            raise WrongBinary(f"there are no zero bytes after {kind} bank {block.bank}; {_REBUILD}")

    def _check_crc(self, start: int) -> None:
        if crc16(memoryview(self.body)[start : self.position]) != 0:
            raise WrongBinary(f"its CRC is wrong, so something in it was changed; {_REBUILD}")
        self.crc_end = self.position

    def _unknown(self, opcode: int, payload: int, start: int) -> WrongBinary:
        command = f"{opcode:02X} {payload:0{2 * (opcode & 0x0F)}X}".strip()
        return WrongBinary(
            f"command {command} at byte {start} from its preamble is unknown or out of place; {_REBUILD}"
        )


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
