"""Boards change hands thousands of times while evaluations are on their way: none is lost, none is carried out twice.

First the client alone, with boards that check what reaches them: that is fast, so thousands of boards are asked back,
and hypothesis chooses when.  Then control, worker and clients, in a world in memory whose messages take their time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Coroutine, Iterator
from itertools import count
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from attrs import Factory, define, field
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_world import MemoryWorld, circuits_of
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater

from icefarm.client.api.boards import BoardSet
from icefarm.client.connection.board_calls import BoardCalls
from icefarm.client.connection.events import BoardsChange
from icefarm.client.connection.patience import Patience
from icefarm.client.connection.reservations import FOR_OTHERS, ClientReservations
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.run import EvaluationRun, results_of
from icefarm.client.evaluation.tasks import Item
from icefarm.contract import Measurement, ReservationRecord, method_of, to_wire
from icefarm.errors import InvalidArgument, ReservationEnded, Withdrawn

#: Seconds of a call's way to the farm, and of its answer's way back, at most; of an evaluation.
LATENCY, WINDOW = 0.02, 0.3
BOARDS = [f"{number:016X}" for number in range(4)]
CIRCUITS = circuits_of(0)


# ---------------------------------------------------------------------------------------------- the client alone


@define(eq=False)
class Board:
    """A board, which carries out one evaluation after the other, and what waits for it."""

    busy: bool = False
    waiting: dict[str, Deferred[None]] = Factory(dict)
    #: Evaluations that it is not to begin.
    withdrawn: set[str] = Factory(set)

    async def turn(self, id: str) -> None:
        """Wait until it begins this evaluation.  Raises `Withdrawn`."""
        if id in self.withdrawn:
            raise Withdrawn
        if self.busy:
            waiter = self.waiting[id] = Deferred()
            await waiter
        self.busy = True

    def free(self) -> None:
        self.busy = False
        if self.waiting:
            self.waiting.pop(next(iter(self.waiting))).callback(None)

    def withdraw(self, ids: list[str]) -> None:
        self.withdrawn.update(ids)
        for id in ids:
            if id in self.waiting:
                self.waiting.pop(id).errback(Withdrawn())


@define(eq=False)
class Shelf:
    """A farm as a client meets it: a link whose boards refuse what comes under a reservation that has ended.

    With ``old``, its workers are older than the withdrawal of evaluations.
    """

    boards: list[str]
    random: Random
    clock: Clock = Factory(Clock)
    old: bool = False
    patience: Patience = Factory(Patience)
    identity: str = "ada"
    #: The reservation of each board that the client has; how often each evaluation was carried out, and for how many
    #: boards it was asked.
    holds: dict[str, str] = Factory(dict)
    executed: Counter[str] = Factory(Counter)
    faults: list[str] = Factory(list)
    asked: int = 0
    #: When each board was asked for, and the seconds until it was given back.
    since: dict[str, float] = Factory(dict)
    took: list[float] = Factory(list)
    shelf: dict[str, Board] = Factory(dict)
    #: A board that was given back comes again in a while.
    gives: bool = True
    calls: BoardCalls = field(init=False)
    reservations: ClientReservations = field(init=False)
    _numbers: Any = Factory(count)

    def __attrs_post_init__(self) -> None:
        link: Any = self
        self.calls = BoardCalls(self.clock, link)
        self.reservations = ClientReservations(self.clock, link, self.calls)

    @property
    def bus(self) -> Any:
        return self

    any_bus = bus
    router_urls = frozenset[str]()

    def at(self, _: object) -> Any:
        return self

    async def retried(self, once: Any, **_: Any) -> Any:
        return await once(self)

    async def pause(self, longest: float) -> None:
        await deferLater(self.clock, self.random.uniform(0.0, longest))  # type: ignore[arg-type]

    async def call(self, procedure: str, args: Any = (), fields: Any = None, **_: Any) -> Any:
        """Carry out a call of the client, with time for its way there and back."""
        name = procedure.rpartition(".")[2]
        await self.pause(LATENCY)
        if name == "reserve":
            answer: Any = [to_wire(self._reserved(serial)) for serial in self.boards]
        elif name == "end":
            ended = args or fields
            # Those that were given back for others are named by their reservations.
            ids = ended.get("reservations") or [self.holds[serial] for serial in ended["serials"]]
            answer = [serial for serial, id in self.holds.items() if id in ids]
            for serial in answer:
                del self.holds[serial]
                if serial in self.since:
                    self.took.append(self.clock.seconds() - self.since.pop(serial))
                if self.gives:
                    self.clock.callLater(self.random.uniform(0.0, 1.0), self._give, serial)
        elif name == "withdraw":
            answer = self._withdraw(method_of(procedure)[0], fields)
        elif name == "ping":
            # As a worker without lists answers, also under a reservation that ended on the way.
            answer = None
        else:
            answer = await self._evaluate(method_of(procedure)[0], fields)
        await self.pause(LATENCY)
        return answer

    def _withdraw(self, serial: str, fields: Any) -> None:
        if self.old:
            raise InvalidArgument("a pulsecount device has no method 'withdraw'; it has evaluate")
        if self.holds.get(serial) == fields["reservation"]:
            self.shelf[serial].withdraw(fields["evaluations"])

    async def _evaluate(self, serial: str, fields: Any) -> Any:
        reservation = fields["reservation"]
        if self.holds.get(serial) != reservation:
            self.faults.append(f"{serial} was asked under a reservation that has ended")
            raise ReservationEnded("it has ended")
        board = self.shelf[serial]
        await board.turn(fields["evaluation_id"])
        self.executed[fields["evaluation_id"]] += 1
        await self.pause(WINDOW)
        board.free()
        if self.holds.get(serial) != reservation:
            self.faults.append(f"the reservation of {serial} ended while it measured")
        return to_wire(
            Measurement(
                *(100, fields["evaluation_id"], serial, "w1", "pulsecount", {}, "f", "1", "00", 1, 1, 0, None, 1),
                *(fields["attempt"], 0.0, 1.0),
            )
        )

    def _reserved(self, serial: str) -> ReservationRecord:
        id = self.holds[serial] = f"r{next(self._numbers)}"
        self.shelf[serial] = Board()
        wanted = len(self.boards)
        return ReservationRecord(
            *(id, serial, "w1", "ada", "pulsecount", {}, 0.0, 1e9), request="g", wanted=wanted, at_least=1
        )

    def _give(self, serial: str) -> None:
        if serial not in self.holds:
            self._tell("joined", serial, record=to_wire(self._reserved(serial)))

    def ask_back(self) -> None:
        """Ask for a board that can be spared, and sometimes ask again."""
        leaving = self.reservations._leaving
        spare = [serial for serial, id in self.holds.items() if id not in leaving]
        if len(spare) > 1:
            self.asked += 1
            serial = self.random.choice(spare)
            self.since[serial] = self.clock.seconds()
            self._tell("give_back", serial)
            self._tell("give_back", serial)

    def _tell(self, event: str, serial: str, **more: Any) -> None:
        fields = {"event": event, "serial": serial, "reservation": self.holds.get(serial), "reason": "others", **more}
        self.reservations.heard("", (), fields)


def evaluate_while_boards_leave(boards: int, depth: int, handovers: int, seed: int, *, old: bool = False) -> Shelf:
    """Evaluate until boards were asked back so often; check that each item has one answer and was carried out once."""
    shelf = Shelf([f"B{number}" for number in range(boards)], Random(seed), old=old)
    answers: Counter[int] = Counter()
    fed = count()

    def items() -> Iterator[Item]:
        while shelf.asked < handovers:
            number = next(fed)
            yield item_of(number, bitstream=CIRCUITS[number % len(CIRCUITS)].data)

    async def run() -> None:
        asked = [boards, None, "pulsecount", {}, False, None, None, "g", None]
        records = await shelf.reservations.reserve(asked, limit=0.0, keep=False, progress=None)
        plan = RunPlan([record.serial for record in records], depth=depth, group="g")
        async for result in results_of(EvaluationRun(shelf.clock, shelf.calls, plan.serials, plan, 1e6), items()):
            answers[result.source] += 1
            assert result.error is None
            assert result.measurement.attempt == 1

    running = Deferred.fromCoroutine(run())
    failures: list[Any] = []
    running.addErrback(failures.append)
    while not running.called:
        assert shelf.clock.getDelayedCalls(), "nothing goes on"
        due = min(call.getTime() for call in shelf.clock.getDelayedCalls())
        shelf.clock.advance(max(0.0, due - shelf.clock.seconds()))
        if shelf.holds and shelf.random.random() < 0.1:
            shelf.ask_back()
    assert failures == []
    assert shelf.faults == []
    assert answers == Counter(range(next(fed)))
    assert set(shelf.executed.values()) <= {1}
    assert len(shelf.executed) == len(answers)
    return shelf


def reserved_on(shelf: Shelf) -> BoardSet:
    """Reserve all boards together, and return them."""
    asked = [len(shelf.boards), None, "pulsecount", {}, False, None, None, "g", None]
    reserving = Deferred.fromCoroutine(shelf.reservations.reserve(asked, limit=0.0, keep=True, progress=None))
    shelf.clock.pump([0.1] * 5)
    assert reserving.called
    session: Any = SimpleNamespace(boards=shelf.calls, end=shelf.reservations.end, leave=shelf.reservations.leave)
    return BoardSet(session, shelf.reservations.groups["g"].records, "g")


@pytest.mark.parametrize("verb", [BoardSet.end, BoardSet.leave])
@pytest.mark.parametrize("after", [0.0, 1.0])
def test_a_board_that_comes_while_the_others_are_given_back_is_given_back_too(verb: Any, after: float) -> None:
    shelf = Shelf(["B0", "B1"], Random(0), gives=False)
    boards = reserved_on(shelf)
    ending = Deferred.fromCoroutine(verb(boards))
    shelf.clock.pump([after / 5] * 5)
    shelf._tell("joined", "B2", record=to_wire(shelf._reserved("B2")))
    shelf.clock.pump([0.1] * 10)
    assert ending.called
    assert shelf.holds == {}
    assert boards.serials == []


def test_nobody_waits_for_the_last_answer_of_a_board_whose_reservation_has_ended() -> None:
    shelf = Shelf(["B0"], Random(0))
    idle = shelf.calls.retire("B0")
    shelf.calls.lost("B0", ReservationEnded("it has ended"))
    shelf.clock.advance(1)
    assert idle.called


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(0, 30), st.integers(0, 10**6))
def test_nothing_is_lost_or_repeated_whenever_boards_leave_and_come(
    boards: int, depth: int, handovers: int, seed: int
) -> None:
    evaluate_while_boards_leave(boards, depth, handovers, seed)


@pytest.mark.thorough
def test_nothing_is_lost_or_repeated_when_boards_leave_thousands_of_times() -> None:
    assert evaluate_while_boards_leave(6, 3, 3000, 1).asked >= 3000


@pytest.mark.thorough
@settings(deadline=None, max_examples=25)
@given(st.integers(2, 5), st.integers(1, 6), st.integers(1, 30), st.integers(0, 10**6))
def test_a_board_is_given_back_when_the_evaluation_in_flight_ends(
    boards: int, depth: int, handovers: int, seed: int
) -> None:
    shelf = evaluate_while_boards_leave(boards, depth, handovers, seed)
    # The withdrawal's way there, one window, the answer's way back, and the way of the end of the reservation.
    assert max(shelf.took, default=0.0) <= WINDOW + 3 * LATENCY


def test_boards_of_workers_that_withdraw_nothing_are_given_back_later() -> None:
    shelf = evaluate_while_boards_leave(3, 3, 50, 1, old=True)
    assert WINDOW + 3 * LATENCY < max(shelf.took) <= 3 * WINDOW + 3 * LATENCY


# ------------------------------------------------------------------------------------------------- the whole farm


@define(eq=False)
class Contest:
    """One experiment that gives boards up, and clients of a higher priority that take some again and again."""

    seed: int
    random: Random = field(init=False)
    world: MemoryWorld = field(init=False)
    #: Answers by item; how often boards carried one out; attempts that answers say.
    answers: Counter[int] = Factory(Counter)
    executed: int = 0
    attempts: Counter[int] = Factory(Counter)
    errors: list[Any] = Factory(list)
    changes: list[BoardsChange] = Factory(list)
    fed: int = 0
    stopped: bool = False
    served: int = 0

    def __attrs_post_init__(self) -> None:
        self.random = Random(self.seed)
        self.world = MemoryWorld({"w1": BOARDS[:2], "w2": BOARDS[2:]}, ["ada", "bob", "eve"], self._latency)
        for board in self.world.all_boards:
            board.pulses = self._carried_out

    def _latency(self) -> float:
        return self.random.choice([0.0, 0.001, 0.02, 0.1])

    def _carried_out(self, payload: bytes, _: int) -> int:
        self.executed += any(payload == circuit.loaded for circuit in CIRCUITS)
        return 100

    def items(self) -> Iterator[Item]:
        for number in count():
            if self.stopped:
                return
            self.fed += 1
            yield item_of(number, bitstream=CIRCUITS[number % len(CIRCUITS)].data)

    async def experiment(self) -> None:
        session = self.world.clients[0].session
        records = await session.reserve(
            4, at_least=1, preemptible=True, priority=10.0, on_boards_changed=self.changes.append
        )
        group = session.group_of(records)
        assert group is not None
        run = session.run(RunPlan(list(group.records), group=group.id), group.records)
        async for result in results_of(run, self.items()):
            self.answers[result.source] += 1
            if result.error is not None:
                self.errors.append(result.error)
            else:
                self.attempts[result.measurement.attempt] += 1

    async def contender(self, number: int) -> None:
        session = self.world.clients[number].session
        while not self.stopped:
            await session.reserve(self.random.randint(1, 2), wait=True, at_least=1)
            self.served += 1
            await self._pause(self.random.uniform(0.0, 2.0))
            await session.end()
            await self._pause(self.random.uniform(0.0, 1.0))

    async def _pause(self, seconds: float) -> None:
        done: Deferred[None] = Deferred()
        self.world.clock.callLater(seconds, done.callback, None)
        await done

    def start(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        return Deferred.fromCoroutine(work).addErrback(self.errors.append)

    @property
    def left(self) -> int:
        """How often a board left the experiment."""
        return sum(len(change.left) for change in self.changes)


def fight(seed: int, handovers: int) -> Contest:
    """Let boards change hands so often, and end in peace."""
    contest = Contest(seed)
    experiment = contest.start(contest.experiment())
    contenders = [contest.start(contest.contender(number)) for number in (1, 2)]
    while contest.left < handovers:
        before = contest.left, contest.served
        contest.world.pass_time(20.0)
        assert (contest.left, contest.served) != before, "nothing goes on"
        assert contest.errors == []
    contest.stopped = True
    contest.world.pass_time(120.0)
    assert experiment.called
    assert all(each.called for each in contenders)
    return contest


@pytest.mark.thorough
def test_boards_of_a_whole_farm_change_hands_and_nothing_is_lost_or_carried_out_twice() -> None:
    contest = fight(1, 12)
    assert contest.errors == []
    assert contest.answers == Counter(range(contest.fed))
    assert contest.attempts == Counter({1: contest.fed})
    assert contest.executed == contest.fed
    assert contest.world.faults == []
    assert {change.reason for change in contest.changes if change.left} == {FOR_OTHERS}
    # It got them back, all but those that were taken last.
    assert contest.left - sum(len(change.came) for change in contest.changes) <= 3
