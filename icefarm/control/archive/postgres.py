"""The archive in PostgreSQL; `icefarm.control.archive.interface.Archive` documents the calls."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from attrs import Factory, define, field

from icefarm.contract import ExperimentBoard, ExperimentFigures, ExperimentPart, FailureRecord
from icefarm.control.archive.copying.extracts import PAGE, RESULT, extract, result_fields
from icefarm.control.archive.copying.served import ServedReservations
from icefarm.control.archive.copying.storing import COLUMNS, PREPARE, partition_of, store_rows
from icefarm.control.archive.copying.thread import ThreadConnection
from icefarm.control.archive.interface import (
    Archive,
    ExperimentFilter,
    ExperimentKey,
    Extract,
    FileForm,
    KnownQuery,
    Partition,
    ResultQuery,
    Series,
    SeriesQuery,
    Stored,
    StoredExperiment,
)
from icefarm.control.archive.rows import ArchiveRows, OwnedRows, owned
from icefarm.control.archive.runs.postgres import PostgresRuns
from icefarm.control.archive.series import series
from icefarm.control.archive.usage import HeldTime, Measured, UsageQuery
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.statements import PART, Statements, in_transaction
from icefarm.errors import InvalidArgument

__all__ = ["PostgresArchive"]

#: Seconds for a batch, and for the export of a day.
STORE_LIMIT, EXPORT_LIMIT = 20.0, 3600.0
#: Seconds for a page of a file, and until the connection is free for it.
EXTRACT_LIMIT = 60.0
#: Level of gzip: a day in a few seconds.
COMPRESSION = 4

# This locks them until the batch is committed: a batch of a control that was killed and one of the next control, or of
# two workers, then see each other's attempts of an evaluation.
_FIND_EXPERIMENTS = """
    UPDATE experiment e SET active_at = now()
      FROM unnest(%(accounts)s::text[], %(names)s::text[]) AS k (account, name)
     WHERE e.account = k.account AND e.name = k.name
    RETURNING e.id, e.account, e.name
"""

_MAKE_EXPERIMENT = """
    INSERT INTO experiment (account, name) VALUES (%(account)s, %(name)s)
        ON CONFLICT (account, name) DO UPDATE SET active_at = now()
    RETURNING id
"""

_EXPERIMENTS = """
    SELECT e.id, e.account, e.name, e.total, e.shared, extract(epoch FROM e.created_at)::float8,
           extract(epoch FROM e.active_at)::float8, coalesce(b.done, 0)::bigint, coalesce(b.failed, 0)::bigint,
           b.boards, extract(epoch FROM b.first_at)::float8, extract(epoch FROM b.last_at)::float8
      FROM (SELECT * FROM experiment
             WHERE (%(account)s::text IS NULL OR account = %(account)s)
               AND (%(name)s::text IS NULL OR name = %(name)s)
               AND (%(reader)s::text IS NULL OR account = %(reader)s OR (shared AND NOT %(private)s))
               AND (%(before)s::float8 IS NULL OR (active_at, id) < (to_timestamp(%(before)s), %(before_id)s))
               AND (%(since)s::float8 IS NULL OR active_at >= to_timestamp(%(since)s))
             ORDER BY active_at DESC, id DESC LIMIT %(limit)s) e,
           LATERAL (SELECT sum(done) AS done, sum(failed) AS failed, count(DISTINCT serial) AS boards,
                           min(first_at) AS first_at, max(last_at) AS last_at
                      FROM experiment_board WHERE experiment = e.id) b
     ORDER BY e.active_at DESC, e.id DESC
"""

_BOARDS = """
    SELECT serial, sum(done)::bigint, sum(failed)::bigint, extract(epoch FROM min(first_at))::float8,
           extract(epoch FROM max(last_at))::float8
      FROM experiment_board WHERE experiment = %(id)s GROUP BY serial ORDER BY serial
"""

_FAILURES = """
    SELECT error, count(*) FROM measurement
     WHERE experiment = %(id)s AND error IS NOT NULL GROUP BY error ORDER BY count(*) DESC, error
