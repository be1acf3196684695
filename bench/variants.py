"""Pure: no I/O, no clock.  Small circuits for a virtual FPGA: known ones with some look-up tables changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from itertools import accumulate
from random import Random

from icefarm.bitstream import Bitstream
from icefarm.bitstream.image import body
from icefarm.bitstream.tiles import COLUMN_WIDTHS, TILE_ROWS, places
from icefarm.bitstream.up5k import BOOT_SETTINGS, BRAM_HEIGHT, BRAM_WIDTHS, CRAM_BLOCKS, CRAM_WIDTH, EMPTY_COMMENT

__all__ = ["banks_of", "variant"]

#: Bits of look-up tables that differ from the known circuit.
_CHANGES = 3
#: Columns of a logic tile's rows that configure its cells, two rows each (Project IceStorm, "Logic Tile").
_CELL_COLUMNS = range(36, 46)
#: Those of a cell's 20 bits, first row first, that are its look-up table; and the one that uses its flip-flop.
_TABLE_BITS = (0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 15, 16, 17)
_FLOP_BIT = 9
#: Bytes of the normal form before the content of the first bank, and between two of them.
_BEFORE_FIRST = 28
_BETWEEN = 9


def banks_of(data: bytes) -> list[bytearray]:
    """Return the contents of the four CRAM banks of a bitstream in its normal form."""
    found, at = [], _BEFORE_FIRST
    for block in CRAM_BLOCKS:
        found.append(bytearray(data[at : at + block.length]))
        at += block.length + _BETWEEN
    return found


def variant(known: Bitstream, seed: int) -> Bitstream:
    """Return a circuit without block RAM with some bits of its look-up tables changed: for each seed other ones.

    They are before flip-flops, so no change makes a loop of gates.
    """
    banks = banks_of(known.data)
    used = [cell for cell in _cells() if _is_set(banks, cell[_FLOP_BIT])]
    random = Random(f"{known.sha256} {seed}")
    for _ in range(_CHANGES):
        bank, bit = random.choice(used)[random.choice(_TABLE_BITS)]
        banks[bank][bit // 8] ^= 0x80 >> bit % 8
    bram = [bytes(width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS]
    return Bitstream(EMPTY_COMMENT + body(BOOT_SETTINGS["enabled"], banks, bram), f"{known.name}-{seed}")


_Place = tuple[int, int]


def _is_set(banks: Sequence[bytearray], place: _Place) -> bool:
    bank, bit = place
    return bool(banks[bank][bit // 8] & 0x80 >> bit % 8)


@cache
def _cells() -> Sequence[Sequence[_Place]]:
    """Return bank and bit of each of the 20 bits of each logic cell of the chip."""
    return [cell for at in places() for cell in _cells_of(at)]


def _cells_of(at: tuple[int, int]) -> Iterator[Sequence[_Place]]:
    place = places()[at]
    if place.kind != "logic":
        return
    start = [0, *accumulate(COLUMN_WIDTHS)][place.column]
    right = place.bank >= len(CRAM_BLOCKS) // 2
    for cell in range(TILE_ROWS // 2):
        found = []
        for bit in range(2 * len(_CELL_COLUMNS)):
            row, column = 2 * cell + bit // len(_CELL_COLUMNS), _CELL_COLUMNS[bit % len(_CELL_COLUMNS)]
            bank_row = place.row + (TILE_ROWS - 1 - row if place.upside_down else row)
            found.append((place.bank, CRAM_WIDTH * bank_row + start + (place.width - 1 - column if right else column)))
        yield found
