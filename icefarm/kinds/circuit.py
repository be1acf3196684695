"""Pure: no I/O, no clock.  Bitstreams as they come from clients, checked before they go to a board."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from attrs import Factory, define, field, frozen

from icefarm.bitstream import LENGTH, compress, decompress, normal_form
from icefarm.errors import InvalidBitstream, UnknownBitstream

__all__ = ["Admission", "Circuit", "Packed"]

#: Bytes of checked bitstreams that are kept, so that clients need not send them again: 600 dense ones, or tens of
#: thousands of sparse ones.
KEPT_BYTES = 64 << 20


@frozen
class Packed:
    """A bitstream in its normal form as clients send it, known by its SHA-256 in hex.

    It comes as one LZ4 block with its decoded length, or plain where that is not longer; or as neither, where the
    client takes it that the worker has it already.
    """

    sha256: str
    lz4: bytes | None = field(default=None, eq=False, repr=False)
    length: int | None = field(default=None, eq=False)
    plain: bytes | None = field(default=None, eq=False, repr=False)


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
    """Checks bitstreams; what was checked a while ago is known again, by its SHA-256."""

    _known: OrderedDict[str, Circuit] = Factory(OrderedDict)
    _bytes: int = 0
    _room: int = KEPT_BYTES

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        """Return a bitstream ready for a board.  Raises `InvalidBitstream`, `UnknownBitstream`.

        What a client packed goes to the board as it is; a plain one is packed where that makes it shorter.
        """
        if isinstance(bitstream, Packed):
            return self._packed(bitstream)
        return self._keep(_packed_here(normal_form(bitstream)))

    def _packed(self, packed: Packed) -> Circuit:
        digest = packed.sha256.lower()
        known = self._known.get(digest)
        if packed.lz4 is None and packed.plain is None:
            if known is None:
                raise UnknownBitstream(f"this worker does not have the bitstream {digest:.12}; send it whole")
        elif known is None or packed.lz4 != known.payload:
            known = self._checked(packed)
            if known.sha256 != digest:
                raise InvalidBitstream("the bitstream is not the one that its SHA-256 says; was it damaged on its way?")
        return self._keep(known)

    def _checked(self, packed: Packed) -> Circuit:
        """Return what a client sent whole, once it is found to be a bitstream."""
        if packed.plain is not None:
            return _packed_here(normal_form(packed.plain))
        assert packed.lz4 is not None
        if packed.length != LENGTH:
            raise InvalidBitstream(f"a bitstream has {LENGTH:,} bytes in its normal form, not {packed.length or 0:,}")
        plain = decompress(packed.lz4, LENGTH)
        if normal_form(plain) != plain:
            raise InvalidBitstream("a compressed bitstream must be in its normal form, without a comment")
        return Circuit(packed.lz4, True, LENGTH, hashlib.sha256(plain).hexdigest())

    def _keep(self, circuit: Circuit) -> Circuit:
        """Remember a circuit as the one used last, and forget those used longest ago where there is no room."""
        before = self._known.pop(circuit.sha256, None)
        if before is not None:
            self._bytes -= len(before.payload)
        self._known[circuit.sha256] = circuit
        self._bytes += len(circuit.payload)
        while self._bytes > self._room:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= len(oldest.payload)
        return circuit


def _packed_here(plain: bytes) -> Circuit:
    digest = hashlib.sha256(plain).hexdigest()
    packed = compress(plain)
    if len(packed) < len(plain):
        return Circuit(packed, True, len(plain), digest)
    return Circuit(plain, False, len(plain), digest)