"""

# An index of its own serves it, in those partitions that can have such rows.
_RECENT_FAILURES = """
    SELECT client, serial, kind, circuit, error, message, extract(epoch FROM ended_at)::float8 FROM measurement
     WHERE error IS NOT NULL AND ended_at > now() - make_interval(secs => %(seconds)s)
       AND day >= (now() - make_interval(secs => %(seconds)s) AT TIME ZONE 'UTC')::date
       AND (%(account)s::text IS NULL OR split_part(client, '/', 1) = %(account)s)
     ORDER BY ended_at DESC LIMIT %(limit)s
"""

_DAYS = "SELECT array_agg(DISTINCT day) FROM experiment_board WHERE experiment = %(id)s"

# The newest value of each circuit on each board, or on any.  The index is of hashes, which take a third of the room.
# The type jsonb, which compares numbers as numbers, has no form for a character NUL.
_KNOWN = f"""
    WITH found AS (
        SELECT DISTINCT ON (sha256, board) *
          FROM (SELECT m.*, CASE WHEN %(serials)s::text[] IS NULL THEN '' ELSE m.serial END COLLATE "C" AS board
                  FROM unnest(%(sha256)s::text[]) AS asked (digest)
                  JOIN measurement m ON m.experiment = %(id)s AND m.sha256 = asked.digest
                                    AND hashtextextended(m.sha256, 0) = hashtextextended(asked.digest, 0)
                 WHERE m.day = ANY (%(days)s::date[]) AND m.error IS NULL AND m.message IS NULL
                   AND m.kind = %(kind)s
                   AND CASE WHEN strpos(m.options::text, '\\u0000') > 0 THEN false
                            ELSE m.options::jsonb = %(options)s::jsonb END
                   AND (%(serials)s::text[] IS NULL OR m.serial = ANY (%(serials)s))) m
         ORDER BY sha256, board, seq DESC),
    sized AS (
        SELECT *, octet_length(value::text) + 500 AS size,
               sum(octet_length(value::text) + 500) OVER (ORDER BY sha256 COLLATE "C", board) AS until
          FROM found WHERE (sha256 COLLATE "C", board) > (%(after)s, %(after_board)s))
    SELECT {RESULT}, (SELECT count(*) FROM sized) FROM sized
     WHERE until - size < %(bytes)s ORDER BY sha256 COLLATE "C", board
"""

_OF_BOARD = """
    SELECT e.account, e.name, sum(b.done)::bigint, sum(b.failed)::bigint,
           extract(epoch FROM min(b.first_at))::float8, extract(epoch FROM max(b.last_at))::float8
      FROM experiment_board b JOIN experiment e ON e.id = b.experiment
     WHERE b.serial = %(serial)s
       AND (%(reader)s::text IS NULL OR e.account = %(reader)s OR (e.shared AND NOT %(private)s))
     GROUP BY e.id ORDER BY max(b.last_at) DESC, e.id DESC LIMIT %(limit)s
"""

_HELD = f"""
    SELECT account, serial, count(*), sum(part * extract(epoch FROM end_ - begin_))::float8,
           extract(epoch FROM min(begin_))::float8, extract(epoch FROM max(end_))::float8
      FROM (SELECT split_part(client, '/', 1) AS account, serial,
                   greatest(created_at, to_timestamp(%(since)s)) AS begin_,
                   least(coalesce(ended_at, 'infinity'), to_timestamp(%(until)s)) AS end_,
                   {PART} AS part
              FROM reservation
             WHERE client <> '' AND created_at < to_timestamp(%(until)s)
               AND (ended_at IS NULL OR ended_at > to_timestamp(%(since)s))) r
     WHERE (%(account)s::text IS NULL OR account = %(account)s)
     GROUP BY account, serial
"""

_MEASURED = """
    SELECT e.account, e.name, b.serial, sum(b.done)::bigint, sum(b.failed)::bigint,
           sum(extract(epoch FROM least(b.last_at, to_timestamp(%(until)s))
                                  - greatest(b.first_at, to_timestamp(%(since)s))))::float8,
           extract(epoch FROM min(b.first_at))::float8, extract(epoch FROM max(b.last_at))::float8
      FROM experiment_board b JOIN experiment e ON e.id = b.experiment
     WHERE b.day >= (to_timestamp(%(since)s) AT TIME ZONE 'UTC')::date - 1
       AND b.last_at >= to_timestamp(%(since)s) AND b.first_at < to_timestamp(%(until)s)
       AND (%(account)s::text IS NULL OR e.account = %(account)s)
     GROUP BY e.account, e.name, b.serial
