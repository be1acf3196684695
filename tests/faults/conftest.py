"""One farm for all tests of faults: each test finds it whole, and must leave it so."""

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

Start = Callable[..., Client]


@pytest.fixture(scope="session")
def _running_farm(request: pytest.FixtureRequest) -> Iterator[FaultyFarm]:
    farm = FaultyFarm(reactor, {"w1": 2, "w2": 2})
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
async def farm(_running_farm: FaultyFarm) -> AsyncIterator[FaultyFarm]:
    """The farm, whole; after the test it must be whole again by itself."""
    await _running_farm.set_grace(30.0)
    await _running_farm.all_available()
    yield _running_farm
    await check_nothing_is_held(_running_farm)
    _running_farm.logs.check()


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
