"""Bookings on a whole control: who may book, what others get meanwhile, hand-over, release, restart."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

from icefarm.contract import DeviceStatus
from icefarm.control.scheduling.bookings.calendar import NOTICE, UNUSED
from icefarm.control.sessions.limits import AccountLimits
from icefarm.control.wiring.settings import ControlSettings
from icefarm.errors import IcefarmError, InvalidArgument, LimitReached, NotAuthorized, NotYours, Unavailable
from icefarm.testing.memory.control_harness import MemoryClient, MemoryControl, RecordingWorker

HOUR = 3600.0


async def live(farm: MemoryControl, seconds: float, *alive: RecordingWorker | MemoryClient) -> None:
    """Let time pass with everybody's heartbeats."""
    for _ in range(round(seconds / 5)):
        farm.clock.advance(5)
        for one in alive:
            await (one.heartbeat() if isinstance(one, RecordingWorker) else one.call("heartbeat", "i"))


async def book(who: MemoryClient, farm: MemoryControl, amount: int, starts_in: float, **more: Any) -> dict[str, Any]:
    begin = farm.clock.seconds() + starts_in
    answer: dict[str, Any] = await who.call("book", begin, more.pop("seconds", HOUR), amount, **more)
    return answer


@ensureDeferred
async def test_an_account_books_for_itself_and_an_operator_for_anybody() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B", "C")
    client, operator = await farm.client_of("ada", "ada/laptop"), farm.operator()
    own, others = await book(client, farm, 1, HOUR), await book(operator, farm, 2, HOUR, account="class-a")
    assert (own["account"], own["booked_by"]) == ("ada", "ada/laptop")
    assert (others["account"], others["kept"]) == ("class-a", 2)
    assert [each["id"] for each in await client.call("bookings")] == [own["id"], others["id"]]
    with pytest.raises(NotAuthorized, match="only an operator books for others"):
        await book(client, farm, 1, HOUR, account="class-a")
    with pytest.raises(NotYours):
        await client.call("cancel_bookings", [others["id"]])
    assert await client.call("cancel_bookings", [own["id"]]) == [own["id"]]
    assert await operator.call("cancel_bookings", [own["id"], others["id"]]) == [others["id"]]


@ensureDeferred
async def test_what_an_account_books_is_limited_and_what_an_operator_books_is_not() -> None:
    farm = MemoryControl(ControlSettings(limits=AccountLimits(boards=2, bookings=1, booked=3)))
    await farm.worker("w1", "A", "B", "C")
    client = await farm.client("ada")
    with pytest.raises(LimitReached, match="boards held"):
        await book(client, farm, 3, HOUR)
    with pytest.raises(LimitReached, match="hours of boards"):
        await book(client, farm, 2, HOUR, seconds=2 * HOUR)
    await book(client, farm, 1, HOUR)
    with pytest.raises(LimitReached, match="bookings that have not ended"):
        await book(client, farm, 1, 3 * HOUR)
    await book(farm.operator(), farm, 3, 5 * HOUR, account="ada")


@ensureDeferred
async def test_more_boards_than_there_are_cannot_be_booked() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    operator = farm.operator()
    await book(operator, farm, 1, HOUR, account="class-a")
    with pytest.raises(
        Unavailable, match=r"1 too few at .* UTC; 2 suitable boards are in service, and 1 board is booked"
    ):
        await book(operator, farm, 2, HOUR, account="class-b")
    with pytest.raises(InvalidArgument, match="is over"):
        await book(operator, farm, 1, -2 * HOUR)


@ensureDeferred
async def test_a_reservation_that_would_cross_a_booking_is_shortened_and_says_so() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    made = await book(farm.operator(), farm, 1, 1800.0, account="class-a")
    client = await farm.client("ada")
    records = await client.call("reserve", 2, kind="pulsecount", seconds=HOUR)
    assert {record["serial"]: record["expires_at"] for record in records} == {
        # One of the two may stay: each is extended as far as the booking lets it.
        "A": farm.clock.seconds() + HOUR,
        "B": made["starts_at"],
    }
    (short,) = [record["limited_by"] for record in records if record["limited_by"] is not None]
    assert short.startswith("1 board is booked for class-a from ")


@ensureDeferred
async def test_a_reservation_from_before_is_shortened_warned_and_ends_when_the_booking_begins() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=3 * HOUR)
    made = await book(farm.operator(), farm, 1, 600.0, account="class-a")
    farm.clock.advance(0)
    (record,) = await farm.store.active()
    assert record.expires_at == made["starts_at"]
    assert ("reservation", record.expires_at) in [(topic, each.get("expires_at")) for topic, each in client.events]
    await live(farm, 600.0 - NOTICE + 5, worker, client)
    (warning,) = [told for told in client.told if told["event"] == "ending_soon"]
    assert "1 board is booked for class-a" in warning["reason"]
    await client.call("extend", seconds=3 * HOUR)
    await live(farm, NOTICE, worker, client)
    assert client.told[-1]["event"] == "ended"
    assert client.told[-1]["reason"].startswith("expired: 1 board is booked for class-a")
    assert await farm.store.active() == []


