"""The archive in a real PostgreSQL."""

from __future__ import annotations

import csv
import gzip
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from archive_rules import NOW, NUMBER, RULES, World, encoded, failure, of_run, reported, row, told
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from waiting import until

from icefarm.control.archive.interface import SeriesQuery, Stored
from icefarm.control.archive.parsing import parse_rows
from icefarm.control.archive.postgres import PostgresArchive
from icefarm.control.archive.retention import Retention
from icefarm.control.archive.runs.postgres import _IN_ORDER_OF_THE_INDEX, _ROWS
from icefarm.control.archive.series import EXACT, KEPT_STEP
from icefarm.control.archive.sizes import size_lines, sizes
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore
from icefarm.errors import InvalidArgument
from icefarm.runs.numbers import last_id

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("name", RULES)
@ensureDeferred
async def test_the_archive_in_postgresql(database: Database, name: str) -> None:
    archive = PostgresArchive(database)
    try:
        world = World(archive, PostgresStore(database))
        await RULES[name](await world.begin())
    finally:
        archive.stop()


@ensureDeferred
async def test_a_batch_that_a_killed_control_still_commits_does_not_make_an_evaluation_two_values(
    database: Database,
) -> None:
    killed, successor = PostgresArchive(database), PostgresArchive(database)
    is_stored, go_on = Event(), Event()

    def stored_slowly(cursor: Any) -> Stored:
        stored = killed._store("w1", parse_rows(encoded(row(a, value=1)), NOW, 90).rows, cursor)
        is_stored.set()
        go_on.wait(60)
        return stored

    try:
        world = await World(successor, PostgresStore(database)).begin()
        a, d = [(await world.reserve("ada", serial))[0] for serial in ("A", "D")]
        await world.keep("w1", row(a, "e0"))
        first = Deferred.fromCoroutine(killed._writer.run(stored_slowly, 90.0))
        # That its connection is idle in a transaction would say less: it is so between two statements.
        await until(is_stored.is_set, "the batch is stored")
        second = Deferred.fromCoroutine(world.keep("w2", row(d, value=2, attempt=2)))
        await until(partial(_one_waits, database), "the other batch waits for it")
        go_on.set()
        await first
        await second
        assert [each["value"] for each in await world.results()] == [7, 2]
        assert (await world.experiment()).done == 2
    finally:
        go_on.set()
        killed.stop()
        successor.stop()


async def _one_waits(database: Database) -> bool:
    """Tell whether a connection that stores batches waits for another one's transaction."""
    query = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'icefarm-archive' AND wait_event_type = 'Lock'"
    )
    return await database.transaction(lambda each: each.rows(query, {})) == [(1,)]


@ensureDeferred
async def test_a_page_of_a_run_reads_little_more_than_its_rows_however_long_the_run_is(database: Database) -> None:
    archive = PostgresArchive(database)
    try:
        world = await World(archive, PostgresStore(database)).begin()
        (a,) = await world.reserve("ada", "A")
        run = await reported(world, told())
        await world.keep("w1", *[row(a, of_run(NUMBER, index)) for index in range(3000)])
        page = await archive.runs.rows(run, of_run(NUMBER, 999), 100)
        assert [page[0]["evaluation_id"], page[-1]["evaluation_id"]] == [of_run(NUMBER, 1000), of_run(NUMBER, 1099)]
        fields = {"after": of_run(NUMBER, 999), "last": last_id(NUMBER), "account": "ada", "begun": NOW - 100}
        assert await _rows_read(database, fields | {"seq": None, "limit": 100}) < 200
    finally:
        archive.stop()


async def _rows_read(database: Database, fields: dict[str, Any]) -> int:
    """Return how many rows PostgreSQL reads for a page of a run."""

    async def explained(transaction: Transaction) -> dict[str, Any]:
        await transaction.rows(_IN_ORDER_OF_THE_INDEX)
        return (await transaction.rows(f"EXPLAIN (ANALYZE, FORMAT JSON) {_ROWS}", fields))[0][0][0]["Plan"]

    def read(plan: dict[str, Any]) -> float:
        return max([plan["Actual Rows"], *map(read, plan.get("Plans", ()))])

    return int(read(await database.transaction(explained)))


