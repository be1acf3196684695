"""Who is next: fair among clients, all or nothing, nobody starved, nobody held up for nothing."""

from __future__ import annotations

from collections import Counter
from typing import Any

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from test_policy import NOW, board, reserved, some, these, worker

from icefarm.contract import BookingRecord, DeviceRecord, DeviceStatus, ReservationRecord
from icefarm.control.scheduling.bookings.calendar import Calendar
from icefarm.control.scheduling.elastic import MARGIN, groups
from icefarm.control.scheduling.fair_queue import KEEP_AFTER, LAST, QueuedRequest, Verdict, arranged, decide
from icefarm.control.scheduling.fair_share import HALF_LIFE, Hold, Ledger, Standing, standing
from icefarm.errors import Unavailable

HERE = [worker("w1", kinds=["counter"])]


def asks(client: str, number: int, amount: int = 1) -> QueuedRequest:
    return QueuedRequest(f"{client}{number}", client, some(amount), number)


def stands(devices: list[DeviceRecord]) -> Standing:
    """Nobody has used anything lately, but for the boards that are held now."""
    held = [Hold(one.client, one.reserved_at or NOW) for one in devices if one.client is not None]
    return standing(Ledger(), held, NOW)


def _decide(queue: list[QueuedRequest], devices: list[DeviceRecord]) -> list[Verdict]:
    return decide(queue, devices, HERE, NOW, stands(devices))


def served(queue: list[QueuedRequest], devices: list[DeviceRecord]) -> dict[str, list[str]]:
    return {verdict.id: verdict.serials for verdict in _decide(queue, devices) if verdict.serials}


def test_who_came_first_is_first() -> None:
    assert served([asks("bob", 2), asks("ada", 1)], [board("A")]) == {"ada1": ["A"]}


def test_a_newcomer_without_boards_goes_before_one_with_boards_that_waits() -> None:
    newcomer = QueuedRequest("bob", "bob", some(1))
    assert newcomer.number == LAST
    assert served([asks("ada", 1), newcomer], [board("A"), reserved("B", client="ada")]) == {"bob": ["A"]}


def test_who_has_boards_goes_behind_who_has_none() -> None:
    assert served([asks("ada", 1), asks("bob", 2)], [board("A"), reserved("B", client="ada")]) == {"bob2": ["A"]}


def test_who_is_served_has_boards_for_what_it_asks_next() -> None:
    queue = [asks("ada", 1), asks("ada", 2), asks("bob", 3)]
    assert served(queue, [board("A"), board("B")]) == {"ada1": ["A"], "bob3": ["B"]}


def test_boards_are_kept_for_a_large_request() -> None:
    assert served([asks("ada", 1, 2), asks("bob", 2)], [board("A"), reserved("B", client="eve")]) == {}


def test_boards_are_not_kept_for_one_that_has_just_come() -> None:
    large = evolve(asks("ada", 1, 2), since=NOW - KEEP_AFTER + 1)
    small = evolve(asks("bob", 2), since=NOW)
    devices = [board("A"), reserved("B", client="eve")]
    assert served([large, small], devices) == {"bob2": ["A"]}
    assert served([evolve(large, since=NOW - KEEP_AFTER), small], devices) == {}


def test_boards_are_not_kept_for_one_that_is_refused_now() -> None:
    large = QueuedRequest("joe", "joe", some(2))
    devices = [board("A"), reserved("B", client="eve"), reserved("C", client="ada")]
    assert served([large, asks("ada", 1)], devices) == {"ada1": ["A"]}


def test_boards_are_kept_for_one_that_has_enough_in_a_moment() -> None:
    large = QueuedRequest("joe", "joe", some(2))
    devices = [board("A"), board("B", status=DeviceStatus.FLASHING), reserved("C", client="ada")]
    assert served([large, asks("ada", 1)], devices) == {}


