"""Pure: no I/O, no clock.  A .bin for the iCE40UP5K in its normal form, and in the form for loading.

The normal form has the order of ``icepack``; what other tools write is rearranged.  Nearly every .bin has one of four
frames of commands, which are compared as a whole; of any other one each command is looked at
(`icefarm.bitstream.commands`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import and_, itemgetter
from typing import Any

from attrs import Factory, field, frozen

from icefarm.bitstream.commands import LONGEST_BODY, REBUILD, Walk, WrongBinary
from icefarm.bitstream.image import body as written
from icefarm.bitstream.tiles import TILE_ROWS, arranged, banks_of_columns, joined, places
from icefarm.bitstream.up5k import (
    BOOT_SETTINGS,
    BRAM_HEIGHT,
    BRAM_WIDTHS,
    CRAM_HEIGHTS,
    CRAM_WIDTH,
    EMPTY_COMMENT,
    LENGTH,
    PREAMBLE,
    crc16,
)
from icefarm.errors import InvalidBitstream

__all__ = ["COMMENT_LIMIT", "WrongBinary", "bitstream_at", "check", "for_loading", "normal_form", "refusal"]

#: Longest comment section that is searched for the preamble, in bytes.
COMMENT_LIMIT = 65_536

#: Where the commands begin that follow the one for the oscillator, which `icepack` writes first.
_BEHIND_OSCILLATOR = len(PREAMBLE) + 2
#: Rows of the bits for block RAM in each kind of tile; all are bit 7 of their row.
_BLOCK_RAM_ROWS = {"ramb": (1,), "ramt": tuple(range(8))}
_BLOCK_RAM_BIT = 7


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
        raise refusal(name, f"it is empty; {REBUILD}")
    if len(data) > LENGTH + COMMENT_LIMIT:
        raise refusal(name, f"it is too long, {len(data):,} bytes instead of {LENGTH:,}; was the right file named?")
    start = data.find(PREAMBLE, 0, COMMENT_LIMIT + len(PREAMBLE))
    if start < 0:
        raise refusal(name, "it has no preamble (7E AA 99 7E); give a .bin that icepack wrote, or the .asc")
    if start == len(EMPTY_COMMENT) and data.startswith(EMPTY_COMMENT) and _is_usual(data, start):
        return data
    try:
        return EMPTY_COMMENT + _arranged_body(data[start:])
    except WrongBinary as error:
        raise refusal(name, str(error)) from None


def bitstream_at(data: bytes, start: int) -> tuple[bytes, int]:
    """Return the normal form of the bitstream whose preamble is at ``start``, and where it ends; anything may follow.

    Raises `WrongBinary`.
    """
    walk = Walk(memoryview(data)[start : start + LONGEST_BODY])
    walk.run()
    return EMPTY_COMMENT + _arranged(walk), start + walk.position


def for_loading(data: bytes) -> bytes:
    """Return what a board is given for a bitstream in its normal form: the same circuit, if possible in fewer bytes.

    Where no block RAM is used, and all content for it is 0, the content is left out, as ``icepack -n`` does: a seventh
    of the bytes.  Where one is used the content stays, or the circuit would find what an earlier one left there.
    """
    start = len(EMPTY_COMMENT)
    frame = next((frame for frame in _frames() if frame.has_parts_of(data, start)), None)
    if frame is None or not frame.bram:
        return data
    if not all(_is_zero(data, start + content.start, start + content.stop) for content in frame.bram):
        return data
    body = memoryview(data)[start:]
    if _uses_block_ram([body[content] for content in frame.cram]):
        return data
    bare = next(bare for bare in _frames() if bare.boot == frame.boot and not bare.bram)
    return bare.with_cram_of(data, start)


def _is_zero(data: bytes, start: int, end: int) -> bool:
    return data.startswith(_zeros(end - start), start)


@cache
def _zeros(length: int) -> bytes:
    return bytes(length)


def _is_usual(data: bytes, start: int) -> bool:
    """Tell whether a bitstream from ``start`` on is as `icepack` writes most of them, with content for block RAM."""
    return any(frame.bram and frame.is_of(data, start) for frame in _frames())


def _arranged_body(body: bytes) -> bytes:
    """Return a body with its commands in the order of `icepack`.  Raises `WrongBinary`."""
    frame = next((frame for frame in _frames() if frame.is_of(body)), None)
    if frame is not None:
        if not frame.bram:
            _check_block_ram([memoryview(body)[content] for content in frame.cram])
        return body
    walk = Walk(memoryview(body))
    walk.run()
    walk.check_end()
    return _arranged(walk)


def _arranged(walk: Walk) -> bytes:
    """Return the bytes that a walk went through, in the order of `icepack`.  Raises `WrongBinary`."""
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
    if _uses_block_ram(cram):
        raise WrongBinary(
            "it uses block RAM without content for it, and would find what an earlier circuit left there; "
            "pack it without the option -n of icepack"
        )


@frozen(eq=False)
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
    #: Gets the parts of a body, by its start.
    _getters: dict[int, Callable[[bytes], tuple[bytes, ...]]] = Factory(dict)
    _expected: tuple[bytes, ...] = field(init=False)

    @_expected.default
    def _parts_alone(self) -> tuple[bytes, ...]:
        return tuple(part for _, part in self.parts)

    def is_of(self, data: bytes, start: int = 0) -> bool:
        """Tell whether the walk would find nothing wrong with the body that begins there, and has these commands."""
        covered = slice(start + self.under_crc.start, start + self.under_crc.stop)
        return self.has_parts_of(data, start) and crc16(memoryview(data)[covered]) == 0

    def has_parts_of(self, data: bytes, start: int = 0) -> bool:
        """Tell whether the body that begins there has these commands; its CRC is not looked at."""
        if len(data) - start != self.length or not data.endswith(self.tail):
            return False
        getter = self._getters.get(start)
        if getter is None:
            places = (slice(start + position, start + position + len(part)) for position, part in self.parts)
            getter = self._getters[start] = itemgetter(*places)
        return getter(data) == self._expected

    def with_cram_of(self, data: bytes, start: int) -> bytes:
        """Return what comes before ``start``, and this frame, which has no block RAM, with the CRAM of the body there.

        That body has the same commands for CRAM.
        """
        first, end = start + self.under_crc.start, start + self.cram[-1].stop
        _, rest = self.parts[-1]
        crc = crc16(rest, crc16(memoryview(data)[first:end]))
        return b"".join((memoryview(data)[:end], rest, crc.to_bytes(2), self.tail))


@cache
def _frames() -> tuple[_Frame, ...]:
    """Return the frames of what `icepack` writes, with and without a warm boot and content of BRAM."""
    cram = [bytes(CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS]
    bram = [bytes(width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS]
    return tuple(
        _frame_of(boot, written(boot, cram, content)) for content in (bram, None) for boot in BOOT_SETTINGS.values()
    )


def _frame_of(boot: int, body: bytes) -> _Frame:
    walk = Walk(memoryview(body))
    walk.run()
    assert walk.crc_start is not None
    contents = [*walk.cram, *walk.bram]
    starts = [0, *(content.stop for content in contents)]
    ends = [*(content.start for content in contents), walk.crc_end - 2]
    parts = tuple((start, body[start:end]) for start, end in zip(starts, ends, strict=True))
    cram, bram = tuple(walk.cram), tuple(walk.bram)
    return _Frame(boot, cram, bram, len(body), parts, slice(walk.crc_start, walk.crc_end), body[walk.crc_end :])


def _uses_block_ram(cram: Sequence[bytes | memoryview]) -> bool:
    """Tell whether a circuit with these four CRAM banks uses any block RAM, by its configuration bits.

    Source: Project IceStorm, "RAM Tile Documentation": a block RAM works if the bit ``RamConfig PowerUp`` of its RAMB
    tile is set; unused ones have all bits cleared.  ``RamConfig CBIT_*`` and ``RamCascade CBIT_*`` of the RAMT tile
    choose its width and cascading.  Any of these bits counts as use here, so that no doubt is left.
    """
    for bank, (at_once, masks) in zip(cram, _block_ram_bytes(), strict=True):
        found = at_once(bank)
        if any(found) and any(map(and_, found, masks)):
            return True
    return False


@cache
def _block_ram_bytes() -> list[tuple[Callable[[Any], tuple[int, ...]], list[int]]]:
    """Return for each CRAM bank a getter of the bytes with such bits, and their masks."""
    return [(itemgetter(*(at for at, _ in bits)), [mask for _, mask in bits]) for bits in _block_ram_bits()]


@cache
def _block_ram_bits() -> list[list[tuple[int, int]]]:
    """Return the bytes of each CRAM bank that have such bits, with their masks."""
    columns = banks_of_columns()
    for place in places().values():
        if place.kind not in _BLOCK_RAM_ROWS:
            continue
        ones = "".join("1" if bit == _BLOCK_RAM_BIT else "0" for bit in range(place.width))
        rows = [ones if row in _BLOCK_RAM_ROWS[place.kind] else "0" * place.width for row in range(TILE_ROWS)]
        columns[place.bank][place.column][place.row : place.row + TILE_ROWS] = arranged(place, rows)
    banks = [joined(bank, each) for bank, each in enumerate(columns)]
    return [[(at, mask) for at, mask in enumerate(bank) if mask] for bank in banks]
