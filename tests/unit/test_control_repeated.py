"""Answers that many ask for."""

from __future__ import annotations

from itertools import count

from pytest_twisted import ensureDeferred
from twisted.internet.task import Clock

from icefarm.control.http.limited_answer import FRESH, LimitedAnswer


def counted(clock: Clock) -> LimitedAnswer[int]:
    numbers = count(1)

    async def make() -> int:
        return next(numbers)

    return LimitedAnswer(make, clock)


@ensureDeferred
async def test_a_few_a_second_are_fresh_and_the_rest_get_the_last_one() -> None:
    answer = counted(Clock())
    assert [await answer() for _ in range(FRESH + 100)] == [*range(1, FRESH + 1), *[FRESH] * 100]


@ensureDeferred
async def test_no_answer_is_older_than_a_second() -> None:
    clock = Clock()
    answer = counted(clock)
    for _ in range(FRESH + 100):
        last = await answer()
    clock.advance(1.0)
    assert await answer() == last + 1


@ensureDeferred
async def test_one_that_fails_is_made_again() -> None:
    outcomes = iter((ValueError("away"), "well"))

    async def make() -> str:
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return str(outcome)

    answer = LimitedAnswer(make, Clock())
    try:
        await answer()
    except ValueError:
        assert await answer() == "well"
    else:
        raise AssertionError("it did not fail")
