"""Pure: no I/O, no clock.  Which bitstreams workers are believed to have, so that they travel once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

__all__ = ["Sent"]

#: Bitstreams remembered for each worker; a worker keeps about as many sparse ones.
REMEMBERED = 16_384


@define(eq=False)
class Sent:
    """What was sent to each worker.  It may be wrong: a worker forgets, restarts, or never got it."""

    _by_worker: dict[str, OrderedDict[str, None]] = Factory(dict)

    def briefly(self, worker: str, payload: Any) -> Any:
        """Return what to send to a worker for a bitstream: its hash alone where it was sent whole before.

        What is sent now is taken as received: calls of one session arrive in order.
        """
        if not isinstance(payload, Mapping):
            return payload
        digest = payload["sha256"]
        known = self._by_worker.setdefault(worker, OrderedDict())
        if digest in known:
            known.move_to_end(digest)
            return {"sha256": digest}
        known[digest] = None
        if len(known) > REMEMBERED:
            known.popitem(last=False)
        return payload
