"""Which boards a request gets, and what a person reads where it gets none."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from icefarm.contract import BoardCalibration, BoardHealth, DeviceRecord, DeviceStatus, WorkerRecord
from icefarm.control.scheduling import explanations
from icefarm.control.scheduling.availability import (
    Sharing,
    SuspectRule,
    UnavailableReason,
    current_status,
    free,
    held_by,
    unavailable_reason,
    undeletable,
)
from icefarm.control.scheduling.placement import MAX_BOARDS, ReservationRequest, Terms, choose, terms_of
from icefarm.errors import (
    IcefarmError,
    InvalidArgument,
    NotYours,
    Unavailable,
    UnknownDevice,
    UnknownKind,
    UnknownWorker,
)
from icefarm.selectors.boards import parse_boards

NOW = 1000.0


def worker(name: str = "w1", **changes: Any) -> WorkerRecord:
    made = WorkerRecord(name, "online", False, "host", "1.0", ["counter"], 0, NOW)
    return evolve(made, **changes)


def board(serial: str, on: str = "w1", **changes: Any) -> DeviceRecord:
    made = DeviceRecord(
        serial, on, DeviceStatus.AVAILABLE, None, None, None, None, None, None, None, 0, 0, 0, None, NOW
    )
    return evolve(made, **changes)


def reserved(serial: str, on: str = "w1", client: str = "bob", for_s: float = 700.0) -> DeviceRecord:
    status = DeviceStatus.RESERVED
    return board(
        serial,
        on,
        status=status,
        client=client,
        reservation=f"r{serial}",
        expires_at=NOW + for_s,
        reserved_at=NOW - 1200,
    )


def some(amount: int, **more: Any) -> ReservationRequest:
    return ReservationRequest("counter", amount=amount, **more)


def these(*serials: str) -> ReservationRequest:
    return ReservationRequest("counter", serials=serials)


boards = st.builds(
    board,
    serial=st.text("ABCDEF", min_size=1, max_size=3),
    on=st.sampled_from(["w1", "w2", "w3", "nowhere"]),
    status=st.sampled_from([*DeviceStatus, *[DeviceStatus.AVAILABLE] * 6]),
    failures=st.integers(0, 4),
) | st.builds(reserved, serial=st.text("ABCDEF", min_size=1, max_size=3), on=st.sampled_from(["w1", "w2"]))
farms = st.lists(boards, max_size=14, unique_by=lambda device: device.serial)
workers = st.tuples(
    *[
        st.builds(
            worker,
            st.just(name),
            status=st.sampled_from(["online", "online", "online", "offline"]),
            draining=st.sampled_from([False, False, False, True]),
            kinds=st.sampled_from([["counter"], ["counter"], ["counter", "variance"], []]),
        )
        for name in ("w1", "w2", "w3")
    ]
).map(list)
requests = st.builds(some, st.integers(1, 6)) | st.lists(
    st.text("ABCDEF", min_size=1, max_size=3), min_size=1, max_size=3, unique=True
).map(lambda serials: these(*serials))


@given(farms, workers, requests)
def test_only_free_boards_are_chosen_and_all_or_none(
    devices: list[DeviceRecord], of_workers: list[WorkerRecord], request: ReservationRequest
) -> None:
    usable = free(devices, of_workers, request.kind)
    try:
        chosen = choose(devices, of_workers, request, NOW)
    except (Unavailable, UnknownKind, UnknownDevice):
        if request.serials is None:
            assert len(usable) < (request.amount or 0)
        else:
            assert not set(request.serials) <= set(usable)
    else:
        assert set(chosen) <= set(usable)
        assert len(chosen) == len(set(chosen)) == (request.amount or len(request.serials or ()))


@given(farms, workers, requests, st.randoms())
def test_the_order_in_which_the_farm_is_read_does_not_matter(
    devices: list[DeviceRecord], of_workers: list[WorkerRecord], request: ReservationRequest, random: Any
) -> None:
    def outcome() -> object:
        try:
            return choose(devices, of_workers, request, NOW)
        except IcefarmError as refusal:
            return refusal.message

    before = outcome()
    random.shuffle(devices)
    random.shuffle(of_workers)
    assert outcome() == before


@given(farms, st.integers(1, 6))
def test_no_worker_gets_a_board_more_than_another_that_has_some_left(devices: list[DeviceRecord], amount: int) -> None:
    all_workers = [worker(name) for name in ("w1", "w2", "w3")]
    try:
        chosen = choose(devices, all_workers, some(amount), NOW)
    except Unavailable:
        return
    load = {one.name: 0 for one in all_workers}
    left = {one.name: 0 for one in all_workers}
    got = {one.name: 0 for one in all_workers}
    for device in devices:
        if device.serial in chosen:
            got[device.worker] += 1
        if device.reservation is not None or device.serial in chosen:
            load[device.worker] += 1
        elif unavailable_reason(device, worker(device.worker), "counter") is None and device.worker in left:
            left[device.worker] += 1
    for one in load:
        for other in load:
            if got[one] and left[other]:
                assert load[one] <= load[other] + 1


def test_a_board_with_fewer_failures_comes_first() -> None:
    devices = [board("A", failures=3), board("B", failures=0), board("C", failures=1)]
    assert choose(devices, [worker()], some(2), NOW) == ["B", "C"]


def suspect(serial: str, rule: SuspectRule, **changes: Any) -> DeviceRecord:
    figures = (9.0, 0.1, 2.0, 0.0, 0.0, 0.0, 0.0)
    return board(serial, calibration=BoardCalibration("c", "r", NOW, None, *figures, 20, "it jumped", rule), **changes)


def test_a_suspect_board_is_given_out_last_or_not_at_all_or_like_any_other() -> None:
    devices = [suspect("A", SuspectRule.AVOID), board("B", failures=9), board("C", "w2"), board("D", failures=3)]
    both = [worker(), worker("w2")]
    assert choose(devices, both, some(4), NOW) == ["C", "D", "B", "A"]
    assert choose(devices, both, these("A"), NOW) == ["A"]
    devices[0] = suspect("A", SuspectRule.IGNORE)
    assert choose(devices, both, some(2), NOW) == ["A", "C"]
    devices[0] = suspect("A", SuspectRule.SET_ASIDE)
    with pytest.raises(Unavailable, match="4 suitable boards: 3 free, 1 set aside as suspect"):
        choose(devices, both, some(4), NOW)


def test_a_request_may_begin_with_fewer_boards_than_it_is_for() -> None:
    devices = [board("A"), board("B"), reserved("C")]
    assert choose(devices, [worker()], some(3, at_least=1), NOW) == ["A", "B"]
    assert choose(devices, [worker()], some(1, at_least=9), NOW) == ["A"]
    with pytest.raises(Unavailable, match="3 boards of kind 'counter' asked for"):
        choose(devices, [worker()], some(4, at_least=3), NOW)


@pytest.mark.parametrize(
    ("asked", "terms"),
    [
        ({"amount": None}, Terms(60.0)),
        ({"amount": 4}, Terms(60.0)),
        ({"amount": 4, "at_least": 2}, Terms(60.0, 4, None, "real")),
        ({"amount": 4, "at_least": 4, "preemptible": True}, Terms(60.0, 4, 4, "real")),
        ({"amount": 4, "preemptible": True}, Terms(60.0, 4, 1, "real")),
    ],
)
def test_only_a_request_that_may_begin_with_fewer_or_give_some_up_makes_a_group(
    asked: dict[str, Any], terms: Terms
) -> None:
    assert terms_of(60.0, **{"at_least": None, "preemptible": None, "where": "real", **asked}) == terms


@pytest.mark.parametrize(
    "asked", [{"amount": None, "at_least": 1}, {"amount": None, "preemptible": True}, {"at_least": 0}, {"at_least": 5}]
)
def test_senseless_terms_are_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument, match=r"at_least .*number of boards, not"):
        terms_of(60.0, **{"amount": 4, "at_least": None, "preemptible": None, **asked})


def test_boards_asked_for_by_serial_come_in_that_order() -> None:
    devices = [board("A"), board("B"), board("C")]
    assert choose(devices, [worker()], these("C", "A"), NOW) == ["C", "A"]


def test_a_board_that_has_just_failed_is_not_chosen_again() -> None:
    devices = [board("A"), board("B")]
    assert choose(devices, [worker()], some(1, avoid=["A"]), NOW) == ["B"]
    with pytest.raises(Unavailable, match="set aside after a failure"):
        choose(devices, [worker()], some(2, avoid=["A"]), NOW)


@pytest.mark.parametrize(
    ("device", "of_worker", "expected"),
    [
        (board("A"), worker(), None),
        (board("A"), None, UnavailableReason.OFFLINE),
        (board("A"), worker(status="offline"), UnavailableReason.OFFLINE),
        (board("A", status=DeviceStatus.OFFLINE), worker(), UnavailableReason.OFFLINE),
        (board("A"), worker(kinds=["other"]), UnavailableReason.UNSUITABLE),
        (board("A", status=DeviceStatus.BROKEN), worker(), UnavailableReason.BROKEN),
        (reserved("A"), worker(), UnavailableReason.RESERVED),
        (board("A"), worker(draining=True), UnavailableReason.DRAINING),
        (board("A", status=DeviceStatus.FLASHING), worker(), UnavailableReason.PREPARING),
        (board("A", status=DeviceStatus.TESTING), worker(), UnavailableReason.PREPARING),
    ],
)
def test_what_keeps_a_board_from_being_reserved(
    device: DeviceRecord, of_worker: WorkerRecord | None, expected: UnavailableReason | None
) -> None:
    assert unavailable_reason(device, of_worker, "counter") is expected


@pytest.mark.parametrize(
    ("devices", "request_", "words"),
    [
        (
            [reserved("A"), reserved("B", for_s=1200), reserved("C", for_s=9000)],
            some(1),
            "1 board of kind 'counter' asked for; 3 suitable boards, all reserved; "
            "the first reservation to end is that of board A, held by 'bob' since 23:56 UTC: in at most 12 min unless "
            "extended, which clients do by themselves while they run",
        ),
        (
            [board("A"), reserved("B", for_s=30), board("C", status=DeviceStatus.BROKEN)],
            some(3),
            "3 boards of kind 'counter' asked for; 3 suitable boards: 1 free, 1 broken, 1 reserved; "
            "the first reservation to end is that of board B, held by 'bob' since 23:56 UTC: in at most 30 s unless "
            "extended, which clients do by themselves while they run",
        ),
        (
            [board("A", status=DeviceStatus.TESTING)],
            some(1),
            "1 board of kind 'counter' asked for; 1 suitable board, it is being flashed or tested",
        ),
        ([], some(2), "2 boards of kind 'counter' asked for; no suitable boards"),
        (
            [reserved("A", client="ada", for_s=80_000), board("B", status=DeviceStatus.BROKEN, reason="silent")],
            these("A", "B"),
            "board A is reserved by 'ada' since 23:56 UTC, for at most 23 h more unless extended; "
            "board B is broken (silent)",
        ),
    ],
)
def test_the_refusal_says_what_is_missing_and_when_to_expect_it(
    devices: list[DeviceRecord], request_: ReservationRequest, words: str
) -> None:
    with pytest.raises(Unavailable) as refusal:
        choose(devices, [worker()], request_, NOW)
    assert refusal.value.message == words


def test_the_refusal_has_the_numbers_for_programs_too() -> None:
    with pytest.raises(Unavailable) as refusal:
        choose([board("A"), reserved("B", for_s=30.0)], [worker()], some(2), NOW)
    fields = {"asked": 2, "free": 1, "suitable": 2, "free_in": 30.0, "reasons": {"reserved": 1}}
    assert refusal.value.fields == fields


def test_an_unknown_kind_is_answered_with_those_there_are() -> None:
    of_workers = [worker(kinds=["b"]), worker("w2", kinds=["a", "b"])]
    with pytest.raises(UnknownKind, match="no worker offers kind 'counter'; there are: a, b") as caught:
        choose([board("A")], of_workers, some(1), NOW)
    assert caught.value.fields == {"kinds": ["a", "b"]}
    with pytest.raises(UnknownKind, match="there are: none"):
        choose([board("A")], [worker(kinds=[])], some(1), NOW)


def test_a_kind_that_cannot_be_shared_is_answered_with_those_that_can() -> None:
    of_workers = [worker(kinds=["counter", "b"], shared_kinds=["b"]), worker("w2")]
    with pytest.raises(InvalidArgument, match=r"'counter' cannot be shared.* shared here: b$") as caught:
        choose([board("A")], of_workers, some(1, sharers=2), NOW)
    assert caught.value.fields == {"kind": "counter", "shared_kinds": ["b"]}
    with pytest.raises(InvalidArgument, match=r"shared here: none$"):
        choose([board("A")], [worker()], some(1, sharers=2), NOW)


def test_a_farm_that_no_worker_has_joined_is_not_blamed_on_the_kind() -> None:
    with pytest.raises(Unavailable, match="no worker has joined") as caught:
        choose([], [], some(1), NOW)
    assert caught.value.fields == {"free": 0, "suitable": 0}


def test_unknown_boards_are_named() -> None:
    with pytest.raises(UnknownDevice, match="no board X, Y") as caught:
        choose([board("A")], [worker()], these("X", "A", "Y"), NOW)
    assert caught.value.fields == {"serials": ["X", "Y"]}


def test_boards_asked_for_by_serial_that_are_not_free_are_explained_each() -> None:
    devices = [board("A"), reserved("B"), board("C", status=DeviceStatus.BROKEN, reason="no CDONE"), board("D")]
    with pytest.raises(Unavailable) as caught:
        choose(devices, [worker()], these("C", "A", "B", "D"), NOW, {"D": "1 board is booked for class"})
    assert caught.value.message == (
        "board C is broken (no CDONE); board B is reserved by 'bob' since 23:56 UTC, for at most 12 min more unless "
        "extended; board D is kept for a booking: 1 board is booked for class"
    )
    assert caught.value.fields == {"serials": ["C", "B", "D"], "free": 1}


def shared_by(serial: str, *clients: str, **changes: Any) -> DeviceRecord:
    shares = {f"r{number}": client for number, client in enumerate(clients)}
    return evolve(reserved(serial, client=clients[0]), kind="counter", shares=shares, **changes)


def test_a_shared_board_has_room_for_others_until_it_is_full() -> None:
    sharing = worker(shared_kinds=["counter"])

    def reason(device: DeviceRecord, client: str = "eve", most: int = 3, of: WorkerRecord = sharing) -> object:
        return unavailable_reason(device, of, "counter", sharing=Sharing(client, most))

    both = shared_by("A", "ada", "bob")
    assert held_by(both) == "'ada' and 'bob'"
    assert (reason(board("A")), reason(both)) == (None, None)
    assert reason(both, most=2) is UnavailableReason.FULL
    assert reason(both, client="bob") is UnavailableReason.YOURS
    assert reason(reserved("A")) is UnavailableReason.RESERVED
    assert reason(evolve(both, kind="variance")) is UnavailableReason.RESERVED
    assert reason(both, of=worker()) is UnavailableReason.UNSHAREABLE
    assert reason(evolve(both, status=DeviceStatus.FLASHING)) is None


def test_a_request_for_shared_boards_gets_free_ones_and_then_those_that_the_fewest_share() -> None:
    devices = [shared_by("A", "ada", "bob"), shared_by("B", "ada"), board("C"), shared_by("D", "bob")]
    sharing = [worker(shared_kinds=["counter"])]
    for amount, expected in ((1, ["C"]), (2, ["C", "B"]), (3, ["C", "B", "D"]), (4, ["C", "B", "D", "A"])):
        assert choose(devices, sharing, some(amount, sharers=3), NOW, client="eve") == expected


@pytest.mark.parametrize(
    ("refusal", "about", "kind", "words", "fields"),
    [
        (explanations.unknown_worker, ["w9"], UnknownWorker, "no worker 'w9'", {"worker": "w9"}),
        (
            explanations.contested,
            ["A", "w1"],
            NotYours,
            "board A is on worker 'w1' already",
            {"serial": "A", "worker": "w1"},
        ),
        (explanations.incomplete, [2, 3], Unavailable, "of 3 boards .* 2 are left", {}),
        (explanations.foreign_request, ["r1"], InvalidArgument, "request 'r1' is another client's", {}),
        (explanations.not_yours, [["A", "B"]], NotYours, "not reserved by you: A, B", {"serials": ["A", "B"]}),
        (
            explanations.cannot_delete,
            [[reserved("A"), board("B")]],
            InvalidArgument,
            "board A is reserved by 'bob'; board B is available; only boards that are offline",
            {"serials": ["A", "B"]},
        ),
        (explanations.undeletable_worker, ["w1", ["A", "B"]], InvalidArgument, "reserved: A, B; end these first", {}),
        (explanations.undeletable_worker, ["w1", []], InvalidArgument, "worker 'w1' is online", {}),
        (explanations.token_exists, ["t"], InvalidArgument, "token named 't' already", {}),
        (explanations.unknown_token, ["t"], InvalidArgument, "no token named 't'", {}),
        (explanations.too_many_labels, ["board A"], InvalidArgument, "board A would have more than", {}),
        (explanations.unknown_accounts, [["x", "y"], []], InvalidArgument, "^there is no account x, y$", {}),
        (
            explanations.unknown_accounts,
            [["x"], ["op", "w1"]],
            InvalidArgument,
            "^there is no account x; op, w1 also signs in as worker or operator",
            {},
        ),
    ],
)
def test_a_refusal_names_what_it_is_about(
    refusal: Callable[..., IcefarmError],
    about: list[Any],
    kind: type[IcefarmError],
    words: str,
    fields: dict[str, object],
) -> None:
    error = refusal(*about)
    assert type(error) is kind
    assert re.search(words, error.message)
    assert error.fields == fields


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(-5, "0 s"), (0.1, "1 s"), (99.0, "99 s"), (99.5, "2 min"), (5940.0, "99 min"), (5941.0, "2 h"), (7201.0, "3 h")],
)
def test_how_long_a_board_is_held_at_most_is_rounded_up(seconds: float, words: str) -> None:
    held = explanations.board_refusal(reserved("A", for_s=seconds), UnavailableReason.RESERVED, NOW)
    assert held == f"reserved by 'bob' since 23:56 UTC, for at most {words} more unless extended"


def test_a_board_that_was_reserved_a_day_ago_or_more_is_said_to_be_with_the_date() -> None:
    for ago, since in ((0.0, "00:16"), (86_399.0, "00:16"), (86_400.0, "1970-01-01 00:16")):
        device = evolve(reserved("A"), reserved_at=NOW, expires_at=None)
        words = explanations.board_refusal(device, UnavailableReason.RESERVED, NOW + ago)
        assert words == f"reserved by 'bob' since {since} UTC"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "either amount or serials"),
        ({"amount": 1, "serials": ["A"]}, "either amount or serials"),
        ({"amount": 0}, "between 1 and"),
        ({"amount": MAX_BOARDS + 1}, "between 1 and"),
        ({"serials": []}, "names no board"),
        ({"serials": ["A", "B", "A"]}, "more than once: A"),
        ({"amount": 1, "options": {"x": b"bytes"}}, "can't be kept as JSON"),
        ({"amount": 1, "options": {"x": float("nan")}}, "can't be kept as JSON"),
        ({"amount": 1, "options": {"x": "y" * 20_000}}, "at most 16384"),
        ({"amount": 1, "sharers": 2, "at_least": 1}, "^at_least goes with boards that a client has for itself"),
        ({"serials": ["A"] * (MAX_BOARDS + 1)}, "at most 10000 at once"),
    ],
)
def test_a_senseless_request_is_refused(arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidArgument, match=words):
        ReservationRequest("counter", **arguments)


@given(st.sampled_from(DeviceStatus), st.booleans())
def test_only_a_free_board_is_shown_as_available_and_only_a_held_one_as_reserved(
    reported: DeviceStatus, held: bool
) -> None:
    shown = current_status(reported, reserved=held)
    assert not (held and shown is DeviceStatus.AVAILABLE)
    assert held or shown is not DeviceStatus.RESERVED


def test_a_board_that_works_or_is_reserved_can_not_be_deleted() -> None:
    assert undeletable(board("A", status=DeviceStatus.OFFLINE)) is None
    assert undeletable(board("A", status=DeviceStatus.BROKEN)) is None
    assert undeletable(board("A", status=DeviceStatus.TESTING)) == (
        "testing; only boards that are offline or broken can be deleted"
    )
    assert undeletable(evolve(reserved("A"), status=DeviceStatus.OFFLINE)) == "reserved by 'bob'"


# ------------------------------------------------------------------------------------------------ choice of boards


def labelled(serial: str, lab: int, **changes: Any) -> DeviceRecord:
    return board(serial, labels={"lab": str(lab)}, **changes)


def refusal(devices: list[DeviceRecord], request: ReservationRequest) -> str:
    with pytest.raises(Unavailable) as caught:
        choose(devices, [worker()], request, NOW)
    return caught.value.message


def test_a_selector_chooses_among_the_boards() -> None:
    devices = [labelled("A", 1), labelled("B", 2), labelled("C", 2, failures=3)]
    assert choose(devices, [worker()], some(2, where=parse_boards("lab=2")), NOW) == ["B", "C"]
    assert choose(devices, [worker()], some(1, where=parse_boards("lab=2 and failures>0")), NOW) == ["C"]


def test_too_few_boards_are_explained_part_by_part() -> None:
    aside = BoardHealth(set_aside=1)
    devices = [
        *(labelled(f"A{n}", 1) for n in range(8)),
        labelled("B1", 3),
        evolve(reserved("B2"), labels={"lab": "3"}),
        labelled("B3", 3, health=aside),
        labelled("B4", 3, health=aside),
    ]
    words = refusal(devices, some(2, where=parse_boards("lab=3 and healthy")))
    assert words.startswith(
        "2 boards of kind 'counter' asked for; of 12 boards, lab=3 leaves 4, healthy leaves 2; "
        "2 suitable boards: 1 free, 1 reserved; the first reservation to end is that of board B2"
    )


def test_virtual_boards_go_to_requests_that_name_them_once_there_is_a_real_one() -> None:
    virtual = [board("V1", model="simulated"), board("V2", model="landscape")]
    assert choose(virtual, [worker()], some(2), NOW) == ["V1", "V2"]
    mixed = [*virtual, board("R", status=DeviceStatus.OFFLINE)]
    assert refusal(mixed, some(1)) == (
        "1 board of kind 'counter' asked for; of 3 boards, real leaves 1 (where=\"virtual\" allows the others); "
        "1 suitable board, it is offline"
    )
    assert choose(mixed, [worker()], some(1, where=parse_boards("landscape")), NOW) == ["V2"]
    assert choose(mixed, [worker()], some(2, where=parse_boards("real or virtual")), NOW) == ["V1", "V2"]
    assert choose(mixed, [worker()], these("V1"), NOW) == ["V1"]
    assert free(mixed, [worker()], None) == []
    assert free(mixed, [worker()], None, parse_boards("virtual")) == ["V1", "V2"]


def test_a_selector_does_not_go_with_serials() -> None:
    with pytest.raises(InvalidArgument, match="where chooses among boards"):
        ReservationRequest("counter", serials=["A"], where=parse_boards("real"))
