"""Pure: no I/O, no clock.  The last circuits that a worker was sent, and the one that a next one differs little from.

Children of one circuit differ in a few bits: the difference has some 300 bytes, the circuit 11 or 104 kB.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

from attrs import Factory, define

from icefarm.bitstream import decompress
from icefarm.bitstream.delta import difference

__all__ = ["BASES", "SMALLEST", "Bases"]

#: Circuits that are remembered for each worker: the parents of a generation.  A worker keeps more, of all clients.
BASES = 8
#: Bytes as sent from which on a circuit is worth a difference: making one costs more than it saves below.
SMALLEST = 4096
#: What must be the same in two circuits for one to be tried as the base of the other: half of so many bytes at so many
#: places.
PLACES, BYTES = 16, 256
#: A difference is sent if it has at most this part of the circuit.
PART = 0.5
#: Attempts in a row without a gain after which only every so many circuits are tried.
ATTEMPTS, SELDOM = 8, 16


@define(eq=False)
class _Base:
    sha256: str
    payload: Mapping[str, Any]
    _plain: bytes | None = None

    @property
    def plain(self) -> bytes:
        if self._plain is None:
            self._plain = _plain(self.payload)
        return self._plain


def _plain(payload: Mapping[str, Any]) -> bytes:
    data = payload.get("plain")
    return decompress(payload["lz4"], payload["length"]) if data is None else bytes(data)


def _size(payload: Mapping[str, Any]) -> int:
    return len(payload.get("lz4") or payload.get("plain") or b"")


@define(eq=False)
class Bases:
    """The circuits that one worker was sent last."""

    _bases: deque[_Base] = Factory(lambda: deque(maxlen=BASES))
    _failed: int = 0
    _skipped: int = 0

    def brief(self, payload: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what to send for a circuit: a difference, if that is much shorter; note that it is sent."""
        if _size(payload) < SMALLEST:
            return payload
        circuit = _Base(payload["sha256"], payload)
        sent = self._difference(circuit) if self._is_turn() else None
        self._bases.append(circuit)
        return payload if sent is None else sent

    def lost(self) -> None:
        """The worker did not have a base: it is restarted, or has too many clients."""
        self._bases.clear()
        self._failed = ATTEMPTS

    def _is_turn(self) -> bool:
        if not self._bases:
            return False
        if self._failed >= ATTEMPTS and self._skipped < SELDOM:
            self._skipped += 1
            return False
        self._skipped = 0
        return True

    def _difference(self, circuit: _Base) -> dict[str, Any] | None:
        candidates = ((_alike(circuit.plain, base.plain), base) for base in reversed(self._bases))
        alike, base = max(candidates, key=itemgetter(0))
        self._failed += 1
        if alike < PLACES // 2:
            return None
        delta = difference(circuit.plain, base.plain, int(PART * _size(circuit.payload)))
        if delta is None:
            return None
        self._failed = 0
        return {"sha256": circuit.sha256, "base": base.sha256, "delta": delta}


def _alike(one: bytes, other: bytes) -> int:
    """Return at how many places two circuits are the same."""
    step = max(BYTES, len(one) // PLACES)
    return sum(one[at : at + BYTES] == other[at : at + BYTES] for at in range(0, step * PLACES, step))
