"""Pure: no I/O, no clock.  Where the tiles of the iCE40UP5K are, and where their bits go in its CRAM banks.

The grid is 26 x 32 tiles, (0, 0) at the left bottom. Source: Project IceStorm, "Bitstream File Format Documentation"
(Organization of the CRAM) and "UltraPlus Features Documentation", and the order that ``icepack`` writes for ``5k``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from operator import itemgetter

from attrs import frozen

from icefarm.bitstream.up5k import CRAM_HEIGHTS, CRAM_WIDTH

__all__ = ["COLUMN_WIDTHS", "TILE_ROWS", "TileLocation", "arranged", "banks_of_columns", "joined", "places"]

#: Rows of configuration bits of every tile.
TILE_ROWS = 16
#: Highest tile coordinates.
_RIGHT, _TOP = 25, 31
#: Tiles of the lower banks are in the rows up to this one.
_LOWER_TOP = 20
#: Width in bits of the columns of a half, from the edge inwards; the seventh has the block RAMs.
COLUMN_WIDTHS = (54, 54, 54, 54, 54, 54, 42, 54, 54, 54, 54, 54, 54)
_RAM_COLUMNS = (6, 19)
#: First row of each DSP in the columns at the edges; a DSP is four tiles.
_DSP_ROWS = (5, 10, 15, 23)
_WIDTHS = {"io": 18, "ramb": 42, "ramt": 42}
#: After the columns each CRAM row has bits that belong to no tile.
_SPARE = "0" * (CRAM_WIDTH - sum(COLUMN_WIDTHS))

#: Bit n of an IO tile's row is bit _IO_COLUMNS[n] of its column; its row n is row 15 - _IO_ROWS[n] of its place.
_IO_COLUMNS = (23, 25, 26, 27, 16, 17, 18, 19, 20, 14, 32, 33, 34, 35, 36, 37, 4, 5)
_IO_ROWS = (0, 1, 3, 2, 4, 5, 7, 6, 8, 9, 11, 10, 12, 13, 15, 14)


@frozen
class TileLocation:
    """Where a tile goes: its CRAM bank, its column from the edge inwards, its first row in the bank."""

    kind: str
    width: int
    bank: int
    column: int
    row: int

    @property
    def upside_down(self) -> bool:
        """Rows of a tile are counted from the chip's bottom, rows of the upper banks from its top."""
        return self.bank % 2 == 1


@cache
def places() -> dict[tuple[int, int], TileLocation]:
    """Return the place of each tile that has configuration bits, by (x, y)."""
    return {(x, y): _place(x, y) for x in range(_RIGHT + 1) for y in range(_TOP + 1) if _kind(x, y) is not None}


def _place(x: int, y: int) -> TileLocation:
    kind = str(_kind(x, y))
    right, upper = x > _RIGHT // 2, y > _LOWER_TOP
    return TileLocation(
        kind=kind,
        width=_WIDTHS.get(kind, 54),
        bank=2 * right + upper,
        column=_RIGHT - x if right else x,
        row=TILE_ROWS * (_TOP - y if upper else y),
    )


def _kind(x: int, y: int) -> str | None:
    """Return the kind of a tile as .asc files name it, or None for the four corners, which have no bits."""
    if x in (0, _RIGHT):
        if y in (0, _TOP):
            return None
        part = next((y - row for row in _DSP_ROWS if 0 <= y - row < 4), None)
        return f"dsp{part}" if part is not None else "ipcon"
    if y in (0, _TOP):
        return "io"
    if x in _RAM_COLUMNS:
        return "ramb" if y % 2 == 1 else "ramt"
    return "logic"


def arranged(place: TileLocation, rows: Sequence[str]) -> Sequence[str]:
    """Return a tile's rows ("0" and "1") as its column has them, from the bank's first row on."""
    if place.kind == "io":
        picked = _io_source(COLUMN_WIDTHS[place.column])
        return ["".join(picked(rows[row] + "0")) for row in _IO_ORDER]
    return rows[::-1] if place.upside_down else rows


_IO_ORDER = tuple(_IO_ROWS.index(TILE_ROWS - 1 - row) for row in range(TILE_ROWS))


@cache
def _io_source(width: int) -> Callable[[str], tuple[str, ...]]:
    """Return a getter of a column's bits from a row of an IO tile with a 0 appended (index 18)."""
    return itemgetter(*(_IO_COLUMNS.index(bit) if bit in _IO_COLUMNS else 18 for bit in range(width)))


def banks_of_columns() -> list[list[list[str]]]:
    """Return four CRAM banks without a bit set, each a list of columns, each a list of rows ("0" and "1")."""
    return [[["0" * width] * height for width in COLUMN_WIDTHS] for height in CRAM_HEIGHTS]


def joined(bank: int, columns: Sequence[Sequence[str]]) -> bytearray:
    """Return a CRAM bank's bytes, as a bitstream has them, from its columns."""
    if bank >= 2:  # In the right half bits are counted from the right edge.
        rows = [_SPARE + "".join(parts) for parts in zip(*reversed(columns), strict=True)]
        bits = "".join([row[::-1] for row in rows])
    else:
        bits = "".join(["".join(parts) + _SPARE for parts in zip(*columns, strict=True)])
    return bytearray(int(bits, 2).to_bytes(len(bits) // 8))
