"""A farm with two routers and two controls: one of either is lost, stops, or is cut off, and the rest goes on."""

from __future__ import annotations

import os
from collections.abc import Sequence

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.task import deferLater
from waiting import until

from faults.clients import Client
from faults.evaluations import Start, evaluating
from faults.farm import FaultyFarm
from faults.invariants import check_agreement, check_archived
from faults.kinds import faults_of
from faults.relay import Relay
from faults.shapes import ON_SEVERAL
from faults.soak import Soak, report

# The first test starts the farm.
pytestmark = [pytest.mark.faults, pytest.mark.timeout(240), ON_SEVERAL]

#: Seconds until a standby leads; until a client has found boards that are at another router; until boards measure that
#: nothing has happened to.  All of them on a busy machine.
TAKEOVER_LIMIT, FOLLOW_LIMIT, GO_ON_LIMIT = 30.0, 20.0, 10.0
#: Seconds for which a control is cut off: longer than it takes for its workers to count as lost, and for another one to
#: lead.
CUT_OFF = 8.0
#: Of random faults.
SECONDS = 20.0


async def measured_at(farm: FaultyFarm, client: Client, router: int, limit: float) -> None:
    """Wait until each board of a router's workers measures from now on."""
    since = farm.reactor.seconds()
    here = [serial for serial, worker in farm.homes.items() if farm.places[worker] == router]
    assert here
    await until(
        lambda: all(client.measured.get(serial, 0.0) > since for serial in here),
        f"the boards of router {router + 1} measure",
        limit,
    )


async def finished(farm: FaultyFarm, client: Client) -> None:
    """End a client, whose evaluations must all have been answered with values, and whose boards are still its own."""
    await check_agreement(farm, [client])
    tally = await client.finish()
    tally.check()
    assert tally.failures == {}
    await check_archived(farm, [tally])


async def can_reserve_at_each_router(farm: FaultyFarm, start: Start, client: Client) -> None:
    """Others reserve at each router; there must be boards for them."""
    for router in range(len(farm.routers)):
        other = start(f"{client.name}-{router}", boards=1, items=2, router=router)
        (await other.finished()).check()


@ensureDeferred
@pytest.mark.parametrize("signed_in_at", [0, pytest.param(1, marks=pytest.mark.slow)])
async def test_while_a_router_is_away_the_boards_of_the_other_go_on_and_those_that_move_there_are_found(
    farm: FaultyFarm, start: Start, signed_in_at: int
) -> None:
    client = await evaluating(farm, start, f"router-away-{signed_in_at}", items=0, router=signed_in_at)
    await farm.routers[0].kill()
    try:
        await measured_at(farm, client, 1, GO_ON_LIMIT)
        await farm.move_worker("w1", 1)
        await measured_at(farm, client, 1, FOLLOW_LIMIT)
    finally:
        await farm.routers[0].start()
        await farm.move_worker("w1", 0)
    await measured_at(farm, client, 0, FOLLOW_LIMIT)
    await finished(farm, client)


@ensureDeferred
@pytest.mark.slow
async def test_a_client_whose_only_router_stays_away_finds_boards_that_move_to_another(
    farm: FaultyFarm, start: Start
) -> None:
    client = await evaluating(farm, start, "one-link", items=0, boards=2, where="worker=w1")
    await farm.routers[0].kill()
    try:
        await farm.move_worker("w1", 1)
        await measured_by(farm, client, FOLLOW_LIMIT)
    finally:
        await farm.routers[0].start()
        await farm.move_worker("w1", 0)
    await measured_by(farm, client, FOLLOW_LIMIT)
    await finished(farm, client)


async def measured_by(farm: FaultyFarm, client: Client, limit: float) -> None:
    """Wait until each of a client's boards measures from now on."""
    since = farm.reactor.seconds()
    await until(lambda: client.measured_since(since), f"the boards of {client.name} measure", limit)


@ensureDeferred
@pytest.mark.parametrize("how", ["killed", pytest.param("stalled", marks=pytest.mark.slow)])
async def test_a_standby_takes_over_at_both_routers(farm: FaultyFarm, start: Start, how: str) -> None:
    client = await evaluating(farm, start, f"control-{how}", items=0, boards=2)
    leader, before = farm.control, farm.leader()
    if how == "killed":
        await leader.kill()
    else:
        leader.pause()
    try:
        await until(lambda: farm.leader() != before, "the standby leads", TAKEOVER_LIMIT)
        await measured_by(farm, client, GO_ON_LIMIT)
        await can_reserve_at_each_router(farm, start, client)
    finally:
        if how == "killed":
            await leader.start()
        leader.resume()
    await finished(farm, client)


def ways_of(farm: FaultyFarm, control: int, where: str) -> Sequence[Relay]:
    """Return the ways of a control to one or both routers, or to PostgreSQL as well."""
    routers = farm.links.controls[control]
    return {"one router": routers[1:], "both routers": routers, "all": farm.links.of_control(control)}[where]


@ensureDeferred
@pytest.mark.slow
@pytest.mark.parametrize("where", ["one router", "both routers", "all"])
async def test_a_leader_that_is_cut_off_costs_no_evaluation(farm: FaultyFarm, start: Start, where: str) -> None:
    client = await evaluating(farm, start, f"cut-off-{where.replace(' ', '-')}", items=0, boards=2)
    before = farm.leader()
    ways = ways_of(farm, farm.controls.index(farm.control), where)
    for way in ways:
        way.hold()
    await deferLater(farm.reactor, CUT_OFF)
    await measured_by(farm, client, GO_ON_LIMIT)
    if where != "one router":
        await until(lambda: farm.leader() != before, "the standby leads", TAKEOVER_LIMIT)
        await can_reserve_at_each_router(farm, start, client)
    for way in ways:
        way.reset()
        way.release()
    await measured_by(farm, client, FOLLOW_LIMIT)
    await finished(farm, client)


@ensureDeferred
async def test_random_faults_lose_nothing_and_leave_nothing_behind(farm: FaultyFarm) -> None:
    seed = int(os.environ.get("ICEFARM_FAULTS_SEED", "0")) or int.from_bytes(os.urandom(4))
    print(f"ICEFARM_FAULTS_SEED={seed} strikes with the same faults again")
    await farm.set_grace(10.0)
    soak = Soak(farm, seed, SECONDS, faults=faults_of(farm), contended=1, window=0.2)
    try:
        await soak.run()
    finally:
        for client in [*soak.evaluators, *soak.contenders]:
            await client.kill()
        print("\n".join(report(soak, SECONDS)))