@ensureDeferred
async def test_days_are_exported_and_dropped_when_they_are_too_old_or_too_many(
    database: Database, tmp_path: Path
) -> None:
    archive = PostgresArchive(database)
    clock = Clock()
    clock.advance(NOW)
    try:
        world = await World(archive, PostgresStore(database)).begin()
        (a,) = await world.reserve("ada", "A")
        ages = (0, 1, 2, 40)
        await world.keep("w1", *[row(a, f"e{age}", value=age, ended_at=NOW - 86400 * age) for age in ages])
        await archive.log(("ada", "ga-7"), {"best": 1.0}, NOW - 86400 * 40)
        old, before, yesterday, today = (str(_day(age)) for age in (40, 2, 1, 0))
        assert [what for what, _ in (await sizes(database))[1:5]] == [old, before, yesterday, today]

        await Retention(archive, clock, 30, 20e9, tmp_path).pass_once()
        assert [each["value"] for each in await world.results()] == [2, 1, 0]
        (line,) = _exported(tmp_path / f"measurements-{old}.csv.gz")
        told = [line[name] for name in ("account", "experiment_name", "evaluation_id", "value")]
        assert told == ["ada", "ga-7", "e40", "40"]
        assert await archive.figures((await world.experiment()).id, 0, 10) == []

        rest = sum(each.bytes for each in await archive.partitions())
        await Retention(archive, clock, 30, rest - 1, None).pass_once()
        assert [each["value"] for each in await world.results()] == [1, 0]
        await Retention(archive, clock, 30, 0, None).pass_once()
        assert [each["value"] for each in await world.results()] == [0]
        assert (await world.experiment()).done == 1
    finally:
        archive.stop()


@ensureDeferred
async def test_a_day_that_cannot_be_exported_stays(database: Database, tmp_path: Path) -> None:
    archive = PostgresArchive(database)
    clock = Clock()
    clock.advance(NOW)
    try:
        world = await World(archive, PostgresStore(database)).begin()
        (a,) = await world.reserve("ada", "A")
        await world.keep("w1", row(a, ended_at=NOW - 86400 * 40))
        retention = Retention(archive, clock, 30, 20e9, tmp_path / "none")
        with pytest.raises(InvalidArgument, match=f"{_day(40)} cannot be exported to .*: No such file"):
            await retention.pass_once()
        assert len(await world.results()) == 1
        (tmp_path / "none").mkdir()
        await retention.pass_once()
        assert await world.results() == []
    finally:
        archive.stop()


@ensureDeferred
async def test_the_sizes_of_the_archive_are_told_day_by_day(database: Database) -> None:
    archive = PostgresArchive(database)
    try:
        world = await World(archive, PostgresStore(database)).begin()
        (a,) = await world.reserve("ada", "A")
        await world.keep("w1", row(a, "e1"), row(a, "e2", ended_at=NOW - 86400))
        lines = list(size_lines(await sizes(database)))
        assert [line.split()[0] for line in lines] == ["database", "archive", str(_day(1)), str(_day(0))]
        assert lines[1].endswith("MB, 2 days")
        assert all(float(line.split()[1]) > 0 for line in lines)
    finally:
        archive.stop()


