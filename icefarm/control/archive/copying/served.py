"""Whose the rows of reservations are."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from attrs import Factory, define

__all__ = ["MOST", "ServedReservations"]

#: Reservations of a worker that are remembered.
MOST = 4096

_SERVED = """
    SELECT id, serial, client FROM reservation
     WHERE id = ANY (%(ids)s) AND (worker = %(worker)s OR %(worker)s = ANY (past_workers))
"""


@define(eq=False)
class ServedReservations:
    """Remembers the reservations that workers serve or served, with serial and client, which never change."""

    _known: dict[str, dict[str, tuple[str, str]]] = Factory(dict)

    def of(self, worker: str, ids: Set[str], cursor: Any) -> Mapping[str, tuple[str, str]]:
        """Return serial and client of these reservations, and maybe of others; none of those that are not its own."""
        known = self._known.setdefault(worker, {})
        if len(known) > MOST:
            known.clear()
        new = ids - known.keys()
        if new:
            cursor.execute(_SERVED, {"ids": list(new), "worker": worker})
            known.update((id, (serial, client)) for id, serial, client in cursor.fetchall())
        return known
