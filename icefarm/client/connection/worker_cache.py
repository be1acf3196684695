"""Pure: no I/O, no clock.  Which bitstreams workers are assumed to have, so that they travel once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

__all__ = ["Sent"]

#: Bytes of bitstreams that a worker is assumed to cache: half of what it does (`icefarm.kinds.circuit.KEPT_BYTES`), so
#: that two clients that cycle through more than its cache holds do not miss every time.
ASSUMED_CACHE_BYTES = 32 << 20
#: The least that it is assumed to cache, after misses.
BELIEVED_LEAST = 1 << 20


@define(eq=False)
class _Worker:
    #: Size of each bitstream as sent, by SHA-256; the most recently used one is last.
    known: OrderedDict[str, int] = Factory(OrderedDict)
    held: int = 0
    room: int = ASSUMED_CACHE_BYTES


@define(eq=False)
class Sent:
    """What was sent to each worker.  It may be wrong: a worker forgets, restarts, or never received it."""

    _workers: dict[str, _Worker] = Factory(dict)

    def briefly(self, worker: str, payload: Any) -> Any:
        """Return what to send to a worker for a bitstream: only its hash if all of it was sent before.

        What is sent now counts as received: calls of one session arrive in order.
        """
        if not isinstance(payload, Mapping):
            return payload
        there = self._workers.setdefault(worker, _Worker())
        digest = payload["sha256"]
        if digest in there.known:
            there.known.move_to_end(digest)
            return {"sha256": digest}
        size = there.known[digest] = len(payload.get("lz4") or payload.get("plain") or b"")
        there.held += size
        while there.held > there.room:
            there.held -= there.known.popitem(last=False)[1]
        return payload

    def missed(self, worker: str, payload: Mapping[str, Any]) -> None:
        """Note that a worker did not have a bitstream: it was restarted, or others fill its cache too."""
        there = self._workers.get(worker)
        # Several pending calls may find out; the first one has already drawn the conclusion.
        if there is not None and payload["sha256"] in there.known:
            self._workers[worker] = _Worker(room=max(BELIEVED_LEAST, there.room // 2))
