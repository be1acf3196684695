"""Runs in PostgreSQL; `icefarm.control.archive.runs.interface.RunStore` documents the calls."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import define, evolve

from icefarm.contract import RESULT_FIELDS, RunReport, account_of, from_wire, to_wire
from icefarm.control.archive.runs.interface import Closed, Progress, Run, RunFilter, RunStore
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.statements import Statements, in_transaction
from icefarm.runs.numbers import last_id

__all__ = ["PostgresRuns"]

_MAKE_EXPERIMENT = """
    INSERT INTO experiment (account, name) VALUES (%(account)s, %(name)s)
        ON CONFLICT (account, name) DO UPDATE SET active_at = now()
    RETURNING id
"""

_REPORT = """
    INSERT INTO run AS r (experiment, account, number, client, told, ended_at)
    VALUES (%(experiment)s, %(account)s, %(number)s, %(client)s, %(told)s::json,
            CASE WHEN %(ended)s THEN now() END)
        ON CONFLICT (account, number) DO UPDATE
            SET told = excluded.told, ended_at = coalesce(r.ended_at, excluded.ended_at)
          WHERE r.closed_at IS NULL AND r.ended_at IS NULL
"""

_COLUMNS = """
    r.id, r.account, e.name, r.number, r.client, r.told, extract(epoch FROM r.begun_at)::float8,
    extract(epoch FROM r.ended_at)::float8, extract(epoch FROM r.closed_at)::float8, r.manifest_id, r.results,
    r.failed, r.boards, r.last_seq, extract(epoch FROM r.dropped_at)::float8
"""

_RUNS = f"""
    SELECT {_COLUMNS} FROM run r JOIN experiment e ON e.id = r.experiment
     WHERE (%(experiment)s::bigint IS NULL OR r.experiment = %(experiment)s)
       AND (%(like)s::text IS NULL OR r.manifest_id LIKE %(like)s OR r.number LIKE %(like)s)
       AND (%(reader)s::text IS NULL OR r.account = %(reader)s OR (e.shared AND NOT %(private)s))
       AND (%(before)s::bigint IS NULL OR r.id < %(before)s)
     ORDER BY r.id DESC LIMIT %(limit)s
"""

# Accounts take turns: one with thousands of runs that can't be closed keeps nobody else's open.
_OPEN = f"""
    SELECT {_COLUMNS} FROM run r JOIN experiment e ON e.id = r.experiment
     WHERE r.closed_at IS NULL ORDER BY row_number() OVER (PARTITION BY r.account ORDER BY r.id), r.id LIMIT 1000
"""

_MEASURED = """
    FROM measurement
   WHERE evaluation_id > %(after)s AND evaluation_id <= %(last)s AND split_part(client, '/', 1) = %(account)s
     AND day >= (to_timestamp(%(begun)s) AT TIME ZONE 'UTC')::date - 1
     AND (%(seq)s::bigint IS NULL OR seq <= %(seq)s)
"""

# Failures of which another attempt has a value count for nothing.
_PROGRESS = f"""
    SELECT count(*) FILTER (WHERE ok), count(*) FILTER (WHERE NOT ok), coalesce(sum(rows), 0)::bigint,
           coalesce(max(attempt), 0) > 1, coalesce(bool_or(attempt < wanted), false), max(seq)
      FROM (SELECT bool_or(error IS NULL) AS ok, count(*) AS rows, max(attempt) AS attempt, max(seq) AS seq,
                   coalesce((%(retried)s::json ->> evaluation_id)::integer, 0) AS wanted
              {_MEASURED} GROUP BY evaluation_id) evaluations
"""

_OVER = """
    SELECT CASE WHEN count(*) FILTER (WHERE ended_at IS NULL) = 0
                THEN extract(epoch FROM coalesce(max(ended_at), to_timestamp(%(begun)s)))::float8 END
      FROM reservation WHERE id = ANY (%(reservations)s)
"""

_TIMES = ("started_at", "ended_at")
_RESULT = ", ".join(f"extract(epoch FROM {name})::float8" if name in _TIMES else name for name in RESULT_FIELDS)
_ROWS = f"""
    SELECT DISTINCT ON (evaluation_id) {_RESULT} {_MEASURED}
     ORDER BY evaluation_id, error IS NOT NULL, attempt DESC, measurement.ended_at DESC, seq DESC LIMIT %(limit)s