"""

_FIGURES = """
    SELECT id, extract(epoch FROM at)::float8, figures FROM experiment_figure
     WHERE experiment = %(id)s AND id > %(after)s ORDER BY id LIMIT %(limit)s
"""

_LOG = """
    INSERT INTO experiment_figure (experiment, at, figures)
    VALUES (%(id)s, to_timestamp(%(time)s), %(figures)s::json)
"""

_ANNOUNCE = """
    UPDATE experiment SET total = coalesce(%(total)s::bigint, total), shared = coalesce(%(shared)s::boolean, shared)
     WHERE id = %(id)s
"""

# Rows are only added, in the course of a day: looking at all of them again whenever there are a tenth more would cost
# some of them ten times what storing them does.
_PARTITION = """
    CREATE TABLE IF NOT EXISTS {partition} PARTITION OF measurement FOR VALUES FROM (%s) TO (%s)
      WITH (autovacuum_analyze_scale_factor = 1, autovacuum_vacuum_insert_scale_factor = 1)
"""

_PARTITIONS = """
    SELECT substr(c.relname, 13), pg_total_relation_size(c.oid)
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'measurement'::regclass AND c.relname ~ '^measurement_[0-9]{8}$' ORDER BY c.relname
"""

_FORGET_DAY = """
    DELETE FROM experiment_board WHERE day = %(day)s;
    DELETE FROM experiment_step WHERE day = %(day)s;
    DELETE FROM measurement_retry WHERE day = %(day)s;
    UPDATE run SET dropped_at = now() WHERE dropped_at IS NULL AND first_day <= %(day)s;
    DELETE FROM run_circuit c
     WHERE kept_at < now() - interval '1 day'
       AND NOT EXISTS (SELECT FROM run r
                        WHERE r.account = c.account AND r.number = c.number AND r.dropped_at IS NULL);
    DELETE FROM kept_circuit k
     WHERE NOT EXISTS (SELECT FROM run_circuit c WHERE c.account = k.account AND c.sha256 = k.sha256);
    DELETE FROM experiment e
     WHERE active_at < now() - interval '1 day'
       AND NOT EXISTS (SELECT FROM experiment_board b WHERE b.experiment = e.id)
       AND NOT EXISTS (SELECT FROM experiment_figure f WHERE f.experiment = e.id)
       AND NOT EXISTS (SELECT FROM run r WHERE r.experiment = e.id);
"""

_EXPORT = f"""
    COPY (SELECT e.account, e.name AS experiment_name, m.seq, {", ".join(f"m.{column}" for column in COLUMNS)}
            FROM {{partition}} m LEFT JOIN experiment e ON e.id = m.experiment ORDER BY m.seq)
      TO STDOUT (FORMAT csv, HEADER)
