"""Pure: no I/O, no clock.  Bitstreams from clients, checked before they go to a board."""

from __future__ import annotations

import hashlib
from collections import OrderedDict

from attrs import Factory, define, field, frozen

from icefarm.bitstream import LENGTH, LENGTH_WITHOUT_BRAM, compress, decompress, for_loading, normal_form
from icefarm.bitstream.transfer import restored
from icefarm.contract import BASE_DIGITS
from icefarm.errors import InvalidBitstream, UnknownBitstream

__all__ = ["Admission", "Circuit", "Packed"]

#: Bytes of checked bitstreams in the cache, so that clients need not send them again: 600 dense ones, or tens of
#: thousands of sparse ones.
KEPT_BYTES = 64 << 20
#: The last circuits in their normal form, of all accounts, for those that come as a difference from one: 7 MB.
BASES = 64
#: What differs from a circuit that packing made no shorter in at most this part of it is not packed either; that is
#: tried again in one of so many generations.
LITTLE, GENERATIONS = 1 / 64, 64


@frozen
class Packed:
    """A bitstream in its normal form as clients send it, identified by its SHA-256 in hex.

    It is one LZ4 block with its decoded length, or plain if that is not longer; or its difference from another one that
    the worker has (`icefarm.bitstream.transfer`); or none of these, if the client assumes that the worker has it.
    """

    sha256: str
    lz4: bytes | None = field(default=None, eq=False, repr=False)
    length: int | None = field(default=None, eq=False)
    plain: bytes | None = field(default=None, eq=False, repr=False)
    #: The SHA-256 of the other one, all of it or `BASE_DIGITS`, and the difference from it.
    base: str | None = field(default=None, eq=False)
    delta: bytes | None = field(default=None, eq=False, repr=False)


@frozen
class Circuit:
    """A checked bitstream, ready for a board."""

    #: What is loaded: an LZ4 block if ``compressed``, else plain; ``length`` is that of the plain one.
    payload: bytes
    compressed: bool
    length: int
    #: Of the client's bitstream in its normal form, hexadecimal; what is loaded may be shorter (`for_loading`).
    sha256: str


@frozen
class _Kept:
    """A circuit, and the LZ4 block that a client sent for it, which need not be checked again."""

    circuit: Circuit
    sent: bytes | None
    #: Bytes that it takes.
    size: int


@define(eq=False)
class _Base:
    """A circuit in its normal form, and the accounts that have sent it: they know what is in it."""

    plain: bytes
    accounts: set[str] = Factory(set)
    #: The generation from it on that is packed again: 1 is that of its children; 0 where packing made it shorter.
    unpacked: int = 0

    def unpacked_with(self, delta: bytes) -> int:
        """Return the same of what differs from it by this; 0 if that is to be packed."""
        return max(0, self.unpacked - 1) if len(delta) <= len(self.plain) * LITTLE else 0


@define(eq=False)
class Admission:
    """Checks bitstreams, and caches checked ones by their SHA-256."""

    _known: OrderedDict[str, _Kept] = Factory(OrderedDict)
    #: By the first `BASE_DIGITS` of the SHA-256, the latest one last.
    _bases: OrderedDict[str, _Base] = Factory(OrderedDict)
    _bytes: int = 0
    _room: int = KEPT_BYTES

    def admit(self, bitstream: Packed | bytes, account: str = "") -> Circuit:
        """Return a bitstream of an account ready for a board.  Raises `InvalidBitstream`, `UnknownBitstream`.

        What a board is given is packed if that makes it shorter.
        """
        kept = self._packed(bitstream, account) if isinstance(bitstream, Packed) else self._taken(bitstream, account)
        # The most recently used one is last; the least recently used ones make room.
        before = self._known.pop(kept.circuit.sha256, None)
        if before is not None:
            self._bytes -= before.size
        self._known[kept.circuit.sha256] = kept
        self._bytes += kept.size
        while self._bytes > self._room:
            _, oldest = self._known.popitem(last=False)
            self._bytes -= oldest.size
        return kept.circuit

    def _packed(self, packed: Packed, account: str) -> _Kept:
        digest = packed.sha256.lower()
        known = self._known.get(digest)
        if packed.lz4 is None and packed.plain is None:
            return known or self._from_base(packed, account, digest)
        if known is None or packed.lz4 is None or packed.lz4 != known.sent:
            return self._taken(packed, account, digest, exactly=packed.plain is None)
        if digest[:BASE_DIGITS] in self._bases:
            self._bases[digest[:BASE_DIGITS]].accounts.add(account)
        return known

    def _from_base(self, packed: Packed, account: str, digest: str) -> _Kept:
        """Make a bitstream of its difference from one that the same account has sent.

        With the base of another account, the errors for wrong differences would say what is in it.
        """
        if packed.delta is None or packed.base is None:
            raise UnknownBitstream(f"this worker does not have the bitstream {digest:.12}; send all of it")
        base = self._bases.get(packed.base.lower()[:BASE_DIGITS])
        if base is None or account not in base.accounts:
            raise UnknownBitstream(f"this worker does not have the base {packed.base:.12}; send all of the bitstream")
        unpacked = base.unpacked_with(packed.delta)
        return self._taken(restored(packed.delta, base.plain), account, digest, exactly=True, unpacked=unpacked)

    def _taken(
        self,
        given: Packed | bytes,
        account: str,
        digest: str | None = None,
        *,
        exactly: bool = False,
        unpacked: int = 0,
    ) -> _Kept:
        """Take a whole bitstream; its client says that it has this SHA-256, and ``exactly`` that form.

        It is not packed if a base says so; see `_Base.unpacked`.
        """
        data, sent = (_unpacked(given), given.lz4) if isinstance(given, Packed) else (given, None)
        plain = normal_form(data)
        if exactly and plain != data:
            raise InvalidBitstream("a compressed bitstream must be in its normal form, without a comment")
        actual = hashlib.sha256(plain).hexdigest()
        if digest not in (None, actual):
            raise InvalidBitstream("the bitstream does not match its SHA-256; was it damaged on its way?")
        name = actual[:BASE_DIGITS]
        base = self._bases.setdefault(name, _Base(plain))
        base.accounts.add(account)
        self._bases.move_to_end(name)
        if len(self._bases) > BASES:
            self._bases.popitem(last=False)
        loaded = for_loading(plain)
        if sent is not None and len(loaded) == len(plain):
            return _Kept(Circuit(sent, True, len(plain), actual), sent, len(sent))
        packed = loaded if unpacked else compress(loaded)
        compressed = len(packed) < len(loaded)
        base.unpacked = 0 if compressed else unpacked or GENERATIONS
        payload = packed if compressed else loaded
        return _Kept(Circuit(payload, compressed, len(loaded), actual), sent, len(payload) + len(sent or b""))


def _unpacked(packed: Packed) -> bytes:
    """Return a bitstream that a client sent whole."""
    if packed.plain is not None:
        return packed.plain
    assert packed.lz4 is not None
    if packed.length not in (LENGTH, LENGTH_WITHOUT_BRAM):
        raise InvalidBitstream(
            f"a bitstream has {LENGTH:,} bytes in its normal form, or {LENGTH_WITHOUT_BRAM:,} without the content of "
            f"block RAM, not {packed.length or 0:,}"
        )
    return decompress(packed.lz4, packed.length)
