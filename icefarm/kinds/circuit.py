"""Pure: no I/O, no clock.  Bitstreams as they come from clients, checked before they go to a board."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from attrs import Factory, define, frozen

from icefarm.bitstream import LENGTH, compress, decompress, normal_form
from icefarm.errors import InvalidBitstream

__all__ = ["Admission", "Circuit", "Packed"]

#: How many bitstreams are remembered as checked (about 250 bytes each).
REMEMBERED = 4096


@frozen
class Packed:
    """A bitstream in its normal form as clients send it: one LZ4 block, its decoded length, its SHA-256 in hex."""

    lz4: bytes
    length: int
    sha256: str


@frozen
class Circuit:
    """A checked bitstream, ready for a board."""

    #: LZ4 block where ``compressed``, the plain bitstream otherwise; ``length`` is that of the plain one.
    payload: bytes
    compressed: bool
    length: int
    #: Of the plain bitstream in its normal form, hexadecimal.
    sha256: str


@define(eq=False)
class Admission:
    """Checks bitstreams; what was checked a while ago is known by the SHA-256 of what was sent."""

    _known: OrderedDict[bytes, str] = Factory(OrderedDict)

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        """Return a bitstream ready for a board.  Raises `InvalidBitstream`.

        What a client packed goes to the board as it is; a plain one is packed where that makes it shorter.
        """
        if isinstance(bitstream, Packed):
            return self._packed(bitstream)
        plain = normal_form(bitstream)
        digest = hashlib.sha256(plain).hexdigest()
        packed = compress(plain)
        if len(packed) < len(plain):
            return Circuit(packed, True, len(plain), digest)
        return Circuit(plain, False, len(plain), digest)

    def _packed(self, packed: Packed) -> Circuit:
        if packed.length != LENGTH:
            raise InvalidBitstream(f"a bitstream has {LENGTH:,} bytes in its normal form, not {packed.length:,}")
        key = hashlib.sha256(packed.lz4).digest()
        digest = self._known.get(key)
        if digest is None:
            digest = self._check(packed)
            self._known[key] = digest
            if len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        else:
            self._known.move_to_end(key)
        if packed.sha256.lower() != digest:
            raise InvalidBitstream("the bitstream is not the one that its SHA-256 says; was it damaged on its way?")
        return Circuit(packed.lz4, True, LENGTH, digest)

    def _check(self, packed: Packed) -> str:
        """Return the SHA-256 of what an LZ4 block holds, once that is found to be a bitstream."""
        plain = decompress(packed.lz4, LENGTH)
        if normal_form(plain) != plain:
            raise InvalidBitstream("a compressed bitstream must be in its normal form, without a comment")
        return hashlib.sha256(plain).hexdigest()
