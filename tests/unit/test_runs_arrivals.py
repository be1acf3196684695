"""Runs that are summed up while their rows arrive: the same as read back, or not at all."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from archive_rules import NOW, World, encoded, evaluation_id, failure, now, reported, row, told
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from icefarm.contract import RunReport
from icefarm.control.archive.intake import Intake
from icefarm.control.archive.interface import Stored
from icefarm.control.archive.runs import arrivals as module
from icefarm.control.archive.runs.arrivals import Arrivals
from icefarm.control.archive.runs.closer import RunCloser
from icefarm.control.archive.runs.closing import SETTLED
from icefarm.control.archive.runs.interface import Run
from icefarm.control.telemetry.publisher import Publisher
from icefarm.runs.manifest import Summary, columns_of
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.runs import MemoryRuns
from icefarm.testing.memory.store import MemoryStore

NUMBER, OTHER = "0a" * 16, "0b" * 16


class Model:
    """An archive in memory, and what arrives in it by one control."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        store = MemoryStore(self.clock)
        self.archive = MemoryArchive(self.clock, store)
        self.arrivals = Arrivals()
        self.world = World(self.archive, store, lambda: self.clock.advance(0.1), self.clock.seconds)
        now(self.world.begin())
        ((self.a,), (self.d,)) = now(self.world.reserve("ada", "A")), now(self.world.reserve("ada", "D"))
        self.run: Run = now(reported(self.world, told(NUMBER)))

    def arrive(self, *rows: dict[str, Any]) -> Stored:
        """Store a batch, and note it."""
        stored: Stored = now(self.world.keep("w1", *rows))
        self.arrivals.note("w1", stored)
        return stored

    def stored_elsewhere(self, *rows: dict[str, Any]) -> None:
        """Store a batch by another control, or by this one, which does not hear that it succeeded."""
        now(self.world.keep("w1", *rows))

    def read_back(self) -> Summary:
        summary = Summary()
        rows = now(self.archive.runs.rows(self.run, NUMBER, 10**6))
        if rows:
            summary.add(columns_of(rows))
        return summary

    def summed_up(self) -> Summary | None:
        """Return what `RunCloser` takes for the run's summary."""
        progress = now(self.archive.runs.progress(self.run))
        arrived = self.arrivals.take("ada", NUMBER, progress.rows)
        if arrived is None or progress.retried:
            return None
        for _ in arrived.rest():
            pass
        return arrived.summary


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few rows wait, so that most are summed up on their way."""
    monkeypatch.setattr(module, "WINDOW", 4)
    monkeypatch.setattr(module, "STEP", 2)


def of(index: int, board: int = 0, number: str = NUMBER) -> str:
    return evaluation_id(number, index, board)


def said(summary: Summary | None) -> Any:
    return None if summary is None else summary.manifest({})


@pytest.mark.usefixtures("short")
def test_rows_that_arrive_a_little_out_of_order_make_the_summary_that_is_read_back(model: Model) -> None:
    order = [2, 0, 1, 3, 6, 5, 4, 8, 7, 9, 12, 10, 11]
    for index in order:
        model.arrive(row(model.a, of(index), value=index) if index % 5 else failure(model.a, of(index)))
    assert model.arrivals.waiting < len(order)
    summary = model.summed_up()
    assert summary is not None
    assert said(summary) == said(model.read_back())
    assert (summary.results, summary.failed) == (10, 3)


@pytest.mark.usefixtures("short")
def test_a_row_that_comes_too_late_has_the_run_read_back(model: Model) -> None:
    for index in [*range(1, 12), 0]:
        model.arrive(row(model.a, of(index)))
    assert model.summed_up() is None


@pytest.mark.parametrize("what", ["again", "elsewhere", "attempt", "two boards", "unheard"])
def test_a_run_of_which_not_all_rows_arrived_here_once_is_read_back(model: Model, what: str) -> None:
    first, second = row(model.a, of(0)), row(model.a, of(1))
    model.arrive(first)
    match what:
        case "again":
            model.arrive(first, second)
        case "elsewhere":
            model.stored_elsewhere(second)
        case "attempt":
            model.arrive(row(model.a, of(1), attempt=2))
        case "two boards":
            model.arrive(second)
            model.arrivals.note("w2", now(model.world.keep("w2", row(model.d, of(0), value=8))))
        case "unheard":
            model.stored_elsewhere(second)
            model.arrive(second, row(model.a, of(2)))
    assert model.summed_up() is None


def test_a_run_that_was_taken_is_not_there_any_more(model: Model) -> None:
    model.arrive(row(model.a, of(0)))
    assert said(model.summed_up()) == said(model.read_back())
    assert model.summed_up() is None


def test_rows_of_other_ids_and_of_other_accounts_runs_are_no_part_of_a_run(model: Model) -> None:
    (b,) = now(model.world.reserve("bob", "B"))
    model.arrive(row(model.a, of(0)), row(model.a, "e1"), row(model.a, of(0, number=OTHER)), row(b, of(1)))
    summary = model.summed_up()
    assert summary is not None
    assert (summary.results, said(summary)) == (1, said(model.read_back()))


def test_a_run_of_which_a_row_has_an_id_of_another_form_is_read_back(model: Model) -> None:
    model.arrive(row(model.a, f"{NUMBER}0"))
    model.arrive(row(model.a, of(0)), row(model.a, f"{NUMBER}z"))
    assert now(model.archive.runs.progress(model.run)).rows == 2
    assert model.summed_up() is None


def test_of_too_many_rows_those_of_runs_that_had_none_for_long_are_given_up(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MOST_ROWS", 3)
    model.arrive(row(model.a, of(0)), row(model.a, of(1)))
    model.arrive(row(model.a, of(0, number=OTHER)), row(model.a, of(1, number=OTHER)))
    assert model.arrivals.waiting == 2
    assert model.summed_up() is None
    assert model.arrivals.take("ada", OTHER, 2) is not None


@pytest.mark.parametrize(
    "values",
    [
        [0, 7, 4711],
        [10**15 - 1, 10**15, 2**53 - 1],
        [2**53 + 1, 10**30],
        [-3, 5],
        [2.5, 1e22],
        [[1, [2]], True, "é"],
        [7, None],
    ],
)
def test_whatever_a_kind_measures_stands_in_the_lines_as_it_is_read_back(model: Model, values: Sequence[Any]) -> None:
    rows = [row(model.a, of(index), value=value) for index, value in enumerate(values)]
    model.arrive(*rows, failure(model.a, of(len(rows))))
    model.arrive(*[row(model.a, of(20 + index), value=value) for index, value in enumerate(values)])
    summary = model.summed_up()
    assert summary is not None
    assert said(summary) == said(model.read_back())


def test_so_many_runs_are_known_at_most(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_RUNS", 2)
    for digit in "cde":
        model.arrive(row(model.a, of(0, number=f"0{digit}" * 16)))
    assert model.arrivals.take("ada", "0c" * 16, 1) is None
    assert model.arrivals.take("ada", "0e" * 16, 1) is not None


#: Which evaluation, of which attempt, and by whom it is stored.
steps = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from([1, 1, 1, 1, 2]), st.sampled_from(["here"] * 6 + ["elsewhere"])),
    max_size=30,
)


@pytest.mark.thorough
@settings(max_examples=200, deadline=None)
@given(steps, st.integers(1, 5), st.booleans())
@example([(0, 1, "here"), (0, 2, "elsewhere")], 1, False)
def test_a_summary_is_right_or_there_is_none(steps: Sequence[tuple[int, int, str]], size: int, fails: bool) -> None:
    model = Model()
    for begin in range(0, len(steps), size):
        batch = steps[begin : begin + size]
        make = failure if fails and begin % 2 else row
        rows = [make(model.a, of(index), attempt=attempt) for index, attempt, _ in batch]
        (model.stored_elsewhere if batch[0][2] == "elsewhere" else model.arrive)(*rows)
    summary = model.summed_up()
    assert summary is None or said(summary) == said(model.read_back())


class NotRead:
    """A store of runs whose rows nobody may read."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        assert name != "rows", "the run is read back"
        return getattr(self._runs, name)


