"""The procedures over the archive that displays ask: series, and what boards did."""

from __future__ import annotations

from typing import Any

import pytest
from archive_rules import NOW, World, failure, row
from recording_farm import calibration
from twisted.internet.defer import ensureDeferred
from twisted.internet.task import Clock

from icefarm.bus import Caller
from icefarm.calibration.correction import corrected
from icefarm.calibration.records import Calibration
from icefarm.contract import CORRECTED_FIELDS, RESULT_FIELDS, Role
from icefarm.control.archive.activity import Activity
from icefarm.control.inventory.calibration import corrections
from icefarm.control.inventory.calibration.corrections import Corrections
from icefarm.control.rpc import archive_api
from icefarm.control.rpc.archive_api import SAME_NAME, ArchiveProcedures
from icefarm.errors import InvalidArgument, UnknownExperiment
from icefarm.testing.memory.archive import MemoryArchive
from icefarm.testing.memory.store import MemoryStore

ADA, BOB = (Caller(name, 1, Role.CLIENT) for name in ("ada", "bob"))
#: A multiple of any step.
BEGIN = NOW // 65536 * 65536 - 65536


def made(amount: int, every: float) -> tuple[ArchiveProcedures, World]:
    """Return the procedures over an experiment with so many rows of ada's on boards A and B, one after another."""
    clock = Clock()
    clock.advance(NOW)
    store = MemoryStore(clock)
    archive = MemoryArchive(clock, store)
    world = World(archive, store, lambda: clock.advance(0.1))

    async def fill() -> None:
        await world.begin()
        boards = await world.reserve("ada", "A", "B")
        rows = [row(boards[n % 2], f"e{n}", value=n, ended_at=BEGIN + n * every) for n in range(amount)]
        for start in range(0, amount, 100):
            await world.keep("w1", *rows[start : start + 100])

    finished(fill())
    return ArchiveProcedures(archive, Activity(clock), clock, False, Corrections(store)), world


def finished(asked: Any) -> Any:
    answers: list[Any] = []
    ensureDeferred(asked).addBoth(answers.append)
    (answer,) = answers
    if hasattr(answer, "raiseException"):
        answer.raiseException()
    return answer


def test_a_series_has_at_most_the_points_that_were_asked_for_and_every_result() -> None:
    procedures, _ = made(200, 10.0)
    for points in (1, 10, 100, 1000):
        answer = finished(procedures.experiment_series(ADA, "ga-7", points=points))
        assert len(answer["together"]["time"]) <= points + 1
        assert sum(answer["together"]["done"]) == 200
        assert {serial: sum(each["done"]) for serial, each in answer["boards"].items()} == {"A": 100, "B": 100}
        assert answer["step"] in [0.25 * 2**n for n in range(20)]
        assert all(time % answer["step"] == 0 for time in answer["together"]["time"])


def test_a_part_of_the_time_has_shorter_steps() -> None:
    procedures, _ = made(200, 10.0)
    whole = finished(procedures.experiment_series(ADA, "ga-7", points=50))
    part = finished(procedures.experiment_series(ADA, "ga-7", points=50, since=BEGIN + 100, until=BEGIN + 200))
    assert part["step"] < whole["step"]
    assert part["together"]["most"] == [float(n) for n in range(10, 20)]


def test_what_arrived_since_is_added_by_the_answers_next() -> None:
    procedures, _ = made(200, 10.0)
    whole = finished(procedures.experiment_series(ADA, "ga-7"))
    more = finished(procedures.experiment_series(ADA, "ga-7", after=whole["next"]))
    assert (more["together"]["time"], more["boards"], more["next"]) == ([], {}, whole["next"])


def test_an_experiment_without_results_has_an_empty_series() -> None:
    procedures, _ = made(0, 1.0)
    finished(procedures.experiment_announce(ADA, "new", total=5))
    answer = finished(procedures.experiment_series(ADA, "new"))
    assert (answer["together"]["time"], answer["boards"], answer["next"]) == ([], {}, "0")


def test_others_get_no_series_of_what_is_not_shared() -> None:
    procedures, _ = made(2, 1.0)
    finished(procedures.experiment_announce(ADA, "ga-7", shared=False))
    with pytest.raises(UnknownExperiment):
        finished(procedures.experiment_series(BOB, "ga-7"))
    assert finished(procedures.board_experiments(BOB, "A")) == []
    (part,) = finished(procedures.board_experiments(ADA, "A"))
    assert (part["account"], part["name"], part["done"]) == ("ada", "ga-7", 1)


