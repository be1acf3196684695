"""What the router passes on if nobody has anything to do: the limit of a farm with one router, in the same run.

Calls of a board's sign of life (``ping``) that carry the bytes of circuits: the worker answers them as they come.  They
take the same way as evaluations, so the ratio to them holds on any machine.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import frozen
from twisted.internet.defer import DeferredList, ensureDeferred

from icefarm.client import Boards, Farm
from icefarm.client.api.process_engine import engine
from icefarm.client.session import ClientSession

__all__ = ["TOGETHER", "RouterLimit", "lone_call", "measure_router"]

#: Circuits in one call, each time.
TOGETHER = (1, 16)
#: Bytes of a sparse circuit as sent, with what goes with it.
CIRCUIT = 2_600
#: Calls in flight, and seconds of each measurement.
IN_FLIGHT, SECONDS = 64, 2.0
#: Seconds for one call.
LIMIT = 30.0


@frozen
class RouterLimit:
    """Calls that carry so many circuits each."""

    together: int
    calls: float

    @property
    def circuits(self) -> float:
        """Circuits a second."""
        return self.calls * self.together


def measure_router(farm: Farm, boards: Boards) -> Sequence[RouterLimit]:
    """Measure the router between this process and the worker of a reserved board."""
    serial, session = boards.serials[0], farm._subject
    return [RouterLimit(each, engine().run(_rate, session, serial, bytes(CIRCUIT * each))) for each in TOGETHER]


def lone_call(farm: Farm, boards: Boards) -> float:
    """Return how long such a call with one circuit takes that is alone, in ms: the limit of an evaluation."""
    began = time.perf_counter()
    engine().run(farm._subject.ask, boards.serials[0], "ping", limit=LIMIT, payload=bytes(CIRCUIT))
    return (time.perf_counter() - began) * 1000


async def _rate(session: ClientSession, serial: str, payload: bytes) -> float:
    began = time.perf_counter()

    async def calls() -> int:
        count = 0
        while time.perf_counter() < began + SECONDS:
            await session.ask(serial, "ping", limit=LIMIT, payload=payload)
            count += 1
        return count

    done = await DeferredList([ensureDeferred(calls()) for _ in range(IN_FLIGHT)], fireOnOneErrback=True)
    return sum(count for _, count in done) / (time.perf_counter() - began)
