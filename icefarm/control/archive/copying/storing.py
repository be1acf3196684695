"""Rows of the archive on their way into PostgreSQL, with a cursor that blocks.

Theory of operation
===================
Nearly all batches have first attempts only, of which the archive has none.  They are copied into the table as they are,
and summed up here::

    rows --> COPY measurement, sums of each board --> experiment_board, experiment_step

A batch that was sent again, that has later attempts, or evaluations of which the archive has a later attempt, takes the
long way, in which PostgreSQL decides row by row::

    rows --> COPY arriving --> supersede, note retries --> keep --> experiment_board, experiment_step

What always holds: a row is stored once.  On the short way the table's primary key sees to it: COPY fails if it has one
of the rows already, and the batch goes the long way.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from datetime import date
from typing import Any

from psycopg2.errors import UniqueViolation
from psycopg2.extensions import encodings

from icefarm.control.archive.copying.batch import COPIED, STEP, as_arrays, as_text, id_ranges, sums_of
from icefarm.control.archive.interface import ExperimentKey
from icefarm.control.archive.rows import OwnedRows

__all__ = ["COLUMNS", "PREPARE", "partition_of", "store_rows"]

COLUMNS = (
    *("day", "evaluation_id", "experiment", "client", "reservation", "serial", "worker", "kind", "options", "value"),
    *("number", "error", "message", "sha256", "circuit", "labels", "firmware", "firmware_version", "origin"),
    *("window_us", "load_us", "temperature_c", "sequence", "attempt", "started_at", "ended_at", "board_labels"),
    "calibration",
)
_LIST = ", ".join(COLUMNS)

PREPARE = f"CREATE TEMP TABLE arriving ON COMMIT DELETE ROWS AS SELECT {_LIST} FROM measurement WITH NO DATA"

_COPY = f"COPY {{table}} ({', '.join(COPIED)}) FROM STDIN"

# Rows are copied after it, or the batch takes the long way.
_BEGIN = """
    SAVEPOINT copying;
    SELECT EXISTS (
        SELECT FROM unnest(%(firsts)s::text[], %(lasts)s::text[]) AS range (first, last),
                    LATERAL (SELECT FROM measurement_retry r
                              WHERE r.evaluation_id >= range.first AND r.evaluation_id <= range.last LIMIT 1) r)
"""

# Of an evaluation that another attempt has succeeded: what that one replaces.  A run that is closed keeps what it has.
_SUPERSEDE = f"""
    WITH gone AS (
        DELETE FROM measurement m USING arriving a
         WHERE a.attempt > 1 AND m.evaluation_id = a.evaluation_id AND m.experiment = a.experiment
           AND m.attempt < a.attempt
           AND (m.reservation = a.reservation OR (m.error IS NULL AND a.error IS NULL))
           AND NOT EXISTS (
               SELECT FROM run r
                WHERE r.account = split_part(m.client, '/', 1) AND r.number = left(m.evaluation_id, 32)
                  AND m.seq <= r.last_seq)
        RETURNING m.experiment, m.day, m.serial, m.error, m.ended_at),
    fewer AS (
        SELECT experiment, day, serial, count(*) FILTER (WHERE error IS NULL) AS done,
               count(*) FILTER (WHERE error IS NOT NULL) AS failed
          FROM gone GROUP BY experiment, day, serial),
    counted AS (
        UPDATE experiment_board b SET done = b.done - f.done, failed = b.failed - f.failed
          FROM fewer f WHERE b.experiment = f.experiment AND b.day = f.day AND b.serial = f.serial)
    DELETE FROM experiment_step s USING gone g
     WHERE s.experiment = g.experiment AND s.day = g.day AND s.serial = g.serial
       AND s.at = date_bin('{STEP} seconds', g.ended_at, to_timestamp(0))
    RETURNING s.experiment, s.day, s.at, s.serial
"""

_STEPS = f"""
    SELECT m.experiment, m.day, date_bin('{STEP} seconds', ended_at, to_timestamp(0)), m.serial,
           count(*) FILTER (WHERE error IS NULL), count(*) FILTER (WHERE error IS NOT NULL), count(number),
           sum(number), min(number), max(number)
"""

# Steps that have lost a result are summed up again: nobody can tell the least of what is left from the sums.
_SUM_AGAIN = f"""
    INSERT INTO experiment_step
    {_STEPS}
      FROM unnest(%(experiments)s::bigint[], %(days)s::date[], %(ats)s::timestamptz[], %(serials)s::text[])
           AS s (experiment, day, at, serial)
      JOIN measurement m ON m.experiment = s.experiment AND m.day = s.day AND m.serial = s.serial
                        AND m.ended_at >= s.at AND m.ended_at < s.at + interval '{STEP} seconds'
     WHERE m.experiment = ANY (%(experiments)s::bigint[]) AND m.day = ANY (%(days)s::date[])
     GROUP BY 1, 2, 3, 4
"""

_NOTE_RETRIES = """
    INSERT INTO measurement_retry AS r (experiment, evaluation_id, attempt, day)
    SELECT experiment, evaluation_id, max(attempt), max(day) FROM arriving
     WHERE attempt > 1 AND error IS NULL GROUP BY experiment, evaluation_id
        ON CONFLICT (evaluation_id, experiment) DO UPDATE
            SET attempt = greatest(r.attempt, excluded.attempt), day = greatest(r.day, excluded.day)
"""

_ADDED_TO_BOARD = """
    ON CONFLICT (experiment, day, serial) DO UPDATE
        SET done = b.done + excluded.done, failed = b.failed + excluded.failed,
            first_at = least(b.first_at, excluded.first_at), last_at = greatest(b.last_at, excluded.last_at)
