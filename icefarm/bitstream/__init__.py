"""Bitstreams for the iCE40UP5K: checked, packed from .asc, compressed.  Look here when a file is refused.

The formats are those of Project IceStorm; docs/bitstreams.md says what is accepted, and what is refused and why.
"""

from icefarm.bitstream.asc import pack_asc
from icefarm.bitstream.binary import check, for_loading, normal_form
from icefarm.bitstream.circuit import Bitstream, from_bytes, from_file
from icefarm.bitstream.synthetic import made_up_asc, made_up_bitstream
from icefarm.bitstream.transfer import compress, decompress
from icefarm.bitstream.up5k import LENGTH, LENGTH_WITHOUT_BRAM

__all__ = [
    "LENGTH",
    "LENGTH_WITHOUT_BRAM",
    "Bitstream",
    "check",
    "compress",
    "decompress",
    "for_loading",
    "from_bytes",
    "from_file",
    "made_up_asc",
    "made_up_bitstream",
    "normal_form",
    "pack_asc",
]
