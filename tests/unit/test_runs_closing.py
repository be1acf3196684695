"""When runs are closed: as the rule says, and as control does it over a store and an archive in memory."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest
from archive_rules import NOW, World, encoded, evaluation_id, failure, row
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from icefarm.bitstream import compress, made_up_bitstream
from icefarm.bus import Caller
from icefarm.contract import Role, RunReport, WorkerHello, to_wire
from icefarm.control.archive.activity import Activity
from icefarm.control.archive.parsing import parse_rows
from icefarm.control.archive.runs import closer
from icefarm.control.archive.runs.closer import RunCloser
from icefarm.control.archive.runs.closing import LATEST, LOST, SELDOM, SETTLED, SOON, RunStanding, may_close, next_look
from icefarm.control.inventory.calibration.corrections import Corrections
from icefarm.control.rpc.archive_api import ArchiveProcedures
from icefarm.control.rpc.runs_api import RunProcedures
from icefarm.control.telemetry.events import MeasurementsArchived, WorkerIntroduced
from icefarm.errors import InvalidArgument, InvalidBitstream, LimitReached, UnknownRun
from icefarm.runs.canonical import digest
from icefarm.runs.manifest import checked_manifest
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.store import MemoryStore

NUMBER = "0a" * 16
#: Lists within lists: more than a run may have.
DEEP = 60
ENDED = RunStanding(1.0, None, told_results=3, told_failures=1, results=3, failures=1)
LOST_CLIENT = RunStanding(None, LOST, 0, 0, results=3, failures=0)
ADA, BOB, BOSS = Caller("ada", 1, Role.CLIENT), Caller("bob", 2, Role.CLIENT), Caller("boss", 3, Role.OPERATOR)


@pytest.mark.parametrize(
    ("run", "closed"),
    [
        (ENDED, True),
        (evolve(ENDED, results=2), False),
        (evolve(ENDED, results=2, since_end=LATEST - 1), False),
        (evolve(ENDED, results=2, since_end=LATEST), True),
        (evolve(ENDED, superseded=True), False),
        (evolve(ENDED, failures=0), False),
        (evolve(ENDED, failures=0, since_end=SETTLED), True),
        (LOST_CLIENT, True),
        (evolve(LOST_CLIENT, since_reservations=None), False),
        (evolve(LOST_CLIENT, since_reservations=LOST - 1), False),
        (evolve(LOST_CLIENT, delivered=False), False),
        (evolve(LOST_CLIENT, delivered=False, since_reservations=LATEST), True),
    ],
)
def test_a_run_is_closed_when_nothing_more_is_to_be_expected(run: RunStanding, closed: bool) -> None:
    assert may_close(run) is closed


@given(st.floats(0, 10**6))
def test_a_run_that_waits_is_looked_at_less_and_less_often(waiting: float) -> None:
    assert SOON <= next_look(waiting) <= next_look(waiting + 1) <= SELDOM


class Bench:
    """Control's part, in memory."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.store = MemoryStore(self.clock)
        self.archive = MemoryArchive(self.clock, self.store)
        self.world = World(self.archive, self.store, lambda: self.clock.advance(0.1), self.clock.seconds)
        self.closer = RunCloser(self.archive.runs, self.store, self.clock)
        of_archive = ArchiveProcedures(self.archive, Activity(self.clock), self.clock, False, Corrections(self.store))
        self.procedures = RunProcedures(self.archive.runs, self.closer, of_archive, self.clock)
        self.finished(self.world.begin())
        self.hello()
        (self.a,) = self.finished(self.world.reserve("ada", "A"))

    def hello(self) -> None:
        """Let the worker say hello to this control."""
        self.closer.heard(WorkerIntroduced(WorkerHello("w1", "i1", "host", "1", [], [])))

    def finished(self, asked: Any) -> Any:
        answers: list[Any] = []
        ensureDeferred(asked).addBoth(answers.append)
        for _ in range(20):
            if answers:
                break
            self.clock.advance(0)
        (answer,) = answers
        if hasattr(answer, "raiseException"):
            answer.raiseException()
        return answer

    def tell(self, **fields: Any) -> None:
        report = RunReport(
            **{"number": NUMBER, "kind": "counter", "boards": {"A": self.a.id}, "experiment": "ga-7", **fields}
        )
        self.finished(self.procedures.run_report(ADA, runs=[to_wire(report)]))

    def keep(self, *rows: dict[str, Any]) -> None:
        self.finished(self.world.keep("w1", *rows))

    def record(self, caller: Caller = ADA) -> dict[str, Any]:
        (run,) = self.finished(self.procedures.experiment_runs(caller, "ga-7"))["runs"]
        return dict(run)

    def passes(self, seconds: float = 0.0) -> None:
        """Let time pass, and runs be looked at."""
        self.clock.advance(seconds)
        self.finished(self.closer.pass_once())


