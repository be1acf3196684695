"""Bad input to every procedure of control: each gets a clear error, and nothing changes."""

from __future__ import annotations

import pytest
from bad_arguments import CLIENT_CASES, WORKER_CASES
from pytest_twisted import ensureDeferred

from icefarm.bus import Caller
from icefarm.contract import (
    CONTROL_PROCEDURES,
    OPERATOR_PROCEDURES,
    WORKER_PROCEDURES,
    Role,
    control_procedure,
    control_worker_procedure,
)
from icefarm.errors import InvalidArgument, NotAuthorized, UnknownDevice, UnknownWorker
from icefarm.testing.memory.control_harness import MemoryControl


def test_every_procedure_of_the_contract_has_its_cases() -> None:
    assert set(CLIENT_CASES) == {*CONTROL_PROCEDURES, *OPERATOR_PROCEDURES}
    assert set(WORKER_CASES) == set(WORKER_PROCEDURES)


def test_control_registers_the_procedures_of_the_contract_and_no_others() -> None:
    expected = {control_procedure(name) for name in (*CONTROL_PROCEDURES, *OPERATOR_PROCEDURES)}
    expected |= {control_worker_procedure(name) for name in WORKER_PROCEDURES}
    assert set(MemoryControl().control._procedures) == expected


@pytest.mark.parametrize("name", CLIENT_CASES)
@ensureDeferred
async def test_bad_arguments_of_clients_are_refused(name: str) -> None:
    farm = MemoryControl()
    worker, operator = await farm.worker("w1", "A"), farm.operator()
    for args, kwargs in CLIENT_CASES[name]:
        with pytest.raises(InvalidArgument) as caught:
            await operator.bus.call(control_procedure(name), args, kwargs, timeout=1)
        assert caught.value.message, (args, kwargs)
    assert worker.orders == []
    assert await farm.store.active() == []


@pytest.mark.parametrize("name", WORKER_CASES)
@ensureDeferred
async def test_bad_arguments_of_workers_are_refused(name: str) -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    before = await farm.store.devices()
    for kwargs in WORKER_CASES[name]:
        assert worker.bus is not None
        with pytest.raises(InvalidArgument):
            await worker.bus.call(control_worker_procedure(name), (), kwargs, timeout=1)
    assert await farm.store.devices() == before
    assert await worker.heartbeat()


@pytest.mark.parametrize("name", ["reboot", "delete", "retest", "end_any"])
@ensureDeferred
async def test_unknown_boards_are_named(name: str) -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    with pytest.raises(UnknownDevice, match="nowhere"):
        await farm.operator().call(name, ["nowhere"])


@pytest.mark.parametrize("name", ["reboot", "retest"])
@ensureDeferred
async def test_boards_of_an_absent_worker_cannot_be_ordered_about(name: str) -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    assert worker.bus is not None
    worker.bus.drop("gone")
    with pytest.raises(UnknownWorker, match="'w1'"):
        await farm.operator().call(name, ["A"])


@pytest.mark.parametrize("name", OPERATOR_PROCEDURES)
@ensureDeferred
async def test_operators_procedures_are_closed_to_others_though_the_router_let_them_through(name: str) -> None:
    farm = MemoryControl()
    handler = farm.control._procedures[control_procedure(name)]
    for role in (Role.CLIENT, Role.WORKER):
        with pytest.raises(NotAuthorized):
            await handler(Caller("ada", 1, str(role)), name, [["A"]], {})
