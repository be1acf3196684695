"""Pure: no I/O, no clock.  Generated bitstreams for tests and benchmarks: valid in form, with a random circuit.

For virtual boards only: random routing can short-circuit drivers, so never load one into a real FPGA.
"""

from __future__ import annotations

from random import Random

from icefarm.bitstream.circuit import Bitstream
from icefarm.bitstream.image import body
from icefarm.bitstream.tiles import TILE_ROWS, places
from icefarm.bitstream.up5k import (
    BOOT_SETTINGS,
    BRAM_HEIGHT,
    BRAM_WIDTHS,
    CRAM_HEIGHTS,
    CRAM_WIDTH,
    EMPTY_COMMENT,
)

__all__ = ["made_up_asc", "made_up_bitstream"]


def made_up_bitstream(seed: int, sparseness: int = 6) -> Bitstream:
    """Return the bitstream with number ``seed``: the same on every machine, different for each seed.

    One configuration bit in 2 ** ``sparseness`` is set; LZ4 gains nothing up to 2, and makes 4 kB of it at 10.
    """
    random = Random(seed)
    cram = [_bits(random, CRAM_WIDTH * height, sparseness) for height in CRAM_HEIGHTS]
    bram = [_bits(random, width * BRAM_HEIGHT, sparseness) for width in BRAM_WIDTHS]
    data = EMPTY_COMMENT + body(BOOT_SETTINGS["enabled"], cram, bram)
    return Bitstream(data, f"made-up-{seed}-{sparseness}")


def made_up_asc(seed: int, sparseness: int = 1, head: str = ".comment\n") -> str:
    """Return an .asc of a random circuit with block RAM and extra bits; ``head`` stands before its ``.device``."""
    random = Random(seed)
    lines = [f"{head}.device 5k"]
    for (x, y), place in places().items():
        lines.append(f".{place.kind}_tile {x} {y}")
        lines += [f"{_sparse(random, place.width, sparseness):0{place.width}b}" for _ in range(TILE_ROWS)]
        if place.kind == "ramb" and random.getrandbits(1):
            lines.append(f".ram_data {x} {y}")
            lines += [f"{_sparse(random, 256, sparseness):064x}" for _ in range(TILE_ROWS)]
    # The last two bits of a CRAM row belong to no tile.
    for bank, height in enumerate(CRAM_HEIGHTS):
        lines += [f".extra_bit {bank} {CRAM_WIDTH - random.randint(1, 2)} {random.randrange(height)}" for _ in range(5)]
    return "\n".join(lines) + "\n"


def _sparse(random: Random, width: int, sparseness: int) -> int:
    """Return a number of ``width`` random bits, one in 2 ** ``sparseness`` of them set."""
    bits = (1 << width) - 1
    for _ in range(sparseness):
        bits &= random.getrandbits(width)
    return bits


def _bits(random: Random, count: int, sparseness: int) -> bytes:
    return _sparse(random, count, sparseness).to_bytes(count // 8)
