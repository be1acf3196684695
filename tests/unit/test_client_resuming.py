"""Resuming a run: what the archive has is answered from there, in batches, and only the rest is measured."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import pytest
from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock

from icefarm.bitstream import made_up_bitstream
from icefarm.client.evaluation.payload import item_of
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.resuming import TOGETHER, Resumption, question_of, split
from icefarm.client.evaluation.run import EvaluationRun
from icefarm.client.evaluation.tasks import Item
from icefarm.contract import RESULT_FIELDS, Measurement, ReservationRecord
from icefarm.errors import IcefarmError, InvalidArgument, NotAuthorized, UnknownExperiment

RECORD = ReservationRecord("r1", "A", "w1", "ada", "pulsecount", {"window": 2}, 0.0, 1.0)


def done(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Return the result of a coroutine that needs no time."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


def result_row(sha256: str, serial: str, **fields: Any) -> list[Any]:
    usual: dict[str, Any] = dict.fromkeys(RESULT_FIELDS)
    usual |= {
        "seq": 1, "evaluation_id": "e1", "client": "ada", "reservation": "r0", "serial": serial, "worker": "w1",
        "kind": "pulsecount", "options": {"window": 2.0}, "value": 7, "sha256": sha256, "firmware": "pulse_count",
        "firmware_version": "1.1", "origin": "measured", "window_us": 10, "load_us": 5, "sequence": 3, "attempt": 1,
        "started_at": 1.0, "ended_at": 2.0,
    }  # fmt: skip
    return [{**usual, **fields}[name] for name in RESULT_FIELDS]


@define
class Archive:
    """Knows values by circuit and board; answers two at a time."""

    values: dict[tuple[str, str], list[Any]] = Factory(dict)
    error: IcefarmError | None = None
    asked: list[dict[str, Any]] = Factory(list)
    #: Answers wait for this.
    held: Deferred[None] | None = None

    async def call(self, verb: str, **arguments: Any) -> Any:
        assert verb == "experiment_known"
        self.asked.append(arguments)
        if self.held is not None:
            await self.held
        if self.error is not None:
            raise self.error
        found = [self.values[key] for key in sorted(self.values) if key[0] in arguments["sha256"]]
        begin = int(arguments["after"] or 0)
        rows = found[begin : begin + 2]
        more = begin + 2 < len(found)
        return {"fields": list(RESULT_FIELDS), "results": rows, "next": str(begin + 2) if more else None, "more": more}

    def knows(self, item: Item, serial: str, **fields: Any) -> None:
        digest = item.payload["sha256"]
        self.values[digest, serial] = result_row(digest, serial, **fields)


@define
class Boards:
    """Boards that measure at once, and note what."""

    measured: list[tuple[str, str]] = Factory(list)
    retiring: tuple[str, ...] = ()

    async def evaluate(self, serial: str, call: Any, *_: Any) -> Measurement:
        self.measured.append((call["note"]["circuit"], serial))
        return Measurement(
            1, "e", serial, "w1", "pulsecount", {}, "f", "1", call["bitstream"]["sha256"], 1, 1, 0, None, 1, 1, 0.0, 1.0
        )

    def follow(self, _: Any) -> list[str]:
        return []

    def flush(self) -> None: ...

    def unfollow(self, user: Any) -> None: ...


def items(count: int, *serials: str) -> list[Item]:
    made = [item_of(made_up_bitstream(number), serials or None) for number in range(count)]
    return [evolve(item, source=number, name=f"c{number}") for number, item in enumerate(made)]


def resumption(archive: Archive, fan_out: int = 1) -> Resumption:
    return Resumption(archive, question_of("ga-7", "ada", [RECORD], {}), fan_out)


def evaluated(archive: Archive, boards: Boards, given: list[Item], fan_out: int = 1) -> list[Any]:
    """Run items on A and B, fed as they are wanted; return the results."""
    clock = Clock()
    run = EvaluationRun(
        clock, boards, ["A", "B"], RunPlan(["A", "B"], fan_out=fan_out), 10.0, {}, resumption(archive, fan_out)
    )  # type: ignore[arg-type]
    results: list[Any] = []
    left, batch = list(given), run.standing()
    while not batch.done:
        now, left = left[: batch.wanted], left[batch.wanted :]
        run.feed(now, last=not left)
        taken: list[Any] = []
        run.take().addBoth(taken.append)
        while not taken:
            assert clock.getDelayedCalls(), "nothing goes on"
            clock.advance(0)
        if hasattr(taken[0], "raiseException"):
            taken[0].raiseException()
        batch = taken[0]
        results += batch.results
    return results


def test_what_the_archive_has_is_answered_and_only_the_rest_is_measured() -> None:
    archive, boards, some = Archive(), Boards(), items(7)
    for item, serial in zip(some[:5], "CDEFG", strict=True):
        archive.knows(item, serial, value=[1, 2], origin="landscape")
    results = evaluated(archive, boards, some)
    assert sorted(result.source for result in results) == list(range(7))
    assert {result.source for result in results if result.archived} == set(range(5))
    assert sorted(circuit for circuit, _ in boards.measured) == ["c5", "c6"]
    first = next(result for result in results if result.source == 0)
    assert (first.value, first.serial, first.measurement.origin) == ([1, 2], "C", "landscape")
    assert first.measurement.usb_bytes_in_window is None
    assert "archived" in repr(first)


def test_of_named_boards_those_without_a_value_measure() -> None:
    archive, boards, some = Archive(), Boards(), items(2, "A", "B")
    archive.knows(some[0], "A")
    archive.knows(some[1], "A")
    archive.knows(some[1], "B")
    results = evaluated(archive, boards, some, fan_out=2)
    assert boards.measured == [("c0", "B")]
    told = sorted((result.source, result.serial, result.archived) for result in results)
    assert told == [(0, "A", True), (0, "B", False), (1, "A", True), (1, "B", True)]
    assert archive.asked[0]["serials"] == ["A", "B"]


def test_look_ups_are_few_and_none_is_longer_than_a_batch() -> None:
    archive, boards, some = Archive(), Boards(), items(3) * 300
    archive.knows(some[0], "A")
    assert len(evaluated(archive, boards, some)) == 900
    assert len(archive.asked) < 20
    assert all(len(asked["sha256"]) <= TOGETHER for asked in archive.asked)
    assert resumption(archive, fan_out=64).size == TOGETHER // 64


def test_an_experiment_that_is_new_is_asked_for_once() -> None:
    archive, boards = Archive(error=UnknownExperiment("there is none")), Boards()
    assert len(evaluated(archive, boards, items(2) * 300)) == 600
    assert len(archive.asked) == 1


def test_an_archive_that_does_not_answer_ends_the_run() -> None:
    archive = Archive(error=NotAuthorized("no"))
    with pytest.raises(NotAuthorized):
        evaluated(archive, Boards(), items(3))


def test_a_run_that_is_stopped_ends_its_look_up() -> None:
    cancelled: list[Any] = []
    archive = Archive(held=Deferred(cancelled.append))
    clock = Clock()
    run = EvaluationRun(clock, Boards(), ["A"], RunPlan(["A"]), 10.0, {}, resumption(archive))  # type: ignore[arg-type]
    run.feed(items(1), last=True)
    taken: list[Any] = []
    run.take().addBoth(taken.append)
    clock.advance(0)
    assert not taken
    run.stop()
    assert len(cancelled) == 1
    assert "stopped" in str(taken[0].value)


def test_a_file_that_is_no_bitstream_is_an_error_and_is_not_looked_up() -> None:
    archive, boards = Archive(), Boards()
    (result,) = evaluated(archive, boards, [item_of(b"no bitstream")])
    assert not result.ok
    assert archive.asked == []


def test_a_value_without_all_that_a_measurement_has_is_measured_again() -> None:
    archive, boards, some = Archive(), Boards(), items(1)
    archive.knows(some[0], "A", window_us=None)
    (result,) = evaluated(archive, boards, some)
    assert not result.archived


def test_options_are_looked_up_with_the_defaults_of_their_kind() -> None:
    question = question_of("ga-7", "ada", [RECORD], {"repeats": 3})
    assert question.options == {"window": 2.0, "overlap": True, "clock_mhz": 48, "repeats": 3}
    assert question_of("ga-7", "ada", [RECORD], {}).options["repeats"] == 1


@pytest.mark.parametrize(
    ("experiment", "records", "why"),
    [
        (None, [RECORD], "needs the name of the experiment"),
        ("ga-7", [RECORD, evolve(RECORD, options={})], "all reserved with the same kind and options"),
        ("ga-7", [evolve(RECORD, kind="adc")], "needs the package that has kind 'adc'"),
    ],
)
def test_what_can_not_be_looked_up_is_said(experiment: str | None, records: list[Any], why: str) -> None:
    with pytest.raises(InvalidArgument, match=why):
        question_of(experiment, "ada", records, {})


def test_an_item_without_any_value_goes_on_as_it_is() -> None:
    some = items(2, "A", "B")
    answers, left = split(some, {})
    assert (answers, left) == ([], some)
    assert done(resumption(Archive()).look_up([])) == {}
