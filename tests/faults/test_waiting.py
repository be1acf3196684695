"""Many clients want few boards."""

from __future__ import annotations

from typing import Any

import pytest
from attrs import Factory, define
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, gatherResults
from waiting import until

from faults.farm import FaultyFarm
from icefarm.bitstream import from_file
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.run import results_of
from icefarm.client.session import ClientSession, connect

pytestmark = pytest.mark.faults

CLIENTS = 50
#: Seconds for all of them.
LIMIT = 100.0


@define(eq=False)
class Visitor:
    """A client that wants one board for one evaluation."""

    farm: FaultyFarm
    number: int
    session: ClientSession
    #: Words about its place in the queue.
    words: list[Any] = Factory(list)
    reservation: str = ""
    value: int | None = None

    @classmethod
    def of(cls, farm: FaultyFarm, number: int) -> Visitor:
        return cls(farm, number, connect(farm.reactor, farm.links.clients[0].url, f"visitor-{number:02}"))

    async def visit(self) -> None:
        (record,) = await self.session.reserve(
            1, wait=True, timeout=LIMIT, options={"window": 0.1}, progress=self.words.append
        )
        self.reservation = record.id
        run = self.session.run(RunPlan([record.serial]), {record.serial: record})
        circuit = from_file(self.farm.circuits / f"{self.number}.bin")
        async for result in results_of(run, [item_of(circuit)]):
            assert result.value == self.farm.oracle.pulses(self.number, record.serial, 100_000)
            self.value = result.value
        await self.session.end()


@ensureDeferred
async def test_50_clients_that_wait_for_4_boards_are_served_in_their_order(farm: FaultyFarm) -> None:
    visitors = [Visitor.of(farm, number) for number in range(CLIENTS)]
    try:
        await gatherResults([Deferred.fromCoroutine(visitor.session.start()) for visitor in visitors])
        await farm.watcher.reserve(farm.amount)
        visits = []
        for visitor in visitors:
            visits.append(Deferred.fromCoroutine(visitor.visit()))
            await until(visitor.words.__len__, "a word about the queue", 10.0)
        await farm.watcher.end()
        await gatherResults(visits).addTimeout(LIMIT, farm.reactor)
    finally:
        await gatherResults([Deferred.fromCoroutine(visitor.session.stop()) for visitor in visitors])
    assert all(visitor.value is not None for visitor in visitors)
    served = farm.query("SELECT client FROM reservation WHERE client LIKE 'visitor-%' ORDER BY created_at, client")
    assert [client for (client,) in served] == [visitor.session.name for visitor in visitors]
    assert all(visitor.words[0]["place"] == visitor.number + 1 for visitor in visitors)
