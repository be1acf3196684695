"""Several things at once: `icefarm.concurrency.deferreds`."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.task import Clock

from icefarm.concurrency.deferreds import AGAIN, Coalesced, Tasks, failures, outcomes, shielded
from icefarm.concurrency.in_order import InOrder
from icefarm.errors import Busy


async def value(waiting: Deferred[str]) -> str:
    return await waiting


@ensureDeferred
async def test_outcomes_are_results_and_errors_in_their_order() -> None:
    async def fail() -> str:
        raise Busy("no")

    results = await outcomes([partial(value, succeed("a")), fail, partial(value, succeed("b"))], 2)
    assert [str(result) for result in results] == ["a", "no", "b"]


@ensureDeferred
async def test_failures_are_the_errors_alone_by_their_keys() -> None:
    async def fail() -> str:
        raise Busy("no")

    failed = await failures({"a": partial(value, succeed("a")), "b": fail}, 2)
    assert {key: str(error) for key, error in failed.items()} == {"b": "no"}


@ensureDeferred
async def test_no_more_run_at_once_than_allowed() -> None:
    waiting: list[Deferred[str]] = [Deferred() for _ in range(3)]
    begun: list[int] = []

    async def begin(number: int) -> str:
        begun.append(number)
        return await waiting[number]

    gathering = Deferred.fromCoroutine(outcomes([partial(begin, number) for number in range(3)], 2))
    assert begun == [0, 1]
    for one in waiting:
        one.callback("done")
    assert await gathering == ["done"] * 3


@ensureDeferred
async def test_giving_up_on_outcomes_gives_up_all_that_run() -> None:
    waiting: list[Deferred[str]] = [Deferred() for _ in range(2)]
    gathering = Deferred.fromCoroutine(outcomes([partial(value, one) for one in waiting], 2))
    gathering.cancel()
    with pytest.raises(CancelledError):
        await gathering
    assert all(one.called for one in waiting)


@ensureDeferred
async def test_hundreds_that_fail_at_once_behind_those_that_run_all_end() -> None:
    waiting: list[Deferred[str]] = [Deferred() for _ in range(2)]

    async def fail() -> str:
        raise Busy("no")

    gathering = Deferred.fromCoroutine(outcomes([*(partial(value, one) for one in waiting), *[fail] * 5_000], 2))
    for one in waiting:
        one.callback("done")
    results = await gathering
    assert results[:2] == ["done", "done"]
    assert [type(each) for each in results[2:]] == [Busy] * 5_000


@ensureDeferred
async def test_what_has_not_begun_when_outcomes_are_given_up_never_begins() -> None:
    begun: list[int] = []

    async def begin(number: int) -> str:
        begun.append(number)
        return await Deferred[str]()

    gathering = Deferred.fromCoroutine(outcomes([partial(begin, number) for number in range(10)], 3))
    gathering.cancel()
    with pytest.raises(CancelledError):
        await gathering
    assert begun == [0, 1, 2]


@ensureDeferred
async def test_outcomes_that_were_given_up_are_none_even_if_an_operation_takes_no_notice() -> None:
    async def persist() -> str:
        with suppress(CancelledError):
            await Deferred[str]()
        return "all the same"

    gathering = Deferred.fromCoroutine(outcomes([persist, persist], 1))
    gathering.cancel()
    with pytest.raises(CancelledError):
        await gathering


@ensureDeferred
async def test_a_fault_keeps_no_other_from_running() -> None:
    async def fault() -> str:
        raise ZeroDivisionError

    last: Deferred[str] = Deferred()
    gathering = Deferred.fromCoroutine(outcomes([fault, partial(value, succeed("a")), partial(value, last)], 1))
    assert not gathering.called
    last.callback("b")
    with pytest.raises(ZeroDivisionError):
        await gathering


@ensureDeferred
async def test_a_fault_is_raised_and_not_taken_for_an_outcome() -> None:
    async def fault() -> str:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await outcomes([fault], 1)


@ensureDeferred
async def test_what_is_shielded_goes_on_when_its_waiter_gives_up() -> None:
    running: Deferred[str] = Deferred()
    waiting = shielded(running)
    waiting.cancel()
    with pytest.raises(CancelledError):
        await waiting
    assert not running.called
    running.callback("done")
    assert await running == "done"


@ensureDeferred
async def test_operations_of_one_key_run_in_their_order_and_others_beside_them() -> None:
    order, first, said = InOrder(), Deferred[str](), list[str]()

    async def say(word: str, after: Deferred[str] | None = None) -> None:
        if after is not None:
            await after
        said.append(word)

    running = [
        Deferred.fromCoroutine(order.run(key, partial(say, word, after)))
        for key, word, after in [("a", "a1", first), ("a", "a2", None), ("b", "b1", None)]
    ]
    assert said == ["b1"]
    first.callback("go")
    for one in running:
        await one
    assert said == ["b1", "a1", "a2"]


@ensureDeferred
async def test_operations_that_are_closed_the_last_one_first_leave_nothing_to_wait_for() -> None:
    # As Python does with what nobody can resume any more.
    order = InOrder()
    earlier, later = (order._run("a", partial(value, Deferred())) for _ in range(2))
    for one in (earlier, later):
        one.send(None)
    later.close()
    earlier.close()
    assert await order.run("a", partial(value, succeed("next"))) == "next"


@ensureDeferred
async def test_an_operation_whose_waiter_gave_up_keeps_its_place() -> None:
    order, first, said = InOrder(), Deferred[str](), list[str]()

    async def say(word: str, after: Deferred[str] | None = None) -> None:
        if after is not None:
            await after
        said.append(word)

    running = [
        Deferred.fromCoroutine(order.run("a", partial(say, word, after)))
        for word, after in [("1", first), ("2", None), ("3", None)]
    ]
    running[1].cancel()
    with pytest.raises(CancelledError):
        await running[1]
    assert said == []
    first.callback("go")
    await running[2]
    assert said == ["1", "2", "3"]


@ensureDeferred
async def test_a_failed_operation_does_not_hold_up_the_next() -> None:
    order = InOrder()

    async def fail() -> None:
        raise Busy("no")

    with pytest.raises(Busy):
        await order.run("a", fail)
    assert await order.run("a", partial(value, succeed("done"))) == "done"


def coalesced() -> tuple[Coalesced, list[Deferred[None]]]:
    """Return an operation, and its runs: each ends as the test says."""
    runs: list[Deferred[None]] = []

    async def run() -> None:
        runs.append(Deferred())
        await runs[-1]

    return Coalesced("a look", run, Tasks()), runs


def test_what_is_asked_for_during_a_run_runs_once_more() -> None:
    looks, runs = coalesced()
    for _ in range(4):
        looks.poke()
    assert len(runs) == 1
    runs[0].callback(None)
    assert len(runs) == 2
    runs[1].callback(None)
    assert len(runs) == 2
    looks.poke()
    assert len(runs) == 3


def test_a_run_that_fails_does_not_keep_others_from_running() -> None:
    looks, runs = coalesced()
    looks.poke()
    looks.poke()
    runs[0].errback(Busy("no"))
    assert len(runs) == 2
    runs[1].errback(Busy("no"))
    looks.poke()
    assert len(runs) == 3


def test_the_end_of_a_run_that_began_later_can_be_waited_for_also_if_it_fails() -> None:
    looks, runs = coalesced()
    looks.poke()
    waiting = [looks.finished(), looks.finished()]
    runs[0].callback(None)
    assert [each.called for each in waiting] == [False, False]
    last = looks.finished()
    runs[1].errback(Busy("no"))
    assert [each.called for each in (*waiting, last)] == [True, True, False]
    runs[2].callback(None)
    assert last.called
    assert len(runs) == 3


def test_what_persists_is_tried_until_the_database_is_back() -> None:
    clock, tasks, runs = Clock(), Tasks(), []

    async def run() -> None:
        runs.append(clock.seconds())
        if len(runs) < 3:
            raise Busy("the database is away")

    tasks.persist(clock, "a write", run)
    clock.pump([AGAIN] * 5)
    assert runs == [0.0, AGAIN, 2 * AGAIN]


def test_what_persists_is_given_up_when_stopped() -> None:
    clock, tasks, runs = Clock(), Tasks(), []

    async def run() -> None:
        runs.append(1)
        raise Busy("the database is away")

    tasks.persist(clock, "a write", run)
    tasks.stop()
    clock.pump([AGAIN] * 3)
    assert len(runs) == 1
