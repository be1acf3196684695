"""What workers may register: the procedures of their own boards, whole, and their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from pytest_twisted import ensureDeferred

from icefarm.bus import Caller
from icefarm.contract import (
    DeviceRecord,
    DeviceStatus,
    control_procedure,
    control_worker_procedure,
    device_prefix,
    device_procedure,
    worker_prefix,
    worker_procedure,
)
from icefarm.control.sessions.sign_in.authorizer import may_register
from icefarm.control.storage.mirror import BoardOwners
from icefarm.control.telemetry.events import BoardsChanged, BoardsDeleted
from icefarm.errors import NotAuthorized
from icefarm.testing.memory.control_harness import MemoryControl

WHOLE = {"match": "prefix"}


def device(serial: str, worker: str) -> DeviceRecord:
    nothing = (None,) * 7
    return DeviceRecord(serial, worker, DeviceStatus.AVAILABLE, *nothing, 0, 0, 0, None, 0.0)  # type: ignore[arg-type]


def owners() -> BoardOwners:
    owners = BoardOwners()
    owners.heard(BoardsChanged([device("A", "w1"), device("B.1/x", "w1"), device("C", "w2")]))
    return owners


@pytest.mark.parametrize("uri", [device_prefix("A"), device_prefix("B.1/x"), worker_prefix("w1")])
def test_a_worker_may_offer_its_boards_and_itself(uri: str) -> None:
    assert may_register("w1", uri, WHOLE, owners())
    assert may_register("w1", uri, {**WHOLE, "force_reregister": True}, owners())


@pytest.mark.parametrize(
    ("uri", "options"),
    [
        (device_prefix("C"), WHOLE),
        (device_prefix("unknown"), WHOLE),
        (device_procedure("C", "evaluate"), {}),
        (device_procedure("A", "evaluate"), {}),
        (device_prefix("A"), {}),
        (device_prefix("A"), {"match": "wildcard"}),
        (device_prefix("A"), {**WHOLE, "invoke": "roundrobin"}),
        (device_prefix("A").removesuffix("."), WHOLE),
        (device_prefix("A") + "evaluate", WHOLE),
        ("icefarm.v1.device.", WHOLE),
        ("icefarm.v1.device..", WHOLE),
        ("icefarm.v1.device..evaluate", {"match": "wildcard"}),
        ("icefarm.v1.device.%41.", WHOLE),
        ("icefarm.v1.", WHOLE),
        ("", WHOLE),
        (worker_prefix("w2"), WHOLE),
        (worker_prefix("w"), WHOLE),
        (worker_procedure("w2", "prepare"), {}),
        (control_procedure("reserve"), {}),
        (control_procedure(""), WHOLE),
    ],
)
def test_a_worker_may_offer_nothing_else(uri: str, options: Mapping[str, Any]) -> None:
    assert not may_register("w1", uri, options, owners())


def test_a_board_that_was_deleted_belongs_to_nobody() -> None:
    known = owners()
    known.heard(BoardsDeleted(["A"]))
    assert not may_register("w1", device_prefix("A"), WHOLE, known)


@ensureDeferred
async def test_only_the_router_may_ask() -> None:
    farm = MemoryControl()
    asked = [{"authid": "w1"}, control_worker_procedure("hello"), "call", {}]
    answer = await farm.control.authorizer.authorize(Caller("crossbar", 0, "trusted"), "", asked, {})
    assert answer == {"allow": True, "cache": True, "disclose": True}
    with pytest.raises(NotAuthorized):
        await farm.control.authorizer.authorize(Caller("ada", 7, "operator"), "", asked, {})


@pytest.mark.parametrize(
    "asked",
    [
        [],
        [None, None, None, None],
        [{"authid": 7}, worker_prefix("7"), "register", WHOLE],
        [{"authid": "w1"}, control_procedure("reserve"), "call", {}],
        [{"authid": "w1"}, control_worker_procedure("anything"), "call", {}],
        [{"authid": "w1"}, "icefarm.v1.event.device", "publish", {}],
        [{"authid": "w1"}, "icefarm.v1.event.", "subscribe", WHOLE],
        [{"authid": "w1"}, worker_prefix("w1"), "register", None],
    ],
)
@ensureDeferred
async def test_all_else_is_refused_and_the_router_keeps_no_list_of_it(asked: list[Any]) -> None:
    farm = MemoryControl()
    answer = await farm.control.authorizer.authorize(Caller("crossbar", 0, "trusted"), "", asked, {})
    assert answer["allow"] is False
    assert answer["cache"] is False


@ensureDeferred
async def test_an_impostor_cannot_take_a_board_that_another_worker_has() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    impostor = await farm.worker("w2", "B")
    assert impostor.bus is not None

    async def lie(*_: Any) -> Any:
        return "false"

    for procedure, prefix in ((device_prefix("A"), True), (device_procedure("A", "evaluate"), False)):
        with pytest.raises(NotAuthorized):
            await impostor.bus.register(procedure, lie, prefix=prefix, replace=True)
