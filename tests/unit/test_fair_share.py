"""What accounts have used lately, how it fades, and what is to be expected of those who hold boards."""

from __future__ import annotations

from math import log
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from pytest_twisted import ensureDeferred
from test_control_reserve import live, start

from icefarm.contract import ReservationRecord, control_procedure
from icefarm.control.reservations.sharing.shares import Shares
from icefarm.control.scheduling.estimates import FEW, HoldTimes, Pending, Range, expected, outlooks
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict
from icefarm.control.scheduling.fair_share import ADVANCE, GRAIN, HALF_LIFE, Hold, Ledger, Standing, standing, weight_of
from icefarm.control.scheduling.placement import ReservationRequest
from icefarm.control.sessions.limits import AccountLimits, FarmLimits
from icefarm.testing.memory.control_harness import LIMIT, MemoryControl

HOUR = 3600.0
WAIT = {"kind": "pulsecount", "wait": True}


def test_a_board_second_counts_half_after_a_half_life() -> None:
    fresh = weight_of(0.0, 1.0, 1.0, HOUR)
    assert fresh == pytest.approx(1.0, rel=1e-3)
    assert weight_of(0.0, 1.0, 1.0 + HOUR, HOUR) == pytest.approx(fresh / 2)


def test_a_board_that_is_held_for_ever_counts_a_bounded_time() -> None:
    assert weight_of(0.0, 1e9, 1e9, HOUR) == pytest.approx(HOUR / log(2))


times = st.floats(0, 1e6)
holds = st.builds(lambda began, long: Hold("ada", began, began + long), times, st.floats(0, 1e5))


@given(st.lists(holds, max_size=8), times)
def test_a_ledger_has_the_sum_of_all_holds_in_whatever_order_they_end(past: list[Hold], later: float) -> None:
    ledger, now = Ledger(HOUR), 1.2e6 + later
    for hold in past:
        ledger.add(hold)
    whole = sum(weight_of(hold.began, hold.ended or 0.0, now, HOUR) for hold in past)
    assert ledger.at(now).get("ada", 0.0) == pytest.approx(whole, abs=1.0)


@given(st.lists(holds, max_size=8))
def test_a_ledger_that_begins_with_sums_goes_on_like_the_one_that_they_are_of(past: list[Hold]) -> None:
    whole, second, now = Ledger(HOUR), Ledger(HOUR), 2e6
    for hold in past:
        whole.add(hold)
    second.set(whole.at(now), now)
    for ledger in (whole, second):
        ledger.add(Hold("ada", now, now + 100))
    assert second.at(now + 500).get("ada", 0.0) == pytest.approx(whole.at(now + 500).get("ada", 0.0), abs=2.0)


@pytest.mark.parametrize("seconds", [0.0, 0.5, 10.0])
def test_a_short_hold_weighs_as_many_board_seconds_as_it_lasted(seconds: float) -> None:
    assert weight_of(0.0, seconds, seconds, HOUR) == pytest.approx(seconds, rel=1e-2)
    ledger = Ledger(HOUR)
    ledger.add(Hold("ada", 0.0, seconds, part=0.5))
    ledger.add(Hold("ada", 0.0, None))
    assert ledger.at(seconds) == ({"ada": pytest.approx(5.0, rel=1e-2)} if seconds == 10.0 else {})


def test_what_an_account_used_and_has_is_divided_by_its_weight() -> None:
    stand = Standing(0.0, {"ada": 6000.0}, {"ada": 2.0, "eve": 0.01}, held={"ada": 3})
    assert [stand.level(client) for client in ("ada/laptop", "bob", "eve")] == [50, 0, 0]
    assert [stand.boards(client) for client in ("ada/laptop", "bob", "eve")] == [1.5, 0.0, 0.0]
    assert (stand.lead("bob", "ada"), stand.lead("ada", "bob")) == (3000.0, -3000.0)
    given = stand.given("ada/x", 1).given("ada/y", 1).given("bob", 1)
    assert (given.level("ada"), given.level("bob")) == (50 + 2 * ADVANCE / 2 / GRAIN, ADVANCE / GRAIN)
    assert (given.boards("ada"), given.boards("bob"), given.boards("eve")) == (2.5, 1.0, 0.0)


