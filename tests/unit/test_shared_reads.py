"""Reads that are shared: one for all who ask while nothing changes, and never one from before a change."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from icefarm.control.storage.shared import FRESH, Shared
from icefarm.control.telemetry.events import BoardsDeleted
from icefarm.control.telemetry.publisher import Publisher
from icefarm.errors import Busy
from icefarm.testing.memory.control_harness import MemoryControl

CHANGE = BoardsDeleted([])


class Source:
    """What is read: each read is answered when the test says so."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.reads: list[Deferred[str]] = []
        self.publisher = Publisher()
        self.shared: Shared[str] = Shared(self.clock, self.publisher, (BoardsDeleted,), self.read)

    async def read(self) -> str:
        self.reads.append(Deferred())
        return await self.reads[-1]

    def ask(self) -> Deferred[str]:
        return Deferred.fromCoroutine(self.shared.get())


def test_all_who_ask_while_nothing_changes_share_one_read() -> None:
    source = Source()
    asking = [source.ask() for _ in range(200)]
    assert len(source.reads) == 1
    source.reads[0].callback("first")
    assert [each.result for each in asking] == ["first"] * 200  # type: ignore[attr-defined]
    assert source.ask().result == "first"  # type: ignore[attr-defined]
    assert len(source.reads) == 1


def test_who_asks_after_a_change_does_not_get_what_was_read_before_it() -> None:
    source = Source()
    before = source.ask()
    source.publisher.publish(CHANGE)
    after = [source.ask() for _ in range(200)]
    source.reads[0].callback("old")
    assert before.result == "old"  # type: ignore[attr-defined]
    assert not any(each.called for each in after)
    source.reads[1].callback("new")
    assert {each.result for each in after} == {"new"}  # type: ignore[attr-defined]
    assert len(source.reads) == 2


def test_a_change_during_the_read_makes_the_next_one_who_asks_read_again() -> None:
    source = Source()
    source.ask()
    source.publisher.publish(CHANGE)
    source.reads[0].callback("old")
    later = source.ask()
    assert not later.called
    source.reads[1].callback("new")
    assert later.result == "new"  # type: ignore[attr-defined]


def test_what_no_event_says_is_seen_within_a_second() -> None:
    source = Source()
    source.ask()
    source.reads[0].callback("old")
    source.clock.advance(FRESH)
    assert not source.ask().called
    assert len(source.reads) == 2


def test_a_read_that_fails_fails_for_all_who_wait_for_it_and_the_next_one_is_made_again() -> None:
    source = Source()
    asking = [source.ask(), source.ask()]
    source.reads[0].errback(Busy("away"))
    for each in asking:
        with pytest.raises(Busy):
            each.result.raiseException()  # type: ignore[attr-defined]
        each.addErrback(lambda _: None)
    assert not source.ask().called
    assert len(source.reads) == 2


def test_one_who_gives_up_takes_nothing_from_the_others() -> None:
    source = Source()
    gone, stays = source.ask(), source.ask()
    gone.addErrback(lambda _: None)
    gone.cancel()
    source.reads[0].callback("read")
    assert stays.result == "read"  # type: ignore[attr-defined]


@ensureDeferred
async def test_a_client_sees_its_own_changes_at_once_in_what_is_shared() -> None:
    farm = MemoryControl()
    await farm.worker_of("w1", "A", "B")
    ada = await farm.client_of("ada", "one")
    reads: list[Any] = []
    store = farm.store
    devices = store.devices

    async def counted(serials: Any = None) -> Any:
        if serials is None:
            reads.append(None)
        return await devices(serials)

    store.devices = counted  # type: ignore[method-assign]
    for _ in range(20):
        assert (await ada.call("available"))["serials"] == ["A", "B"]
        assert (await ada.call("snapshot"))["reservations"] == []
    assert len(reads) <= 1
    (record,) = await ada.call("reserve", 1, kind="pulsecount")
    assert record["serial"] not in (await ada.call("available"))["serials"]
    assert [each["id"] for each in (await ada.call("snapshot"))["reservations"]] == [record["id"]]
    await ada.call("end")
    assert (await ada.call("snapshot"))["reservations"] == []
    assert (await ada.call("available"))["serials"] == ["A", "B"]
