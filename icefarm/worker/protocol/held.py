"""Pure: no I/O, no clock.  The bitstreams that a board holds, as far as its worker knows, and differences from them.

A board has some buffers, each with the bitstream of one EVALUATE: of one that it carries out or is to carry out, or of
one that it answered with RESULT.  The next EVALUATE takes a free buffer: one without a bitstream, or else the one whose
bitstream came first.  `Held` follows that; what it says a board holds, the board holds.  Where it cannot follow, after
an answer that was damaged or lost, it forgets everything (`clear`).  Bitstreams of before that are older than all
later ones, so the board gives up their buffers first.

`difference_for` chooses.  It costs some microseconds where no bitstream is related, and saves a transfer where one is.
"""

from __future__ import annotations

from functools import cached_property

from attrs import Factory, define, field, frozen

from icefarm.bitstream import decompress
from icefarm.bitstream.transfer import best_difference
from icefarm.kinds.circuit import Circuit

try:
    from fastcrc.crc32 import iso_hdlc as crc32
except ImportError:  # a platform for which there is no wheel: the same CRC, four times slower
    from zlib import crc32  # type: ignore[assignment]

__all__ = ["SMALLEST", "SMALLEST_ALONE", "CircuitDifference", "Held"]

#: Bytes as sent from which a circuit is worth a difference.  A shorter one reaches the board within 27 ms even at
#: 0.6 MB/s, while the circuit before it is being loaded (35 ms) and measured.
SMALLEST = 16_384
#: The same for a circuit that is sent while nothing is loaded or measured, so that its transfer shows: 4 to 7 ms.
SMALLEST_ALONE = 4096


@frozen
class CircuitDifference:
    """How a board makes a bitstream: id of the EVALUATE with the base, what differs, and the CRC-32 of the result."""

    base: int
    runs: bytes
    check: int


@define(eq=False, slots=False)
class _Base:
    """A circuit, and its bitstream as it is loaded, once that is needed."""

    circuit: Circuit

    @cached_property
    def plain(self) -> bytes:
        circuit = self.circuit
        return decompress(circuit.payload, circuit.length) if circuit.compressed else circuit.payload


@define(eq=False)
class _Buffer:
    """One of the board's buffers, since the EVALUATE that took it."""

    id: int
    #: What can be a base; a small circuit is none, and not kept in the worker's memory.
    base: _Base | None
    busy: bool = True
    #: Whether the board surely holds the bitstream, also when a request that is under way has arrived.
    usable: bool = True


@define(eq=False)
class Held:
    """The buffers of a board that takes differences; of any other board, none (``buffers`` is 0)."""

    buffers: int = 0
    #: In the order in which their bitstreams came.
    _known: list[_Buffer] = field(init=False, default=Factory(list))
    #: The circuit that a difference was looked for last, which is sent next: it is unpacked once.
    _latest: _Base | None = field(init=False, default=None)

    @property
    def ids(self) -> list[int]:
        """The EVALUATEs whose bitstreams can be bases, the latest one last."""
        return [buffer.id for buffer in self._known if buffer.usable]

    def difference_for(self, circuit: Circuit, *, alone: bool = False) -> CircuitDifference | None:
        """Return the difference from the most alike of the bitstreams; None if the whole is better sent.

        ``alone``: the board does nothing else while it receives the circuit.
        """
        if not self._known or len(circuit.payload) < (SMALLEST_ALONE if alone else SMALLEST):
            return None
        bases = {
            buffer.id: buffer.base.plain
            for buffer in reversed(self._known)
            if buffer.usable and buffer.base is not None and buffer.base.circuit.length == circuit.length
        }
        if not bases:
            return None
        wanted = self._base(circuit).plain
        found = best_difference(wanted, list(bases.values()), len(circuit.payload))
        return None if found is None else CircuitDifference(list(bases)[found[0]], found[1], crc32(wanted))

    def sent(self, id_: int, circuit: Circuit) -> None:
        """An EVALUATE is sent; the board takes one of its free buffers for it."""
        if self.buffers == 0:
            return
        if len(self._known) >= self.buffers:
            free = [buffer for buffer in self._known if not buffer.busy]
            if not free:
                self.clear()
            else:
                self._known.remove(free[0])
        self._known.append(_Buffer(id_, self._base(circuit) if len(circuit.payload) >= SMALLEST_ALONE else None))

    def _base(self, circuit: Circuit) -> _Base:
        if self._latest is None or self._latest.circuit is not circuit:
            self._latest = _Base(circuit)
        return self._latest

    def answered(self, id_: int) -> None:
        """The board sent a RESULT: it keeps the bitstream until it needs the buffer."""
        for buffer in self._of(id_):
            buffer.busy, buffer.usable = False, True

    def cancelling(self, id_: int) -> None:
        """A CANCEL is sent: the board holds the bitstream or does not, as RESULT or FAILED will say."""
        for buffer in self._of(id_):
            buffer.usable = False

    def failed(self, id_: int) -> None:
        """The board sent FAILED: it does not keep the bitstream."""
        for buffer in self._of(id_):
            self._known.remove(buffer)

    def clear(self) -> None:
        """What the board holds is no longer known."""
        self._known.clear()
        self._latest = None

    def _of(self, id_: int) -> list[_Buffer]:
        return [buffer for buffer in self._known if buffer.id == id_]
