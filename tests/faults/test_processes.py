"""Processes of the farm and of its clients die or stall in the middle of evaluations."""

from __future__ import annotations

import signal

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import deferLater
from waiting import until

from faults.evaluations import ITEMS, Start, all_answered, evaluating
from faults.farm import FaultyFarm
from faults.invariants import check_archived
from faults.shapes import ON_BOTH
from icefarm.client.connection.patience import Patience
from icefarm.client.session import connect
from icefarm.errors import Busy

pytestmark = [pytest.mark.faults, ON_BOTH]

#: Seconds until a client that tries again for one second hears that the database is away: control says so after 5 s,
#: and at once from then on; the rest is for a slow machine.
BUSY_LIMIT = 15.0


@ensureDeferred
@pytest.mark.slow
async def test_without_faults_every_evaluation_is_answered_once_and_rightly(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "quiet")
    await all_answered(farm, client)
    assert client.tally.repeated == 0


@ensureDeferred
async def test_a_worker_that_is_killed_and_back_after_3_s_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "worker-killed")
    await farm.workers["w1"].kill()
    await deferLater(farm.reactor, 3.0)
    await farm.workers["w1"].start()
    await all_answered(farm, client)


@ensureDeferred
async def test_control_that_is_killed_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "control-killed")
    control = farm.control
    await control.kill()
    await deferLater(farm.reactor, 0.5)
    await control.start()
    await all_answered(farm, client)


@ensureDeferred
async def test_a_router_that_is_killed_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "router-killed")
    (router, *_) = farm.routers
    await router.kill()
    await deferLater(farm.reactor, 0.5)
    await router.start()
    await all_answered(farm, client)


@ensureDeferred
async def test_a_database_that_is_away_for_10_s_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "database-away", items=120)
    await farm.postgres.stop()
    await deferLater(farm.reactor, 10.0)
    await farm.postgres.start()
    await all_answered(farm, client, items=120)


@ensureDeferred
@pytest.mark.slow
@pytest.mark.parametrize("part", ["w1", "control", "router", "PostgreSQL", "client"])
async def test_a_process_that_stalls_for_a_while_costs_no_evaluation(farm: FaultyFarm, start: Start, part: str) -> None:
    client = await evaluating(farm, start, f"stalled-{part}")
    if part == "client":
        client.signal(signal.SIGSTOP)
        await deferLater(farm.reactor, 3.0)
        client.signal(signal.SIGCONT)
    else:
        victim = {"w1": farm.workers["w1"], "control": farm.control, "router": farm.routers[0]}.get(part, farm.postgres)
        victim.pause()
        await deferLater(farm.reactor, 3.0)
        victim.resume()
    await all_answered(farm, client)


@ensureDeferred
async def test_a_client_that_is_killed_frees_its_boards_within_its_grace(farm: FaultyFarm, start: Start) -> None:
    await farm.set_grace(3.0)
    client = await evaluating(farm, start, "killed", items=0)
    await client.kill()
    await farm.all_available(limit=3.0 + 5.0)


@ensureDeferred
async def test_a_worker_that_never_comes_back_is_told_and_evaluations_move(farm: FaultyFarm, start: Start) -> None:
    await farm.set_grace(4.0)
    client = await evaluating(farm, start, "worker-gone")
    lost = set(farm.serials("w1"))
    await farm.workers["w1"].kill()
    try:
        await until(
            lambda: {line["serial"] for line in client.story if line.get("name") == "ended"} == lost,
            "the client is told",
            30.0,
        )
        await all_answered(farm, client, archived=False)
    finally:
        await farm.workers["w1"].start()
    await check_archived(farm, [client.tally])


@ensureDeferred
async def test_what_is_answered_while_worker_control_and_database_die_is_in_the_archive_once(
    farm: FaultyFarm, start: Start
) -> None:
    client = await evaluating(farm, start, "archived", items=2 * ITEMS)
    await farm.postgres.stop()
    await until(lambda: client.tally.values >= ITEMS // 2, "answers without a database", 60.0)
    await farm.workers["w1"].kill()
    await farm.workers["w1"].start()
    await farm.postgres.start()
    control = farm.control
    await control.kill()
    await control.start()
    await farm.workers["w2"].kill()
    await farm.workers["w2"].start()
    await all_answered(farm, client, 2 * ITEMS)


@ensureDeferred
async def test_a_second_process_with_the_same_name_is_refused_and_the_first_goes_on(
    farm: FaultyFarm, start: Start
) -> None:
    first = await evaluating(farm, start, "twin")
    second = start("twin", boards=1, items=1)
    with pytest.raises(AssertionError, match="NameInUse"):
        await second.finished()
    await all_answered(farm, first)


@ensureDeferred
@pytest.mark.slow
async def test_while_the_database_is_away_requests_fail_by_name_in_bounded_time(farm: FaultyFarm) -> None:
    session = connect(farm.reactor, farm.watcher.url, "impatient", patience=Patience(retry=1.0))
    await session.start()
    await farm.postgres.stop()
    try:
        began = farm.reactor.seconds()
        with pytest.raises(Busy):
            await session.reserve(1)
        assert farm.reactor.seconds() - began < BUSY_LIMIT
    finally:
        await farm.postgres.start()
    assert len(await session.reserve(1)) == 1
    await session.stop()