"""


@define
class PostgresArchive(Statements, Archive):
    """Implements `Archive` over a `Database` with the current schema, and connections of its own for COPY."""

    _writer: ThreadConnection = field(init=False)
    _keeper: ThreadConnection = field(init=False)
    _reader: ThreadConnection = field(init=False)
    _served: ServedReservations = Factory(ServedReservations)
    #: Days that have a partition for certain.
    _days: set[date] = Factory(set)

    @_writer.default
    def _make_writer(self) -> ThreadConnection:
        return ThreadConnection(self._database.reactor, self._database.dsn, "icefarm-archive", PREPARE)

    @_keeper.default
    def _make_keeper(self) -> ThreadConnection:
        return ThreadConnection(self._database.reactor, self._database.dsn, "icefarm-archive-retention")

    @_reader.default
    def _make_reader(self) -> ThreadConnection:
        return ThreadConnection(self._database.reactor, self._database.dsn, "icefarm-archive-reader")

    @property
    def runs(self) -> PostgresRuns:
        return PostgresRuns(self._database)

    def stop(self) -> None:
        """Break the connections for COPY."""
        self._reader.stop()
        self._writer.stop()
        self._keeper.stop()

    # ---------------------------------------------------------------------------------------------------- writing

    async def store(self, worker: str, rows: ArchiveRows) -> Stored:
        return await self._writer.run(partial(self._store, worker, rows), STORE_LIMIT)

    def _store(self, worker: str, rows: ArchiveRows, cursor: Any) -> Stored:
        reservations = {stamp.reservation for stamp in set(rows.stamps)}
        own = owned(rows, self._served.of(worker, reservations, cursor))
        if not own:
            return Stored(foreign=len(rows))
        new = self._copy(worker, own, cursor)
        foreign = own.missing_of(rows)
        return Stored(new, len(rows) - foreign - sum(new.values()), foreign, own)

    async def keep(self, worker: str, rows: OwnedRows) -> None:
        if rows:
            await self._writer.run(partial(self._copy, worker, rows), STORE_LIMIT)
            for key in rows.keys:
                await self.announce(key, None, True)

    def _copy(self, worker: str, own: OwnedRows, cursor: Any) -> dict[ExperimentKey, int]:
        """Store rows whose owners are known; returns how many are new, by experiment."""
        ids = _experiment_ids(cursor, own.keys)
        self._make_partitions(cursor, set(own.column("day")))
        new = store_rows(cursor, worker, own, ids)
        keys = {id: key for key, id in ids.items()}
        return {keys[id]: count for id, count in new.items()}

    def _make_partitions(self, cursor: Any, days: set[date]) -> None:
        for day in sorted(days - self._days):
            cursor.execute(_PARTITION.format(partition=partition_of(day)), (day, day + timedelta(days=1)))

    async def prepare(self, days: Sequence[date]) -> None:
        await self._writer.run(lambda cursor: self._make_partitions(cursor, set(days)), STORE_LIMIT)
        self._days.update(days)

    @in_transaction
    async def log(
        self, transaction: Transaction, key: ExperimentKey, figures: Mapping[str, float], time: float
    ) -> None:
        id = await _made(transaction, key)
        await transaction.rows(_LOG, {"id": id, "time": time, "figures": json.dumps(dict(figures))})

    @in_transaction
    async def announce(
        self, transaction: Transaction, key: ExperimentKey, total: int | None, shared: bool | None
    ) -> None:
        id = await _made(transaction, key)
        await transaction.rows(_ANNOUNCE, {"id": id, "total": total, "shared": shared})

    # ---------------------------------------------------------------------------------------------------- reading

    @in_transaction
    async def experiments(self, transaction: Transaction, query: ExperimentFilter) -> list[StoredExperiment]:
        before, before_id = query.before or (None, None)
        fields = {
            "account": query.account, "name": query.name, "reader": query.reader, "private": query.private,
            "before": before, "before_id": before_id, "since": query.since, "limit": query.limit,
        }  # fmt: skip
        return [StoredExperiment(*row) for row in await transaction.rows(_EXPERIMENTS, fields)]

    @in_transaction
    async def boards(self, transaction: Transaction, id: int) -> list[ExperimentBoard]:
        return [ExperimentBoard(*row) for row in await transaction.rows(_BOARDS, {"id": id})]

    @in_transaction
    async def recent_failures(
        self, transaction: Transaction, account: str | None, seconds: float, limit: int
    ) -> list[FailureRecord]:
        fields = {"account": account, "seconds": seconds, "limit": limit}
        return [FailureRecord(*row) for row in await transaction.rows(_RECENT_FAILURES, fields)]

    @in_transaction
    async def failures(self, transaction: Transaction, id: int) -> dict[str, int]:
        return dict(await transaction.rows(_FAILURES, {"id": id}))

    @in_transaction
    async def results(
        self, transaction: Transaction, id: int, query: ResultQuery
    ) -> tuple[list[tuple[Any, ...]], bool]:
        rows = await transaction.rows(PAGE, result_fields(id, query))
        more = len(rows) == query.limit or (bool(rows) and rows[-1][-1] >= query.size)
        return [row[:-1] for row in rows], more

    async def extract(self, id: int, query: ResultQuery, form: FileForm) -> Extract:
        return await self._reader.run(partial(extract, id, query, form), EXTRACT_LIMIT)

    @in_transaction
    async def known(self, transaction: Transaction, id: int, query: KnownQuery) -> tuple[list[tuple[Any, ...]], bool]:
        days = (await transaction.rows(_DAYS, {"id": id}))[0][0]
        if days is None:
            return [], False
        fields = {
            "id": id, "days": days, "kind": query.kind, "options": json.dumps(dict(query.options)),
            "sha256": list(set(query.sha256)), "serials": None if query.serials is None else list(query.serials),
            "after": query.after[0], "after_board": query.after[1], "bytes": query.bytes,
        }  # fmt: skip
        rows = await transaction.rows(_KNOWN, fields)
        return [row[:-1] for row in rows], bool(rows) and rows[0][-1] > len(rows)

    @in_transaction
    async def series(self, transaction: Transaction, id: int, query: SeriesQuery) -> Series:
        return await series(transaction, id, query)

    @in_transaction
    async def of_board(self, transaction: Transaction, serial: str, query: ExperimentFilter) -> list[ExperimentPart]:
        fields = {"serial": serial, "reader": query.reader, "private": query.private, "limit": query.limit}
        return [ExperimentPart(*row) for row in await transaction.rows(_OF_BOARD, fields)]

    @in_transaction
    async def usage(self, transaction: Transaction, query: UsageQuery) -> tuple[list[HeldTime], list[Measured]]:
        fields = {"since": query.since, "until": query.until, "account": query.account}
        held = [HeldTime(*row) for row in await transaction.rows(_HELD, fields)]
        return held, [Measured(*row) for row in await transaction.rows(_MEASURED, fields)]

    @in_transaction
    async def figures(self, transaction: Transaction, id: int, after: int, limit: int) -> list[ExperimentFigures]:
        rows = await transaction.rows(_FIGURES, {"id": id, "after": after, "limit": limit})
        return [ExperimentFigures(*row) for row in rows]

    # -------------------------------------------------------------------------------------------------- retention

    @in_transaction
    async def partitions(self, transaction: Transaction) -> list[Partition]:
        rows = await transaction.rows(_PARTITIONS)
        return [Partition(datetime.strptime(day, "%Y%m%d").date(), size) for day, size in rows]

    async def export(self, day: date, directory: str) -> str:
        path = Path(directory, f"measurements-{day}.csv.gz")
        try:
            await self._keeper.run(partial(_export, day, path), EXPORT_LIMIT)
        except OSError as error:
            raise InvalidArgument(f"{day} cannot be exported to {path}: {error.strerror or error}") from None
        return str(path)

    async def drop(self, day: date) -> None:
        self._days.discard(day)
        await self._writer.run(partial(_drop, day), STORE_LIMIT)

    @in_transaction
    async def forget_figures(self, transaction: Transaction, before: float) -> None:
        await transaction.rows("DELETE FROM experiment_figure WHERE at < to_timestamp(%(at)s)", {"at": before})


async def _made(transaction: Transaction, key: ExperimentKey) -> int:
    rows = await transaction.rows(_MAKE_EXPERIMENT, {"account": key[0], "name": key[1]})
    return int(rows[0][0])


def _experiment_ids(cursor: Any, keys: set[ExperimentKey]) -> dict[ExperimentKey, int]:
    """Return the ids of experiments, which are made if they are new."""
    ordered = sorted(keys)
    cursor.execute(_FIND_EXPERIMENTS, {"accounts": [key[0] for key in ordered], "names": [key[1] for key in ordered]})
    ids = {(account, name): id for id, account, name in cursor.fetchall()}
    for key in ordered:
        if key not in ids:
            cursor.execute(_MAKE_EXPERIMENT, {"account": key[0], "name": key[1]})
            ids[key] = cursor.fetchone()[0]
    return ids


def _export(day: date, path: Path, cursor: Any) -> None:
    """Write a day to a file, which appears when it is whole."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        with gzip.GzipFile(fileobj=file, mode="wb", compresslevel=COMPRESSION, mtime=0) as packed:
            cursor.copy_expert(_EXPORT.format(partition=partition_of(day)), packed)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _drop(day: date, cursor: Any) -> None:
    cursor.execute(f"DROP TABLE IF EXISTS {partition_of(day)}")
    cursor.execute(_FORGET_DAY, {"day": day})