@pytest.fixture
def bench() -> Bench:
    return Bench()


def of(index: int, board: int = 0) -> str:
    return evaluation_id(NUMBER, index, board)


def test_a_run_is_closed_when_all_results_that_its_client_had_have_arrived(bench: Bench) -> None:
    bench.tell(placement={"placement": "spread", "seed": 7}, labels={"n": 1})
    assert bench.record()["state"] == "running"
    bench.keep(row(bench.a, of(0)), failure(bench.a, of(1)))
    bench.tell(ended=True, results=2, failures=1, placement={"placement": "spread", "seed": 7})
    bench.passes()
    assert bench.record()["state"] == "ended"
    bench.keep(row(bench.a, of(2), value=9))
    bench.passes(5.0)
    record = bench.record()
    assert (record["state"], record["results"], record["failed"], record["boards"]) == ("closed", 2, 1, 1)
    answer = bench.finished(bench.procedures.run(BOB, record["id"][:8]))
    manifest = checked_manifest(answer["manifest"].encode(), record["id"])
    assert (manifest["seed"], manifest["answered"]) == (7, {"results": 2, "failed": 1})
    lines = bench.finished(bench.procedures.run_results(BOB, record["id"]))["lines"]
    assert digest(lines.encode()) == manifest["results"]["digest"]


def test_pages_of_a_runs_lines_add_up_to_them(bench: Bench) -> None:
    bench.tell()
    bench.keep(*(row(bench.a, of(n), value=n) for n in range(5)))
    bench.tell(ended=True, results=5)
    bench.passes()
    whole = bench.finished(bench.procedures.run_results(ADA, NUMBER))["lines"]
    lines, after = "", None
    while True:
        page = bench.finished(bench.procedures.run_results(ADA, NUMBER, after=after, limit=2))
        lines, after = lines + page["lines"], page["next"]
        if after is None:
            break
    assert lines == whole
    assert whole.count("\n") == 5


def test_a_run_of_a_client_that_was_lost_is_closed_after_its_reservations_when_workers_have_delivered(
    bench: Bench,
) -> None:
    bench.tell()
    bench.keep(row(bench.a, of(0)))
    bench.passes(LOST * 2)
    assert bench.record()["state"] == "running"
    bench.finished(bench.store.end(client="ada", serials=None, reason="its client is gone"))
    bench.closer.heard(MeasurementsArchived("w1", {}, 0, 0, waiting=10**8, lost=0))
    bench.passes(LOST * 2)
    assert bench.record()["state"] == "running"
    bench.closer.heard(MeasurementsArchived("w1", {}, 0, 0, waiting=100, lost=0))
    bench.passes(SELDOM)
    assert bench.record()["state"] == "closed"
    assert checked_manifest(bench.finished(bench.procedures.run(ADA, NUMBER))["manifest"].encode())["answered"] is None


def test_of_a_worker_that_has_just_said_hello_the_first_batch_is_waited_for(bench: Bench) -> None:
    bench.tell()
    bench.keep(row(bench.a, of(0)))
    bench.finished(bench.store.end(client="ada", serials=None, reason="its client is gone"))
    # As after a start of control, which has heard nothing of any worker.
    bench.closer = RunCloser(bench.archive.runs, bench.store, bench.clock)
    bench.passes(LOST * 2)
    assert bench.record()["state"] == "running"
    bench.hello()
    bench.passes(LOST - 1)
    assert bench.record()["state"] == "running"
    bench.passes(SELDOM)
    assert bench.record()["state"] == "closed"


