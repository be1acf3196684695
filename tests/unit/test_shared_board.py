"""A board of a worker that several clients share, over boards in memory and the test's own clock."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from test_device import BITSTREAM, SERIAL, Shelf, gathered

from icefarm.bus import Caller
from icefarm.contract import Assignment, DeviceStatus, Role, device_procedure
from icefarm.errors import DeviceFailed, IcefarmError, InvalidArgument, NotYours, ReservationEnded, Withdrawn
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.archive.rows import Note
from icefarm.worker.control_link.board_calls import BoardProcedures, EvaluationLists
from icefarm.worker.control_link.settling import Settling


def share(client: str, window: float = 1.0, weight: float = 1.0, within: str = "own") -> Assignment:
    options = {"window": window}
    return Assignment(f"of {client}", client, "pulsecount", options, within=within, weight=weight)


class SharedShelf(Shelf):
    """A board that clients share, and whose evaluations ended in which order."""

    def __init__(self, *clients: str, window: float = 1.0, takes: float = 0.2) -> None:
        super().__init__()
        self.board.takes = takes
        self.answers: list[str] = []
        for client in clients:
            self.join(share(client, window))
        self.settle()

    def join(self, assignment: Assignment) -> list[Any]:
        return gathered(self.device.prepare(assignment))

    def send(self, client: str, number: int, **arguments: Any) -> list[Any]:
        reservation = self.device.find(f"of {client}")
        assert reservation is not None

        async def answered() -> Any:
            id = f"{client} {number}"
            try:
                return await reservation.call(
                    "evaluate", (), {"evaluation_id": id, "bitstream": BITSTREAM, **arguments}
                )
            finally:
                self.answers.append(client)

        return gathered(answered())

    @property
    def shares(self) -> list[str]:
        return self.device.report().shares


def test_two_clients_share_a_board_and_each_evaluation_is_carried_out_once() -> None:
    shelf = SharedShelf("ada", "bob")
    report = shelf.device.report()
    assert (report.status, report.reservation, shelf.shares) == (DeviceStatus.RESERVED, "own", ["of ada", "of bob"])
    results = [shelf.send(client, number) for number in range(4) for client in ("ada", "bob")]
    shelf.settle(5)
    measured = [result[0] for result in results]
    assert sorted(one["sequence"] for one in measured) == list(range(1, 9))
    assert len({one["evaluation_id"] for one in measured}) == 8
    assert shelf.board.flashed == 1


def test_each_has_options_and_provenance_of_its_own() -> None:
    shelf = SharedShelf()
    shelf.join(share("ada", 0.25))
    shelf.join(share("bob", 0.5))
    shelf.settle()
    answers = [shelf.send("ada", 1), shelf.send("bob", 1)]
    shelf.settle(2)
    assert [(one["options"]["window"], one["window_us"]) for (one,) in answers] == [(0.25, 250_000), (0.5, 500_000)]


def test_one_that_sends_a_lot_does_not_keep_the_other_waiting() -> None:
    shelf = SharedShelf("ada", "bob")
    for number in range(20):
        shelf.send("ada", number)
    shelf.send("bob", 0)
    shelf.settle(1.2)
    assert shelf.answers.index("bob") <= 3


def test_accounts_share_the_boards_time_and_not_the_number_of_evaluations() -> None:
    shelf = SharedShelf()
    shelf.join(share("ada", 3.0))
    shelf.join(share("bob", 1.0))
    shelf.settle()
    for number in range(40):
        shelf.send("ada", number)
        shelf.send("bob", number)
    shelf.settle(4.0)
    count = Counter(shelf.answers)
    assert 2.4 <= count["bob"] / count["ada"] <= 3.6


def test_an_account_gets_no_more_under_two_names() -> None:
    shelf = SharedShelf("ada/1", "ada/2", "bob")
    for number in range(20):
        for client in ("ada/1", "ada/2", "bob"):
            shelf.send(client, number)
    shelf.settle(4.0)
    count = Counter(client.partition("/")[0] for client in shelf.answers)
    assert abs(count["ada"] - count["bob"]) <= 2


def test_an_account_of_weight_2_gets_twice_as_much() -> None:
    shelf = SharedShelf()
    shelf.join(share("ada", weight=2.0))
    shelf.join(share("bob"))
    shelf.settle()
    for number in range(40):
        shelf.send("ada", number)
        shelf.send("bob", number)
    shelf.settle(6.0)
    count = Counter(shelf.answers)
    assert 1.7 <= count["ada"] / count["bob"] <= 2.3


def test_one_that_leaves_ends_its_own_evaluations_only() -> None:
    shelf = SharedShelf("ada", "bob")
    of_ada = [shelf.send("ada", number) for number in range(3)]
    of_bob = [shelf.send("bob", number) for number in range(3)]
    shelf.device.release("of ada", "ended by its client")
    assert shelf.shares == ["of bob"]
    assert {type(answer[0]) for answer in of_ada} == {ReservationEnded}
    shelf.settle(3)
    assert [answer[0]["value"] for answer in of_bob] == [100, 100, 100]
    assert shelf.board.flashed == 1


def test_one_that_leaves_and_comes_again_begins_a_new_reservation() -> None:
    shelf = SharedShelf("ada", "bob")
    shelf.send("ada", 1)
    shelf.device.release("of ada", "ended by its client")
    again = shelf.join(Assignment("again", "ada", "pulsecount", {"window": 1.0}, within="own"))
    assert again == [None]
    assert shelf.shares == ["again", "of bob"]


def test_once_the_farms_own_reservation_ends_the_board_is_free() -> None:
    shelf = SharedShelf("ada", "bob")
    waiting = shelf.send("bob", 1)
    shelf.device.release("of ada", "ended by its client")
    shelf.device.release("own", "nobody shares the board any more")
    shelf.settle()
    assert isinstance(waiting[0], ReservationEnded)
    assert (shelf.status, shelf.shares) == (DeviceStatus.AVAILABLE, [])


def test_a_board_that_is_shared_anew_serves_nobody_of_before() -> None:
    shelf = SharedShelf("ada", "bob")
    shelf.join(share("cem", within="another"))
    shelf.settle()
    report = shelf.device.report()
    assert (report.reservation, report.shares) == ("another", ["of cem"])
    assert shelf.device.find("of ada") is None


def test_a_board_that_one_has_for_itself_is_shared_no_more() -> None:
    shelf = SharedShelf("ada", "bob")
    shelf.prepare()
    shelf.settle()
    report = shelf.device.report()
    assert (report.status, report.reservation, report.shares) == (DeviceStatus.RESERVED, "r1", [])


def test_a_restarted_worker_serves_those_whom_control_names_and_no_others() -> None:
    shelf = SharedShelf("ada", "bob")
    shelf.device.share_among(Assignment("own", "", "pulsecount"), [share("bob"), share("cem")])
    shelf.settle()
    assert shelf.shares == ["of bob", "of cem"]
    assert shelf.board.flashed == 1


def test_a_board_that_fails_carries_out_all_that_was_asked_once_it_is_back() -> None:
    shelf = SharedShelf("ada", "bob")
    answers = [shelf.send(client, number) for number in range(3) for client in ("ada", "bob")]
    shelf.settle(0.1)
    shelf.board.unplug()
    shelf.settle(0.5)
    shelf.board.plug()
    shelf.settle(5)
    assert [answer[0]["value"] for answer in answers] == [100] * 6


def test_a_board_that_does_not_come_back_fails_what_waits() -> None:
    shelf = SharedShelf("ada", "bob")
    answers = [shelf.send(client, number) for number in range(3) for client in ("ada", "bob")]
    shelf.settle(0.1)
    shelf.board.unplug()
    shelf.settle(15)
    assert {type(answer[0]) for answer in answers} == {DeviceFailed}


def test_a_kind_that_needs_its_board_for_itself_is_refused() -> None:
    shelf = SharedShelf()
    refused = gathered(shelf.device.prepare(Assignment("of ada", "ada", "hooked", within="own")))
    assert isinstance(refused[0], InvalidArgument)
    assert "needs a board for itself; reserve without shared" in str(refused[0])
    assert shelf.status is DeviceStatus.AVAILABLE


def test_options_that_the_kind_refuses_leave_the_others_alone() -> None:
    shelf = SharedShelf("ada")
    refused = shelf.join(share("bob", -1.0))
    assert isinstance(refused[0], InvalidArgument)
    assert shelf.shares == ["of ada"]


@pytest.mark.parametrize(
    ("client", "reservation", "error"),
    [
        ("ada", "of bob", NotYours),
        ("ada", "own", ReservationEnded),
        ("cem", "of ada", NotYours),
        ("cem", "own", NotYours),
        ("ada", "left before", ReservationEnded),
        ("ada", "of ada", None),
    ],
)
def test_a_call_names_its_own_reservation_of_the_board(
    client: str, reservation: str, error: type[IcefarmError] | None
) -> None:
    shelf = SharedShelf("ada", "bob")
    settling = Settling(shelf.clock)
    settling.done()
    caller = Caller(client, 1, Role.CLIENT)
    procedures = BoardProcedures.of(shelf.device, settling, EvaluationLists(shelf.clock))
    answer = gathered(procedures.handle(caller, device_procedure(SERIAL, "ping"), (reservation,), {}))
    assert [type(each) for each in answer] == [dict if error is None else error]


@pytest.mark.parametrize("reservation", ["of ada", "of nobody"])
def test_what_was_measured_is_written_before_the_answer_of_any_call_leaves(reservation: str) -> None:
    shelf = SharedShelf("ada")
    settling, recorder = Settling(shelf.clock), Recorder(shelf.clock)
    settling.done()
    procedures = BoardProcedures.of(shelf.device, settling, EvaluationLists(shelf.clock, recorder=recorder))
    recorder.gather("of ada", Note(), {"evaluation_id": "e1", "value": 7})
    gathered(procedures.handle(Caller("ada", 1, Role.CLIENT), device_procedure(SERIAL, "ping"), (reservation,), {}))
    assert recorder.spool.waiting > 0


def test_what_one_withdraws_is_not_carried_out_and_the_others_go_on_under_the_same_ids() -> None:
    shelf = SharedShelf("ada", "bob")
    of_ada = [shelf.send("ada", number, evaluation_id=f"e{number}") for number in range(4)]
    of_bob = [shelf.send("bob", number, evaluation_id=f"e{number}") for number in range(4)]
    reservation = shelf.device.find("of ada")
    assert reservation is not None
    reservation.withdraw([f"e{number}" for number in range(4)])
    shelf.settle(5)
    assert [answer[0]["value"] for answer in of_bob] == [100] * 4
    assert sum(isinstance(answer[0], Withdrawn) for answer in of_ada) >= 2


def test_what_one_withdraws_does_not_shorten_what_another_one_is_charged_for() -> None:
    # Each evaluation takes longer than its window lets expect.
    shelf = SharedShelf("ada", "bob", takes=4.5)
    for number in range(5):
        shelf.send("ada", number)
        shelf.send("bob", number)
    shelf.settle(4.4)
    reservation = shelf.device.find("of bob")
    assert reservation is not None
    reservation.withdraw(["bob 0"])
    shelf.settle(0.05)
    assert shelf.answers == ["bob"]
    shelf.settle(5 * 4.5)
    assert shelf.answers[1:6] == ["ada", "ada", "bob", "bob", "bob"]


def test_an_evaluation_that_the_others_would_wait_for_too_long_is_refused() -> None:
    shelf = SharedShelf("ada", "bob")
    refused = shelf.send("ada", 1, options={"repeats": 11})
    assert isinstance(refused[0], InvalidArgument)
    assert "at most 10 s, since others wait for it, and this one would for 11 s" in str(refused[0])
    allowed = shelf.send("ada", 2, options={"repeats": 10})
    shelf.settle()
    assert len(allowed[0]["value"]) == 10
