"""Whether this control reaches a router, as the election of the leader asks (`icefarm.control.storage.leader`)."""

from __future__ import annotations

from collections.abc import Collection
from math import inf

from attrs import Factory, define

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, outcomes
from icefarm.wamp.link import Link

__all__ = ["RouterProbe"]

#: Seconds from the end of a probe to the next one.
PAUSE = 1.0
#: Seconds after which a probe says nothing any more.
VALID = 4.0


@define(eq=False)
class RouterProbe:
    """Asks all routers for their greeting, in the background, for as long as somebody wants to know.

    It needs no session: a standby has none, and a session over RawSocket does not notice that its network is down.  A
    router that greets and refuses control, as one does whose ticket was changed, is none that it reaches.
    """

    _clock: Clock
    _links: Collection[Link]
    #: What the last probe found, and when it ended.
    _found: bool = False
    _ended: float = -inf
    _runs: bool = False
    _tasks: Tasks = Factory(Tasks)

    def reaches(self) -> bool | None:
        """Return what the last probe found, None if there was none lately; begin the next one if it is due."""
        if not self._runs and self._clock.seconds() - self._ended >= PAUSE:
            self._runs = True
            self._tasks.start("probing the routers", self._look)
        return self._found if self._clock.seconds() - self._ended <= VALID else None

    def stop(self) -> None:
        """Cancel the probe that runs; none begins after it."""
        self._tasks.stop()

    async def _look(self) -> None:
        try:
            answers = await outcomes([link.is_of_use for link in self._links], len(self._links))
            self._found = True in answers
        finally:
            self._runs, self._ended = False, self._clock.seconds()
