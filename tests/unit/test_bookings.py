"""Bookings: which boards they keep, who must end for them, what they release."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from icefarm.contract import (
    BookingRecord,
    DeviceRecord,
    DeviceReport,
    DeviceStatus,
    KindRecord,
    ReservationRecord,
    WorkerHello,
    WorkerRecord,
)
from icefarm.control.scheduling.bookings.calendar import (
    HAND_OVER,
    NOTICE,
    UNUSED,
    Calendar,
    Holding,
    Shelf,
    in_words,
    peak,
)
from icefarm.control.scheduling.bookings.matching import Claim, assign
from icefarm.control.scheduling.bookings.rules import ask_again, check_booking, check_cancelling, progressed
from icefarm.control.scheduling.placement import (
    BY_ACCESS,
    Allotment,
    Extension,
    ReservationRequest,
    allot,
    extended,
)
from icefarm.errors import IcefarmError, InvalidArgument, LimitReached, NotYours, Unavailable
from icefarm.selectors.boards import parse_boards
from icefarm.testing.memory.store import MemoryStore
from icefarm.text.local_time import utc

NOW = 1_000_000.0
HOUR = 3600.0


def booking(
    id: str = "b", amount: int = 2, starts_in: float = HOUR, lasts: float = HOUR, account: str = "class", **more: Any
) -> BookingRecord:
    begin = NOW + starts_in
    record = BookingRecord(id, account, amount, [], None, begin, begin + lasts, amount, "op", NOW)
    return evolve(record, **more)


def shelf(*free: str, **held: tuple[str, float]) -> Shelf:
    """Return boards that are free, and boards that somebody holds for so many seconds."""
    holds = {serial: Holding(client, NOW - 10.0, NOW + left) for serial, (client, left) in held.items()}
    return Shelf(NOW, dict.fromkeys([*free, *held], frozenset({"pulsecount"})), holds)


def claim(amount: int, *boards: str) -> Claim:
    return Claim(booking(amount=amount), amount, frozenset(boards))


# ------------------------------------------------------------------------------------------------------- assignment


def test_a_claim_gets_the_first_boards_that_it_can_use() -> None:
    given, missing = assign([claim(2, "A", "B", "C")], ["C", "X", "B", "A"])
    assert (set(given), missing) == ({"B", "C"}, 0)


def test_a_claim_that_can_use_other_boards_leaves_one_to_a_claim_that_cannot() -> None:
    given, missing = assign([claim(1, "A", "B"), claim(1, "A")], ["A", "B"])
    assert (set(given), missing) == ({"A", "B"}, 0)


def test_what_claims_lack_is_counted() -> None:
    assert assign([claim(2, "A"), claim(1, "A", "B")], ["A", "B"])[1] == 1


claims_of_five = st.lists(
    st.tuples(st.integers(1, 3), st.frozensets(st.sampled_from("ABCDE"), max_size=5)), min_size=1, max_size=3
)


@pytest.mark.thorough
@given(claims_of_five, st.permutations("ABCDE"))
@settings(max_examples=300)
def test_as_many_boards_are_assigned_as_can_be_and_the_first_of_those_that_do(
    wanted: list[tuple[int, frozenset[str]]], order: list[str]
) -> None:
    claims = [claim(amount, *boards) for amount, boards in wanted]
    given, missing = assign(claims, order)
    total = sum(amount for amount, _ in wanted)
    usable = [set(each) for size in range(6) for each in combinations(order, size) if _matched(wanted, each)]
    assert total - missing == len(given) == max(len(each) for each in usable)
    places = sorted(order.index(serial) for serial in given)
    best = min(sorted(order.index(serial) for serial in each) for each in usable if len(each) == len(given))
    assert places == best


def _matched(wanted: list[tuple[int, frozenset[str]]], boards: Sequence[str]) -> bool:
    """Tell by trying all ways whether all of these boards are of use at the same time."""
    if not boards:
        return True
    first, *rest = boards
    for number, (amount, fitting) in enumerate(wanted):
        if amount and first in fitting:
            less = [*wanted[:number], (amount - 1, fitting), *wanted[number + 1 :]]
            if _matched(less, rest):
                return True
    return False


# ---------------------------------------------------------------------------------------------------------- keeping


def test_an_open_booking_keeps_boards_from_others_and_not_from_its_account() -> None:
    calendar = Calendar((booking(starts_in=-10.0),))
    assert set(calendar.kept(shelf("A", "B", "C"), "ada", [])) == {"B", "C"}
    assert set(calendar.kept(shelf("A", "B", "C"), "class/one", [])) == set()


def test_a_booking_of_a_group_is_for_its_accounts() -> None:
    calendar = Calendar((booking(starts_in=-10.0),), {"ada": "class"})
    assert calendar.kept(shelf("A", "B"), "ada/laptop", []) == {}
    assert set(calendar.kept(shelf("A", "B"), "bob", [])) == {"A", "B"}


def test_boards_that_its_account_holds_count_for_a_booking() -> None:
    calendar = Calendar((booking(starts_in=-10.0),))
    assert set(calendar.kept(shelf("A", "B", C=("class/one", 600.0)), "ada", [])) == {"B"}
    assert calendar.kept(shelf("A", C=("class", 9.0), D=("class/b", 9.0)), "ada", []) == {}


def test_boards_that_the_asker_cannot_use_are_kept_first() -> None:
    calendar = Calendar((booking(starts_in=-10.0),))
    assert set(calendar.kept(shelf("A", "B", "C", "D"), "ada", ["A", "B"])) == {"A", "B"}


def test_nothing_is_kept_before_the_last_minute_and_after_the_end() -> None:
    early, soon = Calendar((booking(starts_in=HAND_OVER + 1),)), Calendar((booking(starts_in=HAND_OVER - 1),))
    over = Calendar((booking(starts_in=-HOUR),))
    assert early.kept(shelf("A", "B"), "ada", []) == over.kept(shelf("A", "B"), "ada", []) == {}
    assert set(soon.kept(shelf("A", "B"), "ada", [])) == {"A", "B"}


def test_only_what_is_kept_now_is_kept_a_minute_early() -> None:
    (wanted,) = bookings = (booking(),)
    early, later = NOW + HOUR - HAND_OVER / 2, evolve(shelf("A", "B"), now=NOW + HOUR - HAND_OVER / 2)
    assert Calendar(bookings).open_at(early, later) == [wanted]
    assert Calendar(bookings).open_at(early, shelf("A", "B")) == []
    assert Calendar(bookings).open_at(NOW + HOUR, shelf("A", "B")) == [wanted]
    assert Calendar(bookings).open_at(NOW + 2 * HOUR, shelf("A", "B")) == []


def test_a_booking_of_a_kind_or_of_named_boards_keeps_such_boards() -> None:
    boards = evolve(shelf("A", "B"), kinds={"A": frozenset({"variance"}), "B": frozenset({"pulsecount"})})
    of_kind = Calendar((booking(amount=1, starts_in=-1.0, kind="variance"),))
    named = Calendar((booking(amount=1, starts_in=-1.0, serials=["B"]),))
    assert set(of_kind.kept(boards, "ada", ["A"])) == {"A"}
    assert set(named.kept(boards, "ada", ["A"])) == {"B"}


def test_a_reservation_is_crossed_by_the_first_booking_that_would_miss_its_board() -> None:
    first, second = booking("1", 1, HOUR), booking("2", 2, 2 * HOUR)
    calendar = Calendar((second, first))
    assert calendar.first_crossed(shelf("A", "B"), "ada", ["A"], NOW + 3 * HOUR) == second
    assert calendar.first_crossed(shelf("A", "B"), "ada", ["A", "B"], NOW + 3 * HOUR) == first
    assert calendar.first_crossed(shelf("A", "B"), "ada", ["A", "B"], NOW + HOUR) is None
    assert calendar.first_crossed(shelf("A", "B"), "class", ["A", "B"], NOW + 3 * HOUR) is None


def test_the_newest_reservations_end_for_a_booking_and_only_as_many_as_it_needs() -> None:
    boards = shelf(A=("ada", 2 * HOUR), B=("bob", 2 * HOUR), C=("cem", 1800.0))
    boards = boards.with_held({"B": Holding("bob", NOW - 5.0, NOW + 2 * HOUR)})
    endings = Calendar((booking(),)).endings(boards)
    assert [(each.serial, each.at) for each in endings] == [("B", NOW + HOUR)]


def test_nobody_gives_back_a_board_that_is_of_no_use_to_a_booking() -> None:
    boards = shelf(A=("ada", 2 * HOUR), B=("bob", 2 * HOUR))
    boards = evolve(boards, kinds={"A": frozenset({"variance"}), "B": frozenset({"pulsecount"})})
    of_kind, named = booking(amount=2, kind="variance"), booking(amount=2, serials=["B", "C"])
    assert [each.serial for each in Calendar((of_kind,)).endings(boards)] == ["A"]
    assert [each.serial for each in Calendar((named,)).endings(boards)] == ["B"]


def test_who_must_end_for_a_booking_that_has_begun_has_five_minutes_notice() -> None:
    endings = Calendar((booking(amount=1, starts_in=-60.0),)).endings(shelf(A=("ada", HOUR)))
    assert [(each.serial, each.at) for each in endings] == [("A", NOW + NOTICE)]
    assert Calendar((booking(amount=1, starts_in=-60.0),)).endings(shelf(A=("ada", NOTICE))) == []


def test_no_reservation_of_its_own_account_ends_for_a_booking() -> None:
    assert Calendar((booking(),)).endings(shelf(A=("class", 2 * HOUR), B=("class/2", 2 * HOUR))) == []


# ------------------------------------------------------------------------------------------------------------- rules


def test_a_booking_needs_room_at_each_of_its_moments() -> None:
    other = booking("1", 2, starts_in=1.5 * HOUR)
    calendar, boards = Calendar((other,)), shelf("A", "B", C=("ada", 9 * HOUR))
    calendar.check_room(boards, booking("2", 1))
    calendar.check_room(boards, booking("2", 3, lasts=HOUR / 2))
    with pytest.raises(Unavailable) as raised:
        calendar.check_room(boards, booking("2", 2))
    assert "1 too few at" in str(raised.value)
    assert in_words(other) in str(raised.value)


@pytest.mark.parametrize(
    ("wanted", "words", "fields"),
    [
        (
            booking(amount=1, serials=["X"]),
            "1 board cannot be booked: 1 too few at {}; X is not in service; 0 suitable boards are in service",
            {"asked": 1, "missing": 1, "suitable": 0},
        ),
        (
            booking(amount=3, serials=["A", "X", "Y"]),
            "3 boards cannot be booked: 2 too few at {}; X, Y are not in service; 1 suitable board is in service",
            {"asked": 3, "missing": 2, "suitable": 1},
        ),
    ],
)
def test_a_booking_without_room_says_what_is_missing(
    wanted: BookingRecord, words: str, fields: dict[str, object]
) -> None:
    with pytest.raises(Unavailable) as raised:
        Calendar().check_room(shelf("A", "B"), wanted)
    assert (raised.value.message, raised.value.fields) == (words.format(utc(wanted.starts_at)), fields)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (booking(amount=1), "1 board is booked for class from"),
        (booking(amount=2), "2 boards are booked for class from"),
        (booking(amount=1, serials=["A"]), "A is booked for class from"),
        (booking(amount=2, serials=["A", "B"]), "A, B are booked for class from"),
    ],
)
def test_a_booking_in_words_says_what_for_whom_and_from_when_until_when(wanted: BookingRecord, words: str) -> None:
    assert in_words(wanted) == f"{words} {utc(wanted.starts_at)} until {utc(wanted.ends_at)}"


def test_who_books_is_held_to_the_limits_unless_there_are_none() -> None:
    calendar, boards = Calendar((booking(account="ada"),)), shelf("A", "B", "C", "D")
    most = {"bookings": 2.0, "booked": 5.0}
    check_booking(booking("2", 2, account="ada"), calendar, boards, most, "ada")
    with pytest.raises(LimitReached, match="has 2 of at most 5 hours of boards booked, and asks for 4 more") as raised:
        check_booking(booking("2", 2, lasts=2 * HOUR, account="ada"), calendar, boards, most, "ada")
    assert raised.value.fields == {"account": "ada", "limit": "booked", "most": 5.0}
    with pytest.raises(LimitReached, match="bookings that have not ended") as raised:
        check_booking(booking("2", 1, account="ada"), calendar, boards, {**most, "bookings": 1.0}, "ada")
    assert raised.value.fields == {"account": "ada", "limit": "bookings", "most": 1.0}
    check_booking(booking("2", 2, lasts=2 * HOUR), calendar, boards, None, "ada")


@pytest.mark.parametrize(
    ("worker", "status", "in_service"),
    [
        ({}, DeviceStatus.AVAILABLE, True),
        ({"draining": True}, DeviceStatus.AVAILABLE, False),
        ({"status": "offline"}, DeviceStatus.AVAILABLE, False),
        ({}, DeviceStatus.BROKEN, False),
        ({}, DeviceStatus.OFFLINE, False),
    ],
)
def test_boards_in_service_are_those_of_workers_that_are_there(
    worker: dict[str, Any], status: DeviceStatus, in_service: bool
) -> None:
    found = Shelf.of(boards("A", status=status), [evolve(WORKERS[0], **worker)], NOW)
    assert found.fitting(booking()) == ({"A"} if in_service else set())


def test_a_time_that_is_over_cannot_be_booked() -> None:
    with pytest.raises(InvalidArgument, match="is over"):
        check_booking(booking(starts_in=-HOUR), Calendar(), shelf("A", "B"), None, "op")


def test_a_booking_is_cancelled_by_its_account_by_who_made_it_and_by_operators() -> None:
    known = {"b": booking(booked_by="ada/1"), "a": booking(booked_by="op")}
    for account in ("class", "ada", None):
        check_cancelling(["b"], known, account)
    with pytest.raises(NotYours, match="not booked by you or for you: a, b") as raised:
        check_cancelling(["b", "a"], known, "bob")
    assert raised.value.fields == {"ids": ["a", "b"]}
    with pytest.raises(InvalidArgument, match="no booking c, d;"):
        check_cancelling(["b", "d", "c"], known, None)


def test_the_most_spans_at_once_are_counted_from_a_moment_on() -> None:
    assert peak([(0, 5), (1, 5), (5, 9)], 0) == 2
    assert peak([(0, 5), (1, 5), (5, 9)], 4.5) == 2
    assert peak([(0, 5), (1, 5), (5, 9)], 5) == 1
    assert peak([], 0) == 0


def reserved(store: MemoryStore, client: str, amount: int, seconds: float = HOUR) -> Any:
    return run(store.reserve(client, ReservationRequest("pulsecount", amount=amount), seconds))


def run(call: Any) -> Any:
    """Return what a call to a store in memory returns; it never waits."""
    outcome: list[Any] = []
    ensureDeferred(call).addBoth(outcome.append)
    (result,) = outcome
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def store_of(boards: int) -> tuple[MemoryStore, Clock]:
    clock = Clock()
    clock.advance(NOW)
    store = MemoryStore(clock)
    kinds = [KindRecord("pulsecount", "", "pulse_count", "1", ["evaluate"])]
    reports = [DeviceReport(f"S{number}", DeviceStatus.AVAILABLE) for number in range(boards)]
    run(store.hello(WorkerHello("w", "i", "h", "1", kinds, reports)))
    return store, clock


def test_boards_that_nobody_takes_for_ten_minutes_are_released_one_by_one() -> None:
    store, clock = store_of(3)
    run(store.book(booking(amount=3, starts_in=0.0)))
    reserved(store, "class/1", 1)
    clock.advance(UNUSED - 1)
    assert run(store.keep_bookings()).changed == []
    clock.advance(1)
    (changed,) = run(store.keep_bookings()).changed
    assert (changed.kept, changed.ended_at) == (1, None)
    reserved(store, "ada", 2)
    run(store.end(client="class/1", serials=None, reason="it is done"))
    clock.advance(UNUSED)
    (changed,) = run(store.keep_bookings()).changed
    assert (changed.kept, changed.end_reason) == (0, "nobody took its boards")


def used(serial: str, since: float, until: float | None = None, **more: Any) -> ReservationRecord:
    """Return a reservation by the class from some seconds ago; ``until`` None: it goes on."""
    end = None if until is None else NOW - until
    record = ReservationRecord(f"{serial}{since}", serial, "w", "class", "pulsecount", {}, NOW - since, NOW + HOUR, end)
    return evolve(record, **more)


def kept(wanted: BookingRecord, *recent: ReservationRecord) -> int:
    """Return how many boards a booking keeps now, after these reservations."""
    return next((each.kept for each in progressed(Calendar((wanted,)), recent, NOW)), wanted.kept)


def test_a_booking_keeps_as_many_boards_as_were_used_at_the_same_time_lately() -> None:
    three = booking(amount=3, starts_in=-UNUSED)
    assert kept(three, used("A", 300), used("B", 200, 50), used("C", 100)) == 3
    assert kept(three, used("A", 300, 200), used("B", 150, 50), used("C", 40)) == 1
    assert kept(three, used("A", 300), used("B", 200, client="ada")) == 1
    # Clients that share a board use one board, from the first of them to the last.
    shared = [used("A", 300, 40, within="r"), used("A", 250, 200, within="r"), used("B", 100, within="s")]
    assert kept(three, *shared) == 2
    assert kept(three, *shared[:2], used("C", 30)) == 1


def test_of_booked_boards_only_those_count_that_were_named() -> None:
    named = booking(amount=2, starts_in=-UNUSED, serials=["A", "B"])
    assert kept(named, used("A", 300), used("C", 300)) == 1
    assert kept(named, used("A", 300), used("B", 300)) == 2


def test_a_board_that_was_given_back_stays_booked_for_ten_minutes() -> None:
    store, clock = store_of(1)
    run(store.book(booking(amount=1, starts_in=0.0)))
    for _ in range(4):
        reserved(store, "class", 1)
        clock.advance(UNUSED - 1)
        run(store.end(client="class", serials=None, reason="it is done"))
        assert run(store.keep_bookings()).changed == []
    assert progressed(Calendar(tuple(run(store.bookings()))), [], clock.seconds() + UNUSED)[0].kept == 0


def test_a_booking_ends_when_its_time_is_over_and_reservations_under_it_go_on() -> None:
    store, clock = store_of(1)
    run(store.book(booking(amount=1, starts_in=0.0, lasts=300.0)))
    reserved(store, "class", 1)
    clock.advance(300.0)
    (changed,) = run(store.keep_bookings()).changed
    assert changed.end_reason == "its time is over"
    assert len(run(store.active())) == 1
    assert run(store.bookings()) == []
    assert run(store.bookings(since=NOW))[0].id == changed.id


def test_a_shortened_reservation_says_for_which_booking_and_ends_with_that_reason() -> None:
    store, clock = store_of(2)
    made = run(store.book(booking(starts_in=HOUR)))
    (record,) = reserved(store, "ada", 1, 3 * HOUR)
    assert (record.expires_at, record.limited_by) == (made.starts_at, in_words(made))
    (again,) = run(store.extend("ada", None, 3 * HOUR))
    assert (again.expires_at, again.limited_by) == (made.starts_at, in_words(made))
    clock.advance(HOUR)
    (ended,) = run(store.end_expired())
    assert ended.end_reason == f"expired: {in_words(made)}"


def test_a_reservation_rather_gets_a_board_that_no_booking_needs() -> None:
    store, _ = store_of(3)
    run(store.book(booking(amount=2, serials=["S0", "S1"])))
    (record,) = reserved(store, "ada", 1, 3 * HOUR)
    assert (record.serial, record.limited_by) == ("S2", None)


def test_bookings_are_looked_at_again_at_the_next_moment_and_often_when_one_is_near() -> None:
    assert ask_again(Calendar(), NOW) is None
    far, soon, running = booking(starts_in=10 * HOUR), booking(starts_in=75.0), booking(starts_in=-1, lasts=HOUR)
    assert ask_again(Calendar((far,)), NOW) == HOUR
    assert ask_again(Calendar((far, booking())), NOW) == 30.0
    assert ask_again(Calendar((soon,)), NOW) == 75.0 - HAND_OVER
    assert ask_again(Calendar((far, running)), NOW) == 30.0
    assert ask_again(Calendar((running,)), running.ends_at - 5) == 5.0
    assert ask_again(Calendar((running,)), running.ends_at) is None


def test_with_a_cancelled_booking_a_reservation_goes_on() -> None:
    store, _ = store_of(2)
    made = run(store.book(booking()))
    reserved(store, "ada", 2, 3 * HOUR)
    run(store.cancel_bookings([made.id], None, "cancelled by op"))
    for record in run(store.extend("ada", None, 3 * HOUR)):
        assert (record.expires_at, record.limited_by) == (NOW + 3 * HOUR, None)


def test_a_booking_is_of_real_boards_unless_it_names_virtual_ones() -> None:
    store, _ = store_of(2)
    kinds = [KindRecord("pulsecount", "", "pulse_count", "1", ["evaluate"])]
    virtual = [DeviceReport(f"V{number}", DeviceStatus.AVAILABLE, model="landscape") for number in range(3)]
    run(store.hello(WorkerHello("v", "i", "h", "1", kinds, virtual)))
    run(store.book(booking(amount=2, starts_in=0.0)))
    with pytest.raises(Unavailable):
        reserved(store, "ada", 1)
    with pytest.raises(Unavailable, match="2 suitable boards are in service"):
        run(store.book(booking(amount=1, starts_in=0.0)))
    run(store.book(booking(amount=3, starts_in=0.0, account="other", where="virtual")))
    assert len(reserved(store, "class", 2)) == 2


def test_a_booking_with_a_selector_keeps_boards_that_it_selects() -> None:
    store, _ = store_of(2)
    run(store.set_labels({"lab": "3"}, serials=["S1"]))
    run(store.book(booking(amount=1, starts_in=0.0, where="lab=3")))
    (record,) = reserved(store, "ada", 1)
    assert record.serial == "S0"
    with pytest.raises(Unavailable, match="1 too few"):
        run(store.book(booking(amount=1, starts_in=0.0, account="other", where="lab=3")))


# ------------------------------------------------------------------------------------- what a request gets of the rest


WORKERS = [WorkerRecord("w", "online", False, "h", "1", ["pulsecount"], 0, NOW, shared_kinds=["pulsecount"])]


def boards(*serials: str, **changes: Any) -> list[DeviceRecord]:
    nothing = (None,) * 7
    made = [DeviceRecord(serial, "w", DeviceStatus.AVAILABLE, *nothing, 0, 0, 0, None, NOW) for serial in serials]
    return [evolve(each, **changes) for each in made]


def got(bookings: Sequence[BookingRecord], request: ReservationRequest, devices: list[DeviceRecord]) -> Allotment:
    """Return what ada gets for five hours."""
    return allot(devices, WORKERS, request, NOW, "ada", 5 * HOUR, Calendar(tuple(bookings)))


def pulses(amount: int = 1, **more: Any) -> ReservationRequest:
    return ReservationRequest("pulsecount", amount=amount, **more)


def test_a_request_rather_gets_boards_for_its_whole_time() -> None:
    later = booking(amount=1, serials=["A"])
    assert got([], pulses(), boards("A", "B")) == Allotment(["A"], 5 * HOUR)
    assert got([later], pulses(), boards("A", "B")) == Allotment(["B"], 5 * HOUR)
    # One that names the board, or needs it, has it until the booking starts.
    shorter = (HOUR, in_words(later), later.starts_at)
    assert got([later], pulses(2), boards("A", "B")) == Allotment(["A", "B"], *shorter)
    named = ReservationRequest("pulsecount", serials=["A"])
    assert got([later], named, boards("A", "B")) == Allotment(["A"], *shorter)
    assert got([booking(account="ada")], pulses(2), boards("A", "B")) == Allotment(["A", "B"], 5 * HOUR)


def test_a_board_that_is_kept_for_a_booking_is_refused_with_that_booking() -> None:
    now = booking(amount=1, starts_in=-10.0)
    for request in (pulses(2), ReservationRequest("pulsecount", serials=["A", "B"])):
        with pytest.raises(Unavailable) as raised:
            got([now], request, boards("A", "B"))
        assert in_words(now) in raised.value.message
    # A booking keeps rather what a request has no use for.
    assert got([now], ReservationRequest("pulsecount", serials=["B"]), boards("A", "B")).serials == ["B"]
    assert got([now], pulses(avoid=["A"]), boards("A", "B")).serials == ["B"]
    at_desk = evolve(boards("A")[0], labels={"at": "desk"})
    assert got([now], pulses(where=parse_boards("at=desk")), [at_desk, *boards("B")]).serials == ["A"]


def test_a_board_that_accounts_of_a_booking_share_is_theirs() -> None:
    now = booking(amount=1, starts_in=-10.0)
    (shared,) = boards("A", client="class/1", reservation="r", kind="pulsecount", shares={"s": "class/1"})
    with pytest.raises(Unavailable, match="kept for a booking: 1 board is booked for class"):
        got([now], ReservationRequest("pulsecount", serials=["A"], sharers=3), [shared])
    request = ReservationRequest("pulsecount", serials=["A"], sharers=3)
    assert got([], request, [shared]).serials == ["A"]
    assert allot([shared], WORKERS, request, NOW, "class/2", HOUR, Calendar((now,))).serials == ["A"]


def of_ada(serial: str, lasts: float, made: float = 60.0) -> ReservationRecord:
    return evolve(used(serial, made, client="ada"), expires_at=NOW + lasts)


def test_reservations_are_extended_until_the_first_booking_that_would_miss_their_boards() -> None:
    records = [of_ada("A", 60.0), of_ada("B", 60.0, made=90.0)]
    devices = [
        evolve(board, client="ada", reserved_at=record.created_at, expires_at=record.expires_at)
        for board, record in zip(boards("A", "B"), records, strict=True)
    ]
    one = booking(amount=1)
    whole = NOW + 5 * HOUR

    def until(*bookings: BookingRecord, latest: dict[str, float] | None = None) -> list[Extension]:
        return extended(records, devices, WORKERS, NOW, 5 * HOUR, Calendar(bookings), latest or {})

    assert until() == [Extension("B", whole), Extension("A", whole)]
    # The older reservation goes on; the newer one ends for the booking.
    assert until(one) == [Extension("B", whole), Extension("A", one.starts_at, in_words(one))]
    assert until(booking(account="ada")) == until()
    # None ends sooner than it would anyway.
    soon = booking(amount=2, starts_in=30.0)
    assert until(soon) == [Extension(serial, NOW + 60.0, in_words(soon)) for serial in "BA"]
    ends = [Extension("B", NOW + 60.0, BY_ACCESS), Extension("A", NOW + HOUR, BY_ACCESS)]
    assert until(latest={"A": NOW + HOUR, "B": NOW}) == ends


class Lab(RuleBasedStateMachine):
    """A lab with six boards: anybody reserves, extends, ends and books; time passes."""

    BOARDS = 6
    who = st.sampled_from(["ada", "bob", "class/1", "class/2", "other"])

    @initialize()
    def the_farm_starts(self) -> None:
        self.store, self.clock = store_of(self.BOARDS)

    def tried(self, call: Any) -> Any:
        try:
            return run(call)
        except IcefarmError as error:
            return error

    def kept_for_others(self, client: str) -> int:
        open_now = [
            each
            for each in run(self.store.bookings())
            if each.starts_at - HAND_OVER <= self.clock.seconds() < each.ends_at
        ]
        total, held = 0, [(record.client, record.serial) for record in run(self.store.active())]
        for each in open_now:
            # Of boards that a booking names, the account's other ones are none.
            own = sum(
                who.partition("/")[0] == each.account and (not each.serials or serial in each.serials)
                for who, serial in held
            )
            total += 0 if client.partition("/")[0] == each.account else max(0, each.kept - own)
        return total

    @rule(client=who, amount=st.integers(1, 4), seconds=st.sampled_from([600.0, HOUR, 5 * HOUR]))
    def somebody_reserves(self, client: str, amount: int, seconds: float) -> None:
        one_booking_each = len({each.account for each in run(self.store.bookings())}) == len(run(self.store.bookings()))
        free = self.BOARDS - len(run(self.store.active()))
        left = free - self.kept_for_others(client)
        made = self.tried(self.store.reserve(client, ReservationRequest("pulsecount", amount=amount), seconds))
        if one_booking_each:
            # Work conserving: it gets boards exactly if there are some that no booking keeps.
            assert isinstance(made, Unavailable) == (left < amount)
        for record in [] if isinstance(made, IcefarmError) else made:
            whole = record.expires_at == self.clock.seconds() + seconds
            assert whole == (record.limited_by is None)

    @rule(client=who, seconds=st.sampled_from([600.0, HOUR, 5 * HOUR]))
    def somebody_extends(self, client: str, seconds: float) -> None:
        before = {record.id: record.expires_at for record in run(self.store.active())}
        for record in run(self.store.extend(client, None, seconds)):
            assert record.expires_at >= before[record.id]

    @rule(client=who)
    def somebody_ends(self, client: str) -> None:
        run(self.store.end(client=client, serials=None, reason="it is done"))

    @rule(
        account=st.sampled_from(["class", "other"]),
        amount=st.integers(1, 6),
        starts_in=st.sampled_from([0.0, 1800.0, HOUR, 3 * HOUR]),
        lasts=st.sampled_from([1800.0, HOUR, 4 * HOUR]),
        named=st.booleans(),
    )
    def somebody_books(self, account: str, amount: int, starts_in: float, lasts: float, named: bool) -> None:
        begin = self.clock.seconds() + starts_in
        serials = [f"S{number}" for number in range(amount)] if named else []
        wanted = BookingRecord("", account, amount, serials, None, begin, begin + lasts, amount, "op", 0.0)
        made = self.tried(self.store.book(wanted))
        if not isinstance(made, IcefarmError):
            run(self.store.keep_bookings())
            if starts_in < NOTICE:
                # Those who have boards have this long to finish.
                self.advance(NOTICE)

    @rule(seconds=st.sampled_from([60.0, 300.0, 1800.0]))
    def time_passes(self, seconds: float) -> None:
        self.advance(seconds)

    def advance(self, seconds: float) -> None:
        for _ in range(round(seconds / 60.0)):
            self.clock.advance(60.0)
            run(self.store.end_expired())
            run(self.store.keep_bookings())

    @invariant()
    def no_booking_misses_a_board(self) -> None:
        state = run(self.store.state())
        boards = Shelf.of(state.devices, state.workers, state.now)
        claims = state.calendar.claims(boards, state.now)
        begun = [each for each in claims if each.booking.starts_at <= state.now]
        assert assign(begun, sorted(boards.kinds))[1] == 0


TestLab = Lab.TestCase
TestLab.settings = settings(max_examples=50, stateful_step_count=25, deadline=None)
