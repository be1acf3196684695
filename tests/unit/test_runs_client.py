"""Runs as clients make and read them, over a farm in memory; and what the client tells of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import current_thread
from typing import Any

import pytest
from click.testing import CliRunner, Result
from twisted.internet.task import Clock
from waiting import wait_until

from icefarm.bitstream import Bitstream, from_file
from icefarm.cli import main
from icefarm.client.evaluation.run_report import CALL_LIMIT, GATHER, MOST_WAITING, PAUSE, RunNotes, RunReporter
from icefarm.client.evaluation.tasks import Item, Task
from icefarm.client.placement import Spread
from icefarm.client.runs import circuit_folder
from icefarm.contract import RunRecord, RunReport
from icefarm.errors import Busy, InvalidArgument, NoSuchProcedure, UnknownRun
from icefarm.runs.numbers import position_of
from icefarm.runs.package import Package
from icefarm.testing.in_memory import FarmInMemory

CIRCUITS = [str(path) for path in sorted((Path(__file__).parents[2] / "examples" / "circuits").glob("square*.bin"))]


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmInMemory]:
    with FarmInMemory(boards=2) as farm:
        yield farm


def closed_runs(client: Any, experiment: str, amount: int = 1) -> list[RunRecord]:
    """Return an experiment's runs, the first one first, once they are closed."""
    runs: list[RunRecord] = []

    def are_closed() -> bool:
        runs[:] = client.experiment(experiment).runs()
        return len(runs) == amount and all(run.state == "closed" for run in runs)

    wait_until(are_closed, lambda: f"{amount} closed runs: {runs}")
    return runs[::-1]


@pytest.fixture(scope="module")
def cited(farm: FarmInMemory) -> RunRecord:
    with farm.client(name="ada") as client, client.reserve(2, window=0.01) as boards:
        options = {"repeats": 2}
        results = boards.evaluate(CIRCUITS, experiment="cited", labels={"n": 1}, placement=Spread(7), options=options)
        assert all(result.ok for result in results)
        (run,) = closed_runs(client, "cited")
    return run


def test_a_stream_of_evaluations_is_a_run_with_what_it_takes_to_measure_it_again(
    farm: FarmInMemory, cited: RunRecord
) -> None:
    with farm.client(name="reader") as client:
        run = client.experiment("cited").run(cited.id[:10] if cited.id else "")
        manifest = run.manifest
        assert (manifest["placement"], manifest["seed"]) == ({"placement": "spread", "seed": 7}, 7)
        assert (manifest["options"], manifest["evaluation_options"]) == ({"window": 0.01}, {"repeats": 2})
        assert (manifest["labels"], manifest["answered"]) == ({"n": 1}, {"results": 3, "failed": 0})
        assert [line["circuit"] for line in run.results()] == CIRCUITS
        assert manifest["circuits"]["sha256"] == [line["sha256"] for line in run.results()]


def test_each_call_of_evaluate_is_a_run_and_one_that_keeps_nothing_is_none(farm: FarmInMemory) -> None:
    with farm.client(name="ada", experiment="several") as client, client.reserve(2, window=0.01) as boards:
        for generation in range(3):
            list(boards.evaluate(CIRCUITS[:2], labels={"generation": generation}))
        list(boards.evaluate(CIRCUITS[:1], archive=False))
        runs = closed_runs(client, "several", 3)
    assert [(run.labels, run.results) for run in runs] == [({"generation": n}, 2) for n in range(3)]


def test_a_run_on_each_board_has_a_circuit_once_and_a_result_for_each_board(farm: FarmInMemory) -> None:
    with farm.client(name="ada") as client, client.reserve(2, window=0.01) as boards:
        list(boards.evaluate_each(CIRCUITS[:2], experiment="each"))
        (record,) = closed_runs(client, "each")
        run = client.experiment("each").run(record.id)
        assert (run.manifest["circuits"]["count"], run.manifest["results"]["count"]) == (2, 4)
        assert [line["index"] for line in run.results()] == [0, 0, 1, 1]


def test_a_stream_that_its_reader_leaves_is_a_run_of_what_was_measured(farm: FarmInMemory) -> None:
    with farm.client(name="ada") as client, client.reserve(1, window=0.01) as boards:
        stream = boards.evaluate(CIRCUITS * 50, experiment="left")
        for _ in range(5):
            next(stream)
        stream.close()
        (run,) = closed_runs(client, "left")
        assert 5 <= run.results < 150


def test_the_asyncio_client_reads_runs_too(farm: FarmInMemory, cited: RunRecord, tmp_path: Path) -> None:
    async def script() -> None:
        async with farm.async_client_class(name="reader") as client:
            (record,) = await client.experiment("cited").runs()
            run = await client.archived_run(record.id)
            assert (run.id, run.manifest["experiment"]) == (cited.id, "cited")
            path = await run.export(tmp_path / "run.zip")
            with Package.open(path) as package:
                assert (package.id, len(list(package.results()))) == (cited.id, 3)

    asyncio.run(script())


