"""The archive in a real PostgreSQL."""

from __future__ import annotations

import pytest
from archive_rules import NOW, RULES, World, row
from pytest_twisted import ensureDeferred

from icefarm.control.archive.interface import SeriesQuery
from icefarm.control.archive.postgres import EXACT, PostgresArchive
from icefarm.control.storage.pool import Database
from icefarm.control.storage.postgres.store import PostgresStore

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


#: A row every 0.1 s, on four boards in turn.
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
async def test_of_many_results_a_sample_from_all_of_the_time_is_summed_up(database: Database) -> None:
    archive = PostgresArchive(database)
    amount = 2 * EXACT
    begin = (NOW // 86400 - 1) * 86400 + 6400
    try:
        world = await World(archive, PostgresStore(database)).begin()
        (a,) = await world.reserve("ada", "A")
        await world.keep("w1", row(a, ended_at=begin))
        await database.transaction(lambda each: each.rows(_MANY, {"begin": begin, "amount": amount}), limit=60.0)
        found = await world.experiment()

        whole = await archive.series(found.id, SeriesQuery(64.0, 64.0))
        together = [point for point in whole.points if point.serial is None]
        assert whole.sampled
        assert 2000 < sum(point.done for point in together) < 5000
        assert len(together) >= amount / 640
        for point in together[1:]:
            # The number of a row is ten times the seconds since the beginning.
            assert point.least is not None
            assert point.most is not None
            assert point.time - 1 <= begin + point.least / 10 <= begin + point.most / 10 < point.time + 65

        zoomed = await archive.series(found.id, SeriesQuery(1.0, 1.0, since=begin + 1000, until=begin + 1010))
        assert not zoomed.sampled
        assert sum(point.done for point in zoomed.points if point.serial is None) == 100

        one = await archive.series(found.id, SeriesQuery(64.0, 64.0, serials=["C"]))
        assert {point.serial for point in one.points} == {None, "C"}
        assert len(one.points) >= 2 * amount / 640
    finally:
        archive.stop()
