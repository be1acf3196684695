"""Pure: no I/O, no clock.  Bitstreams for transfer to a board, as LZ4 blocks without a size in front.

Format: "LZ4 Block Format Description" of the LZ4 project. Sparse circuits shrink about fiftyfold; a dense one may not
shrink at all, and is then sent raw.
"""

from __future__ import annotations

import lz4.block

from icefarm.bitstream.up5k import LENGTH
from icefarm.errors import InvalidBitstream

__all__ = ["COMPRESSED_LIMIT", "compress", "decompress"]

#: Longest LZ4 block for LENGTH bytes ("LZ4_compressBound": length + length / 255 + 16).
COMPRESSED_LIMIT = LENGTH + LENGTH // 255 + 16


def compress(data: bytes) -> bytes:
    """Return ``data`` as one LZ4 block."""
    return bytes(lz4.block.compress(data, store_size=False))


def decompress(data: bytes, length: int = LENGTH) -> bytes:
    """Return the ``length`` bytes (1 to LENGTH) that the LZ4 block ``data`` holds.

    Raises InvalidBitstream if it is not such a block, or holds fewer or more bytes. Never takes more memory than that.
    """
    if not 0 < length <= LENGTH:
        raise InvalidBitstream(f"a length of {length:,} bytes is out of range: 1 to {LENGTH:,}")
    if not 0 < len(data) <= COMPRESSED_LIMIT:
        raise InvalidBitstream(f"an LZ4 block of {len(data):,} bytes is out of range: 1 to {COMPRESSED_LIMIT:,}")
    try:
        content = bytes(lz4.block.decompress(data, uncompressed_size=length))
    except lz4.block.LZ4BlockError:
        raise InvalidBitstream(f"the compressed bitstream is damaged, or holds more than {length:,} bytes") from None
    if len(content) != length:
        raise InvalidBitstream(f"the compressed bitstream holds {len(content):,} bytes instead of {length:,}")
    return content