def test_pages_have_every_experiment_once_also_those_that_were_active_at_the_same_time() -> None:
    procedures, _ = made(0, 1.0)
    names = [f"x{n}" for n in range(5)]
    for name in names:
        finished(procedures.experiment_announce(ADA, name, total=5))
    seen, after = [], None
    while True:
        page = finished(procedures.experiments(ADA, after=after, limit=2))
        seen += [each["name"] for each in page["experiments"]]
        after = page["next"]
        if after is None:
            break
    assert sorted(seen) == names


def test_a_name_means_ones_own_experiment_however_many_others_have_one_of_that_name() -> None:
    procedures, world = made(2, 1.0)
    for number in range(2 * SAME_NAME):
        world.tick()
        finished(procedures.experiment_announce(Caller(f"u{number}", 1, Role.CLIENT), "ga-7"))
    assert finished(procedures.experiment(ADA, "ga-7"))["experiment"]["account"] == "ada"
    with pytest.raises(InvalidArgument, match="several accounts have an experiment 'ga-7'"):
        finished(procedures.experiment(BOB, "ga-7"))
    assert finished(procedures.experiment(BOB, "ga-7", account="u7"))["experiment"]["account"] == "u7"


def test_the_error_says_which_number_is_wrong() -> None:
    procedures, _ = made(2, 1.0)
    with pytest.raises(InvalidArgument, match="points must be 1 to 1,000, not 1001"):
        finished(procedures.experiment_series(ADA, "ga-7", points=1001))
    with pytest.raises(InvalidArgument, match="total must be 1 to 1,000,000,000,000, not 0"):
        finished(procedures.experiment_announce(ADA, "ga-7", total=0))


def with_a_calibration() -> tuple[ArchiveProcedures, Calibration]:
    """Return procedures over two values of a board that has a calibration, and a failure of it."""
    procedures, world = made(0, 1.0)
    known = calibration("A", reference_time=BEGIN, offset_ppm=1000.0, ppm_per_kelvin=0.0)
    finished(world.store.keep_readings([], [known]))
    (a,) = finished(world.reserve("ada", "C"))
    rows = [row(a, "e0", kind="pulsecount", value=1001, calibration=known.id), failure(a, "e1", calibration=known.id)]
    finished(world.keep("w1", *rows, row(a, "e2", kind="pulsecount", value=1001)))
    return procedures, known


def test_results_are_corrected_where_that_is_asked_for() -> None:
    procedures, known = with_a_calibration()
    answer = finished(procedures.experiment_results(ADA, "ga-7", corrected=True))
    assert answer["fields"] == [*RESULT_FIELDS, *CORRECTED_FIELDS]
    results = [dict(zip(answer["fields"], each, strict=True)) for each in answer["results"]]
    expected = corrected(1001, known, time=results[0]["started_at"], temperature_c=31.5)
    assert [(each["corrected"], each["standard_uncertainty"]) for each in results] == [
        (expected.value, expected.standard_uncertainty), (None, None), (None, None)
    ]  # fmt: skip
    assert abs(expected.value - 1000) < 0.1
    assert finished(procedures.experiment_results(ADA, "ga-7"))["fields"] == list(RESULT_FIELDS)


def test_a_calibration_that_results_need_is_not_forgotten_for_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corrections, "MOST_KNOWN", 2)
    store = MemoryStore(Clock())
    first, second, third = (
        calibration("A", id=f"c{ppm}", reference_time=BEGIN, offset_ppm=ppm) for ppm in (1.0, 2.0, 3.0)
    )
    finished(store.keep_readings([], [first, second, third]))
    usual = dict.fromkeys(RESULT_FIELDS) | {"serial": "A", "kind": "pulsecount", "value": 1001, "ended_at": BEGIN}
    correcting = Corrections(store)
    for named in ([first], [second], [first, third]):
        rows = [list({**usual, "calibration": each.id}.values()) for each in named]
        assert None not in [value for value, _ in finished(correcting.of(rows))]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_parts_of_a_file_with_corrected_values_are_its_lines_with_two_fields_more(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_api, "MOST_CORRECTED", 2)
    procedures, _ = with_a_calibration()
    plain = finished(procedures.experiment_file(ADA, "ga-7", form))["data"].decode().splitlines()
    lines, after, more = "", None, True
    while more:
        part = finished(procedures.experiment_file(ADA, "ga-7", form, after=after, corrected=True))
        assert part["fields"] == [*RESULT_FIELDS, *CORRECTED_FIELDS]
        lines, after, more = lines + part["data"].decode(), part["next"], part["more"]
    assert [line.startswith(before.rstrip("}")) for line, before in zip(lines.splitlines(), plain, strict=True)] == [
        True, True, True
    ]  # fmt: skip
    assert lines.splitlines()[1].endswith(",," if form == "csv" else '"corrected":null,"standard_uncertainty":null}')
