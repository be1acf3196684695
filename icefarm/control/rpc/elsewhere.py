"""Boards at other routers than the one at which a client asks.

Control answers calls to boards that nobody serves at the router where they came in: where a farm has several routers,
control registers the prefix of all boards at each of them; the longer one of a board goes before, as long as its worker
is there.  And clients that know of one router only get boards at that one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from icefarm.bus import Caller
from icefarm.contract import method_of
from icefarm.control.sessions.routers import Routers
from icefarm.control.storage.mirror import BoardOwners
from icefarm.errors import NoSuchProcedure, Unavailable
from icefarm.selectors.language import LONGEST, quoted

__all__ = ["BoardsElsewhere", "only_here"]


def only_here(where: str | None, here: Sequence[str], elsewhere: Sequence[str]) -> str | None:
    """Return a selector that leaves the boards of workers at one router only.

    Where there are too many to name, it stays as it is: a call to a board elsewhere says where that is.
    """
    selectors = [
        f"worker in ({', '.join(map(quoted, here or ['']))})",
        f"not worker in ({', '.join(map(quoted, elsewhere))})",
    ]
    chosen = min(selectors, key=len)
    narrowed = chosen if where is None else f"({where}) and {chosen}"
    return narrowed if len(narrowed) <= LONGEST else where


@frozen
class BoardsElsewhere:
    """Says at which router a board is reached."""

    owners: BoardOwners
    routers: Routers

    async def answer(self, caller: Caller, procedure: str, _: Sequence[Any], __: Mapping[str, Any]) -> Any:
        """Raise `Unavailable` with the router's URL, or `NoSuchProcedure` as the router itself would."""
        serial, _method = method_of(procedure)
        worker = self.owners.worker_of(serial)
        router = None if worker is None else self.routers.seen_from(caller.router, worker)
        if router is None:
            raise NoSuchProcedure(f"nobody offers {procedure} now")
        raise Unavailable(
            f"board {serial} is not at this router of the farm: sign in at {router}, too, and call it there",
            serial=serial,
            router=router,
        )
