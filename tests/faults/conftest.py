"""One farm for all tests of faults, or one of each shape: each test finds it whole, and must leave it so."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_twisted
from pytest_twisted import blockon
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from faults.clients import Client
from faults.farm import FaultyFarm
from faults.invariants import check_nothing_is_held
from faults.shapes import ONE_OF_EACH, Shape

Start = Callable[..., Client]


@pytest.fixture(scope="session", params=[ONE_OF_EACH], ids=str)
def running_farm(request: pytest.FixtureRequest) -> Iterator[FaultyFarm]:
    shape: Shape = request.param
    farm = FaultyFarm(reactor, {"w1": 2, "w2": 2}, routers_wanted=shape.routers, controls_wanted=shape.controls)
    left: list[str] = []
    try:
        blockon(ensureDeferred(farm.start()))
        yield farm
    finally:
        failed = request.session.testsfailed > 0
        if failed:
            print(f"the farm's logs are in {farm.directory}")
        left = blockon(ensureDeferred(farm.stop(keep=failed)))
    assert left == [], f"processes or files stayed behind: {left}"


@pytest_twisted.async_yield_fixture
async def farm(running_farm: FaultyFarm) -> AsyncIterator[FaultyFarm]:
    """The farm, whole; after the test it must be whole again by itself."""
    await running_farm.set_grace(30.0)
    await running_farm.all_available()
    yield running_farm
    await check_nothing_is_held(running_farm)
    assert [death for part in running_farm.parts for death in part.deaths] == []
    running_farm.logs.check()


@pytest_twisted.async_yield_fixture
async def start(farm: FaultyFarm) -> AsyncIterator[Start]:
    """Starts client processes; those that are left at the end are killed."""
    clients: list[Client] = []

    def started(name: str, **options: Any) -> Client:
        clients.append(Client.start(farm, name, **options))
        return clients[-1]

    yield started
    for client in clients:
        await client.kill()