def test_a_worker_that_is_away_is_waited_for(bench: Bench) -> None:
    bench.tell()
    bench.keep(row(bench.a, of(0)))
    bench.finished(bench.store.end(client="ada", serials=None, reason="its client is gone"))
    bench.finished(bench.store.worker_lost("w1", "its link is down"))
    bench.passes(LOST * 2)
    assert bench.record()["state"] == "running"
    bench.passes(LATEST)
    assert bench.record()["state"] == "closed"


def test_a_control_that_starts_closes_what_another_one_left_open(bench: Bench) -> None:
    bench.tell()
    bench.keep(row(bench.a, of(0)))
    bench.tell(ended=True, results=1)
    successor = RunCloser(bench.archive.runs, bench.store, bench.clock)
    bench.finished(successor.pass_once())
    assert bench.record()["state"] == "closed"


def test_a_report_that_comes_twice_or_late_changes_no_closed_run(bench: Bench) -> None:
    bench.tell(ended=True, results=1)
    bench.keep(row(bench.a, of(0)))
    bench.passes()
    before = bench.record()
    bench.tell(ended=True, results=1)
    bench.tell()
    bench.keep(row(bench.a, of(1)))
    bench.passes(100.0)
    assert bench.record() == before


def test_what_arrives_while_a_run_is_closed_is_not_in_it(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closer, "PAGE", 1)
    bench.tell()
    bench.keep(row(bench.a, of(1)), row(bench.a, of(2)))
    bench.tell(ended=True, results=2)
    passes: list[Any] = []
    ensureDeferred(bench.closer.pass_once()).addBoth(passes.append)
    assert passes == []
    # While the first page is summed up; no time passes.
    late = encoded(row(bench.a, of(0)), row(bench.a, of(3)))
    bench.finished(bench.archive.store("w1", parse_rows(late, NOW, 90).rows))
    bench.clock.pump([0] * 10)
    record = bench.record()
    assert (record["state"], record["results"]) == ("closed", 2)
    lines = bench.finished(bench.procedures.run_results(ADA, NUMBER))["lines"]
    manifest = checked_manifest(bench.finished(bench.procedures.run(ADA, NUMBER))["manifest"].encode())
    assert digest(lines.encode()) == manifest["results"]["digest"]