def test_a_request_for_which_a_booking_keeps_boards_comes_first_whoever_waits_longer() -> None:
    booking = BookingRecord("b", "class", 1, [], None, NOW - 10, NOW + 3600, 1, "op", NOW - 60)
    early, late = QueuedRequest("x", "ada", these("A"), 1), QueuedRequest("y", "class/7", these("A"), 2)
    devices, calendar = [board("A"), board("B")], Calendar((booking,))
    verdicts = decide([early, late], devices, HERE, NOW, stands(devices), calendar)
    assert {verdict.id: verdict.serials for verdict in verdicts} == {"y": ["A"], "x": []}


def used(**accounts: float) -> Standing:
    return Standing(NOW, accounts)


def order_of(queue: list[QueuedRequest], stand: Standing) -> list[str]:
    return [queued.id for queued in arranged(queue, stand)]


def now(client: str, number: int, **more: float) -> QueuedRequest:
    return evolve(asks(client, number), since=NOW, **more)


def test_who_has_used_less_lately_goes_first() -> None:
    queue = [now("ada", 1), now("bob", 2), now("eve", 3)]
    assert order_of(queue, used(ada=7200.0, bob=3600.0)) == ["eve3", "bob2", "ada1"]


def test_a_difference_of_less_than_a_board_minute_is_none() -> None:
    assert order_of([now("ada", 1), now("bob", 2)], used(ada=59.0)) == ["ada1", "bob2"]


def test_names_of_one_account_share_what_it_used() -> None:
    assert order_of([now("ada/second", 1), now("bob", 2)], used(ada=3600.0)) == ["bob2", "ada/second1"]


def test_a_weight_of_two_is_worth_twice_the_boards() -> None:
    stand = Standing(NOW, {"ada": 3600.0, "bob": 2400.0}, {"ada": 2.0})
    assert order_of([now("bob", 1), now("ada", 2)], stand) == ["ada2", "bob1"]


def test_a_higher_priority_goes_before_all_others() -> None:
    queue = [now("ada", 1), now("bob", 2, priority=60.0)]
    assert order_of(queue, used(bob=1e6)) == ["bob2", "ada1"]


def test_who_has_waited_for_a_half_life_goes_first_whatever_it_used() -> None:
    stand = used(ada=1e6)
    long = evolve(asks("ada", 1), since=NOW - stand.longest)
    assert order_of([now("bob", 2), long], stand) == ["ada1", "bob2"]
    assert order_of([now("bob", 2), evolve(long, since=long.since + 1)], stand) == ["bob2", "ada1"]


def test_a_request_knows_behind_which_others_it_waits() -> None:
    devices = [reserved("A", client="eve"), reserved("B", client="eve")]
    named = QueuedRequest("x", "joe", these("B"), 1)
    first, second = QueuedRequest("y", "ada", these("A"), 2), asks("bob", 3)
    behind = {verdict.id: verdict.behind for verdict in _decide([named, first, second], devices)}
    assert behind == {"x": (), "y": (), "bob3": ("x", "y")}


def test_nothing_is_kept_for_what_may_never_be() -> None:
    broken = board("B", status=DeviceStatus.BROKEN)
    assert served([asks("ada", 1, 2), asks("bob", 2)], [board("A"), broken]) == {"bob2": ["A"]}
    drained = [*HERE, worker("w2", draining=True)]
    devices = [board("A"), reserved("B", "w2", client="eve")]
    verdicts = decide([asks("ada", 1, 2), asks("bob", 2)], devices, drained, NOW, stands(devices))
    assert [(each.id, each.serials, each.reach) for each in verdicts] == [("ada1", [], {"A"}), ("bob2", ["A"], set())]


def test_boards_asked_for_by_name_are_kept() -> None:
    named = QueuedRequest("x", "ada", these("A", "B"), 1)
    assert served([named, asks("bob", 2)], [board("A"), reserved("B", client="eve"), board("C")]) == {"bob2": ["C"]}


def test_boards_that_are_being_flashed_will_be_there_soon() -> None:
    flashing = board("A", status=DeviceStatus.FLASHING)
    (verdict,) = _decide([asks("ada", 1)], [flashing])
    assert verdict.soon
    (verdict,) = _decide([asks("ada", 1, 2)], [flashing, reserved("B")])
    assert not verdict.soon


