"""Boards fall silent, garble what they say, and are pulled out whatever they are doing."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import deferLater
from waiting import until

from faults.evaluations import ITEMS, Start, all_answered, evaluating
from faults.farm import FaultyFarm
from icefarm.client.connection.watch import Watch
from icefarm.client.session import ClientSession, connect
from icefarm.contract import DeviceStatus, Role

pytestmark = pytest.mark.faults

#: Seconds for a board to get into a state.
SEEN_LIMIT = 30.0
#: Times that a board is tested until that is seen.
TRIES = 10
UNPLUGGED_IN = (DeviceStatus.AVAILABLE, DeviceStatus.FLASHING, DeviceStatus.RESERVED, DeviceStatus.TESTING)


@ensureDeferred
async def test_a_board_that_falls_silent_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "silent")
    serial = farm.serials()[0]
    await farm.command("fault", serial, "silent", "on")
    await deferLater(farm.reactor, 2.0)
    await farm.command("fault", serial, "silent", "off")
    await all_answered(farm, client)


@ensureDeferred
@pytest.mark.slow
async def test_what_a_board_that_stays_silent_had_to_do_is_done_by_others(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "silent-for-good")
    serial = farm.serials()[0]
    await farm.command("fault", serial, "silent", "on")
    try:
        await until(lambda: client.holding, "all answers", 100.0)
        device = next(device for device in (await farm.snapshot()).devices if device.serial == serial)
        assert device.reason or device.status is not DeviceStatus.AVAILABLE
    finally:
        await farm.command("fault", serial, "silent", "off")
    tally = await client.finish()
    tally.check()
    assert (tally.values, tally.failures) == (ITEMS, {})
    await retest(farm, [serial])


@ensureDeferred
@pytest.mark.slow
@pytest.mark.parametrize("every", ["3", "20"])
async def test_a_board_that_garbles_its_answers_gives_no_wrong_value(
    farm: FaultyFarm, start: Start, every: str
) -> None:
    client = await evaluating(farm, start, f"garbled-{every}")
    serial = farm.serials()[0]
    await farm.command("fault", serial, "garbled", "on", every)
    try:
        await until(lambda: client.holding, "all answers", 100.0)
    finally:
        await farm.command("fault", serial, "garbled", "off")
    tally = await client.finish()
    tally.check()
    assert (tally.values, tally.failures) == (ITEMS, {})
    await retest(farm, [serial])


@ensureDeferred
@pytest.mark.slow
async def test_a_board_that_is_unplugged_while_it_measures_costs_no_evaluation(farm: FaultyFarm, start: Start) -> None:
    client = await evaluating(farm, start, "unplugged")
    serial = farm.serials()[0]
    await farm.command("unplug", serial)
    await deferLater(farm.reactor, 1.0)
    await farm.command("plug", serial)
    await all_answered(farm, client)


@ensureDeferred
@pytest.mark.parametrize("status", UNPLUGGED_IN)
async def test_a_board_that_is_unplugged_in_any_state_comes_back(farm: FaultyFarm, status: DeviceStatus) -> None:
    session = connect(farm.reactor, farm.watcher.url, f"unplugger-{status.value}")
    await session.start()
    watch = farm.watcher.watch()
    serial = farm.serials()[0]
    try:
        reserving = await come_to(session, watch, serial, status)
        await farm.command("unplug", serial)
        try:
            # One that vanishes on its way to its boot loader may as well be defective; it is offered to nobody.
            await seen(watch, serial, {DeviceStatus.OFFLINE, DeviceStatus.BROKEN})
        finally:
            await farm.command("plug", serial)
        await reserving
    finally:
        watch.stop()
        await session.stop()
    await farm.all_available()


async def come_to(session: ClientSession, watch: Watch, serial: str, status: DeviceStatus) -> Deferred[Any]:
    """Have a board come to a state, and see it there.

    Its test may be over before control has heard of it: a busy worker reports both at once.  Then it is tested again.
    """
    instead = {DeviceStatus.AVAILABLE} if status is DeviceStatus.TESTING else set()
    for _ in range(TRIES):
        reserving = await bring_about(session, serial, status)
        reserving.addErrback(lambda _: None)
        if status is DeviceStatus.AVAILABLE or await seen(watch, serial, {status, *instead}) is status:
            return reserving
        await reserving
    raise AssertionError(f"{serial} was not seen {status.value}")


async def bring_about(session: ClientSession, serial: str, status: DeviceStatus) -> Any:
    """Have a board come to a state: by reserving it, and for some states by giving it back."""
    if status is DeviceStatus.AVAILABLE:
        return succeed(None)
    reserving = Deferred.fromCoroutine(session.reserve(serials=[serial]))
    if status is DeviceStatus.TESTING:
        await reserving
        return Deferred.fromCoroutine(session.end())
    return reserving


async def seen(watch: Watch, serial: str, states: set[DeviceStatus]) -> DeviceStatus:
    """Follow a farm until a board is in one of some states, and return that."""
    while True:
        changes = await watch.take(SEEN_LIMIT)
        assert changes, f"{serial} was not {' or '.join(states)} within {SEEN_LIMIT:g} s"
        for change in changes:
            if change.event == "device" and change.of["serial"] == serial and change.of["status"] in states:
                return DeviceStatus(change.of["status"])


async def retest(farm: FaultyFarm, serials: list[str]) -> None:
    """Have boards that were set aside tested again, as an operator would."""
    token = farm.operator_token
    operator = connect(farm.reactor, farm.watcher.url, "operator", token=token, role=Role.OPERATOR)
    await operator.start()
    try:
        broken = [
            device.serial
            for device in (await operator.snapshot()).devices
            if device.serial in serials and device.status is DeviceStatus.BROKEN
        ]
        if broken:
            await operator.retest(broken)
    finally:
        await operator.stop()
