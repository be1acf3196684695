"""What a client was answered is in the archive once, whatever dies between a measurement and its row there.

The parts are the worker's own, and an archive in memory that holds to the same rules as that in PostgreSQL.  The steps
are drawn at random; each measurement of an evaluation gives another value, so that every mistake shows.
"""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest
from archive_rules import NOW, World, now
from attrs import Factory, define, field
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from icefarm.contract import ReservationRecord
from icefarm.control.archive.parsing import parse_rows
from icefarm.errors import DeviceFailed, IcefarmError
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.store import MemoryStore
from icefarm.worker.archive.recorder import Recorder, ReservationRows
from icefarm.worker.archive.rows import Note
from icefarm.worker.archive.spool import Batch, MemorySpool
from icefarm.worker.reservation.idempotency import Evaluations

IDS = ("e1", "e2")
WORKERS = ("w1", "w2")


@define(eq=False)
class Worker:
    """A worker with one board; its spool outlives it."""

    name: str
    record: ReservationRecord
    clock: Clock
    values: Any
    spool: MemorySpool = Factory(MemorySpool)
    #: A batch on its way to control, which may arrive at any time, also from a session that is gone.
    sent: Batch | None = None
    recorder: Recorder = field(init=False)
    evaluations: Evaluations = field(init=False)
    measuring: dict[str, Deferred[Any]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start, and start again: only the spool is as it was."""
        self.measuring = {}
        self.recorder = Recorder(self.clock, self.spool, on=True)
        stamp = {"serial": self.record.serial, "kind": "counter", "options": {}}
        rows = ReservationRows(self.recorder, self.record.id, stamp)
        self.evaluations = Evaluations(self, rows)

    def evaluated(self, error: BaseException | None) -> None:
        """Nothing is counted here."""

    def call(self, evaluation_id: str, attempt: int) -> Deferred[Any]:
        async def evaluate() -> dict[str, Any]:
            measured = self.measuring[evaluation_id] = Deferred[int]()
            value = await measured
            return {
                "evaluation_id": evaluation_id, "serial": self.record.serial, "kind": "counter", "options": {},
                "value": value, "attempt": attempt, "ended_at": self.clock.seconds(),
            }  # fmt: skip

        answer = self.evaluations.once(evaluation_id, "content", evaluate, Note("ga-7", attempt=attempt))
        return answer.addBoth(self._leaves)

    def _leaves(self, answer: Any) -> Any:
        """What has gathered is written before any answer leaves."""
        self.recorder.flush()
        return answer

    def batch(self) -> Batch | None:
        """Return what is sent to control."""
        self.recorder.flush()
        return self.spool.batch()

    def measure(self, evaluation_id: str, error: IcefarmError | None = None) -> None:
        measured = self.measuring.pop(evaluation_id, None)
        if measured is not None:
            measured.callback(next(self.values)) if error is None else measured.errback(error)


@define(eq=False)
class Evaluation:
    """An evaluation as its client sees it: one call at a time, each with the next number."""

    id: str
    worker: Worker
    other: Worker
    attempts: int = 0
    answer: Any = None
    _call: Deferred[Any] | None = None

    def call(self) -> None:
        """Call, unless it is answered; the call before is given up, whatever becomes of it."""
        if self.answer is not None:
            return
        self.give_up()
        self.attempts += 1
        self._call = self.worker.call(self.id, self.attempts)
        self._call.addCallbacks(self._answered, self._failed)

    def give_up(self) -> None:
        """Its answer would not arrive."""
        call, self._call = self._call, None
        if call is not None and not call.called:
            call.cancel()

    def move(self) -> None:
        """Go on at the other board."""
        self.give_up()
        self.worker, self.other = self.other, self.worker

    def _answered(self, measured: dict[str, Any]) -> None:
        self.answer = (measured["serial"], measured["value"])

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self.move()


class Model:
    """A client, two workers with a board each, and the archive."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        store = MemoryStore(self.clock)
        self.archive = MemoryArchive(self.clock, store)
        self.world = World(self.archive, store)
        values = count(1)
        now(self.world.begin())
        self.workers = {
            name: Worker(name, now(self.world.reserve("ada", serial))[0], self.clock, values)
            for name, serial in zip(WORKERS, ("A", "D"), strict=True)
        }
        one, other = self.workers.values()
        self.evaluations = {id: Evaluation(id, one, other) for id in IDS}

    def step(self, what: str, worker_name: str, id: str) -> None:
        worker, evaluation = self.workers[worker_name], self.evaluations[id]
        self.clock.advance(0.01)
        match what:
            case "call":
                evaluation.call()
            case "give up":
                evaluation.give_up()
            case "move":
                evaluation.move()
            case "measure":
                worker.measure(id)
            case "fail":
                worker.measure(id, DeviceFailed("the board was silent"))
            case "crash":
                self.crash(worker)
            case "send":
                worker.sent = worker.batch()
            case "commit":
                self.commit(worker.sent, worker)
            case "acknowledge" if worker.sent is not None:
                self.commit(worker.sent, worker)
                worker.spool.acknowledge(worker.sent)
                worker.sent = None

    def crash(self, worker: Worker) -> None:
        for evaluation in self.evaluations.values():
            if evaluation.worker is worker:
                evaluation.give_up()
        worker.start()

    def commit(self, batch: Batch | None, worker: Worker) -> None:
        if batch is not None:
            now(self.archive.store(worker.name, parse_rows(batch.rows, self.clock.seconds(), 90).rows))

    def finish(self) -> None:
        """Let every evaluation be answered, and every row arrive."""
        for evaluation in self.evaluations.values():
            while evaluation.answer is None:
                evaluation.call()
                evaluation.worker.measure(evaluation.id)
        for worker in self.workers.values():
            self.commit(worker.sent, worker)
            while (batch := worker.batch()) is not None:
                self.commit(batch, worker)
                worker.spool.acknowledge(batch)

    def check(self) -> None:
        rows = [row for row in now(self.world.results()) if row["error"] is None]
        answers = {id: evaluation.answer for id, evaluation in self.evaluations.items()}
        assert sorted((row["evaluation_id"], (row["serial"], row["value"])) for row in rows) == sorted(answers.items())
        assert now(self.world.experiment()).done == len(IDS)


STEPS = ("call", "give up", "move", "measure", "fail", "crash", "send", "commit", "acknowledge")


@pytest.mark.thorough
@settings(max_examples=400, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(WORKERS), st.sampled_from(IDS)), max_size=40))
@example(
    # Measured and kept at w1, whose answer is lost; then answered by w2, whose row arrives first.
    [
        *[("call", "w1", "e1"), ("give up", "w1", "e1"), ("measure", "w1", "e1"), ("send", "w1", "e1")],
        *[("move", "w1", "e1"), ("call", "w1", "e1"), ("measure", "w2", "e1"), ("send", "w2", "e1")],
        *[("acknowledge", "w2", "e1"), ("crash", "w1", "e1"), ("commit", "w1", "e1")],
    ]
)
@example(
    # Measured by both; then w1, which kept its result, answers a third call.
    [
        *[("call", "w1", "e1"), ("give up", "w1", "e1"), ("measure", "w1", "e1"), ("move", "w1", "e1")],
        *[("call", "w1", "e1"), ("give up", "w1", "e1"), ("measure", "w2", "e1"), ("move", "w1", "e1")],
        ("call", "w1", "e1"),
    ]
)
@example(
    # A third call joins the first, which w1 is still carrying out, after w2 has measured.
    [
        *[("call", "w1", "e1"), ("move", "w1", "e1"), ("call", "w1", "e1"), ("give up", "w1", "e1")],
        *[("measure", "w2", "e1"), ("move", "w1", "e1"), ("call", "w1", "e1"), ("measure", "w1", "e1")],
    ]
)
def test_what_is_answered_is_archived_once_whatever_dies_and_in_whichever_order_rows_arrive(
    steps: list[tuple[str, str, str]],
) -> None:
    model = Model()
    for step in steps:
        model.step(*step)
    model.finish()
    model.check()
