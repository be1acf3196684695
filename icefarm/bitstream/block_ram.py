"""Pure: no I/O, no clock.  Whether a circuit for the iCE40UP5K uses block RAM, by its configuration bits.

Source: Project IceStorm, "RAM Tile Documentation": a block RAM works if the bit ``RamConfig PowerUp`` of its RAMB tile
is set; unused ones have all bits cleared.  ``RamConfig CBIT_*`` and ``RamCascade CBIT_*`` of the RAMT tile choose its
width and cascading.  Any of these bits counts as use here, so that no doubt is left.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from icefarm.bitstream.tiles import TILE_ROWS, arranged, banks_of_columns, joined, places

__all__ = ["uses_block_ram"]

#: Rows of the bits in each kind of tile; all are bit 7 of their row.
_ROWS = {"ramb": (1,), "ramt": tuple(range(8))}
_BIT = 7


def uses_block_ram(cram: Sequence[bytes | memoryview]) -> bool:
    """Tell whether a circuit with these four CRAM banks uses any block RAM."""
    return any(bank[at] & mask for bank, bits in zip(cram, _bits(), strict=True) for at, mask in bits)


@cache
def _bits() -> list[list[tuple[int, int]]]:
    """Return the bytes of each CRAM bank that have such bits, with their masks."""
    columns = banks_of_columns()
    for place in places().values():
        if place.kind not in _ROWS:
            continue
        ones = "".join("1" if bit == _BIT else "0" for bit in range(place.width))
        rows = [ones if row in _ROWS[place.kind] else "0" * place.width for row in range(TILE_ROWS)]
        columns[place.bank][place.column][place.row : place.row + TILE_ROWS] = arranged(place, rows)
    banks = [joined(bank, each) for bank, each in enumerate(columns)]
    return [[(at, mask) for at, mask in enumerate(bank) if mask] for bank in banks]