clients = st.sampled_from(["ada", "bob", "eve", "joe"])
queues = st.lists(st.tuples(clients, st.integers(1, 3)), max_size=8).map(
    lambda asked: [asks(client, number, amount) for number, (client, amount) in enumerate(asked)]
)
farms = st.lists(st.tuples(st.sampled_from([*DeviceStatus]), st.none() | clients), min_size=1, max_size=6).map(
    lambda boards: [
        reserved(f"S{number}", client=client)
        if client is not None
        else board(f"S{number}", status=DeviceStatus.AVAILABLE if status is DeviceStatus.RESERVED else status)
        for number, (status, client) in enumerate(boards)
    ]
)


def _verdicts(queue: list[QueuedRequest], devices: list[DeviceRecord]) -> dict[str, Verdict]:
    return {verdict.id: verdict for verdict in _decide(queue, devices)}


@given(queues, farms)
def test_everybody_is_judged_once_and_no_board_is_given_twice(
    queue: list[QueuedRequest], devices: list[DeviceRecord]
) -> None:
    verdicts = _decide(queue, devices)
    assert sorted(verdict.id for verdict in verdicts) == sorted(queued.id for queued in queue)
    given_out = [serial for verdict in verdicts for serial in verdict.serials]
    free = {device.serial for device in devices if device.status is DeviceStatus.AVAILABLE}
    assert len(given_out) == len(set(given_out))
    assert set(given_out) <= free
    wanted = {queued.id: queued.request.amount for queued in queue}
    assert all(len(verdict.serials) in (0, wanted[verdict.id]) for verdict in verdicts)
    assert all(bool(verdict.serials) != isinstance(verdict.error, Unavailable) for verdict in verdicts)


@given(queues, farms, st.integers(0, 7))
def test_who_leaves_the_end_of_the_line_changes_nothing_for_those_before(
    queue: list[QueuedRequest], devices: list[DeviceRecord], keep: int
) -> None:
    holders = {device.client for device in devices if device.client is not None}
    fresh = [queued for queued in queue if queued.client not in holders]
    first = {queued.client: queued for queued in reversed(fresh)}
    line = arranged(first.values(), stands(devices))
    before, after = _verdicts(line, devices), _verdicts(line[:keep], devices)
    assert all(before[id].serials == verdict.serials for id, verdict in after.items())


@settings(deadline=None)
@given(queues, st.integers(1, 5), st.randoms(use_true_random=False))
def test_everybody_who_can_be_served_is_served_at_last(queue: list[QueuedRequest], boards: int, random: object) -> None:
    """Boards are given back in any order; nobody waits for ever."""
    devices = [board(f"S{number}") for number in range(boards)]
    line = [queued for queued in queue if (queued.request.amount or 0) <= boards]
    for _ in range(len(line) * boards + boards + 1):
        if not line:
            break
        got = served(line, devices)
        line = [queued for queued in line if queued.id not in got]
        holder = {serial: id for id, serials in got.items() for serial in serials}
        devices = [reserved(one.serial, client=holder[one.serial]) if one.serial in holder else one for one in devices]
        held = [device.serial for device in devices if device.client is not None]
        if held:
            back = random.choice(held)  # type: ignore[attr-defined]
            devices = [board(one.serial) if one.serial == back else one for one in devices]
    assert line == []


@given(queues, farms)
def test_requests_of_one_kind_are_served_in_their_order(
    queue: list[QueuedRequest], devices: list[DeviceRecord]
) -> None:
    """Where all boards are in order, nobody gets one before somebody who came earlier and has none either."""
    whole = [evolve(one, status=DeviceStatus.AVAILABLE) if one.client is None else one for one in devices]
    holders = {one.client for one in whole if one.client is not None}
    line = [queued for queued in queue if queued.client not in holders and (queued.request.amount or 0) <= len(whole)]
    first = {queued.client: queued for queued in reversed(line)}
    order = arranged(first.values(), stands(whole))
    got = [bool(_verdicts(order, whole)[queued.id].serials) for queued in order]
    assert got == sorted(got, reverse=True)


# ------------------------------------------------------------------------------------------ boards that change hands


