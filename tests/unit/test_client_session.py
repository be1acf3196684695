"""The client's engine over a farm in memory; time is a clock that the test advances."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Coroutine, Iterator
from datetime import date
from typing import Any

import pytest
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.internet.task import Clock

from icefarm.bitstream import from_bytes, made_up_bitstream
from icefarm.client.connection.patience import Patience
from icefarm.client.connection.reservations import LEAVE_LIMIT
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.results import Result
from icefarm.client.evaluation.run import results_of
from icefarm.client.session import ClientSession
from icefarm.contract import default_experiment
from icefarm.errors import (
    DeviceFailed,
    InvalidArgument,
    InvalidBitstream,
    LinkLost,
    NameInUse,
    NotAuthorized,
    ReservationEnded,
    Unavailable,
)
from icefarm.testing.farm import MemoryFarm
from icefarm.testing.memory.process import MemoryProcess
from icefarm.testing.memory.wamp import MemoryRouter

CIRCUIT = made_up_bitstream(1).data


def await_now(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that needs no time."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    assert results, "it still waits"
    if hasattr(results[0], "raiseException"):
        results[0].raiseException()
    return results[0]


class Outcome:
    """What becomes of a coroutine, while time goes on."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.results: list[Any] = []
        self.failures: list[Any] = []
        self.deferred: Deferred[Any] = ensureDeferred(coroutine)
        self.deferred.addCallbacks(self.results.append, self.failures.append)

    @property
    def waits(self) -> bool:
        return not (self.results or self.failures)


