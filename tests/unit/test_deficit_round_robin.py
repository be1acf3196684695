"""Deficit round robin among the accounts that share a board."""

from __future__ import annotations

from collections import Counter, deque

import pytest
from attrs import field, frozen
from hypothesis import given
from hypothesis import strategies as st

from icefarm.worker.reservation.deficit_round_robin import QUANTUM, DeficitRoundRobin

ACCOUNTS = ("ada", "bob", "cem", "dee")
costs = st.sampled_from([0.0, 0.05, 0.1, 0.35, 1.05, 7.0, 60.05])


@frozen
class Work:
    """What the accounts want: their weights, and the costs of what they send, in order."""

    weights: dict[str, float]
    wanted: dict[str, list[float]] = field(factory=dict)


works = st.lists(st.sampled_from(ACCOUNTS), min_size=1, unique=True).flatmap(
    lambda accounts: st.builds(
        Work,
        st.fixed_dictionaries({each: st.sampled_from([0.5, 1.0, 1.0, 3.0]) for each in accounts}),
        st.fixed_dictionaries({each: st.lists(costs, min_size=1, max_size=30) for each in accounts}),
    )
)


def _queue(work: Work) -> DeficitRoundRobin[tuple[str, int, float]]:
    queue: DeficitRoundRobin[tuple[str, int, float]] = DeficitRoundRobin()
    for account, weight in work.weights.items():
        queue.weigh(account, weight)
        for number, cost in enumerate(work.wanted[account]):
            queue.add(account, (account, number, cost), cost)
    return queue


def _taken(queue: DeficitRoundRobin[tuple[str, int, float]]) -> list[tuple[str, int, float]]:
    taken = []
    while (item := queue.next()) is not None:
        taken.append(item)
    return taken


@given(works)
def test_it_gives_out_everything_once_and_in_the_order_of_each_account(work: Work) -> None:
    taken = _taken(_queue(work))
    for account, wanted in work.wanted.items():
        assert [(number, cost) for who, number, cost in taken if who == account] == list(enumerate(wanted))


@given(works)
def test_two_accounts_that_both_wait_get_nearly_the_same_for_their_weight(work: Work) -> None:
    queue, had = _queue(work), dict.fromkeys(work.weights, 0.0)
    left = {account: deque(wanted) for account, wanted in work.wanted.items()}
    while (item := queue.next()) is not None:
        account, _, cost = item
        left[account].popleft()
        had[account] += cost
        waiting = [each for each in had if left[each]]
        for one in waiting:
            for other in waiting:
                bound = 2 * QUANTUM + sum(max(work.wanted[each]) / work.weights[each] for each in (one, other))
                assert had[one] / work.weights[one] - had[other] / work.weights[other] <= bound + 1e-6


@given(works, st.lists(st.sampled_from(["next", "add", "charge"]), max_size=60))
def test_while_anything_waits_it_gives_something_out(work: Work, steps: list[str]) -> None:
    queue, waiting = _queue(work), sum(map(len, work.wanted.values()))
    for number, step in enumerate(steps):
        account = list(work.weights)[number % len(work.weights)]
        if step == "add":
            queue.add(account, (account, number, 1.0), 1.0)
            waiting += 1
        elif step == "charge":
            queue.charge(account, 100.0)
        else:
            assert (queue.next() is not None) is (waiting > 0)
            waiting = max(0, waiting - 1)
        assert len(queue) == waiting


@given(st.integers(1, 20), costs)
def test_one_that_comes_later_has_its_turn_within_two_evaluations_of_each_other_one(others: int, cost: float) -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    for number in range(others):
        for _ in range(5):
            queue.add(f"other {number}", f"other {number}", cost)
    for _ in range(3):
        queue.next()
    queue.add("late", "late", cost)
    before = Counter(iter(queue.next, "late"))
    assert max(before.values(), default=0) <= (2 + 2 * QUANTUM / cost if cost else 5)


def test_alike_accounts_take_turns_after_each_evaluation() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    for account in ("ada", "bob", "cem"):
        for _ in range(3):
            queue.add(account, account, 1.05)
    assert "".join(name[0] for name in iter(queue.next, None)) == "abcabcabc"


def test_short_evaluations_go_on_while_a_long_one_saves_up() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    queue.add("ada", "long", 10.0)
    for _ in range(20):
        queue.add("bob", "short", 1.0)
    order = list(iter(queue.next, None))
    assert 8 <= order.index("long") <= 11


def test_an_account_of_weight_three_gets_three_times_as_much() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    queue.weigh("ada", 3.0)
    for _ in range(60):
        queue.add("ada", "a", 1.0)
        queue.add("bob", "b", 1.0)
    first = [queue.next() for _ in range(40)]
    assert 29 <= first.count("a") <= 31


def test_who_took_longer_than_expected_pays_for_it_with_the_next_turns() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    for _ in range(12):
        queue.add("ada", "a", 1.0)
        queue.add("bob", "b", 1.0)
    assert queue.next() == "a"
    queue.charge("ada", 5.0)
    assert [queue.next() for _ in range(7)] == ["b", "b", "b", "b", "b", "b", "a"]


def test_a_debt_is_forgotten_once_nothing_waits() -> None:
    queue: DeficitRoundRobin[str] = DeficitRoundRobin()
    queue.add("ada", "a", 1.0)
    queue.add("bob", "b", 1.0)
    queue.charge("ada", 50.0)
    assert [queue.next(), queue.next()] == ["b", "a"]
    for _ in range(4):
        queue.add("ada", "a", 1.0)
        queue.add("bob", "b", 1.0)
    assert {queue.next(), queue.next()} == {"a", "b"}


def test_what_is_not_wanted_any_more_is_taken_out() -> None:
    queue: DeficitRoundRobin[int] = DeficitRoundRobin()
    for number in range(4):
        queue.add("ada", number, 1.0)
    assert queue.discard("ada", lambda number: number % 2 == 0) == [0, 2]
    assert queue.discard("bob", lambda _: True) == []
    assert list(iter(queue.next, None)) == [1, 3]


def test_an_account_is_forgotten_only_when_nothing_of_it_waits() -> None:
    queue: DeficitRoundRobin[int] = DeficitRoundRobin()
    queue.add("ada", 1, 1.0)
    with pytest.raises(ValueError, match="something of ada still waits"):
        queue.forget("ada")
    queue.next()
    queue.forget("ada")
    queue.forget("ada")


def test_a_weight_is_above_0() -> None:
    with pytest.raises(ValueError, match="must be above 0, not 0"):
        DeficitRoundRobin().weigh("ada", 0)
