"""The farm's routers, as control reaches them.

Each group of workers has a router, which passes on the calls to their boards; control is at all of them.  A farm with
one router is one of these.
"""

from __future__ import annotations

from attrs import Factory, define

from icefarm.bus import Bus
from icefarm.errors import LinkLost

__all__ = ["ONLY", "Routers"]

#: The name of a farm's only router, if nothing else names it.
ONLY = ""


@define(eq=False)
class Routers:
    """Which routers are in reach, and at which one each worker is."""

    #: The URLs at which clients reach them, in the operator's order.
    names: tuple[str, ...] = (ONLY,)
    #: The sessions of control, by router, while it has them.
    buses: dict[str, Bus] = Factory(dict)
    #: The router at which each worker said hello last; before that, one at which it has a session.
    _of_worker: dict[str, str] = Factory(dict)

    def place(self, worker: str, router: str) -> None:
        """Note at which router a worker is."""
        self._of_worker[worker] = router

    def find(self, worker: str, router: str) -> None:
        """Note that a worker has a session at a router, as a control that was restarted sees before its next hello."""
        self._of_worker.setdefault(worker, router)

    def bus_of(self, worker: str) -> Bus:
        """Return the session at a worker's router.  Raises `LinkLost`."""
        router = self._of_worker.get(worker, self.names[0])
        bus = self.buses.get(router)
        if bus is None:
            raise LinkLost(f"control has no connection to the router {router or 'of the farm'} just now")
        return bus

    def workers(self, router: str) -> tuple[list[str], list[str]]:
        """Return the workers at a router, and those at others."""
        here = sorted(worker for worker, place in self._of_worker.items() if place == router)
        return here, sorted(self._of_worker.keys() - set(here))

    def seen_from(self, router: str, worker: str) -> str | None:
        """Return the URL at which the boards of a worker are reached; None: at that router itself.

        A worker that control has not met yet may be at any; None, then.
        """
        place = self._of_worker.get(worker)
        return None if place in (None, router) else place