def group_of(id: str, client: str, serials: str, *, least: int | None = 1, priority: float = 50.0) -> list[Any]:
    """The reservations of a group that would like to have two boards more."""
    return [
        ReservationRecord(
            f"{id}{serial}", serial, "w1", client, "counter", {}, NOW - 100, NOW + 100,
            request=id, priority=priority, wanted=len(serials) + 2, at_least=least,
        )
        for serial in serials
    ]  # fmt: skip


def taken(
    queue: list[QueuedRequest], active: list[ReservationRecord], stand: Standing, leaving: str = ""
) -> dict[str, list[str]]:
    devices = [reserved(record.serial, client=record.client) for record in active]
    verdicts = decide(queue, devices, HERE, NOW, stand, lenders=groups(active), leaving=leaving)
    return {verdict.id: list(verdict.asks) for verdict in verdicts if verdict.asks}


def holding(active: list[ReservationRecord], **used_by: float) -> Standing:
    return evolve(standing(Ledger(), [Hold(one.client, NOW) for one in active], NOW), used=used_by)


def test_a_higher_priority_takes_boards_that_a_group_can_spare() -> None:
    active = group_of("g", "ada", "ABC", least=2)
    high = now("bob", 1, priority=60.0)
    assert taken([high], active, holding(active)) == {"bob1": ["C"]}
    assert taken([evolve(high, request=some(2))], active, holding(active)) == {}
    assert taken([evolve(high, request=some(2, at_least=1))], active, holding(active)) == {"bob1": ["C"]}
    assert taken([high], active, holding(active), leaving="C") == {}
    assert taken([evolve(high, number=LAST)], active, holding(active)) == {}


def test_an_account_that_used_less_takes_a_board_of_its_priority_and_never_more_than_is_even() -> None:
    active = group_of("g", "ada", "ABC")
    stand = holding(active, ada=MARGIN)
    assert taken([now("bob", 1)], active, stand) == {"bob1": ["C"]}
    assert taken([now("bob", 1)], active, holding(active, ada=MARGIN - 60)) == {}
    assert taken([evolve(now("bob", 1), request=some(3, at_least=1))], active, stand) == {"bob1": ["C", "B"]}
    assert taken([now("bob", 1, priority=40.0)], active, stand) == {}


def test_the_group_of_the_account_with_most_boards_is_asked_first() -> None:
    active = group_of("g", "ada", "ABC") + group_of("h", "bob", "DEFGH")
    assert [(each.id, each.client) for each in groups(active)] == [("g", "ada"), ("h", "bob")]
    queue = [evolve(now("eve", 1, priority=60.0), request=some(4))]
    assert taken(queue, active, holding(active)) == {"eve1": ["H", "G", "C", "F"]}


def test_no_group_is_asked_while_boards_are_made_ready_for_all_who_wait() -> None:
    active = group_of("g", "ada", "ABC")
    held = [reserved(record.serial, client=record.client) for record in active]
    ready = [board(serial, status=DeviceStatus.FLASHING) for serial in "DE"]
    queue = [now(client, number, priority=60.0) for number, client in enumerate(("bob", "eve", "joe"))]
    verdicts = decide(queue, [*held, *ready], HERE, NOW, holding(active), lenders=groups(active))
    assert [verdict.asks for verdict in verdicts] == [(), (), ("C",)]


def test_boards_of_a_group_that_gives_none_are_not_taken() -> None:
    active = group_of("g", "ada", "ABC", least=None)
    assert taken([now("bob", 1, priority=99.0)], active, holding(active)) == {}