"""

# Pages are short, and an index has their order.  Without this the planner, which cannot know how many rows an account
# has in a run, reads and sorts all that is left of the run for each page.
_IN_ORDER_OF_THE_INDEX = """
    SELECT set_config(name, 'off', true)
      FROM unnest(ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_sort']) AS name
"""

_CLOSE = """
    UPDATE run SET closed_at = now(), manifest_id = %(manifest_id)s, manifest = %(manifest)s, results = %(results)s,
                   failed = %(failed)s, boards = %(boards)s, last_seq = %(last_seq)s,
                   first_day = (to_timestamp(%(first)s) AT TIME ZONE 'UTC')::date,
                   last_day = (to_timestamp(%(last)s) AT TIME ZONE 'UTC')::date
     WHERE id = %(id)s AND closed_at IS NULL
"""


_KEEP_CIRCUIT = """
    INSERT INTO run_circuit (account, number, sha256) VALUES (%(account)s, %(number)s, %(sha256)s)
        ON CONFLICT DO NOTHING
"""

_IS_KEPT = "SELECT 1 FROM kept_circuit WHERE account = %(account)s AND sha256 = %(sha256)s"

_TAKEN = "SELECT coalesce(sum(length(block)), 0)::bigint FROM kept_circuit WHERE account = %(account)s"

_ADD_CIRCUIT = """
    INSERT INTO kept_circuit (account, sha256, length, block)
    VALUES (%(account)s, %(sha256)s, %(length)s, %(block)s) ON CONFLICT DO NOTHING
"""

_CIRCUIT = """
    SELECT k.length, k.block FROM run_circuit c JOIN kept_circuit k ON k.account = c.account AND k.sha256 = c.sha256
     WHERE c.account = %(account)s AND c.number = %(number)s AND c.sha256 = %(sha256)s
"""


@define
class PostgresRuns(Statements, RunStore):
    """Implements `RunStore` over a `Database` with the current schema."""

    @in_transaction
    async def report(
        self, transaction: Transaction, client: str, reports: Sequence[RunReport], names: Sequence[str]
    ) -> None:
        account, ids = account_of(client), {}
        # In order: of two clients that report the same experiments, none waits for the other one in turn.
        for name in sorted(set(names)):
            ids[name] = (await transaction.rows(_MAKE_EXPERIMENT, {"account": account, "name": name}))[0][0]
        for report, name in zip(reports, names, strict=True):
            fields = {
                "experiment": ids[name], "account": account, "number": report.number, "client": client,
                "told": json.dumps(to_wire(report)), "ended": report.ended,
            }  # fmt: skip
            await transaction.rows(_REPORT, fields)

    @in_transaction
    async def runs(self, transaction: Transaction, query: RunFilter) -> list[Run]:
        fields = {
            "experiment": query.experiment, "like": None if query.prefix is None else f"{query.prefix}%",
            "reader": query.reader, "private": query.private, "before": query.before, "limit": query.limit,
        }  # fmt: skip
        return [_run(row) for row in await transaction.rows(_RUNS, fields)]

    @in_transaction
    async def manifest(self, transaction: Transaction, id: int) -> bytes | None:
        rows = await transaction.rows("SELECT manifest FROM run WHERE id = %(id)s", {"id": id})
        return rows[0][0].encode() if rows and rows[0][0] is not None else None

    @in_transaction
    async def open(self, transaction: Transaction) -> list[Run]:
        return [_run(row) for row in await transaction.rows(_OPEN)]

    @in_transaction
    async def over_at(self, transaction: Transaction, run: Run) -> float | None:
        fields = {"reservations": list(run.told.boards.values()), "begun": run.begun_at}
        ((at,),) = await transaction.rows(_OVER, fields)
        return None if at is None else float(at)

    @in_transaction
    async def progress(self, transaction: Transaction, run: Run) -> Progress:
        fields = {**_range(run, run.number), "retried": json.dumps(run.told.retried) if run.told.retried else None}
        (row,) = await transaction.rows(_PROGRESS, fields)
        return Progress(*row)

    @in_transaction
    async def rows(self, transaction: Transaction, run: Run, after: str, limit: int) -> list[dict[str, Any]]:
        fields = {**_range(run, max(after, run.number)), "limit": limit}
        await transaction.rows(_IN_ORDER_OF_THE_INDEX)
        return [dict(zip(RESULT_FIELDS, row, strict=True)) for row in await transaction.rows(_ROWS, fields)]

    @in_transaction
    async def close(self, transaction: Transaction, id: int, closed: Closed) -> None:
        fields = {
            "id": id, "manifest_id": closed.manifest_id, "manifest": closed.manifest.decode(),
            "results": closed.results, "failed": closed.failed, "boards": closed.boards, "last_seq": closed.last_seq,
            "first": closed.first, "last": closed.last,
        }  # fmt: skip
        await transaction.rows(_CLOSE, fields)

    @in_transaction
    async def keep_circuit(self, transaction: Transaction, account: str, number: str, sha256: str) -> bool:
        fields = {"account": account, "number": number, "sha256": sha256}
        await transaction.rows(_KEEP_CIRCUIT, fields)
        return bool(await transaction.rows(_IS_KEPT, fields))

    @in_transaction
    async def add_circuit(
        self, transaction: Transaction, account: str, sha256: str, length: int, block: bytes, most: int
    ) -> bool:
        ((taken,),) = await transaction.rows(_TAKEN, {"account": account})
        if taken + len(block) > most:
            return False
        fields = {"account": account, "sha256": sha256, "length": length, "block": block}
        await transaction.rows(_ADD_CIRCUIT, fields)
        return True

    @in_transaction
    async def circuit(self, transaction: Transaction, run: Run, sha256: str) -> tuple[int, bytes] | None:
        fields = {"account": run.account, "number": run.number, "sha256": sha256}
        rows = await transaction.rows(_CIRCUIT, fields)
        return (rows[0][0], bytes(rows[0][1])) if rows else None

    @in_transaction
    async def forget(self, transaction: Transaction, id: int) -> None:
        await transaction.rows("DELETE FROM run WHERE id = %(id)s AND closed_at IS NULL", {"id": id})


def _run(row: Sequence[Any]) -> Run:
    run = Run(*row)
    return evolve(run, told=from_wire(run.told, RunReport, "a stored run"))


def _range(run: Run, after: str) -> dict[str, Any]:
    return {
        "after": after, "last": last_id(run.number), "account": run.account, "begun": run.begun_at,
        "seq": run.last_seq,
    }  # fmt: skip
