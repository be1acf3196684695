"""Pure: no I/O, no clock.  What workers were sent, so that a circuit travels once, or as a difference.

Children of one circuit differ in a few bits: the difference has some 300 bytes, the circuit 11 or 104 kB.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from itertools import islice
from typing import Any

from attrs import Factory, define

from icefarm.bitstream import decompress
from icefarm.bitstream.transfer import best_difference
from icefarm.contract import BASE_DIGITS

__all__ = ["ASSUMED_CACHE_BYTES", "BASES", "SMALLEST", "Bases", "Sent", "is_difference"]

#: Bytes of bitstreams that a worker is assumed to cache: half of what it does (`icefarm.kinds.circuit.KEPT_BYTES`), so
#: that two clients that cycle through more than its cache holds do not miss every time.
ASSUMED_CACHE_BYTES = 32 << 20
#: The least that it is assumed to cache, after misses.
BELIEVED_LEAST = 1 << 20

#: Circuits that are remembered for each worker: the parents of a generation.  A worker keeps more, of all clients.
BASES = 8
#: Bytes as sent from which on a circuit is worth a difference, which takes some 250 bytes of a message and 0.1 ms.
SMALLEST = 1024
#: Attempts in a row without a gain after which only every so many circuits are tried, and with so many bases: with all
#: of them it takes a millisecond, and the children of a circuit follow each other.
ATTEMPTS, SELDOM, FEW = 8, 16, 2


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
        most = BASES if self._failed < ATTEMPTS else FEW
        self._failed += 1
        latest_first = list(islice(reversed(self._bases), most))
        bases, size = [base.plain for base in latest_first], _size(circuit.payload)
        found = best_difference(circuit.plain, bases, size)
        if found is None:
            return None
        self._failed = 0
        return {"sha256": circuit.sha256, "base": latest_first[found[0]].sha256[:BASE_DIGITS], "delta": found[1]}


@define(eq=False)
class _Worker:
    #: Size of each bitstream as sent, by SHA-256; the most recently used one is last.
    known: OrderedDict[str, int] = Factory(OrderedDict)
    held: int = 0
    room: int = ASSUMED_CACHE_BYTES
    bases: Bases = Factory(Bases)


@define(eq=False)
class Sent:
    """What was sent to each worker, so that a bitstream travels once.

    It may be wrong: a worker forgets, restarts, or never received it.
    """

    _workers: dict[str, _Worker] = Factory(dict)

    def briefly(self, worker: str, payload: Any, deltas: bool = False) -> Any:
        """Return what to send to a worker for a bitstream: only its hash if all of it was sent before.

        With ``deltas``, the worker takes the difference from another one.  What is sent now counts as received: calls
        of one session arrive in order.
        """
        if not isinstance(payload, Mapping):
            return payload
        there = self._workers.setdefault(worker, _Worker())
        digest = payload["sha256"]
        if digest in there.known:
            there.known.move_to_end(digest)
            return {"sha256": digest}
        size = there.known[digest] = _size(payload)
        there.held += size
        while there.held > there.room:
            there.held -= there.known.popitem(last=False)[1]
        return there.bases.brief(payload) if deltas else payload

    def missed(self, worker: str, payload: Mapping[str, Any], brief: Mapping[str, Any]) -> None:
        """Note that a worker did not have a bitstream, or its base: it was restarted, or others fill its cache too."""
        there = self._workers.get(worker)
        if there is not None and is_difference(brief):
            there.bases.lost()
            return
        # Several pending calls may find out; the first one has already drawn the conclusion.
        if there is not None and payload["sha256"] in there.known:
            self._workers[worker] = _Worker(room=max(BELIEVED_LEAST, there.room // 2))


def is_difference(bitstream: object) -> bool:
    """Tell whether a bitstream is sent as its difference from another one."""
    return isinstance(bitstream, Mapping) and "delta" in bitstream