def test_a_board_may_go_to_an_account_until_both_have_as_many() -> None:
    stand = Standing(held={"ada": 3})
    assert stand.is_fairer("bob", "ada")
    once = stand.moved("ada/x", "bob/y")
    assert (once.boards("ada"), once.boards("bob")) == (2, 1)
    assert once.is_fairer("bob", "ada")
    twice = once.moved("ada", "bob")
    assert not twice.is_fairer("bob", "ada")
    assert twice.is_fairer("ada", "bob")


def test_among_those_that_waited_too_long_only_the_time_counts() -> None:
    stand = Standing(10 * HOUR, {"ada": 9e6}, longest=4 * HOUR)
    heavy, light = (stand.turn(who, 50.0, since, 1, waits=True) for who, since in (("ada", 1.0), ("bob", 2.0)))
    recent = stand.turn("eve", 50.0, 6 * HOUR + 1, 1, waits=True)
    assert heavy < light < recent
    assert stand.turn("eve", 50.1, 9 * HOUR, 1, waits=False) < heavy
    assert recent < stand.turn("eve", 50.0, 1.0, 1, waits=True, grows=True)


def test_a_board_that_was_just_given_out_counts_for_a_while_already() -> None:
    stand = standing(Ledger(), [Hold("ada", 1000.0)], 1000.0)
    assert stand.used == {"ada": ADVANCE}
    assert stand.given("bob/x", 2).level("bob") == 2 * stand.level("ada")


def test_nothing_is_expected_where_too_few_boards_were_ever_held() -> None:
    few = HoldTimes.of([Hold("ada", 0.0, 60.0)] * (FEW - 1), 100.0)
    assert expected([("ada", 0.0)], [Pending("bob", 1)], few) == [Range()]


def test_a_range_is_expected_from_how_long_boards_were_held() -> None:
    held = HoldTimes.of([Hold("ada", 0.0, 100.0 * number) for number in range(1, 9)], 1e3)
    assert expected([("ada", 0.0)], [Pending("bob", 1)], held) == [Range(200.0, 600.0)]


def test_for_a_board_that_has_been_held_for_long_only_such_holds_count() -> None:
    held = HoldTimes.of([Hold("ada", 0.0, 100.0 * number) for number in range(1, 13)], 2e3)
    (found,) = expected([("ada", 400.0)], [Pending("bob", 1)], held)
    assert found == Range(200.0, 600.0)


def test_boards_that_are_held_still_make_the_late_end_unknown() -> None:
    over = [Hold("ada", 0.0, 100.0)] * 6
    found = HoldTimes.of([*over, *[Hold("ada", 0.0)] * 6], 1e4)
    assert expected([("ada", 0.0)], [Pending("bob", 1)], found) == [Range(100.0, None)]


def test_those_who_wait_are_expected_one_after_the_other() -> None:
    held = HoldTimes.of([Hold("ada", 0.0, 100.0)] * 8, 1e3)
    found = expected([("ada", 50.0), None], [Pending("bob", 1), Pending("eve", 2), Pending("joe", 3)], held)
    assert [each.low for each in found] == [0.0, 100.0, None]


def test_an_account_that_held_boards_often_enough_is_expected_to_do_so_again() -> None:
    own = [Hold("ada", 0.0, 10.0)] * FEW
    others = [Hold("bob", 0.0, 1000.0)] * 50
    assert HoldTimes.of([*own, *others], 1e3).left("ada", 0.0, 0.5) == 10.0
    assert HoldTimes.of([*own[1:], *others], 1e3).left("ada", 0.0, 0.5) == 1000.0


def reserved(serial: str, since: float = 0.0, **more: Any) -> ReservationRecord:
    return evolve(ReservationRecord(f"r{serial}", serial, "w", "ada/x", "counter", {}, since, HOUR), **more)


def waiting(client: str, reach: str, amount: int = 1) -> tuple[Verdict, QueuedRequest]:
    request = ReservationRequest("counter", amount=amount)
    return Verdict(client, reach=frozenset(reach)), QueuedRequest(client, client, request)


def test_a_request_is_expected_behind_those_that_wait_for_some_of_its_boards() -> None:
    held = HoldTimes.of([Hold("ada", 0.0, 100.0)] * 8, 1e3)
    queue = [waiting("bob", "A"), waiting("eve", "AB"), waiting("joe", "C"), waiting("kim", "AB", 2)]
    found = outlooks(queue, [reserved("A", 40.0), reserved("B", 50.0), reserved("C", 50.0)], held, 60.0)
    # Ada has A for 80 s more, B and C for 90 s.
    assert {who: each.low for who, each in found.items()} == {"bob": 80.0, "eve": 90.0, "joe": 90.0, "kim": 190.0}