class CountedReads:
    """A store that counts its calls by name."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self._store, name)


def test_a_pass_reads_the_time_and_the_workers_once_for_all_runs_and_only_if_there_are_any(bench: Bench) -> None:
    store: Any = CountedReads(bench.store)
    bench.closer = RunCloser(bench.archive.runs, store, bench.clock)
    bench.passes()
    assert store.calls == {}
    for number in ("0a" * 16, "0b" * 16, "0c" * 16):
        bench.tell(number=number)
        bench.keep(row(bench.a, evaluation_id(number, 0, 0)))
        bench.tell(number=number, ended=True, results=1)
    bench.passes()
    runs = bench.finished(bench.procedures.experiment_runs(ADA, "ga-7"))["runs"]
    assert [run["state"] for run in runs] == ["closed"] * 3
    assert store.calls == {"now": 1, "workers": 1}


def test_a_run_that_cannot_be_closed_holds_no_other_one_up(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def canonical(manifest: dict[str, Any]) -> bytes:
        if manifest["experiment"] == "deep":
            raise RecursionError("as where values are nested too deeply")
        return json.dumps(manifest).encode()

    monkeypatch.setattr(closer, "canonical", canonical)
    bench.tell(number="0b" * 16, experiment="deep")
    bench.keep(row(bench.a, evaluation_id("0b" * 16, 0, 0), experiment="deep"))
    bench.tell(number="0b" * 16, experiment="deep", ended=True, results=1)
    bench.tell()
    bench.keep(row(bench.a, of(0)))
    bench.tell(ended=True, results=1)
    bench.passes()
    assert bench.record()["state"] == "closed"
    (run,) = bench.finished(bench.procedures.experiment_runs(ADA, "deep"))["runs"]
    assert run["state"] == "ended"


def test_a_report_that_is_nested_too_deeply_is_refused(bench: Bench) -> None:
    deep: Any = 1
    for _ in range(DEEP):
        deep = [deep]
    report = {**to_wire(RunReport(NUMBER, "counter", {"A": bench.a.id})), "options": {"deep": deep}}
    with pytest.raises(InvalidArgument, match="must be values of JSON, nested 50 deep at most"):
        bench.finished(bench.procedures.run_report(ADA, runs=[report]))


def test_a_run_of_which_nothing_was_archived_is_forgotten(bench: Bench) -> None:
    bench.tell(ended=True, failures=2)
    bench.passes()
    bench.passes(SETTLED)
    assert bench.finished(bench.procedures.experiment_runs(ADA, "ga-7"))["runs"] == []


def test_a_run_without_an_experiment_belongs_to_that_of_its_client_and_the_day(bench: Bench) -> None:
    bench.tell(experiment=None)
    (run,) = bench.finished(bench.archive.runs.open())
    assert run.experiment.startswith("ada 20")


def test_others_find_no_run_of_what_is_not_shared(bench: Bench) -> None:
    bench.tell()
    bench.finished(bench.archive.announce(("ada", "ga-7"), None, False))
    assert bench.finished(bench.procedures.run(BOSS, NUMBER))["run"]["number"] == NUMBER
    for asked in (bench.procedures.run(BOB, NUMBER), bench.procedures.run_results(BOB, NUMBER)):
        with pytest.raises(UnknownRun, match="there is no run"):
            bench.finished(asked)


def test_an_id_that_several_runs_begin_with_is_refused(bench: Bench) -> None:
    bench.tell()
    bench.tell(number="0a" * 15 + "0b")
    with pytest.raises(InvalidArgument, match="several runs begin with 0a0a0a0a"):
        bench.finished(bench.procedures.run(ADA, "0a0a0a0a"))


def test_another_account_with_the_same_number_has_a_run_of_its_own(bench: Bench) -> None:
    bench.tell()
    report = RunReport(NUMBER, "counter", {"A": bench.a.id}, "ga-7", ended=True, results=5)
    bench.finished(bench.procedures.run_report(BOB, runs=[to_wire(report)]))
    assert bench.record()["ended_at"] is None


def test_results_that_were_dropped_are_refused_with_the_day(bench: Bench) -> None:
    bench.tell(ended=True, results=1)
    bench.keep(row(bench.a, of(0)))
    bench.passes()
    for partition in bench.finished(bench.archive.partitions()):
        bench.finished(bench.archive.drop(partition.day))
    assert bench.record()["dropped_at"] is not None
    with pytest.raises(InvalidArgument, match=r"has dropped results of run .* an export from before then has them"):
        bench.finished(bench.procedures.run_results(ADA, NUMBER))


def test_a_circuit_is_kept_only_as_what_it_is_said_to_be(bench: Bench) -> None:
    bench.tell()
    data = made_up_bitstream(1).data
    sha256, packed = digest(data), {"block": compress(data), "length": len(data)}
    keep = bench.procedures.circuit_keep
    assert bench.finished(keep(ADA, NUMBER, sha256)) is False
    with pytest.raises(InvalidArgument, match="has another SHA-256"):
        bench.finished(keep(ADA, NUMBER, "0" * 64, **packed))
    with pytest.raises(InvalidBitstream):
        bench.finished(keep(ADA, NUMBER, sha256, block=b"no block", length=100))
    assert bench.finished(keep(ADA, NUMBER, sha256, **packed)) is True
    assert bench.finished(bench.procedures.run_circuit(BOB, NUMBER, sha256)) == packed
    bench.finished(bench.archive.announce(("ada", "ga-7"), None, False))
    with pytest.raises(UnknownRun):
        bench.finished(bench.procedures.run_circuit(BOB, NUMBER, sha256))


def test_an_account_keeps_no_more_circuits_than_the_operator_says(bench: Bench) -> None:
    bench.procedures.circuit_bytes = 100
    data = made_up_bitstream(1).data
    with pytest.raises(LimitReached, match=r"keeps at most 0.0001 MB of circuits for an account"):
        bench.finished(bench.procedures.circuit_keep(ADA, NUMBER, digest(data), block=compress(data), length=len(data)))
