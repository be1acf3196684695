"""SQL of results over time: rows that are few are summed up one by one, many are sums of the steps that are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from attrs import evolve, frozen

from icefarm.control.archive.copying.batch import STEP
from icefarm.control.archive.interface import Series, SeriesPoint, SeriesQuery
from icefarm.control.storage.connection import Transaction

__all__ = ["EXACT", "KEPT_STEP", "series"]

#: Results that are summed up one by one; of more, the steps that are kept are added up: seconds of such a step.
EXACT, KEPT_STEP = 100_000, float(STEP)
#: Blocks in which a time is looked up; seconds by which workers deliver results out of order.
LOCATED, LATE = 256, 30.0

# Where each day's results of an experiment are, and how many.
_EXTENT = """
    SELECT d.day, d.amount, first.seq, last.seq
      FROM (SELECT day, sum(done + failed)::bigint AS amount FROM experiment_board
             WHERE experiment = %(id)s
               AND (%(since)s::float8 IS NULL OR day >= (to_timestamp(%(since)s) AT TIME ZONE 'UTC')::date)
               AND (%(until)s::float8 IS NULL OR day <= (to_timestamp(%(until)s) AT TIME ZONE 'UTC')::date)
             GROUP BY day) d,
           LATERAL (SELECT seq FROM measurement
                     WHERE experiment = %(id)s AND day = d.day ORDER BY seq LIMIT 1) first,
           LATERAL (SELECT seq FROM measurement
                     WHERE experiment = %(id)s AND day = d.day ORDER BY seq DESC LIMIT 1) last
     ORDER BY d.day
"""

_FINE_OF_ROWS = """
        SELECT serial, date_bin(make_interval(secs => %(step)s), ended_at, to_timestamp(0)) AS at,
               count(*) AS amount, count(error) AS failed, count(number) AS numbers, sum(number) AS sum,
               min(number) AS least, max(number) AS most
          FROM measurement
         WHERE experiment = %(id)s AND day = ANY (%(days)s::date[]) AND seq BETWEEN %(first)s AND %(last)s
           AND (%(serials)s::text[] IS NULL OR serial = ANY (%(serials)s))
           AND (%(since)s::float8 IS NULL OR ended_at >= to_timestamp(%(since)s))
           AND (%(until)s::float8 IS NULL OR ended_at < to_timestamp(%(until)s))
         GROUP BY 1, 2
"""

# Steps that the time touches count as a whole.
_FINE_OF_STEPS = """
        SELECT serial, date_bin(make_interval(secs => %(step)s), at, to_timestamp(0)) AS at,
               sum(done + failed) AS amount, sum(failed) AS failed, sum(numbers) AS numbers,
               sum(sum) AS sum, min(least) AS least, max(most) AS most
          FROM experiment_step
         WHERE experiment = %(id)s AND day = ANY (%(days)s::date[])
           AND (%(serials)s::text[] IS NULL OR serial = ANY (%(serials)s))
           AND (%(since)s::float8 IS NULL OR at > to_timestamp(%(since)s - 16))
           AND (%(until)s::float8 IS NULL OR at < to_timestamp(%(until)s))
         GROUP BY 1, 2
"""

# The last result is that of the same snapshot as the sums.
_SERIES = """
    WITH fine AS ({fine}),
    binned AS (
        SELECT NULL AS serial, at, fine.amount, fine.failed, numbers, sum, least, most FROM fine
         UNION ALL
        SELECT serial, date_bin(make_interval(secs => %(board_step)s), at, to_timestamp(0)), amount, failed, numbers,
               sum, least, most FROM fine)
    SELECT (SELECT max(seq) FROM measurement WHERE experiment = %(id)s AND day = ANY (%(days)s::date[])),
           serial, extract(epoch FROM at)::float8, (sum(amount) - sum(failed))::bigint, sum(failed)::bigint,
           sum(numbers)::bigint, sum(sum), min(least), max(most)
      FROM binned GROUP BY serial, at ORDER BY serial NULLS FIRST, at
