"""The walks in docs/architecture.md are those that a farm takes: each function is called, in that order.

They pass through few files, and seldom go back to one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from walk import Call, Figures, moves

pytestmark = pytest.mark.integration

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
SCRIPT = ROOT / "tests" / "integration" / "walk.py"
#: `file.py` `function`, at the beginning of a numbered step.
STEP = re.compile(r"^\d+\. `([a-z_/0-9]+\.py)` `([A-Za-z_.]+)`", re.M)

#: Files that each walk may pass through, and how often it may go back to one that it left.  Threads and timers make
#: both differ from one time to the next, most on a busy machine; usual are 36 and 53, 62 and 200, 29 and 88.  They are
#: to become lower, not higher.
BOUNDS = {"evaluation": (37, 59), "reservation": (63, 222), "plug-in": (29, 90)}


def steps(name: str) -> list[Call]:
    """Return the steps of a walk of the page."""
    text = PAGE.read_text(encoding="utf-8").partition(f"<!-- walk: {name} -->\n")[2].partition("\n\n")[0]
    return [(path, function) for path, function in STEP.findall(text)]


def missing(walk: list[Call], calls: list[Call]) -> Call | None:
    """Return the first step that does not follow on those before it."""
    left = iter(calls)
    return next((step for step in walk if step not in left), None)


@pytest.fixture(scope="module")
def walks() -> dict[str, list[Call]]:
    """The calls of each walk in a farm in memory."""
    done = subprocess.run([sys.executable, SCRIPT], cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[list[str]]] = json.loads(done.stdout)
    return {name: [(path, function) for path, function in calls] for name, calls in found.items()}


@pytest.mark.parametrize("name", ["evaluation", "reservation", "plug-in"])
def test_each_walk_is_as_the_page_says(name: str, walks: dict[str, list[Call]]) -> None:
    walk = steps(name)
    assert len(walk) > 10
    assert missing(walk, walks[name]) is None


@pytest.mark.parametrize("name", BOUNDS)
def test_each_walk_passes_through_few_files_and_seldom_goes_back(name: str, walks: dict[str, list[Call]]) -> None:
    files, returns = BOUNDS[name]
    figures = Figures.of(walks[name])
    way = "\n".join(moves(walks[name]))
    assert figures.files <= files, way
    assert figures.returns <= returns, way


def test_the_figures_of_a_walk_count_files_and_the_moves_between_them() -> None:
    walk = [("a.py", "f"), ("a.py", "g"), ("b.py", "f"), ("a.py", "f"), ("c.py", "h"), ("b.py", "f")]
    assert Figures.of(walk) == Figures(files=3, functions=4, moves=5, returns=2)
    assert [line.split() for line in moves(walk)] == [
        ["a.py", "f,", "g"],
        ["b.py", "f"],
        ["back", "a.py", "f"],
        ["c.py", "h"],
        ["back", "b.py", "f"],
    ]


def test_a_step_out_of_order_is_found() -> None:
    one, two = ("a.py", "f"), ("b.py", "g")
    assert missing([one, two], [one, ("c.py", "h"), two]) is None
    assert missing([two, one], [one, two]) == one