def test_a_run_whose_rows_all_arrived_is_closed_without_reading_them(model: Model) -> None:
    runs: Any = NotRead(model.archive.runs)
    closer = RunCloser(runs, model.world.store, model.clock, model.arrivals)
    intake = Intake(model.archive, Publisher(), model.clock, 90, model.arrivals)
    now(intake.take("w1", encoded(*[row(model.a, of(index)) for index in range(3)]), 0, 0))
    digest = model.read_back().digest
    report = RunReport(NUMBER, "counter", {"A": model.a.id}, "ga-7", ended=True, results=3)
    now(model.archive.runs.report("ada", [report], ["ga-7"]))
    done: list[Any] = []
    ensureDeferred(closer.pass_once()).addBoth(done.append)
    model.clock.pump([0] * 5)
    assert done == [None]
    manifest = json.loads(now(model.archive.runs.manifest(model.run.id)))
    assert (manifest["results"]["count"], manifest["results"]["digest"]) == (3, digest)


class Counted:
    """A store of runs, and how often they are counted."""

    def __init__(self, runs: MemoryRuns) -> None:
        self._runs = runs
        self.times = 0

    def __getattr__(self, name: str) -> Any:
        self.times += name == "progress"
        return getattr(self._runs, name)


def test_a_run_is_not_counted_before_its_rows_are_here_unless_they_take_long(model: Model) -> None:
    runs: Any = Counted(model.archive.runs)
    closer = RunCloser(runs, model.world.store, model.clock, model.arrivals)
    model.arrive(row(model.a, of(0)))
    report = RunReport(NUMBER, "counter", {"A": model.a.id}, "ga-7", ended=True, results=2)
    now(model.archive.runs.report("ada", [report], ["ga-7"]))
    now(closer.pass_once())
    assert runs.times == 0
    # Another control may have had the other row.
    model.clock.advance(SETTLED)
    now(closer.pass_once())
    assert runs.times == 1