def test_a_run_that_is_unknown_or_of_another_experiment_is_said_to_be(farm: FarmInMemory, cited: RunRecord) -> None:
    with farm.client(name="reader") as client:
        with pytest.raises(UnknownRun, match="there is no run 0000000000"):
            client.archived_run("0" * 10)
        with pytest.raises(UnknownRun, match="is of experiment 'cited', not of 'other'"):
            client.experiment("other").run(cited.id)
        with pytest.raises(InvalidArgument, match="8 to 64 hexadecimal digits"):
            client.archived_run("ga-7")


def test_a_folder_of_circuits_is_read_outside_the_thread_that_keeps_the_session(
    farm: FarmInMemory, cited: RunRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()

    def read(path: Path) -> Bitstream:
        threads.add(current_thread().name)
        return from_file(path)

    monkeypatch.setattr(circuit_folder, "from_file", read)
    with farm.client(name="reader") as client:
        run = client.archived_run(cited.id)
        with Package.open(run.export(tmp_path / "run.zip", circuits=Path(CIRCUITS[0]).parent)) as package:
            assert len(package.circuits) == 3
        (tmp_path / "empty").mkdir()
        with pytest.raises(InvalidArgument, match="has no circuit with the SHA-256"):
            run.export(tmp_path / "other.zip", circuits=tmp_path / "empty")
    assert threads
    # The client's reactor runs in a thread of that name.
    assert threads.isdisjoint({current_thread().name, "icefarm-client"})


def test_an_export_that_cannot_be_written_leaves_nothing(farm: FarmInMemory, cited: RunRecord, tmp_path: Path) -> None:
    with farm.client(name="reader") as client:
        run = client.archived_run(cited.id)
        (tmp_path / "taken").mkdir()
        for path in (tmp_path / "none" / "run.zip", tmp_path / "taken"):
            with pytest.raises(InvalidArgument, match="cannot be written"):
                run.export(path)
        assert [path.name for path in tmp_path.iterdir()] == ["taken"]


# -------------------------------------------------------------------------------------------------- command line


def icefarm(farm: FarmInMemory, *arguments: str) -> Result:
    mine = dict.fromkeys(("ICEFARM_URL", "ICEFARM_NAME", "ICEFARM_TOKEN", "ICEFARM_DATA_DIR", "ICEFARM_EXPERIMENT"), "")

    def sign_in(_: object) -> Any:
        return farm.client(name="reader")

    return CliRunner().invoke(main, list(arguments), obj=sign_in, env=mine, prog_name="icefarm")


def test_the_command_line_lists_shows_and_saves_runs(farm: FarmInMemory, cited: RunRecord, tmp_path: Path) -> None:
    id = cited.id or ""
    (record,) = json.loads(icefarm(farm, "runs", "cited", "-o", "json").stdout)
    assert record["id"] == id
    table = icefarm(farm, "runs", "cited").stdout
    assert id[:12] in table
    shown = icefarm(farm, "run", id[:12]).stdout
    assert f"run:        {id}\n" in shown
    assert "placement:  placement=spread, seed=7\n" in shown
    assert json.loads(icefarm(farm, "run", id, "-o", "json").stdout)["manifest"]["seed"] == 7
    assert len(icefarm(farm, "run", id, "-o", "csv").stdout.splitlines()) == 3
    done = icefarm(farm, "run", id, "--out", str(tmp_path / "run.icefarm.zip"))
    assert (done.exit_code, id in done.stderr) == (0, True)
    with Package.open(tmp_path / "run.icefarm.zip") as package:
        assert package.id == id
    wrong = icefarm(farm, "run", "0" * 10)
    assert (wrong.exit_code, "there is no run" in wrong.stderr) == (2, True)


def test_what_icefarm_evaluate_measured_is_a_run(farm: FarmInMemory) -> None:
    done = CliRunner().invoke(
        main,
        ["evaluate", *CIRCUITS, "--each", "--devices", "2", "--window", "0.01", "--experiment", "by-hand"],
        obj=lambda _: farm.client(name="ada"),
    )
    assert done.exit_code == 0, done.output
    with farm.client(name="reader") as client:
        (record,) = closed_runs(client, "by-hand")
        manifest = client.archived_run(record.id).manifest
    assert (manifest["placement"], manifest["results"]["count"]) == ({"placement": "each"}, 6)


def test_what_the_caller_changes_later_does_not_change_a_run(farm: FarmInMemory) -> None:
    labels, options = {"n": 1}, {"repeats": 2}
    with farm.client(name="ada") as client, client.reserve(1, window=0.01) as boards:
        for _ in boards.evaluate(CIRCUITS, experiment="changed", labels=labels, options=options):
            labels["n"] = options["repeats"] = 3
        (record,) = closed_runs(client, "changed")
        manifest = client.archived_run(record.id).manifest
    assert (record.labels, manifest["evaluation_options"]) == ({"n": 1}, {"repeats": 2})


# ------------------------------------------------------------------------------------------------- what is told


class Control:
    """Hears reports, and answers as it is told."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.calls: list[list[dict[str, Any]]] = []
        self.error: Exception | None = None
        #: A run whose report is refused, and the numbers of those whose report was taken in.
        self.wrong: str | None = None
        self.kept: list[str] = []
        self.bus: Any = self
        self.reporter = RunReporter(self.clock, self)

    async def call(self, procedure: str, _: tuple[()], arguments: dict[str, Any], *, timeout: float) -> None:
        assert (procedure, timeout) == ("icefarm.v1.control.run_report", CALL_LIMIT)
        self.calls.append(arguments["runs"])
        if self.error is not None:
            raise self.error
        numbers = [run["number"] for run in arguments["runs"]]
        if self.wrong in numbers:
            raise InvalidArgument("no")
        self.kept += numbers

    def run(self, number: int) -> RunNotes:
        return RunNotes(self.reporter, f"{number:032x}", lambda number: RunReport(number, "pulsecount", {"A": "r"}))


def task(index: int | None, pinned: str | None = None) -> Task:
    return Task(Item("x.bin", {}, placement=None if index is None else {"index": index}), pinned)


def test_an_evaluations_id_says_which_bitstream_of_the_run_it_is_and_for_which_board() -> None:
    notes = Control().run(1)
    ids = [notes.id_for(task(3, board)) for board in ("B", "A", "B")] + [notes.id_for(task(0))]
    places = [(place.index, place.board) for place in map(position_of, ids) if place is not None]
    assert places == [(3, 1), (3, 2), (3, 1), (0, 0)]
    assert len({notes.id_for(task(None)) for _ in range(5)}) == 5


def test_short_runs_are_told_of_together() -> None:
    control = Control()
    for number in range(50):
        notes = control.run(number)
        notes.id_for(task(0))
        notes.count([None])
        notes.end()
    assert [len(runs) for runs in control.calls] == [1]
    control.clock.advance(GATHER)
    assert [len(runs) for runs in control.calls] == [1, 50]
    assert {(run["ended"], run["failures"]) for run in control.calls[1]} == {(True, 1)}
    control.clock.advance(10)
    assert len(control.calls) == 2


def test_a_report_that_met_a_busy_farm_is_made_again_with_what_is_newest() -> None:
    control = Control()
    control.error = Busy("the database is away")
    notes = control.run(1)
    notes.id_for(task(0))
    notes.end()
    control.clock.advance(GATHER)
    control.error = None
    control.clock.advance(GATHER)
    assert [run["ended"] for runs in control.calls for run in runs] == [False, True, True]


def test_a_farm_without_the_procedure_is_told_seldom_and_not_waited_for() -> None:
    control = Control()
    control.error = NoSuchProcedure("there is none")
    for number in range(5):
        notes = control.run(number)
        notes.id_for(task(0))
        notes.end()
        control.clock.advance(GATHER)
    assert len(control.calls) == 1
    assert _flushed(control, lambda: None)
    assert len(control.calls) == 2
    control.error = None
    control.clock.advance(PAUSE)
    assert [run["ended"] for run in control.calls[2]] == [True] * 5


def test_what_is_waiting_for_a_farm_that_is_away_is_bounded() -> None:
    control = Control()
    control.bus = None
    for number in range(MOST_WAITING + 50):
        notes = control.run(number)
        notes.id_for(task(0))
        notes.end()
    control.clock.pump([GATHER] * 4)
    assert len(control.reporter._waiting) == MOST_WAITING


def test_a_report_that_the_farm_refuses_is_not_made_again() -> None:
    control = Control()
    control.error = InvalidArgument("no")
    control.run(1).id_for(task(0))
    control.clock.pump([GATHER] * 10)
    assert len(control.calls) == 1


def test_a_report_that_the_farm_refuses_costs_no_other_one() -> None:
    control = Control()
    control.run(99).id_for(task(0))
    control.wrong = f"{3:032x}"
    for number in range(6):
        control.run(number).id_for(task(0))
    control.clock.pump([GATHER] * 10)
    assert control.kept == [f"{number:032x}" for number in (99, 0, 1, 2, 4, 5)]
    assert len(control.calls) == 8


def test_a_run_without_an_evaluation_is_not_told_of() -> None:
    control = Control()
    control.run(1).end()
    control.clock.advance(10)
    assert control.calls == []


def _flushed(control: Control, advance: Callable[[], None]) -> bool:
    from twisted.internet.defer import ensureDeferred

    done: list[object] = []
    ensureDeferred(control.reporter.flush()).addBoth(done.append)
    advance()
    return done == [None]


def test_closing_a_client_tells_what_is_still_to_be_told_at_once() -> None:
    control = Control()
    notes = control.run(1)
    notes.id_for(task(0))
    notes.end()
    assert _flushed(control, lambda: None)
    assert control.calls[-1][0]["ended"] is True
