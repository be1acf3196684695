"""Connections of clients, workers and control to the router, and of control to PostgreSQL, break, stall, are away."""

from __future__ import annotations

from random import Random

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import deferLater
from waiting import until

from faults.evaluations import ITEMS, Start, all_answered, evaluating
from faults.farm import FaultyFarm
from faults.shapes import ON_BOTH
from icefarm.client.connection.patience import Patience
from icefarm.client.session import connect
from icefarm.errors import Busy

pytestmark = [pytest.mark.faults, ON_BOTH]

#: Resets of the long test and of the short one, and the seconds between two of them, at most.
RESETS, FEW_RESETS = 100, 10
#: Whose connections there are.
WHOSE = ("clients", "workers", "control", "PostgreSQL")
BETWEEN_RESETS = 0.6
#: Seconds until a call that needs the database says that it is away: 10, and some for a busy machine.
BUSY_LIMIT = 15.0


@ensureDeferred
@pytest.mark.slow
@pytest.mark.parametrize("whose", WHOSE)
async def test_connections_that_are_cut_cost_no_evaluation(farm: FaultyFarm, start: Start, whose: str) -> None:
    client = await evaluating(farm, start, f"cut-{whose}")
    for link in farm.links.of_kind(whose):
        link.cut()
    await all_answered(farm, client)


@ensureDeferred
@pytest.mark.slow
@pytest.mark.parametrize("whose", WHOSE)
async def test_a_black_hole_that_ends_costs_no_evaluation(farm: FaultyFarm, start: Start, whose: str) -> None:
    client = await evaluating(farm, start, f"black-hole-{whose}")
    for link in farm.links.of_kind(whose):
        link.hold()
    await deferLater(farm.reactor, 4.0)
    for link in farm.links.of_kind(whose):
        link.release()
    await all_answered(farm, client)


@ensureDeferred
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("seconds", [20.0, 75.0])
@pytest.mark.parametrize("whose", ["clients", "workers"])
async def test_a_link_that_is_away_for_less_than_the_grace_costs_no_evaluation(
    farm: FaultyFarm, start: Start, whose: str, seconds: float
) -> None:
    await farm.set_grace(90.0)
    client = await evaluating(farm, start, f"away-{whose}-{seconds:g}")
    for link in farm.links.of_kind(whose):
        await link.stop()
    await deferLater(farm.reactor, seconds)
    for link in farm.links.of_kind(whose):
        await link.start()
    await all_answered(farm, client)


@ensureDeferred
@pytest.mark.parametrize("whose", ["control", "PostgreSQL"])
async def test_control_without_the_router_or_its_database_for_a_while_costs_no_evaluation(
    farm: FaultyFarm, start: Start, whose: str
) -> None:
    client = await evaluating(farm, start, f"cut-off-{whose}")
    for link in farm.links.of_kind(whose):
        link.hold()
    await deferLater(farm.reactor, 2.0)
    for link in farm.links.of_kind(whose):
        link.reset()
        link.release()
    await all_answered(farm, client)


@ensureDeferred
@pytest.mark.slow
@pytest.mark.parametrize("how", ["refused", "a black hole", "slow"])
async def test_while_the_way_to_the_database_is_bad_requests_are_answered_or_fail_by_name_in_bounded_time(
    farm: FaultyFarm, how: str
) -> None:
    session = connect(farm.reactor, farm.watcher.url, f"database-{how}", patience=Patience(retry=0.0))
    await session.start()
    links = farm.links.databases
    try:
        for link in links:
            if how == "refused":
                await link.stop()
            elif how == "slow":
                link.delay = 0.2
            else:
                link.hold()
        began = farm.reactor.seconds()
        if how == "slow":
            assert len(await session.reserve(1)) == 1
        else:
            with pytest.raises(Busy):
                await session.reserve(1)
        assert farm.reactor.seconds() - began < BUSY_LIMIT
    finally:
        for link in links:
            link.delay = 0.0
            link.reset()
            link.release()
            if how == "refused":
                await link.start()
    # This session does not call again; that of the farm does, until control has its database back.
    await farm.snapshot()
    await session.end()
    await farm.all_available()
    await session.stop()


async def resets(farm: FaultyFarm, start: Start, amount: int) -> None:
    """Reset all sockets at random moments, of clients and of workers in turn."""
    seed = amount
    random = Random(seed)
    client = start(f"resets-{amount}", boards=farm.amount, items=0, window=1.0)
    await until(lambda: client.tally.values >= 5, "the first answers", 30.0)
    for number in range(amount):
        await deferLater(farm.reactor, random.uniform(0.0, BETWEEN_RESETS))
        for link in farm.links.of_kind(("clients", "workers")[number % 2]):
            link.reset()
    over = farm.reactor.seconds()
    await until(lambda: client.measured_since(over), "evaluations go on", 60.0)
    tally = await client.finish()
    tally.check()
    assert tally.failures == {}, f"seed {seed}: {tally.messages}"


@ensureDeferred
async def test_sockets_that_are_reset_at_random_moments_lose_nothing(farm: FaultyFarm, start: Start) -> None:
    await resets(farm, start, FEW_RESETS)


@ensureDeferred
@pytest.mark.slow
@pytest.mark.timeout(400)
async def test_sockets_that_are_reset_100_times_lose_nothing(farm: FaultyFarm, start: Start) -> None:
    await resets(farm, start, RESETS)


@ensureDeferred
@pytest.mark.slow
async def test_a_slow_link_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    for link in farm.links.clients:
        link.delay = 0.1
    try:
        client = await evaluating(farm, start, "slow-link", items=ITEMS)
        await all_answered(farm, client)
    finally:
        for link in farm.links.clients:
            link.delay = 0.0