@ensureDeferred
async def test_the_booked_account_is_served_before_those_that_wait_longer_and_others_get_what_is_left() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A", "B", "C")
    busy, early, late = await farm.client("busy"), await farm.client("early"), await farm.client("class-a/1")
    await busy.call("reserve", 3, kind="pulsecount", seconds=3 * HOUR)
    early_got: list[Any] = []
    Deferred.fromCoroutine(early.call("reserve", 2, kind="pulsecount", wait=True)).addBoth(early_got.append)
    await book(farm.operator(), farm, 2, NOTICE, account="class-a")
    late_got: list[Any] = []
    Deferred.fromCoroutine(late.call("reserve", 2, kind="pulsecount", wait=True)).addBoth(late_got.append)
    await live(farm, NOTICE + 10.0, worker, busy, early, late)
    assert [len(each) for each in late_got] == [2]
    assert early_got == []
    (record,) = farm.control.parts.queue.records()
    assert record.client == "early"
    await late.call("end")
    await live(farm, 5.0, worker, busy, early, late)
    # They are kept for ten minutes more, then released.
    assert early_got == []
    await live(farm, UNUSED + 30.0, worker, busy, early, late)
    assert [len(each) for each in early_got] == [2]


@ensureDeferred
async def test_boards_of_a_booking_go_to_nobody_else_and_the_refusal_says_why() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A", "B")
    await book(farm.operator(), farm, 2, 0.0, account="class-a")
    client = await farm.client("ada")
    with pytest.raises(Unavailable, match="all kept for a booking; 2 boards are booked for class-a from"):
        await client.call("reserve", 1, kind="pulsecount")
    with pytest.raises(Unavailable, match="board A is kept for a booking: 2 boards are booked for class-a"):
        await client.call("reserve", serials=["A"], kind="pulsecount")
    member = await farm.client("class-a/7")
    assert [(await each.call("available"))["serials"] for each in (client, member)] == [[], ["A", "B"]]
    assert len(await member.call("reserve", 2, kind="pulsecount")) == 2


@ensureDeferred
async def test_unused_boards_are_released_after_ten_minutes_and_everybody_sees_it() -> None:
    farm = MemoryControl()
    worker, member, client = await farm.worker("w1", "A", "B"), await farm.client("class-a"), await farm.client("ada")
    made = await book(farm.operator(), farm, 2, 0.0, account="class-a", seconds=2 * HOUR)
    await member.call("reserve", 1, kind="pulsecount")
    await live(farm, UNUSED - 10, worker, member, client)
    with pytest.raises(Unavailable):
        await client.call("reserve", 1, kind="pulsecount")
    await live(farm, 45, worker, member, client)
    assert len(await client.call("reserve", 1, kind="pulsecount")) == 1
    shown = [each["kept"] for topic, each in client.events if topic == "booking" and each["id"] == made["id"]]
    assert shown == [2, 1]


@ensureDeferred
async def test_a_booking_outlives_control() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A"), await farm.client("ada")
    await client.call("reserve", 1, kind="pulsecount", seconds=3 * HOUR)
    made = await book(farm.operator(), farm, 1, 600.0, account="class-a", seconds=UNUSED * 3)
    farm.kill_control()
    farm.start_control()
    await live(farm, 610.0, worker, client)
    assert await farm.store.active() == []
    farm.kill_control()
    farm.start_control()
    await live(farm, UNUSED + 40.0, worker, client)
    (booking,) = await farm.store.bookings(since=made["starts_at"])
    assert booking.end_reason == "nobody took its boards"


@ensureDeferred
async def test_where_a_board_breaks_another_reservation_makes_room_with_five_minutes_notice() -> None:
    farm = MemoryControl()
    worker, client = await farm.worker("w1", "A", "B"), await farm.client("ada")
    await book(farm.operator(), farm, 1, 0.0, account="class-a", seconds=2 * HOUR)
    (record,) = await client.call("reserve", 1, kind="pulsecount", seconds=2 * HOUR)
    assert record["limited_by"] is None
    other = ({"A", "B"} - {record["serial"]}).pop()
    await worker.report(other, DeviceStatus.BROKEN, "it burns")
    member = await farm.client("class-a")
    await live(farm, 60.0, worker, client, member)
    (short,) = await farm.store.active(client="ada")
    assert short.limited_by is not None
    assert NOTICE - 60.0 <= short.expires_at - farm.clock.seconds() <= NOTICE
    await live(farm, NOTICE, worker, client, member)
    assert [each["serial"] for each in await member.call("reserve", 1, kind="pulsecount")] == [record["serial"]]


@ensureDeferred
async def test_the_snapshot_and_the_audit_log_have_bookings() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    operator = farm.operator()
    made = await book(operator, farm, 1, HOUR, account="class-a")
    assert (await operator.call("snapshot"))["bookings"] == [made]
    await operator.call("cancel_bookings", [made["id"]])
    assert (await operator.call("snapshot"))["bookings"] == []
    entries = await operator.call("audit")
    assert [(each["action"], each["outcome"]) for each in entries if "book" in each["action"]] == [
        ("book", "done"),
        ("cancel_bookings", "done"),
    ]


@ensureDeferred
async def test_a_worker_may_not_book() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    assert worker.bus is not None
    for procedure, arguments in (("book", [1.0, HOUR, 1]), ("bookings", []), ("cancel_bookings", [["b"]])):
        with pytest.raises(IcefarmError):
            await worker.bus.call(f"icefarm.v1.control.{procedure}", arguments, {}, timeout=10.0)
