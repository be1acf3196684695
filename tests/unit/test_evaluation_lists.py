"""Evaluations in lists: when results leave (pure), what a worker makes of a list, and what a client puts into one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from attrs import Factory, define, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from test_client_session import World, await_now
from test_worker_service import BITSTREAM, OTHER, SERIAL, Farm, run
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import Logger

from icefarm.bitstream import made_up_bitstream
from icefarm.bus import Caller
from icefarm.client.connection.leases import Lease
from icefarm.client.evaluation.payload import payload_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.worker_lists import Alone, WorkerLists, lists_of
from icefarm.contract import LIST_BYTES, LIST_MOST, Assignment, ReservationRecord, Role, as_asked, device_procedure
from icefarm.errors import InternalError, InvalidArgument, LinkLost, TimedOut
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.archive.rows import Note
from icefarm.worker.archive.spool import Batch
from icefarm.worker.control_link.board_calls import KEPT_FOR, BoardDoor, EvaluationLists
from icefarm.worker.reservation.collector import LONGEST, MANY, SPARE, Collector, patience

# ------------------------------------------------------------------------------------------- when results leave


@given(left=st.integers(0, 10), running=st.integers(0, MANY - 1), took=st.floats(0, 100))
def test_a_result_with_few_others_in_progress_leaves_at_once(left: int, running: int, took: float) -> None:
    assert patience(left, running, took) == 0


@given(left=st.integers(0, SPARE - 1), running=st.integers(0, 1000), took=st.floats(0, 100))
def test_no_board_waits_for_a_result_to_leave(left: int, running: int, took: float) -> None:
    assert patience(left, running, took) == 0


@given(left=st.integers(0, 100), running=st.integers(0, 1000), took=st.floats(-1, 1000))
def test_a_result_waits_for_a_part_of_what_its_board_has_to_do_and_never_for_long(
    left: int, running: int, took: float
) -> None:
    waits = patience(left, running, took)
    assert 0 <= waits <= LONGEST
    assert waits <= max(took, 0) / 8


def test_a_result_of_a_slow_board_waits_for_those_of_others() -> None:
    assert patience(SPARE, MANY, 1.0) == LONGEST


sizes = st.lists(st.integers(0, LIST_BYTES + 10), max_size=200)


@given(sizes)
def test_each_result_leaves_once_and_in_order_in_lists_that_fit_into_a_message(sizes: list[int]) -> None:
    collector, left = Collector(), []
    for number, size in enumerate(sizes):
        collector.add((number, size), size, due=5.0)
    while len(collector):
        results = collector.take()
        assert 0 < len(results) <= LIST_MOST
        assert len(results) == 1 or sum(size for _, size in results) <= LIST_BYTES
        left += results
    assert [number for number, _ in left] == list(range(len(sizes)))
    assert collector.due is None


@given(st.lists(st.floats(0, 100), min_size=1, max_size=LIST_MOST - 1))
def test_a_list_leaves_when_the_first_of_its_results_is_due(dues: list[float]) -> None:
    collector = Collector()
    for due in dues:
        collector.add(None, 0, due)
    assert collector.due == min(dues)


def test_a_full_list_leaves_at_once() -> None:
    collector = Collector()
    for _ in range(LIST_MOST):
        collector.add(None, 0, due=5.0)
    assert collector.due == float("-inf")


# ----------------------------------------------------------------------------------------------- at the worker


@pytest.fixture
def farm() -> Iterator[Farm]:
    farm = Farm()
    farm.start()
    farm.prepare()
    farm.prepare(OTHER, Assignment("r2", "alice", "pulsecount"))
    yield farm
    assert run(farm.worker.stopService()) == [None]


def evaluation(call: int, serial: str = SERIAL, **changed: Any) -> dict[str, Any]:
    reservation = "r1" if serial == SERIAL else "r2"
    usual = {"reservation": reservation, "evaluation_id": f"e{call}", "bitstream": BITSTREAM}
    return {"call": call, "serial": serial, **usual, **changed}


class Client:
    """A session of a client with a worker."""

    def __init__(self, farm: Farm, name: str = "alice") -> None:
        self.farm = farm
        self.bus = farm.router.join(name, Role.CLIENT)

    def send(self, *evaluations: Any, **more: Any) -> list[Any]:
        """Send a list; its answer appears in the list that is returned."""
        arguments = {"evaluations": list(evaluations), **more}
        answers = run(self.bus.call(device_procedure(SERIAL, "evaluate_list"), (), arguments, timeout=None))
        self.farm.settle(0.1)
        return answers


def test_the_evaluations_of_a_list_are_carried_out_on_the_boards_that_they_name(farm: Farm) -> None:
    client = Client(farm)
    (answer,) = client.send(evaluation(1), evaluation(2, OTHER), evaluation(3))
    found = {each["call"]: each["measurement"] for each in answer["results"]}
    assert {call: (measured["serial"], measured["evaluation_id"]) for call, measured in found.items()} == {
        1: (SERIAL, "e1"), 2: (OTHER, "e2"), 3: (SERIAL, "e3")
    }  # fmt: skip


def test_a_brief_result_leaves_out_what_its_evaluation_says(farm: Farm) -> None:
    client = Client(farm)
    whole = payload_of(made_up_bitstream(1))
    named = {"bitstream": {"sha256": whole["sha256"]}}
    (answer,) = client.send(evaluation(1, bitstream=whole))
    full = answer["results"][0]["measurement"]
    (answer,) = client.send(evaluation(1, **named), brief=True)
    left = answer["results"][0]["measurement"]
    assert {name: value for name, value in full.items() if name not in left} == {
        "evaluation_id": "e1", "serial": SERIAL, "sha256": whole["sha256"]
    }  # fmt: skip
    assert {**as_asked(evaluation(1, **named)), **left} == full


def test_a_brief_result_says_what_its_evaluation_left_open(farm: Farm) -> None:
    (answer,) = Client(farm).send(evaluation(1), evaluation(2, bitstream=b"junk"), brief=True)
    found = {each["call"]: each for each in answer["results"]}
    assert len(found[1]["measurement"]["sha256"]) == 64
    assert found[2]["error"] == "icefarm.v1.error.invalid_bitstream"


@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"bitstream": b"junk"}, "invalid_bitstream"),
        ({"bitstream": {"sha256": "0" * 64}}, "unknown_bitstream"),
        ({"reservation": "r0"}, "reservation_ended"),
        ({"reservation": "r2"}, "reservation_ended"),
        ({"reservation": None}, "invalid_argument"),
        ({"evaluation_id": "x" * 65}, "invalid_argument"),
        ({"surprise": 1}, "invalid_argument"),
        ({"serial": "nobody"}, "no_such_procedure"),
    ],
)
def test_an_evaluation_that_is_wrong_fails_no_other_one(farm: Farm, changed: dict[str, Any], error: str) -> None:
    (answer,) = Client(farm).send(evaluation(1, **changed), evaluation(2))
    found = {each["call"]: each for each in answer["results"]}
    assert found[1]["error"] == f"icefarm.v1.error.{error}"
    assert found[1]["message"]
    assert found[2]["measurement"]["value"] == 100


def test_a_list_gives_nobody_anothers_board(farm: Farm) -> None:
    (answer,) = Client(farm, "bob").send(evaluation(1), evaluation(2, OTHER))
    assert [each["error"] for each in answer["results"]] == ["icefarm.v1.error.not_yours"] * 2
    assert [board.sequence for board in farm.boards] == [0, 0]


@pytest.mark.parametrize(
    "arguments",
    [
        {"evaluations": None},
        {"evaluations": {}},
        {"evaluations": "text"},
        {"evaluations": [1]},
        {"evaluations": [{}]},
        {"evaluations": [{"call": "1", "serial": SERIAL}]},
        {"evaluations": [{"call": True, "serial": SERIAL}]},
        {"evaluations": [{"call": 1}]},
        {"evaluations": [{"call": 1, "serial": 5}]},
        {"evaluations": [evaluation(number) for number in range(LIST_MOST + 1)]},
        {"evaluations": [evaluation(1)], "wait": 1},
        {"evaluations": [evaluation(1)], "brief": "yes"},
        {"evaluations": [evaluation(1)], "more": 1},
        {},
    ],
)
def test_what_is_no_list_is_refused_and_nothing_of_it_begins(farm: Farm, arguments: dict[str, Any]) -> None:
    (answer,) = run(Client(farm).bus.call(device_procedure(SERIAL, "evaluate_list"), (), arguments, timeout=None))
    farm.settle(0.1)
    assert isinstance(answer, InvalidArgument)
    assert farm.boards[0].sequence == 0


def test_what_a_later_call_sends_is_answered_by_the_one_that_waits(farm: Farm) -> None:
    first, second = farm.boards
    first.patient = second.patient = True
    client = Client(farm)
    waits = client.send(evaluation(1))
    (answer,) = client.send(evaluation(2, OTHER), wait=False)
    assert answer["results"] == []
    assert waits == []
    second.finish()
    farm.settle(0.1)
    assert [each["call"] for each in waits[0]["results"]] == [2]


def test_results_that_nobody_waits_for_leave_with_the_next_call(farm: Farm) -> None:
    farm.boards[0].patient = True
    client = Client(farm)
    client.send(evaluation(1), wait=False)
    farm.boards[0].finish()
    farm.settle(0.1)
    (answer,) = client.send()
    assert [each["call"] for each in answer["results"]] == [1]


def test_a_call_that_waits_is_answered_when_a_newer_one_waits(farm: Farm) -> None:
    farm.boards[0].patient = True
    client = Client(farm)
    older, newer = client.send(evaluation(1)), client.send()
    assert ([each["results"] for each in older], newer) == ([[]], [])
    farm.boards[0].finish()
    farm.settle(0.1)
    assert [each["call"] for each in newer[0]["results"]] == [1]


def test_a_call_with_nothing_to_wait_for_is_answered_at_once(farm: Farm) -> None:
    (answer,) = Client(farm).send()
    assert answer["results"] == []


def test_each_answer_names_the_session_of_the_worker(farm: Farm) -> None:
    client = Client(farm)
    (first,), (second,) = client.send(evaluation(1)), client.send()
    farm.lose_link()
    farm.settle()
    (third,) = client.send()
    assert first["session"] == second["session"] != third["session"]


def test_a_result_that_was_lost_with_the_connection_is_given_again(farm: Farm) -> None:
    farm.boards[0].patient = True
    before = Client(farm)
    assert before.send(evaluation(1)) == []
    before.bus.drop("the cable was cut")
    farm.boards[0].finish()
    farm.settle(0.1)
    (answer,) = Client(farm).send(evaluation(7, evaluation_id="e1", attempt=2))
    ((call, measured),) = [(each["call"], each["measurement"]) for each in answer["results"]]
    assert (call, measured["evaluation_id"], measured["attempt"]) == (7, "e1", 1)
    assert farm.boards[0].sequence == 1


def test_the_end_of_a_reservation_answers_what_waits_for_its_board(farm: Farm) -> None:
    farm.boards[0].patient = True
    waits = Client(farm).send(evaluation(1), evaluation(2))
    farm.order("release", serial=SERIAL, reservation="r1", reason="expired")
    farm.settle(0.1)
    assert {each["error"] for each in waits[0]["results"]} == {"icefarm.v1.error.reservation_ended"}


@frozen
class Door:
    """A board that answers at once."""

    async def evaluate(self, _: Caller, arguments: dict[str, Any]) -> Any:
        return {"value": arguments["evaluation_id"]}


class Broken(Door):
    """A board whose kind has a bug."""

    async def evaluate(self, _: Caller, __: dict[str, Any]) -> Any:
        raise ZeroDivisionError


def test_results_of_a_session_that_calls_no_more_are_forgotten() -> None:
    clock = Clock()
    lists = EvaluationLists(clock, {"A": Door()})
    for session in range(10):
        one = [{"call": 1, "serial": "A", "evaluation_id": "e1"}]
        run(lists.handle(Caller("alice", session, "client"), (), {"evaluations": one, "wait": False}))
        clock.advance(KEPT_FOR / 4)
    assert lists.sessions <= 6


def test_a_bug_of_one_kind_fails_no_other_evaluation() -> None:
    clock = Clock()
    lists = EvaluationLists(clock, {"A": Door(), "B": Broken()})
    both = [{"call": 1, "serial": "B", "evaluation_id": "e1"}, {"call": 2, "serial": "A", "evaluation_id": "e2"}]
    answers = run(lists.handle(Caller("alice", 1, "client"), (both,), {}))
    clock.advance(0)
    failed, done = answers[0]["results"]
    assert failed["error"] == "icefarm.v1.error.internal"
    assert done == {"call": 2, "measurement": {"value": "e2"}}


@define(eq=False)
class Slow(BoardDoor):
    """A board that answers when the test says so."""

    measuring: list[Deferred[Any]] = Factory(list)

    async def evaluate(self, _: Caller, __: dict[str, Any]) -> Any:
        self.measuring.append(Deferred())
        return await self.measuring[-1]

    def finish(self) -> None:
        """Answer the first evaluation, which took a second."""
        self.measuring.pop(0).callback({"value": 1, "started_at": 1.0, "ended_at": 2.0})


def test_a_result_waits_for_others_while_its_own_board_has_work_left() -> None:
    clock, busy, idle = Clock(), Slow(), Slow()
    lists = EvaluationLists(clock, {"A": busy, "B": idle})
    many = [{"call": call, "serial": "A"} for call in range(SPARE + 1)]
    several = [{"call": 100 + call, "serial": "B"} for call in range(MANY)]
    answers = run(lists.handle(Caller("alice", 1, "client"), (many + several,), {}))
    busy.finish()
    clock.advance(0)
    assert answers == []
    busy.finish()
    clock.advance(0)
    assert [each["call"] for each in answers[0]["results"]] == [0, 1]


@define(eq=False)
class Archiving(Slow):
    """A board whose measurements are archived."""

    recorder: Recorder = field(kw_only=True)

    async def evaluate(self, caller: Caller, arguments: dict[str, Any]) -> Any:
        measured = await super().evaluate(caller, arguments)
        self.recorder.gather("r1", Note(), {**measured, "evaluation_id": str(arguments["evaluation_id"])})
        return measured


def test_rows_of_results_that_leave_together_are_written_together_and_before_they_leave() -> None:
    clock, recorder = Clock(), Recorder(Clock())
    board = Archiving(recorder=recorder)
    lists = EvaluationLists(clock, {"A": board}, recorder=recorder)
    many = [{"call": call, "serial": "A", "evaluation_id": f"e{call}"} for call in range(2)]

    async def handled() -> Batch | None:
        await lists.handle(Caller("alice", 1, "client"), (many,), {})
        return recorder.spool.batch()

    written = run(handled())
    board.finish()
    assert recorder.spool.batch() is None
    board.finish()
    clock.advance(0)
    assert [batch and batch.count for batch in written] == [2]


def test_a_result_with_no_other_one_in_progress_leaves_without_a_turn_of_the_reactor() -> None:
    clock, board = Clock(), Slow()
    lists = EvaluationLists(clock, {"A": board})
    answers = run(lists.handle(Caller("alice", 1, "client"), ([{"call": 1, "serial": "A"}],), {}))
    board.finish()
    assert [each["call"] for each in answers[0]["results"]] == [1]
    assert clock.getDelayedCalls() == []


# ------------------------------------------------------------------------------------------------ at the client


@frozen
class Sized:
    """What has a size."""

    size: int


@given(sizes)
def test_what_is_sent_is_divided_into_lists_that_fit_into_a_message(sizes: list[int]) -> None:
    lists = list(lists_of(map(Sized, sizes)))
    assert [each.size for part in lists for each in part] == sizes
    for part in lists:
        assert 0 < len(part) <= LIST_MOST
        assert len(part) == 1 or sum(each.size for each in part) <= LIST_BYTES


@pytest.fixture
def world() -> World:
    made = World("A", "B", "C", "D")
    await_now(made.client.start())
    return made


CIRCUITS = [made_up_bitstream(number).data for number in range(24)]


def test_the_evaluations_of_many_boards_travel_in_few_lists(world: World) -> None:
    world.reserve(4)
    outcome = world.evaluating(CIRCUITS)
    assert [result.value for result in outcome.results[0]] == [1000] * 24
    assert sum(world.farm.listed) == 24
    assert len(world.farm.listed) <= 6
    assert set(world.farm.carried_out.values()) == {1}


@define(eq=False)
class Answered:
    """A session whose lists are answered by the test."""

    lists: list[tuple[Mapping[str, Any], Deferred[Any]]] = Factory(list)
    #: Whether its results may be brief.
    brief: bool = False

    async def call(self, procedure: str, _: Any, told: Mapping[str, Any], **__: Any) -> Any:
        if procedure.endswith(".ping"):
            return {"lists": True, "brief": self.brief}
        answer: Deferred[Any] = Deferred()
        self.lists.append((told, answer))
        return await answer


LEASE = Lease.of(ReservationRecord("r1", "A", "w1", "alice", "pulsecount", {}, 0.0, 3600.0), 0.0, keep=False)


@define
class Sender:
    """A client of one worker."""

    clock: Clock = Factory(Clock)
    bus: Any = Factory(Answered)
    lists: WorkerLists = Factory(lambda self: WorkerLists(self.clock, self.bus, Logger()), takes_self=True)

    def send(self) -> list[Any]:
        """Send an evaluation; its result or error appears in the list that is returned."""
        if self.lists.takes_lists is None:
            self.lists.ask(LEASE)
        outcome = run(self.lists.evaluate(LEASE, {"bitstream": b""}, 30.0))
        self.clock.advance(0)
        return outcome

    def answer(self, number: int, *results: Mapping[str, Any], session: int = 1) -> None:
        """Answer a list, the first of which is 0."""
        self.bus.lists[number][1].callback({"results": list(results), "session": session})
        self.clock.advance(0)

    @property
    def told(self) -> list[tuple[list[int], bool]]:
        """The numbers of the evaluations of each list, and whether its call waits."""
        return [([each["call"] for each in told["evaluations"]], told["wait"]) for told, _ in self.bus.lists]


def test_a_client_asks_a_worker_that_can_for_brief_results_and_completes_them() -> None:
    sender = Sender(bus=Answered(brief=True))
    outcome = sender.send()
    assert [told["brief"] for told, _ in sender.bus.lists] == [True]
    sender.answer(0, {"call": 1, "measurement": {"value": 5}})
    assert outcome == [{"value": 5, "evaluation_id": None, "serial": "A"}]


def test_what_is_to_be_sent_is_sent_once_when_nothing_is_added_to_it() -> None:
    sender = Sender()
    sender.send()
    for _ in range(2):
        run(sender.lists.evaluate(LEASE, {"bitstream": b""}, 30.0))
    sender.lists.flush()
    assert sender.told[-1] == ([2, 3], False)
    sender.clock.advance(0)
    sender.lists.flush()
    assert len(sender.told) == 2


def test_an_answer_that_names_no_call_has_all_of_them_called_for_alone() -> None:
    sender = Sender()
    first, second = sender.send(), sender.send()
    sender.answer(0, {"call": 1, "measurement": 5}, {"call": [], "measurement": 5})
    assert [type(error) for error in (*first, *second)] == [Alone, Alone]


def test_an_evaluation_of_which_its_worker_does_not_know_any_more_is_as_lost_as_with_its_session() -> None:
    sender = Sender()
    outcome = sender.send()
    sender.answer(0)
    assert isinstance(outcome[0], LinkLost)
    assert sender.told == [([1], True)]
    assert sender.clock.getDelayedCalls() == []


def test_what_was_sent_after_the_call_that_is_answered_without_a_result_is_waited_for() -> None:
    sender = Sender()
    lost, sent_later = sender.send(), sender.send()
    sender.answer(1)
    assert lost == []
    sender.answer(0)
    assert isinstance(lost[0], LinkLost)
    assert sent_later == []
    sender.answer(2, {"call": 2, "measurement": 5})
    assert sent_later == [5]
    assert sender.told == [([1], True), ([2], False), ([], True)]


def test_what_was_sent_to_an_earlier_session_of_the_worker_is_lost_with_it() -> None:
    sender = Sender()
    done, lost = sender.send(), sender.send()
    sender.answer(1)
    sender.answer(0, {"call": 1, "measurement": 5})
    sent_later = sender.send()
    sender.answer(3, session=2)
    assert done == [5]
    assert isinstance(lost[0], LinkLost)
    assert sent_later == []
    sender.answer(2, {"call": 3, "measurement": 6}, session=2)
    assert sent_later == [6]
    assert sender.told == [([1], True), ([2], False), ([], True), ([3], False)]


def test_an_answer_to_an_older_call_says_nothing_of_what_is_pending() -> None:
    sender = Sender()
    overdue = sender.send()
    sender.clock.advance(10)
    pending = sender.send()
    sender.clock.advance(20)
    assert isinstance(overdue[0], TimedOut)
    sender.answer(0)
    assert pending == []
    sender.answer(2, {"call": 2, "measurement": 5})
    assert pending == [5]


def test_a_worker_that_knows_no_lists_gets_each_evaluation_alone(world: World) -> None:
    world.farm.lists = False
    world.reserve(4)
    outcome = world.evaluating(CIRCUITS)
    assert [result.value for result in outcome.results[0]] == [1000] * 24
    assert world.farm.listed == []


def test_evaluations_of_a_list_that_fails_are_called_for_alone(world: World) -> None:
    world.farm.fails_lists = True
    world.reserve(4)
    outcome = world.evaluating(CIRCUITS)
    assert [result.value for result in outcome.results[0]] == [1000] * 24
    assert set(world.farm.carried_out.values()) == {1}


def test_a_bitstream_that_the_worker_lacks_is_sent_whole_where_its_list_had_failed(world: World) -> None:
    world.farm.fails_lists = world.farm.forgetful = True
    world.reserve(1)
    first = world.evaluating(CIRCUITS[:1])
    again = world.evaluating(CIRCUITS[:1])
    assert [result.value for outcome in (first, again) for result in outcome.results[0]] == [1000] * 2
    assert ["lz4" in asked["bitstream"] for asked in world.farm.asked] == [True, False, True]


def test_an_error_of_one_evaluation_of_a_list_is_its_own_result(world: World) -> None:
    world.farm.failing["B"] = InternalError()
    world.reserve(2)
    outcome = world.evaluating(CIRCUITS[:8])
    by_board = {result.serial: result.ok for result in outcome.results[0]}
    assert by_board == {"A": True, "B": False}


def test_evaluations_in_a_list_that_is_lost_with_the_worker_are_carried_out_by_the_next_one(world: World) -> None:
    world.farm.holding = True
    world.reserve(4)
    outcome = world.evaluating(CIRCUITS)
    assert outcome.waits
    world.farm.stop_worker()
    world.farm.holding = False
    world.farm.release()
    await_now(world.farm.start_worker())
    world.settle(10)
    assert [result.value for result in outcome.results[0]] == [1000] * 24


def test_a_worker_that_came_back_while_no_call_waited_carries_out_what_it_had(world: World) -> None:
    world.farm.holding = True
    world.reserve(4)
    outcome = world.evaluating(CIRCUITS[:12])

    def come_back() -> None:
        world.farm.stop_worker()
        await_now(world.farm.start_worker())

    world.farm.held.pop(0).callback(None)
    # Just after that result has left, before the client calls again.
    world.clock.callLater(LONGEST, come_back)
    world.settle(1)
    world.farm.holding = False
    world.farm.release()
    world.settle(10)
    assert [result.value for result in outcome.results[0]] == [1000] * 12
    assert set(world.farm.carried_out.values()) == {1}


def test_a_run_that_is_given_up_leaves_nothing_waiting(world: World) -> None:
    world.farm.holding = True
    world.reserve(4)
    outcome = world.evaluating(CIRCUITS)
    outcome.deferred.addErrback(lambda _: None)
    outcome.deferred.cancel()
    world.farm.holding = False
    world.farm.release()
    world.settle(1)
    again = world.evaluating(CIRCUITS[:4])
    assert [result.value for result in again.results[0]] == [1000] * 4


def test_each_evaluation_of_a_list_has_its_own_limit(world: World) -> None:
    world.farm.holding = True
    world.reserve(1)
    outcome = world.evaluating(CIRCUITS[:2], RunPlan(world.client.serials, limit=10.0))
    world.settle(9)
    assert outcome.waits
    world.settle(2)
    assert [result.error.name for result in outcome.results[0]] == ["timed_out"] * 2


def test_an_evaluation_that_is_overdue_has_another_call_wait_and_no_more(world: World) -> None:
    world.farm.holding = True
    world.reserve(2)
    world.evaluating(CIRCUITS[:2], RunPlan(world.client.serials, limit=10.0))
    world.settle(5)
    outcome = world.evaluating(CIRCUITS[2:4], RunPlan(world.client.serials, limit=30.0))
    world.settle(20)
    # Each board's two, those that are overdue again on the other board, and twice a call that only waits.
    assert len(world.farm.listed) <= 5
    world.farm.holding = False
    world.farm.release()
    world.settle(1)
    assert [result.ok for result in outcome.results[0]] == [True] * 2
