"""Pure: no I/O, no clock.  Checks a .bin for the iCE40UP5K by walking its commands, as the FPGA would.

It accepts what ``icepack`` writes, after any comment: each configuration bit written once, all of it covered by the
CRC, and nothing missing or left over.
"""

from __future__ import annotations

from functools import cache

from attrs import define, field, frozen

from icefarm.bitstream.image import body as written
from icefarm.bitstream.up5k import (
    BODY_LENGTH,
    BOOT_SETTINGS,
    BRAM_BLOCKS,
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

__all__ = ["COMMENT_LIMIT", "check", "normal_form", "refusal"]

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
_REBUILD = "copy the file again, or build it again"


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
    """Return the checked bitstream with an empty comment: LENGTH (104,090) bytes.

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
    if not any(frame.is_of(body) for frame in _frames()):
        try:
            _Walk(body).run()
        except _WrongBinary as error:
            raise refusal(name, str(error)) from None
    return EMPTY_COMMENT + body


@frozen
class _Frame:
    """The commands of a body whose walk found nothing wrong.

    Nearly every bitstream has the same commands; comparing them takes a hundredth of the walk's time.
    """

    #: Positions and bytes of everything that is not content, up to the command that checks the CRC.
    parts: tuple[tuple[int, bytes], ...]
    #: What the CRC covers: from, to (including its own two bytes).
    under_crc: slice
    #: The bytes from there to the end.
    tail: bytes

    def is_of(self, body: bytes) -> bool:
        """Tell whether the walk would find nothing wrong with a body, and has these commands."""
        return (
            len(body) == BODY_LENGTH
            and body.endswith(self.tail)
            and all(body.startswith(part, position) for position, part in self.parts)
            and crc16(memoryview(body)[self.under_crc]) == 0
        )


@cache
def _frames() -> tuple[_Frame, ...]:
    """Return the frames of what `icepack` writes, with and without a warm boot."""
    cram = [bytes(CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS]
    bram = [bytes(width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS]
    return tuple(_frame_of(written(boot, cram, bram)) for boot in BOOT_SETTINGS.values())


def _frame_of(body: bytes) -> _Frame:
    walk = _Walk(body)
    walk.run()
    assert walk.crc_start is not None
    starts = [0, *(content.stop for content in walk.contents)]
    ends = [*(content.start for content in walk.contents), walk.crc_end - 2]
    parts = tuple((start, body[start:end]) for start, end in zip(starts, ends, strict=True))
    return _Frame(parts, slice(walk.crc_start, walk.crc_end), body[walk.crc_end :])


class _WrongBinary(Exception):
    """What is wrong with the body of a bitstream."""


@define
class _Walk:
    """The walk through the commands of a body; it ends after the last byte, or raises _Wrong."""

    _body: bytes
    _position: int = len(PREAMBLE)
    _settings: dict[str, int] = field(factory=dict)
    _written: set[tuple[str, Block]] = field(factory=set)
    #: Where the CRC's range begins, once a command has reset it, and ends, once it was right.
    crc_start: int | None = None
    crc_end: int = 0
    #: Where the contents of banks are.
    contents: list[slice] = field(factory=list)

    def run(self) -> None:
        while not self._command():
            pass
        missing = _EXPECTED - self._written
        if missing:
            kind, block = min(missing, key=lambda item: (item[0], item[1].bank))
            raise _WrongBinary(f"it has no content for {kind} bank {block.bank}; pack it without options of icepack")
        if self._take(1) != b"\0":
            raise _WrongBinary(f"its last byte is not 0; {_REBUILD}")
        surplus = len(self._body) - self._position
        if surplus > 0:
            raise _WrongBinary(f"{surplus:,} extra bytes follow its end; remove them, or build it again")
        if len(self._body) != BODY_LENGTH:
            raise _WrongBinary(
                f"its commands take {len(self._body):,} bytes instead of {BODY_LENGTH:,}; pack it with icepack"
            )

    def _take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._body):
            raise _WrongBinary(
                f"it is cut short, {len(self._body):,} of {BODY_LENGTH:,} bytes from its preamble; {_REBUILD}"
            )
        taken = self._body[self._position : end]
        self._position = end
        return taken

    def _command(self) -> bool:
        """Carry out one command; return True if it was the one that wakes the FPGA up."""
        start = self._position
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
            self.crc_start = self._position
        elif self.crc_start is None:
            raise self._unknown(opcode, payload, start)
        elif opcode == Command.DO and payload in _BLOCKS:
            self._write(payload)
        elif opcode == Command.CHECK_CRC:
            self._check_crc(self.crc_start)
        elif opcode != Command.BOOT:
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
        if block not in blocks:
            raise _WrongBinary(_wrong_block(kind, block))
        if (kind, block) in self._written:
            raise _WrongBinary(f"it writes {kind} bank {block.bank} twice; pack it with icepack")
        self._written.add((kind, block))
        self.contents.append(slice(self._position, self._position + block.length))
        self._take(block.length)
        if self._take(2) != b"\0\0":
            raise _WrongBinary(f"there are no zero bytes after {kind} bank {block.bank}; {_REBUILD}")

    def _check_crc(self, start: int) -> None:
        if crc16(memoryview(self._body)[start : self._position]) != 0:
            raise _WrongBinary(f"its CRC is wrong, so something in it was changed; {_REBUILD}")
        self.crc_end = self._position

    def _unknown(self, opcode: int, payload: int, start: int) -> _WrongBinary:
        command = f"{opcode:02X} {payload:0{2 * (opcode & 0x0F)}X}".strip()
        return _WrongBinary(
            f"command {command} at byte {start} from its preamble is unknown or out of place; {_REBUILD}"
        )


def _wrong_block(kind: str, block: Block) -> str:
    device = OTHER_DEVICES.get((block.width, block.height))
    if kind == "CRAM" and device is not None and block.bank == 0:
        return f"it was built for an {device}; build it with --up5k (nextpnr) or device 5k"
    size = f"{block.width} x {block.height} bits at row {block.offset}"
    return f"its {kind} bank {block.bank} of {size} does not fit; build it for the iCE40UP5K"
