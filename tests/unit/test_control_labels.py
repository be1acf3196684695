"""Labels of boards, and requests that choose by them: `icefarm.control` over a router and a store in memory."""

from __future__ import annotations

import json
from collections.abc import Collection

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.concurrency.deferreds import shielded
from icefarm.contract import DeviceRecord
from icefarm.control.archive.parsing import parse_rows
from icefarm.errors import InvalidArgument, NotAuthorized, Unavailable, UnknownDevice, UnknownWorker
from icefarm.testing.memory.control_harness import MemoryControl

start = Deferred.fromCoroutine


@ensureDeferred
async def test_a_request_gets_boards_that_its_selector_selects() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    await farm.worker("w2", "C")
    operator, client = farm.operator(), await farm.client("ada")
    await operator.call("label", {"lab": "3"}, ["B"])
    await operator.call("label", {"lab": "4", "shelf": "x"}, worker="w2")
    records = await client.call("reserve", 1, kind="pulsecount", where="lab=3")
    assert [(record["serial"], record["labels"]) for record in records] == [("B", {"lab": "3"})]
    answer = await client.call("available", where="shelf=x")
    assert answer == {"amount": 1, "serials": ["C"]}
    with pytest.raises(Unavailable, match="of 3 boards, lab=3 leaves 1"):
        await client.call("reserve", 1, kind="pulsecount", where="lab=3")


@ensureDeferred
async def test_whoever_has_set_a_label_finds_boards_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    operator = farm.operator()
    read, slow = farm.store.devices, Deferred[None]()

    async def devices(serials: Collection[str] | None = None) -> list[DeviceRecord]:
        await shielded(slow)
        return await read(serials)

    monkeypatch.setattr(farm.store, "devices", devices)
    labelling = start(operator.call("label", {"lab": "3"}, ["B"]))
    # The boards are read again for all who ask for them.
    assert not labelling.called
    slow.callback(None)
    await labelling
    assert await operator.call("available", where="lab=3") == {"amount": 1, "serials": ["B"]}


@ensureDeferred
async def test_a_board_has_its_workers_labels_but_its_own_count() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    operator = farm.operator()
    await operator.call("label", {"lab": "3", "room": "E1"}, worker="w1")
    boards = await operator.call("label", {"lab": "4"}, ["A"])
    assert boards[0]["labels"] == {"lab": "4", "room": "E1"}
    boards = await operator.call("label", {"lab": None}, ["A"])
    assert boards[0]["labels"] == {"lab": "3", "room": "E1"}
    await worker.hello()
    found = await operator.call("snapshot")
    assert [board["labels"] for board in found["devices"]] == [{"lab": "3", "room": "E1"}] * 2
    assert found["workers"][0]["labels"] == {"lab": "3", "room": "E1"}


@ensureDeferred
async def test_a_worker_learns_the_labels_of_boards_that_it_measures_with() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B")
    operator, client = farm.operator(), await farm.client("ada")
    await operator.call("label", {"lab": "3"}, ["A"])
    await client.call("reserve", serials=["A"], kind="pulsecount")
    assert worker.labels["A"] == {"lab": "3"}
    await operator.call("label", {"batch": "7"}, worker="w1")
    assert worker.labels == {"A": {"lab": "3", "batch": "7"}}
    assert worker.asked("relabel") == ["A"]


@ensureDeferred
async def test_a_request_that_waits_is_served_when_a_label_makes_a_board_fit() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    operator, client = farm.operator(), await farm.client("ada")
    await operator.call("label", {"lab": "3"}, ["A"])
    waiting = start(client.call("reserve", 1, kind="pulsecount", where="lab=4", wait=True))
    farm.clock.advance(0)
    (queued,) = (await operator.call("snapshot"))["queue"]
    assert queued["where"] == "lab=4"
    assert "of 1 board, lab=4 leaves 0; no suitable boards" in queued["reason"]
    await operator.call("label", {"lab": "4"}, ["A"])
    farm.clock.advance(0)
    assert [record["serial"] for record in await waiting] == ["A"]


@ensureDeferred
async def test_a_request_that_waits_keeps_its_selector_over_a_restart_of_control() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    operator, client = farm.operator(), await farm.client("ada")
    await operator.call("label", {"lab": "3"}, ["A"])
    other = await farm.client("bob")
    await other.call("reserve", serials=["A"], kind="pulsecount")
    start(client.call("reserve", 1, kind="pulsecount", where="lab=3", wait=True)).addErrback(lambda _: None)
    farm.clock.advance(0)
    (queued,) = await farm.store.waiting()
    assert str(queued.request.where) == "lab=3"


@ensureDeferred
async def test_only_operators_label_and_bad_labels_are_refused() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    operator, client = farm.operator(), await farm.client("ada")
    with pytest.raises(NotAuthorized):
        await client.call("label", {"lab": "3"}, ["A"])
    with pytest.raises(UnknownDevice):
        await operator.call("label", {"lab": "3"}, ["A", "Z"])
    with pytest.raises(UnknownWorker):
        await operator.call("label", {"lab": "3"}, worker="w9")
    with pytest.raises(InvalidArgument, match="every board has that"):
        await operator.call("label", {"serial": "3"}, ["A"])
    await operator.call("label", {f"l{n}": "1" for n in range(20)}, ["A"])
    with pytest.raises(InvalidArgument, match="board A would have more than 20 labels"):
        await operator.call("label", {"one-more": "1"}, ["A"])
    assert "lab" not in (await farm.store.devices())[0].labels


@ensureDeferred
async def test_an_unknown_name_in_a_selector_is_refused_at_once() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    client = await farm.client("ada")
    await farm.operator().call("label", {"lab": "3"}, ["A"])
    with pytest.raises(InvalidArgument, match=r"where names 'lba'; there are serial, .*; and labels lab$"):
        await client.call("reserve", 1, kind="pulsecount", where="lba=3", wait=True)


@ensureDeferred
async def test_labelling_is_in_the_audit_log() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    await farm.operator().call("label", {"lab": "3", "old": None}, ["A"])
    await farm.control.parts.audit.write()
    (entry,) = await farm.store.audit(0, action="label", limit=9)
    assert (entry.subject, entry.outcome, entry.detail) == ("A", "done", "lab=3 old-")


def test_rows_of_workers_that_know_no_labels_are_archived_too() -> None:
    worker_of_before = [
        "e1", "r1", "A", "pulsecount", {}, 7, None, None, "ab", None, None, None, "f", "1", "measured", 1, 2, 20.0, 1,
        1, 5.0, 6.0,
    ]  # fmt: skip
    lines = [worker_of_before, [*worker_of_before, {"lab": "3"}], [*worker_of_before, "lab=3"], worker_of_before[:-1]]
    batch = b"\n".join(json.dumps(line).encode() for line in lines)
    parsed = parse_rows(batch, 10.0, 90.0)
    assert [row.board_labels for row in parsed.rows] == [None, '{"lab":"3"}']
    assert parsed.wrong == 2