@given(
    st.lists(st.tuples(clients, st.integers(1, 4), st.integers(1, 4), st.sampled_from([40.0, 50.0])), max_size=3),
    st.lists(st.tuples(clients, st.integers(1, 3), st.sampled_from([30.0, 50.0, 60.0]), st.booleans()), max_size=5),
    st.dictionaries(clients, st.floats(0, 1e5)),
    st.sets(st.integers(0, 11)),
)
def test_no_group_is_asked_below_what_it_keeps_nor_by_lower_ones(
    held: list[tuple[str, int, int, float]],
    asked: list[tuple[str, int, float, bool]],
    use: dict[str, float],
    gone: set[int],
) -> None:
    active: list[ReservationRecord] = []
    for number, (client, boards, least, priority) in enumerate(held):
        serials = "".join(chr(65 + len(active) + offset) for offset in range(boards))
        active += group_of(f"g{number}", client, serials, least=min(least, boards), priority=priority)
    leaving = "".join(chr(65 + number) for number in gone if number < len(active))
    queue = [
        evolve(asks(client, number, amount), priority=priority, grows=grows, since=NOW)
        for number, (client, amount, priority, grows) in enumerate(asked)
    ]
    by_id = {queued.id: queued for queued in queue}
    by_serial = {record.serial: record for record in active}
    left = Counter(record.request for record in active if record.serial not in leaving)
    initial = dict(left)
    for id, serials in taken(queue, active, holding(active, **use), leaving).items():
        for serial in serials:
            record, queued = by_serial[serial], by_id[id]
            assert serial not in leaving
            assert record.client != queued.client
            assert record.priority <= queued.priority
            left[record.request] -= 1
            leaving += serial
    kept = {record.request: record.at_least or 0 for record in active}
    assert all(left[id] >= min(kept[id], count) for id, count in initial.items())


@given(queues, farms, st.dictionaries(clients, st.floats(0, 1e5)))
def test_no_board_is_idle_that_somebody_who_has_just_come_could_use(
    queue: list[QueuedRequest], devices: list[DeviceRecord], use: dict[str, float]
) -> None:
    """Boards are kept for nobody yet: whatever is left over is too few for each of those who wait."""
    fresh = [evolve(queued, since=NOW) for queued in queue]
    verdicts = decide(fresh, devices, HERE, NOW, evolve(stands(devices), used=use))
    free = {device.serial for device in devices if device.status is DeviceStatus.AVAILABLE}
    left = len(free - {serial for verdict in verdicts for serial in verdict.serials})
    wanted = {queued.id: queued.request.amount or 0 for queued in fresh}
    assert all(left < wanted[verdict.id] for verdict in verdicts if not verdict.serials)


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 3), st.integers(2, 4), st.randoms(use_true_random=False))
def test_nobody_is_passed_for_longer_than_a_half_life(boards: int, newcomers: int, random: Any) -> None:
    """A heavy user waits, and light users come for ever: it is served a half-life after it came, at the latest."""
    heavy = evolve(asks("ada", 0), since=0.0)
    time, waiting, ends = 0.0, [heavy], [random.uniform(0, 3600) for _ in range(boards)]
    for number in range(1, 10_000):
        time = min(ends)
        for newcomer in range(newcomers):
            waiting.append(QueuedRequest(f"n{number}.{newcomer}", f"n{number}.{newcomer}", some(1), number, time))
        free = [board(f"S{place}") for place, end in enumerate(ends) if end <= time]
        verdicts = decide(waiting, free, HERE, time, Standing(time, {"ada": 1e6}))
        got = {verdict.id: verdict.serials for verdict in verdicts if verdict.serials}
        if heavy.id in got:
            break
        waiting = [queued for queued in waiting if queued.id not in got][:50]
        ends = [time + random.uniform(600, 3600) if end <= time else end for end in ends]
    assert time <= HALF_LIFE + 3600


# ------------------------------------------------------------------------------------------------- shared boards


SHARING = [evolve(HERE[0], shared_kinds=["counter"])]


def shares(client: str, number: int, amount: int = 1, most: int = 2, since: float = NOW) -> QueuedRequest:
    return QueuedRequest(f"{client}{number}", client, some(amount, sharers=most), number, since)


def shared(serial: str, *clients: str) -> DeviceRecord:
    held = reserved(serial, client=clients[0])
    return evolve(held, kind="counter", shares={f"r-{client}": client for client in clients})


def _shared_out(queue: list[QueuedRequest], devices: list[DeviceRecord]) -> dict[str, list[str]]:
    found = decide(queue, devices, SHARING, NOW, stands(devices))
    return {verdict.id: verdict.serials for verdict in found}


