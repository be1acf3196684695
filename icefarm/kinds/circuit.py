"""Pure: no I/O, no clock.  Bitstreams from clients, checked before they go to a board."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from attrs import Factory, define, field, frozen

from icefarm.bitstream import LENGTH, compress, decompress, normal_form
from icefarm.errors import InvalidBitstream, UnknownBitstream

__all__ = ["Admission", "Circuit", "Packed"]

#: Bytes of checked bitstreams in the cache, so that clients need not send them again: 600 dense ones, or tens of
#: thousands of sparse ones.
KEPT_BYTES = 64 << 20


@frozen
class Packed:
    """A bitstream in its normal form as clients send it, identified by its SHA-256 in hex.

    It is one LZ4 block with its decoded length, or plain if that is not longer; or neither, if the client assumes that
    the worker has it already.
    """

    sha256: str
    lz4: bytes | None = field(default=None, eq=False, repr=False)
    length: int | None = field(default=None, eq=False)
    plain: bytes | None = field(default=None, eq=False, repr=False)


@frozen
class Circuit:
    """A checked bitstream, ready for a board."""

    #: LZ4 block if ``compressed``, else the plain bitstream; ``length`` is that of the plain one.
    payload: bytes
    compressed: bool
    length: int
    #: Of the plain bitstream in its normal form, hexadecimal.
    sha256: str


@define(eq=False)
class Admission:
    """Checks bitstreams, and caches checked ones by their SHA-256."""

    _known: OrderedDict[str, Circuit] = Factory(OrderedDict)
    _bytes: int = 0
    _room: int = KEPT_BYTES

    def admit(self, bitstream: Packed | bytes) -> Circuit:
        """Return a bitstream ready for a board.  Raises `InvalidBitstream`, `UnknownBitstream`.

        A packed bitstream goes to the board unchanged; a plain one is packed if that makes it shorter.
        """
        if isinstance(bitstream, Packed):
            return self._packed(bitstream)
        return self._keep(_packed_here(normal_form(bitstream)))

    def _packed(self, packed: Packed) -> Circuit:
        digest = packed.sha256.lower()
        known = self._known.get(digest)
        if packed.lz4 is None and packed.plain is None:
            if known is None:
                raise UnknownBitstream(f"this worker does not have the bitstream {digest:.12}; send all of it")
        elif known is None or packed.lz4 != known.payload:
            known = self._checked(packed)
            if known.sha256 != digest:
                raise InvalidBitstream("the bitstream does not match its SHA-256; was it damaged on its way?")
        return self._keep(known)

    def _checked(self, packed: Packed) -> Circuit:
        """Return a bitstream that a client sent whole, after checking it."""
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
        """Cache a circuit as the most recently used, and evict the least recently used if there is no room."""
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