"""

# Days are cut into blocks of the order of arrival, and the first row of each tells when that was.
_WHEN = """
    SELECT m.seq, extract(epoch FROM m.ended_at)::float8
      FROM unnest(%(days)s::date[], %(firsts)s::bigint[], %(lasts)s::bigint[]) AS d (day, first, last),
           generate_series(d.first, d.last, greatest(1, (d.last - d.first) / %(blocks)s)) AS b (first),
           LATERAL (SELECT seq, ended_at FROM measurement
                     WHERE experiment = %(id)s AND day = d.day AND seq >= b.first AND seq <= d.last
                       AND seq < b.first + greatest(1, (d.last - d.first) / %(blocks)s)
                     ORDER BY seq LIMIT 1) m
     ORDER BY m.seq
"""


@frozen
class _Day:
    """The results of an experiment on a day: how many at most, the first and the last (`seq`)."""

    day: date
    amount: int
    first: int
    last: int


async def series(transaction: Transaction, id: int, query: SeriesQuery) -> Series:
    """Sum up the results of an experiment over time."""
    wanted: dict[str, Any] = {
        "id": id, "since": query.since, "until": query.until, "step": query.step, "board_step": query.board_step,
        "serials": None if query.serials is None else list(query.serials),
    }  # fmt: skip
    every = [_Day(*row) for row in await transaction.rows(_EXTENT, wanted)]
    last = max((day.last for day in every), default=query.after)
    days = _cut(every, query.after + 1, last)
    if _amount(days) > EXACT and (query.since is not None or query.until is not None):
        days = _cut(days, *await _between(transaction, days, query, wanted))
    if _amount(days) <= EXACT or query.after:
        rows = await transaction.rows(_SERIES.format(fine=_FINE_OF_ROWS), {**wanted, **_fields(days)})
        return Series(max(last, query.after), _points(rows), query.step, query.board_step)
    step, board_step = max(query.step, KEPT_STEP), max(query.board_step, KEPT_STEP)
    fields = {**wanted, **_fields(every), "step": step, "board_step": board_step}
    rows = await transaction.rows(_SERIES.format(fine=_FINE_OF_STEPS), fields)
    return Series(rows[0][0] if rows else last, _points(rows), step, board_step)


def _points(rows: Sequence[tuple[Any, ...]]) -> list[SeriesPoint]:
    return [SeriesPoint(*row[1:]) for row in rows]


def _cut(days: Sequence[_Day], first: int, last: int) -> list[_Day]:
    """Return what of the days is from the first to the last result."""
    cut = [evolve(day, first=max(day.first, first), last=min(day.last, last)) for day in days]
    return [day for day in cut if day.first <= day.last]


def _amount(days: Sequence[_Day]) -> int:
    return sum(min(day.amount, day.last - day.first + 1) for day in days)


def _fields(days: Sequence[_Day]) -> dict[str, Any]:
    return {
        "days": [day.day for day in days], "firsts": [day.first for day in days], "lasts": [day.last for day in days],
        "first": min((day.first for day in days), default=0), "last": max((day.last for day in days), default=0),
        "blocks": max(1, LOCATED // max(1, len(days))),
    }  # fmt: skip


async def _between(
    transaction: Transaction, days: Sequence[_Day], query: SeriesQuery, wanted: Mapping[str, Any]
) -> tuple[int, int]:
    """Return about the first and the last result of a time, from when a few ended."""
    first, last = days[0].first, max(day.last for day in days)
    known = await transaction.rows(_WHEN, {**wanted, **_fields(days)})
    if query.since is not None:
        first = max([first, *(seq for seq, time in known if time < query.since - LATE)])
    if query.until is not None:
        last = min([last, *(seq for seq, time in known if time > query.until + LATE and seq > first)])
    return first, last
