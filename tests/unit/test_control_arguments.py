"""Bad input to every procedure of control: each gets a clear error, and nothing changes."""

from __future__ import annotations

from typing import Any

import pytest
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
from icefarm.testing.control import MemoryControl

_NAN, _HUGE = float("nan"), 10**400
_SERIALS = [("A",), ([1],), ([["A"]],), ({"A": 1},), ([None],), (7,), (["A"] * 3, "more", 1, 2)]

CLIENT_CASES: dict[str, list[tuple[tuple[Any, ...], dict[str, Any]]]] = {
    "available": [((7,), {}), ((["k"],), {}), ((), {"sort": "x"}), (("a", "b"), {})],
    "reserve": [
        ((), {}),
        ((), {"kind": "pulsecount"}),
        ((0,), {"kind": "pulsecount"}),
        ((-1,), {"kind": "pulsecount"}),
        ((True,), {"kind": "pulsecount"}),
        ((1.0,), {"kind": "pulsecount"}),
        (("1",), {"kind": "pulsecount"}),
        ((10**9,), {"kind": "pulsecount"}),
        ((1, ["A"]), {"kind": "pulsecount"}),
        ((), {"serials": [], "kind": "pulsecount"}),
        ((), {"serials": ["A", "A"], "kind": "pulsecount"}),
        ((), {"serials": "A", "kind": "pulsecount"}),
        ((1,), {"kind": 7}),
        ((1,), {"kind": ""}),
        ((1,), {"kind": "pulsecount", "options": [1]}),
        ((1,), {"kind": "pulsecount", "options": {1: 2}}),
        ((1,), {"kind": "pulsecount", "options": {"x": b"bytes"}}),
        ((1,), {"kind": "pulsecount", "options": {"x": _NAN}}),
        ((1,), {"kind": "pulsecount", "options": {"x": "y" * 100_000}}),
        ((1,), {"kind": "pulsecount", "wait": 1}),
        ((1,), {"kind": "pulsecount", "timeout": -1}),
        ((1,), {"kind": "pulsecount", "timeout": _NAN}),
        ((1,), {"kind": "pulsecount", "seconds": 0}),
        ((1,), {"kind": "pulsecount", "seconds": 1e12}),
        ((1,), {"kind": "pulsecount", "seconds": _HUGE}),
        ((1,), {"kind": "pulsecount", "client": "bob"}),
        ((1,), {"kind": "pulsecount", "request": ""}),
        ((1,), {"kind": "pulsecount", "request": "x" * 65}),
        ((1,), {"kind": "pulsecount", "request": "a\x00b"}),
        ((1,), {"kind": "pulsecount", "request": 7}),
        ((1,), {"kind": "pulsecount", "grace": -1}),
        ((1,), {"kind": "pulsecount", "grace": _NAN}),
        ((1,), {"kind": "pulsecount", "grace": "30"}),
    ],
    "extend": [*((args, {}) for args in _SERIALS), ((), {"seconds": 0}), ((), {"seconds": "1"}), ((), {"who": "bob"})],
    "end": [*((args, {}) for args in _SERIALS), ((), {"client": "bob"})],
    "snapshot": [((1,), {}), ((), {"x": 1})],
    "reboot": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
    "heartbeat": [((), {}), ((7,), {}), (("i", "j"), {})],
    "dismiss": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS[1:6])],
    "history": [((0,), {}), ((-1,), {}), ((_NAN,), {}), (("1",), {}), ((1e9,), {}), ((), {"x": 1})],
    "device_history": [((), {}), ((7,), {}), ((["A"],), {})],
    "journal": [((1,), {}), ((), {"x": 1})],
    "delete": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
    "end_any": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
    "drain": [((), {}), ((7,), {}), ((["w1"],), {})],
    "resume": [((), {}), ((7,), {}), ((["w1"],), {})],
    "retest": [((), {}), ((None,), {}), *((args, {}) for args in _SERIALS)],
}

_REPORT = {"serial": "A", "status": "available"}
_HELLO = {"name": "w1", "instance": "i", "host": "h", "version": "1", "kinds": [], "devices": []}
WORKER_CASES: dict[str, list[dict[str, Any]]] = {
    "hello": [
        {},
        {"hello": None},
        {"hello": []},
        {"hello": {}},
        {"hello": {**_HELLO, "name": "another"}},
        {"hello": {**_HELLO, "devices": [{}]}},
        {"hello": {**_HELLO, "devices": [{"serial": "A", "status": "happy"}]}},
        {"hello": {**_HELLO, "devices": [_REPORT, _REPORT]}},
        {"hello": {**_HELLO, "devices": [{**_REPORT, "serial": ""}]}},
        {"hello": {**_HELLO, "devices": [{**_REPORT, "serial": "a\nb"}]}},
        {"hello": {**_HELLO, "kinds": [{"name": "k"}]}},
    ],
    "report": [
        {},
        {"report": None},
        {"report": {}},
        {"report": {**_REPORT, "status": 7}},
        {"report": {**_REPORT, "serial": " A"}},
        {"report": {**_REPORT, "evaluations": "many"}},
    ],
    "heartbeat": [{}, {"instance": None}, {"instance": "i", "x": 1}],
    "log": [
        {},
        {"level": "loud", "message": "x"},
        {"level": "info", "message": 7},
        {"level": "info", "message": "x", "serial": "\x00"},
    ],
    "event": [
        {},
        {"serial": "A", "reservation": "r", "name": "failure", "fields": {}},
        {"serial": "A", "reservation": "r", "name": "", "fields": {}},
        {"serial": "A", "reservation": "r", "name": "x", "fields": [1]},
    ],
}


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