def _exported(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        return list(csv.DictReader(file))


def _day(age: int) -> date:
    return datetime.fromtimestamp(NOW - 86400 * age, UTC).date()


#: A row every 0.1 s, on four boards in turn.
_STEPS = """
    DELETE FROM experiment_step;
    INSERT INTO experiment_step
    SELECT experiment, day, date_bin('16 seconds', ended_at, to_timestamp(0)), serial, count(*), 0, count(number),
           sum(number), min(number), max(number)
      FROM measurement GROUP BY 1, 2, 3, 4
"""

_MANY = """
    INSERT INTO measurement (day, evaluation_id, experiment, client, reservation, serial, worker, kind, options, value,
                             number, attempt, ended_at)
    SELECT m.day, n, m.experiment, m.client, m.reservation, substr('ABCD', n %% 4 + 1, 1), m.worker, m.kind, m.options,
           m.value, n, 1, to_timestamp(%(begin)s + 0.1 * n)
      FROM measurement m, generate_series(1, %(amount)s) n;
    INSERT INTO experiment_board AS b
    SELECT experiment, day, serial, count(*), 0, min(ended_at), max(ended_at) FROM measurement
     WHERE evaluation_id <> 'e1' GROUP BY experiment, day, serial
        ON CONFLICT (experiment, day, serial) DO UPDATE SET done = excluded.done;
"""


@ensureDeferred
async def test_of_many_results_all_are_summed_up_in_steps_that_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = PostgresArchive(database)
    # So many that each is not summed up by itself; to store a tenth takes a tenth of the time.
    monkeypatch.setattr("icefarm.control.archive.series.EXACT", EXACT // 10)
    amount = EXACT // 5
    begin = (NOW // 86400 - 1) * 86400 + 6400
    try:
        world = await World(archive, PostgresStore(database)).begin()
        (a,) = await world.reserve("ada", "A")
        await world.keep("w1", row(a, ended_at=begin))
        await database.transaction(lambda each: each.rows(_MANY, {"begin": begin, "amount": amount}))
        await database.transaction(lambda each: each.rows(_STEPS))
        found = await world.experiment()

        whole = await archive.series(found.id, SeriesQuery(1.0, 64.0))
        together = [point for point in whole.points if point.serial is None]
        assert (whole.step, whole.board_step) == (KEPT_STEP, 64.0)
        assert sum(point.done for point in together) == amount + 1
        assert sum(point.done for point in whole.points if point.serial is not None) == amount + 1
        for point in together[1:]:
            # The number of a row is ten times the seconds since the beginning.
            assert point.least is not None
            assert point.most is not None
            assert point.time - 1 <= begin + point.least / 10 <= begin + point.most / 10 < point.time + 17

        since = begin + 1003
        half = await archive.series(found.id, SeriesQuery(1.0, 1.0, since=since))
        steps = [point for point in half.points if point.serial is None]
        # The step that the time begins in counts as a whole.
        assert steps[0].time == since // 16 * 16
        assert sum(point.done for point in steps) == amount - 10 * (steps[0].time - begin) + 1

        zoomed = await archive.series(found.id, SeriesQuery(1.0, 1.0, since=begin + 1000, until=begin + 1010))
        assert zoomed.step == 1.0
        assert sum(point.done for point in zoomed.points if point.serial is None) == 100

        one = await archive.series(found.id, SeriesQuery(64.0, 64.0, serials=["C"]))
        assert {point.serial for point in one.points} == {None, "C"}
        (more,) = [a]
        await world.keep("w1", row(more, "later", ended_at=NOW - 1))
        rest = await archive.series(found.id, SeriesQuery(64.0, 64.0, after=whole.last))
        assert [(point.serial, point.done) for point in rest.points] == [(None, 1), ("A", 1)]
    finally:
        archive.stop()


@ensureDeferred
async def test_the_steps_that_are_kept_are_those_of_the_results(database: Database) -> None:
    archive = PostgresArchive(database)
    try:
        world = await World(archive, PostgresStore(database)).begin()
        a, b, d = [(await world.reserve("ada", serial))[0] for serial in ("A", "B", "D")]
        begin = NOW // 16 * 16 - 64
        for n in range(6):
            at = begin + 7 * n
            batch = [row(a, f"a{n}", value=n, ended_at=at), row(b, f"b{n}", value="text", ended_at=at + 1)]
            await world.keep("w1", *batch, failure(b, f"f{n}", ended_at=at))
        await world.keep("w2", *(row(d, f"a{n}", value=-n, attempt=2, ended_at=begin + n) for n in (0, 5)))
        await world.keep("w1", row(b, "f1", value=8, attempt=3, ended_at=begin + 50))
        kept = "SELECT experiment, day, at, serial, done, failed, numbers, sum, least, most FROM experiment_step"
        query = f"SELECT count(*), count(DISTINCT at) FROM ({kept}) k"
        of_results = f"SELECT * FROM ({_MADE} EXCEPT {kept}) x UNION ALL SELECT * FROM ({kept} EXCEPT {_MADE}) y"
        assert await database.transaction(lambda each: each.rows(of_results)) == []
        ((rows, steps),) = await database.transaction(lambda each: each.rows(query))
        assert (rows > steps, steps) == (True, 4)
    finally:
        archive.stop()


_MADE = """
    SELECT experiment, day, date_bin('16 seconds', ended_at, to_timestamp(0)), serial,
           (count(*) FILTER (WHERE error IS NULL))::integer, (count(error))::integer, (count(number))::integer,
           sum(number), min(number), max(number)
      FROM measurement GROUP BY 1, 2, 3, 4
"""