def test_a_shared_board_is_not_counted_on() -> None:
    held = HoldTimes.of([Hold("ada", 0.0, 100.0)] * 8, 1e3)
    found = outlooks([waiting("bob", "AB")], [reserved("A", within="s"), reserved("B", 50.0)], held, 60.0)
    assert found == {"bob": Range(90.0, 90.0)}
    assert outlooks([waiting("bob", "A")], [reserved("A", within="s")], held, 60.0) == {"bob": Range()}


@given(
    st.lists(st.tuples(times, st.booleans()), max_size=30),
    st.lists(st.none() | st.floats(0, 1e6), min_size=1, max_size=4),
    st.lists(st.integers(1, 4), max_size=6),
)
def test_no_range_ends_before_it_begins(
    past: list[tuple[float, bool]], ages: list[float | None], amounts: list[int]
) -> None:
    held = HoldTimes.of([Hold("ada", 0.0, long if ended else None) for long, ended in past], 1e6)
    boards = [None if age is None else ("ada", age) for age in ages]
    for found in expected(boards, [Pending("ada", amount) for amount in amounts], held):
        assert found.high is None or (found.low is not None and 0 <= found.low <= found.high)


# ------------------------------------------------------------------------------------------------ in control


def test_the_weight_that_the_farm_gives_to_all_is_that_of_an_account_with_another_limit_of_its_own() -> None:
    store: Any = None
    shares = Shares(store, FarmLimits(AccountLimits(weight=2), {"ada": {"boards": 4}, "bob": {"weight": 4}}), HALF_LIFE)
    stand = shares.standing([], 0.0)
    used = evolve(stand, used={"ada": 3600.0, "bob": 7200.0, "eve": 3600.0})
    assert used.level("ada") == used.level("bob") == used.level("eve")


@ensureDeferred
async def test_who_used_less_lately_goes_first_after_a_restart_too() -> None:
    farm = MemoryControl()
    worker = await farm.worker("w1", "A")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    for client, seconds in ((ada, 1000), (bob, 100)):
        await client.call("reserve", 1, kind="pulsecount", seconds=7200.0)
        await live(farm, seconds, worker, ada, bob, eve)
        await client.call("end")
    await eve.call("reserve", 1, kind="pulsecount")
    calls = {
        client: start(client.bus.call(control_procedure("reserve"), (1,), WAIT | {"request": name}, timeout=LIMIT))
        for name, client in (("a", ada), ("b", bob))
    }
    for call in calls.values():
        call.addErrback(lambda _: None)
    farm.stop_control()
    farm.start_control()
    await worker.heartbeat()
    for name, client in (("a", ada), ("b", bob)):
        calls[client] = start(
            client.bus.call(control_procedure("reserve"), (1,), WAIT | {"request": name}, timeout=LIMIT)
        )
    found = await eve.call("snapshot")
    assert [(each["client"], each["behind"]) for each in found["queue"]] == [("bob", []), ("ada", ["bob"])]
    assert [round(each["used"]) // 60 for each in found["queue"]] == [1, 16]
    assert {each["account"]: (each["held"], each["waiting"]) for each in found["shares"]} == {
        "ada": (0, 1),
        "bob": (0, 1),
        "eve": (1, 0),
    }
    assert sum(each["share"] for each in found["shares"]) == pytest.approx(1.0)
    await eve.call("end")
    farm.pass_time(1)
    assert calls[bob].called
    assert not calls[ada].called


@ensureDeferred
async def test_who_waits_is_told_when_to_expect_boards_and_behind_whom() -> None:
    farm = MemoryControl()
    await farm.worker("w1", "A")
    ada, bob, eve = await farm.client("ada"), await farm.client("bob"), await farm.client("eve")
    for _ in range(FEW + 1):
        await ada.call("reserve", 1, kind="pulsecount")
        farm.clock.advance(10)
        await ada.call("end")
    await ada.call("reserve", 1, kind="pulsecount")
    words: list[dict[str, object]] = []
    for client in (bob, eve):
        call = client.bus.call(
            control_procedure("reserve"), (1,), WAIT, timeout=LIMIT, progress=words.append if client is eve else None
        )
        start(call).addErrback(lambda _: None)
    now = await farm.store.now()
    assert (words[-1]["place"], words[-1]["behind"]) == (2, ["bob"])
    assert (words[-1]["earliest"], words[-1]["latest"]) == (now + 20, now + 20)