class World:
    """A farm in memory and a client of it."""

    def __init__(self, *serials: str) -> None:
        self.clock = Clock()
        self.router = MemoryRouter(self.clock)
        self.farm = MemoryFarm(self.router, serials or ("A", "B"))
        await_now(self.farm.start())
        self.process = MemoryProcess(self.router, self.clock)
        self.links = self.process.links
        self.client = self.session("exp")
        self._evaluating: list[Outcome] = []

    def session(self, name: str, patience: Patience | None = None) -> ClientSession:
        return self.process.client(name, instance="i1", patience=patience)

    def reserve(self, amount: int = 2, **arguments: Any) -> dict[str, Any]:
        records = await_now(self.client.reserve(amount, **arguments))
        return {record.serial: record for record in records}

    def evaluating(self, items: list[Any], plan: RunPlan | None = None) -> Outcome:
        """Begin to evaluate; the outcome's result is the list of results."""
        serials = self.client.serials
        run = self.client.run(plan or RunPlan(serials), self.farm.reservations)
        prepared = [each if hasattr(each, "payload") else item_of(each) for each in items]

        async def collect() -> list[Result]:
            return [result async for result in results_of(run, prepared)]

        outcome = Outcome(collect())
        self._evaluating.append(outcome)
        self.settle()
        return outcome

    def end(self) -> None:
        """End the evaluations that still wait: as garbage they would end whenever Python finds them, in any test."""
        for outcome in self._evaluating:
            outcome.deferred.cancel()
        assert not any(outcome.waits for outcome in self._evaluating)

    def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that happens within some time."""
        steps = max(20, int(seconds / 0.25))
        for _ in range(steps):
            self.clock.advance(seconds / steps)

    def called(self, name: str) -> list[Any]:
        return [arguments for called, arguments in self.farm.calls if called == name]


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    await_now(made.client.start())
    yield made
    made.end()


# ------------------------------------------------------------------------------------------------ signing in


def test_where_no_farm_answers_the_error_says_where_and_what_to_do() -> None:
    world = World()
    world.router.stop()
    outcome = Outcome(world.client.start())
    world.settle(6)
    (failure,) = outcome.failures
    assert failure.check(LinkLost)
    assert "memory:" in failure.value.message
    assert "icefarm up" in failure.value.message
    assert not world.clock.getDelayedCalls()


def test_a_farm_that_starts_in_time_is_waited_for() -> None:
    world = World()
    world.router.accepting = False
    outcome = Outcome(world.client.start())
    world.settle(2)
    world.router.start()
    world.settle(1)
    assert outcome.results == [None]


def test_a_name_in_use_is_refused_at_once() -> None:
    world = World()
    world.farm.refusal = NameInUse("exp is in use")
    with pytest.raises(NameInUse, match="exp is in use"):
        await_now(world.client.start())
    assert not world.clock.getDelayedCalls()


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="not a valid name"):
        World().session(" exp")


# ---------------------------------------------------------------------------------------------- reservations


def test_reserving_passes_options_on_and_knows_the_boards(world: World) -> None:
    world.reserve(2, options={"window": 0.1})
    assert world.client.serials == ["A", "B"]
    ((*asked, request, grace),) = world.called("reserve")
    assert (asked, grace) == ([2, None, "pulsecount", {"window": 0.1}, False, None, None], None)
    assert len(request) == 32


def test_a_farm_that_takes_no_boards_from_anybody_is_not_asked_to_leave_them(world: World) -> None:
    world.reserve(2, preemptible=False)
    assert [len(asked) for asked in world.called("reserve")] == [12, 9]
    with pytest.raises(InvalidArgument, match="too many"):
        world.reserve(2, preemptible=True)


def test_too_few_boards_is_an_error_and_reserves_none(world: World) -> None:
    with pytest.raises(Unavailable):
        world.reserve(3)
    assert world.client.serials == []


def test_a_heartbeat_goes_out_every_five_seconds(world: World) -> None:
    world.settle(21)
    assert len(world.called("heartbeat")) == 5


def test_a_control_that_does_not_answer_a_heartbeat_costs_the_link(world: World) -> None:
    world.farm.answering = False
    first = world.links[0].bus
    world.settle(16)
    assert world.links[0].bus is not first


def test_reservations_are_extended_after_half_their_time(world: World) -> None:
    world.reserve(2, seconds=600.0)
    world.settle(299)
    assert not world.called("extend")
    world.settle(2)
    assert world.called("extend") == [{"serials": ["A", "B"], "seconds": 600.0}]


def test_reservations_go_on_being_extended(world: World) -> None:
    world.reserve(1, seconds=60.0)
    world.settle(200)
    assert len(world.called("extend")) == 6


def test_reservations_are_left_to_end_when_that_is_asked(world: World) -> None:
    world.reserve(2, seconds=60.0, keep=False)
    world.settle(60)
    assert not world.called("extend")


def test_word_that_a_reservation_ends_soon_extends_it(world: World) -> None:
    world.reserve(2)
    world.settle(1000)
    await_now(world.farm.tell("exp", "ending_soon", "B"))
    assert [call["serials"] for call in world.called("extend")] == [["B"]]


def test_word_that_a_short_reservation_ends_soon_does_not_extend_it_again_and_again(world: World) -> None:
    world.reserve(1, seconds=60.0)
    for _ in range(5):
        await_now(world.farm.tell("exp", "ending_soon", "A"))
    assert not world.called("extend")


def test_an_extension_waits_for_the_link(world: World) -> None:
    world.reserve(1, seconds=60.0)
    world.settle(25)
    world.router.accepting = False
    world.links[0].bus.drop("cut")  # type: ignore[union-attr]
    world.settle(20)
    assert not world.called("extend")
    world.router.start()
    world.settle(5)
    assert len(world.called("extend")) == 1


def test_a_reservation_that_ended_is_no_longer_held(world: World) -> None:
    world.reserve(2)
    await_now(world.farm.tell("exp", "ended", "A", "time is up"))
    assert world.client.serials == ["B"]


def test_a_reservation_that_ended_unheard_is_found_out_by_the_heartbeat(world: World) -> None:
    world.reserve(2)
    del world.farm.reservations["A"]
    world.settle(6)
    assert world.client.serials == ["B"]


def test_stopping_ends_the_reservations_and_leaves_no_timer(world: World) -> None:
    world.reserve(2)
    await_now(world.client.stop())
    assert world.farm.reservations == {}
    assert not world.clock.getDelayedCalls()


def test_a_request_whose_answer_is_lost_leaks_no_board(world: World) -> None:
    world.router.latency = 0.01
    outcome = Outcome(world.client.reserve(1))
    world.clock.pump([0.01, 0.01])
    assert list(world.farm.reservations) == ["A"]
    world.links[0].bus.drop("cut")  # type: ignore[union-attr]
    world.settle(5)
    assert not outcome.waits
    assert list(world.farm.reservations) == world.client.serials
    assert len(world.client.serials) == 1
    first, *others = [asked[7] for asked in world.called("reserve")]
    assert others == [first]


# ------------------------------------------------------------------------------------------------ evaluating


def test_each_item_comes_back_with_its_measurement(world: World) -> None:
    world.reserve(2)
    outcome = world.evaluating([CIRCUIT] * 20)
    (results,) = outcome.results
    assert [result.value for result in results] == [1000] * 20
    assert {result.serial for result in results} == {"A", "B"}
    assert results[0].measurement.sha256 == from_bytes(CIRCUIT).sha256
    assert all(result.source is CIRCUIT for result in results)


def test_an_item_for_each_board_comes_back_from_each(world: World) -> None:
    world.reserve(2)
    items = [item_of(CIRCUIT, ("A", "B")) for _ in range(7)]
    (results,) = world.evaluating(items, RunPlan(["A", "B"], fan_out=2)).results
    assert sorted(result.serial for result in results) == ["A"] * 7 + ["B"] * 7


def test_what_is_no_bitstream_is_never_sent(world: World) -> None:
    world.reserve(1)
    (results,) = world.evaluating([b"rubbish", CIRCUIT]).results
    by_source = {result.source: result for result in results}
    assert isinstance(by_source[b"rubbish"].error, InvalidBitstream)
    with pytest.raises(InvalidBitstream):
        _ = by_source[b"rubbish"].value
    assert by_source[CIRCUIT].ok
    assert len(world.farm.asked) == 1


def test_no_board_gets_more_than_the_depth_at_a_time(world: World) -> None:
    world.reserve(2)
    world.farm.holding = True
    world.evaluating([CIRCUIT] * 20, RunPlan(["A", "B"], depth=2))
    assert len(world.farm.held) == 4


def test_a_lost_link_loses_no_evaluation_and_repeats_none_that_was_done(world: World) -> None:
    world.reserve(2)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT] * 4)
    world.links[0].bus.drop("cut")  # type: ignore[union-attr]
    world.farm.holding = False
    world.settle(5)
    (results,) = outcome.results
    assert [result.measurement.attempt for result in results] == [2] * 4
    assert set(world.farm.carried_out.values()) == {1}


def test_a_worker_that_comes_back_finishes_the_run(world: World) -> None:
    world.reserve(2)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT] * 10)
    world.farm.stop_worker()
    world.settle(20)
    world.farm.holding = False
    assert outcome.waits
    await_now(world.farm.start_worker())
    world.settle(10)
    (results,) = outcome.results
    assert [result.ok for result in results] == [True] * 10


def test_an_evaluation_that_moved_is_not_asked_of_its_first_board_again(world: World) -> None:
    world.farm.stop_worker()
    of_a, of_b = [await_now(world.farm.another_worker(name, serial)) for name, serial in (("w1", "A"), ("w2", "B"))]
    world.reserve(2)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT] * 4)
    of_a.drop("the worker was killed")
    world.settle(1)
    await_now(world.farm.another_worker("w1", "A"))
    world.farm.holding = False
    world.farm.release()
    world.settle(10)
    (results,) = outcome.results
    answered = {result.measurement.evaluation_id: result.measurement.attempt for result in results}
    last: dict[str, int] = {}
    for call in world.farm.asked:
        last[call["evaluation_id"]] = max(call["attempt"], last.get(call["evaluation_id"], 0))
    assert len(answered) == 4
    assert max(answered.values()) > 1
    # The archive keeps the value of the last call.
    assert last == answered
    of_b.drop("the test is over")


def test_a_worker_that_is_away_is_waited_for_as_long_as_its_board_is_reserved(world: World) -> None:
    world.reserve(1)
    world.farm.stop_worker()
    outcome = world.evaluating([CIRCUIT])
    world.settle(600)
    assert outcome.waits
    await_now(world.farm.start_worker())
    world.settle(10)
    (results,) = outcome.results
    assert [result.ok for result in results] == [True]


def test_a_run_that_has_nothing_to_do_asks_for_more_and_waits_for_no_result(world: World) -> None:
    world.reserve()
    run = world.client.run(RunPlan(world.client.serials), world.farm.reservations)
    batches: list[Any] = []
    run.take().addCallback(batches.append)
    world.settle()
    assert [(list(batch.results), batch.wanted > 0, batch.done) for batch in batches] == [([], True, False)]


@pytest.mark.parametrize("archive", [True, False])
def test_a_run_keeps_no_measurement_that_it_has_given(world: World, archive: bool) -> None:
    world.reserve(1)
    run = world.client.run(RunPlan(world.client.serials, archive=archive), world.farm.reservations)
    run.feed([item_of(CIRCUIT)])
    given: list[Any] = []
    run.take().addCallback(lambda batch: given.extend(weakref.ref(each.measurement) for each in batch.results))
    world.settle(1)
    gc.collect()
    assert [measured() for measured in given] == [None]


def test_a_call_that_is_made_again_carries_the_whole_bitstream_since_the_worker_may_be_another(world: World) -> None:
    world.reserve(1)
    assert world.evaluating([CIRCUIT]).results
    world.farm.stop_worker()
    again = world.evaluating([CIRCUIT])
    world.settle(10)
    await_now(world.farm.start_worker())
    world.settle(10)
    assert again.results
    assert world.farm.asked[-1]["attempt"] > 1
    assert len(world.farm.asked[-1]["bitstream"]) > 1


def test_a_board_whose_worker_stays_away_ends_with_its_reservation(world: World) -> None:
    world.reserve(1)
    world.farm.stop_worker()
    outcome = world.evaluating([CIRCUIT])
    world.settle(60)
    world.farm.reservations.clear()
    world.settle(20)
    (results,) = outcome.results
    assert [result.error.name for result in results] == ["reservation_ended"]


def test_a_client_may_give_up_on_a_board_whose_worker_is_away(world: World) -> None:
    world.client = world.session("impatient", Patience(5, 60, board=120))
    await_now(world.client.start())
    world.reserve(1)
    world.farm.stop_worker()
    outcome = world.evaluating([CIRCUIT])
    world.settle(119)
    assert outcome.waits
    world.settle(5)
    (results,) = outcome.results
    assert [result.error.name for result in results] == ["link_lost"]
    assert "has been away for 120 s" in str(results[0].error)


def test_what_waits_for_a_worker_ends_when_the_farm_lets_its_client_in_no_more(world: World) -> None:
    world.reserve()
    world.farm.stop_worker()
    outcome = world.evaluating([CIRCUIT] * 4)
    world.settle(10)
    assert outcome.waits
    world.farm.refusal = NotAuthorized("the token of exp is revoked")
    bus = world.links[0].bus
    assert bus is not None
    bus.drop("revoked")
    world.settle(10)
    (results,) = outcome.results
    assert [str(result.error) for result in results] == ["the token of exp is revoked"] * 4


def test_the_time_of_an_evaluation_counts_only_while_its_worker_is_there(world: World) -> None:
    world.reserve(1)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT], RunPlan(["A"], limit=10.0))
    # Stopped, not gone: the router takes calls for it, and nothing answers.
    world.farm.stopped = True
    world.settle(300)
    assert outcome.waits
    world.farm.stopped = world.farm.holding = False
    world.settle(10)
    (results,) = outcome.results
    assert [result.ok for result in results] == [True]


def test_an_evaluation_that_takes_too_long_on_a_worker_that_is_there_has_timed_out(world: World) -> None:
    world.reserve(1)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT], RunPlan(["A"], limit=10.0))
    world.settle(11)
    (results,) = outcome.results
    assert [result.error.name for result in results] == ["timed_out"]


def test_a_failing_boards_items_go_to_another_one(world: World) -> None:
    world.reserve(2)
    world.farm.failing["A"] = DeviceFailed("silent")
    (results,) = world.evaluating([CIRCUIT] * 5).results
    assert [result.serial for result in results] == ["B"] * 5


def test_a_board_that_fails_again_and_again_is_called_less_and_less(world: World) -> None:
    world.reserve(2)
    world.farm.failing["A"] = DeviceFailed("unplugged")
    outcome = world.evaluating([CIRCUIT] * 120)
    world.settle(10)
    (results,) = outcome.results
    assert [result.serial for result in results] == ["B"] * 120
    calls = sum(1 for each in world.farm.asked if each["reservation"] == world.farm.reservations["A"].id)
    assert 0 < calls <= 12


def test_a_board_that_works_again_takes_part_again_within_seconds(world: World) -> None:
    world.reserve(1)
    world.farm.failing["A"] = DeviceFailed("unplugged")
    outcome = world.evaluating([CIRCUIT] * 50)
    world.settle(1.5)
    assert outcome.waits
    del world.farm.failing["A"]
    world.settle(5)
    (results,) = outcome.results
    failed = [result for result in results if not result.ok]
    assert 0 < len(failed) < 15
    assert len(results) == 50


def test_items_for_a_failing_board_itself_are_answered_without_delay(world: World) -> None:
    world.reserve(2)
    world.farm.failing["A"] = DeviceFailed("unplugged")
    items = [item_of(CIRCUIT, ("A",))] * 20
    (results,) = world.evaluating(items, RunPlan(["A", "B"])).results
    assert [result.ok for result in results] == [False] * 20


def test_a_failing_boards_own_items_fail_with_its_error(world: World) -> None:
    world.reserve(2)
    world.farm.failing["A"] = DeviceFailed("silent")
    (results,) = world.evaluating([item_of(CIRCUIT, ("A", "B"))], RunPlan(["A", "B"], fan_out=2)).results
    errors = {result.serial: result.error for result in results}
    assert isinstance(errors["A"], DeviceFailed)
    assert errors["B"] is None


def test_an_ended_reservation_moves_its_items_to_the_other_board(world: World) -> None:
    world.reserve(2)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT] * 6)
    await_now(world.farm.tell("exp", "ended", "A"))
    world.farm.holding = False
    world.farm.release()
    world.settle(1)
    (results,) = outcome.results
    assert [result.serial for result in results] == ["B"] * 6


def test_without_any_board_left_the_run_ends_with_an_error(world: World) -> None:
    world.reserve(1)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT] * 50)
    await_now(world.farm.tell("exp", "ended", "A", reason="its worker went away"))
    world.settle()
    (failure,) = outcome.failures
    assert failure.check(ReservationEnded)
    assert "no board is left" in str(failure.value)
    assert "its worker went away" in str(failure.value)


def test_a_run_pulls_no_more_items_than_its_boards_can_use_soon(world: World) -> None:
    world.reserve(2)
    world.farm.holding = True
    pulled: list[int] = []

    def endless() -> Any:
        while True:
            pulled.append(1)
            yield item_of(CIRCUIT)

    run = world.client.run(RunPlan(["A", "B"], depth=2), world.farm.reservations)

    async def first() -> Result:
        return await anext(results_of(run, endless()))

    outcome = Outcome(first())
    world.settle()
    assert outcome.waits
    assert len(pulled) == 6
    run.stop()


def test_stopping_a_run_cancels_what_is_in_flight(world: World) -> None:
    world.reserve(2)
    world.farm.holding = True
    outcome = world.evaluating([CIRCUIT] * 6)
    await_now(world.client.stop())
    assert outcome.failures
    assert not world.clock.getDelayedCalls()


@pytest.mark.parametrize("over", [False, True])
def test_what_fails_in_a_call_is_logged_unless_the_run_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, over: bool
) -> None:
    async def evaluate(*_: object) -> None:
        try:
            await waiting
        except CancelledError:
            raise RuntimeError("ended while it waited") from None

    world.reserve(1)
    monkeypatch.setattr(type(world.client.boards), "evaluate", evaluate)
    waiting: Deferred[None] = Deferred()
    run = world.client.run(RunPlan(["A"]), world.farm.reservations)
    run.feed([item_of(CIRCUIT)], last=True)
    world.settle()
    if not over:
        waiting.errback(RuntimeError("it broke"))
    run.stop()
    assert waiting.called
    assert ("an evaluation failed" in caplog.text) is not over


def test_boards_are_left_in_a_bounded_time_and_returned_when_the_farm_answers_again(world: World) -> None:
    world.reserve(2)
    world.farm.answering = False
    leaving = ensureDeferred(world.client.leave(["A", "B"]))
    world.settle(LEAVE_LIMIT + 0.5)
    assert await_now(leaving) == []
    assert sorted(world.farm.reservations) == ["A", "B"]
    world.farm.answering = True
    world.settle(60)
    assert world.farm.reservations == {}


def test_a_farm_that_does_not_take_boards_back_is_not_asked_again_on_the_way_out(world: World) -> None:
    world.reserve(1)
    world.farm.answering = False
    leaving = ensureDeferred(world.client.leave(["A"]))
    world.settle(LEAVE_LIMIT + 0.5)
    await_now(leaving)
    assert ensureDeferred(world.client.stop()).called


def test_who_does_not_wait_for_a_farm_on_the_way_out_leaves_at_once(world: World) -> None:
    world.reserve(1)
    world.farm.answering = False
    leaving = ensureDeferred(world.client.leave(["A"]))
    leaving.cancel()
    leaving.addErrback(lambda failure: failure.trap(CancelledError))
    assert ensureDeferred(world.client.stop()).called


# --------------------------------------------------------------------------------------------------- the archive


def test_a_worker_without_an_archive_is_asked_once_with_a_note_and_then_without(world: World) -> None:
    world.farm.noteless = True
    world.reserve(1)
    outcome = world.evaluating([CIRCUIT] * 5)
    assert [result.ok for result in outcome.results[0]] == [True] * 5
    assert len(world.farm.asked) == 5
    assert not any("note" in asked for asked in world.farm.asked)


def test_a_worker_that_comes_back_in_a_newer_version_gets_notes(world: World) -> None:
    world.farm.noteless = True
    (serial,) = world.reserve(1)
    world.evaluating([CIRCUIT])
    world.farm.noteless = False
    world.client.boards.board_back(serial)
    world.evaluating([CIRCUIT])
    assert [asked.get("note") is not None for asked in world.farm.asked] == [False, True]


def test_what_else_a_worker_refuses_is_the_evaluations_error(world: World) -> None:
    world.reserve(1)
    world.farm.failing["A"] = InvalidArgument("repeats must be 1 to 256")
    (result,) = world.evaluating([CIRCUIT]).results[0]
    assert isinstance(result.error, InvalidArgument)
    assert len(world.farm.asked) == 1


def test_a_run_over_midnight_has_one_experiment(world: World) -> None:
    world.reserve(1, seconds=200_000.0)
    world.clock.advance(86400 - 1 - world.clock.seconds())
    run = world.client.run(RunPlan(world.client.serials), world.farm.reservations)
    run.feed([item_of(CIRCUIT)])
    world.settle()
    world.settle(2)
    run.feed([item_of(CIRCUIT)], last=True)
    world.settle()
    assert world.clock.seconds() > 86400
    assert [asked["note"]["experiment"] for asked in world.farm.asked] == ["exp 1970-01-01"] * 2


def test_the_name_of_an_experiment_that_none_was_given_is_the_farms_own(world: World) -> None:
    assert default_experiment("ada/laptop", date(2026, 11, 28)) == "laptop 2026-11-28"
    assert default_experiment("ada", date(2026, 11, 28)) == "ada 2026-11-28"
    assert len(default_experiment("x" * 100, date(2026, 11, 28))) == 100
    world.reserve(1)
    world.evaluating([CIRCUIT], RunPlan(world.client.serials, experiment="ga-7"))
    assert world.farm.asked[0]["note"]["experiment"] == "ga-7"
