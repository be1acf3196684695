"""The farm's history in PostgreSQL; `icefarm.control.storage.history.History` documents the calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import define
from attrs import fields as fields_of

from icefarm.contract import DeviceStatus, ReservationRecord, to_wire
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.history import (
    BoardPast,
    BoardSample,
    FarmSample,
    History,
    HistoryBatch,
    Journal,
    LogLine,
    StateChange,
)
from icefarm.control.storage.pool import Database

__all__ = ["PostgresHistory"]

_STATES = tuple(status.value for status in DeviceStatus)
_AT = "extract(epoch FROM at)::float8"

_KEEP_SAMPLES = f"""
    INSERT INTO sample (at, {", ".join(_STATES)}, rate, failing, waiting, longest_wait)
    SELECT to_timestamp(time), {", ".join(_STATES)}, rate, failing, waiting, longest_wait
      FROM json_to_recordset(%(rows)s::json) AS r (
           time float8, {", ".join(f"{status} int" for status in _STATES)},
           rate float8, failing float8, waiting int, longest_wait float8)
"""
_KEEP_BOARDS = """
    INSERT INTO board_sample (serial, at, rate, load_ms, window_ms, temperature_c, failures, retries)
    SELECT serial, to_timestamp(time), rate, load_ms, window_ms, temperature_c, failures, retries
      FROM json_to_recordset(%(rows)s::json) AS r (
           serial text, time float8, rate float8, load_ms float8, window_ms float8, temperature_c float8,
           failures int, retries int)
"""
_KEEP_STATES = """
    INSERT INTO board_state (serial, at, worker, status, reason, client)
    SELECT serial, to_timestamp(time), worker, status, reason, client
      FROM json_to_recordset(%(rows)s::json) AS r (
           serial text, time float8, worker text, status text, reason text, client text)
"""
_KEEP_LOG = """
    INSERT INTO log_line (at, worker, serial, level, message)
    SELECT to_timestamp(time), worker, serial, level, message
      FROM json_to_recordset(%(rows)s::json) AS r (
           time float8, worker text, serial text, level text, message text)
"""
_SAMPLES = f"""
    SELECT floor(extract(epoch FROM at) / %(step)s)::float8 * %(step)s AS time,
           {", ".join(f"avg({status})::float8" for status in _STATES)},
           avg(rate), avg(failing), avg(waiting)::float8, max(longest_wait)
      FROM sample WHERE at >= to_timestamp(%(since)s)
     GROUP BY 1 ORDER BY 1
"""
_STATE = f"serial, {_AT}, worker, status, reason, client"
_BOARD_STATES = f"""
    SELECT {_STATE} FROM board_state
     WHERE serial = %(serial)s
       AND at >= coalesce((SELECT max(at) FROM board_state
                            WHERE serial = %(serial)s AND at <= to_timestamp(%(since)s)), '-infinity')
     ORDER BY at
"""
_BOARD_SAMPLES = f"""
    SELECT serial, {_AT}, rate, load_ms, window_ms, temperature_c, failures, retries
      FROM board_sample WHERE serial = %(serial)s AND at >= to_timestamp(%(since)s) ORDER BY at
"""
_LINE = f"{_AT}, worker, serial, level, message"
_BOARD_LOG = f"""
    SELECT {_LINE} FROM log_line WHERE serial = %(serial)s AND at >= to_timestamp(%(since)s) ORDER BY at
"""
_LAST_STATES = f"""
    SELECT {_STATE} FROM board_state WHERE at >= to_timestamp(%(since)s) ORDER BY at DESC LIMIT %(limit)s
"""
_LAST_LOG = f"SELECT {_LINE} FROM log_line WHERE at >= to_timestamp(%(since)s) ORDER BY at DESC LIMIT %(limit)s"
_LAST_RESERVATIONS = """
    SELECT id, serial, worker, client, kind, options, extract(epoch FROM created_at)::float8,
           extract(epoch FROM expires_at)::float8, extract(epoch FROM ended_at)::float8, end_reason
      FROM reservation WHERE created_at >= to_timestamp(%(since)s) AND client <> ''
     ORDER BY created_at DESC LIMIT %(limit)s
"""
_TABLES = ("sample", "board_sample", "board_state", "log_line")


@define
class PostgresHistory(History):
    """Implements `History` over a `Database` that has the schema."""

    _database: Database

    async def keep(self, batch: HistoryBatch) -> None:
        async def write(transaction: Transaction) -> None:
            samples = [{**_plain(sample), **sample.states} for sample in batch.samples]
            for statement, rows in (
                (_KEEP_SAMPLES, samples),
                (_KEEP_BOARDS, [to_wire(each) for each in batch.boards]),
                (_KEEP_STATES, [to_wire(each) for each in batch.states]),
                (_KEEP_LOG, [to_wire(each) for each in batch.log]),
            ):
                if rows:
                    await transaction.rows(statement, {"rows": json.dumps(rows)})

        await self._database.transaction(write)

    async def samples(self, since: float, step: float) -> list[FarmSample]:
        rows = await self._rows(_SAMPLES, since=since, step=step)
        return [
            FarmSample(time, dict(zip(_STATES, rest[: len(_STATES)], strict=True)), *rest[len(_STATES) :])
            for time, *rest in rows
        ]

    async def board(self, serial: str, since: float) -> BoardPast:
        return BoardPast(
            [StateChange(*row) for row in await self._rows(_BOARD_STATES, serial=serial, since=since)],
            [BoardSample(*row) for row in await self._rows(_BOARD_SAMPLES, serial=serial, since=since)],
            [LogLine(*row) for row in await self._rows(_BOARD_LOG, serial=serial, since=since)],
        )

    async def journal(self, since: float, limit: int) -> Journal:
        states = await self._rows(_LAST_STATES, since=since, limit=limit)
        reservations = await self._rows(_LAST_RESERVATIONS, since=since, limit=limit)
        log = await self._rows(_LAST_LOG, since=since, limit=limit)
        return Journal(
            [StateChange(*row) for row in reversed(states)],
            [ReservationRecord(*row) for row in reversed(reservations)],
            [LogLine(*row) for row in reversed(log)],
        )

    async def forget(self, before: float) -> None:
        async def delete(transaction: Transaction) -> None:
            for table in _TABLES:
                await transaction.rows(f"DELETE FROM {table} WHERE at < to_timestamp(%(before)s)", {"before": before})

        await self._database.transaction(delete)

    async def _rows(self, statement: str, **parameters: Any) -> Sequence[tuple[Any, ...]]:
        return await self._database.transaction(lambda transaction: transaction.rows(statement, parameters))


def _plain(sample: FarmSample) -> dict[str, Any]:
    names = [each.name for each in fields_of(FarmSample) if each.name != "states"]
    return {name: getattr(sample, name) for name in names}