"""

_ADDED_TO_STEP = """
    ON CONFLICT (experiment, day, at, serial) DO UPDATE
        SET done = s.done + excluded.done, failed = s.failed + excluded.failed,
            numbers = s.numbers + excluded.numbers, sum = coalesce(s.sum + excluded.sum, s.sum, excluded.sum),
            least = least(s.least, excluded.least), most = greatest(s.most, excluded.most)
"""

_KEEP = f"""
    WITH new AS (
        INSERT INTO measurement ({_LIST})
        SELECT {_LIST} FROM arriving a
         WHERE a.error IS NOT NULL OR NOT EXISTS (
               SELECT FROM measurement_retry r
                WHERE r.evaluation_id = a.evaluation_id AND r.experiment = a.experiment AND r.attempt > a.attempt)
         ORDER BY a.ended_at
            ON CONFLICT DO NOTHING
        RETURNING experiment, day, serial, error, number, ended_at),
    counted AS (
        INSERT INTO experiment_board AS b (experiment, day, serial, done, failed, first_at, last_at)
        SELECT experiment, day, serial, count(*) FILTER (WHERE error IS NULL),
               count(*) FILTER (WHERE error IS NOT NULL), min(ended_at), max(ended_at)
          FROM new GROUP BY experiment, day, serial ORDER BY experiment, day, serial
            {_ADDED_TO_BOARD}),
    summed AS (
        INSERT INTO experiment_step AS s
        {_STEPS}
          FROM new m GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
            {_ADDED_TO_STEP})
    SELECT experiment, count(*) FROM new GROUP BY experiment
"""

_COUNT = f"""
    WITH counted AS (
        INSERT INTO experiment_board AS b (experiment, day, serial, done, failed, first_at, last_at)
        SELECT experiment, day, serial, sum(done), sum(failed), min(first_at), max(last_at)
          FROM unnest(%(experiments)s::bigint[], %(days)s::date[], %(serials)s::text[], %(done)s::bigint[],
                      %(failed)s::bigint[], %(firsts)s::timestamptz[], %(lasts)s::timestamptz[])
               AS n (experiment, day, serial, done, failed, first_at, last_at)
         GROUP BY experiment, day, serial ORDER BY experiment, day, serial
            {_ADDED_TO_BOARD})
    INSERT INTO experiment_step AS s
    SELECT experiment, day, to_timestamp(step * {STEP}), serial, done, failed, numbers, sum, least, most
      FROM unnest(%(experiments)s::bigint[], %(days)s::date[], %(steps)s::bigint[], %(serials)s::text[],
                  %(done)s::integer[], %(failed)s::integer[], %(numbers)s::integer[], %(sums)s::float8[],
                  %(least)s::float8[], %(most)s::float8[])
           AS n (experiment, day, step, serial, done, failed, numbers, sum, least, most)
     ORDER BY experiment, day, step, serial
        {_ADDED_TO_STEP}
"""


def partition_of(day: date) -> str:
    """Return the name of a day's partition."""
    return f"measurement_{day:%Y%m%d}"


def store_rows(cursor: Any, worker: str, rows: OwnedRows, ids: Mapping[ExperimentKey, int]) -> dict[int, int]:
    """Store rows, none twice, in experiments of these ids; returns how many are new, by experiment's id."""
    ordered = rows.in_order()
    text = as_text(worker, ordered, ids)
    with_retries = max(ordered.column("attempt")) > 1
    if not with_retries and _is_copied(cursor, ordered, text):
        return _counted(cursor, ordered, ids)
    return _decided(cursor, text, with_retries)


def _copy(cursor: Any, table: str, text: str) -> None:
    # From a file of text, psycopg2 encodes some hundred pieces, which takes four times as long.
    data = text.encode(encodings[cursor.connection.encoding])
    cursor.copy_expert(_COPY.format(table=table), io.BytesIO(data))


def _is_copied(cursor: Any, rows: OwnedRows, text: str) -> bool:
    """Copy first attempts into the table; returns whether it had none of them."""
    firsts, lasts = id_ranges(rows.column("evaluation_id"))
    cursor.execute(_BEGIN, {"firsts": firsts, "lasts": lasts})
    if cursor.fetchone()[0]:
        return False
    days = set(rows.column("day"))
    # Finding the partition of each row takes longer.
    table = partition_of(days.pop()) if len(days) == 1 else "measurement"
    try:
        _copy(cursor, table, text)
    except UniqueViolation:
        cursor.execute("ROLLBACK TO SAVEPOINT copying")
        return False
    return True


def _counted(cursor: Any, rows: OwnedRows, ids: Mapping[ExperimentKey, int]) -> dict[int, int]:
    """Count rows that were copied."""
    sums = sums_of(rows, ids)
    cursor.execute(_COUNT, as_arrays(sums))
    counts: Counter[int] = Counter()
    for each in sums:
        counts[each.experiment] += each.done + each.failed
    return dict(counts)


def _decided(cursor: Any, text: str, with_retries: bool) -> dict[int, int]:
    """Store rows of which PostgreSQL decides one by one whether they are new."""
    _copy(cursor, "arriving", text)
    if with_retries:
        cursor.execute(_SUPERSEDE)
        steps = cursor.fetchall()
        if steps:
            names = ("experiments", "days", "ats", "serials")
            cursor.execute(_SUM_AGAIN, dict(zip(names, map(list, zip(*steps, strict=True)), strict=True)))
        cursor.execute(_NOTE_RETRIES)
    cursor.execute(_KEEP)
    return dict(cursor.fetchall())