def test_several_requests_of_one_walk_share_a_board_as_far_as_there_is_room() -> None:
    queue = [shares("ada", 1), shares("bob", 2), shares("cem", 3)]
    assert _shared_out(queue, [board("A")]) == {"ada1": ["A"], "bob2": ["A"], "cem3": []}


def test_requests_spread_over_boards_before_they_share() -> None:
    queue = [shares("ada", 1), shares("bob", 2), shares("cem", 3)]
    assert _shared_out(queue, [board("A"), board("B")]) == {"ada1": ["A"], "bob2": ["B"], "cem3": ["A"]}


def test_who_wants_a_board_for_itself_gets_none_that_others_share() -> None:
    now = evolve(asks("ada", 1), since=NOW)
    assert _shared_out([now, shares("bob", 2)], [shared("A", "cem")]) == {"ada1": [], "bob2": ["A"]}


def test_nobody_joins_a_board_that_one_waits_for_who_came_long_before() -> None:
    early = evolve(asks("ada", 1), since=NOW - KEEP_AFTER)
    assert _shared_out([early, shares("bob", 2)], [shared("A", "cem")]) == {"ada1": [], "bob2": []}


def test_of_shared_boards_as_many_are_kept_as_one_needs_and_those_that_the_fewest_share() -> None:
    early = evolve(asks("ada", 1), since=NOW - KEEP_AFTER)
    boards = [shared("A", "cem", "dee"), shared("B", "eve")]
    assert _shared_out([early, shares("bob", 2, most=4)], boards) == {"ada1": [], "bob2": ["A"]}


def test_nobody_shares_a_board_with_itself() -> None:
    assert _shared_out([shares("ada", 1), shares("ada", 2)], [board("A")]) == {"ada1": ["A"], "ada2": []}


def test_a_board_of_a_worker_that_cannot_share_it_is_not_waited_for() -> None:
    (verdict,) = decide([shares("ada", 1)], [board("A", "old"), reserved("B", client="cem")],
                        [worker("old", kinds=["counter"]), *SHARING], NOW)  # fmt: skip
    assert (verdict.serials, verdict.reach) == ([], frozenset({"B"}))


_some_boards = st.lists(
    st.sampled_from([(), (), ("cem",), ("dee",), ("cem", "dee"), "eve"]), min_size=1, max_size=5
).map(
    lambda holders: [
        reserved(f"S{number}", client=who)
        if isinstance(who, str)
        else shared(f"S{number}", *who)
        if who
        else board(f"S{number}")
        for number, who in enumerate(holders)
    ]
)
_some_requests = st.lists(st.tuples(st.sampled_from(["ada", "bob", "cem", "fay"]), st.booleans()), max_size=8)


@given(_some_requests, _some_boards)
def test_of_those_who_share_and_those_who_do_not_nobody_waits_for_what_there_is(
    asked: list[tuple[str, bool]], farm: list[DeviceRecord]
) -> None:
    queue = [
        shares(client, number, most=3) if shares_boards else evolve(asks(client, number), since=NOW)
        for number, (client, shares_boards) in enumerate(asked)
    ]
    by_id = {queued.id: queued for queued in queue}
    verdicts = decide(queue, farm, SHARING, NOW, stands(farm))
    alone = [each.serials[0] for each in verdicts if each.serials and by_id[each.id].request.sharers is None]
    sharing = {one.serial: list(one.shares.values()) for one in farm if one.client is None or one.shares}
    for verdict in verdicts:
        if verdict.serials and by_id[verdict.id].request.sharers is not None:
            sharing[verdict.serials[0]].append(by_id[verdict.id].client)
    # What one has for itself nobody else has; what is shared has room, and each client once.
    assert len(set(alone)) == len(alone)
    assert all(sharing.pop(serial) == [] for serial in alone)
    assert all(len(set(clients)) == len(clients) <= 3 for clients in sharing.values())
    for verdict in verdicts:
        if not verdict.serials:
            client, wants = by_id[verdict.id].client, by_id[verdict.id].request
            room = [
                one for one in sharing.values() if (one == [] or wants.sharers) and client not in one and len(one) < 3
            ]
            assert room == []
