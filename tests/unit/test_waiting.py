"""Tests wait for conditions in one place, which fails with a sentence; no other loop of theirs sleeps."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_twisted import ensureDeferred
from waiting import until, wait_until

TESTS = Path(__file__).parents[1]
#: What may sleep, and why.
MAY_SLEEP = {
    "waiting.py": "it waits for all others",
    "leftovers.py": "it runs by itself, without packages, and ends what tests have left",
    "attacks/test_before_sign_in.py": "an attacker sends slowly",
    "browser/screenshots.py": "a program; its pictures show a farm that has worked for a while",
    "faults/evaluator.py": "a client pauses between its calls, as users do",
    "faults/soak.py": "a run of hours has pauses between its faults",
    "integration/walk.py": "a program; nothing says that what goes on in the background is over",
}


def _sleeps(tree: ast.AST) -> Iterator[int]:
    """Yield the lines that block, and those of loops that wait with the reactor."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in ("time.sleep", "sleep"):
            yield node.lineno
        if isinstance(node, ast.While):
            calls = (each for each in ast.walk(node) if isinstance(each, ast.Call))
            yield from (each.lineno for each in calls if _called(each) == "deferLater")


def _called(call: ast.Call) -> str:
    return ast.unparse(call.func)


def test_no_test_has_a_loop_of_its_own_that_waits() -> None:
    found = {
        str(path.relative_to(TESTS)): lines
        for path in sorted(TESTS.rglob("*.py"))
        # A file without these words is not parsed, which takes longer than all else.
        if ("sleep" in (text := path.read_text(encoding="utf-8")) or "deferLater" in text)
        and (lines := list(_sleeps(ast.parse(text))))
    }
    assert {path: lines for path, lines in found.items() if path not in MAY_SLEEP} == {}
    assert sorted(found) == sorted(MAY_SLEEP)


def test_what_does_not_come_is_named_with_what_there_is_instead() -> None:
    seen: list[int] = []

    def three() -> bool:
        seen.append(len(seen))
        return len(seen) == 3

    assert wait_until(three, "three looks")
    with pytest.raises(AssertionError, match=r"^not within 0 s: four looks, not 5"):
        wait_until(lambda: seen.append(0), lambda: f"four looks, not {len(seen) + 1}", 0.0)


@ensureDeferred
async def test_the_reactor_goes_on_while_a_condition_or_its_answer_is_waited_for() -> None:
    looks = iter(["", "", "found"])

    async def answer() -> str:
        return next(looks)

    assert await until(answer, "the third look") == "found"
    with pytest.raises(AssertionError, match=r"^not within 0 s: never"):
        await until(bool, "never", 0.0)
