"""Runs in memory: the stand-in for `icefarm.control.archive.runs.postgres` in tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from attrs import Factory, define, evolve

from icefarm.contract import RESULT_FIELDS, RunReport, account_of
from icefarm.control.archive.runs.interface import Closed, Progress, Run, RunFilter, RunStore
from icefarm.runs.numbers import last_id

if TYPE_CHECKING:
    from icefarm.testing.memory.archive import MemoryArchive

__all__ = ["MemoryRuns"]

Row = Mapping[str, Any]


@define(eq=False)
class MemoryRuns(RunStore):
    """Implements `RunStore` beside a `MemoryArchive`."""

    archive: MemoryArchive
    _runs: dict[int, Run] = Factory(dict)
    _manifests: dict[int, bytes] = Factory(dict)
    _first_days: dict[int, date] = Factory(dict)
    _numbers: Iterator[int] = Factory(lambda: count(1))
    _run_circuits: set[tuple[str, str, str]] = Factory(set)
    _circuits: dict[tuple[str, str], tuple[int, bytes]] = Factory(dict)

    async def report(self, client: str, reports: Sequence[RunReport], names: Sequence[str]) -> None:
        account, now = account_of(client), self.archive.clock.seconds()
        for report, name in zip(reports, names, strict=True):
            self.archive.made((account, name))
            ended_at = now if report.ended else None
            known = next((r for r in self._runs.values() if (r.account, r.number) == (account, report.number)), None)
            if known is None:
                id = next(self._numbers)
                self._runs[id] = Run(
                    id, account, name, report.number, client, report, now, ended_at, None, None, 0, 0, 0, None, None
                )  # fmt: skip
            elif known.ended_at is None and known.closed_at is None:
                self._runs[known.id] = evolve(known, told=report, ended_at=ended_at)

    async def runs(self, query: RunFilter) -> list[Run]:
        found = [run for run in self._runs.values() if self._fits(run, query)]
        return sorted(found, key=lambda run: run.id, reverse=True)[: query.limit]

    def _fits(self, run: Run, query: RunFilter) -> bool:
        experiment = self.archive.named((run.account, run.experiment))
        readable = query.reader in (None, run.account) or (experiment.shared and not query.private)
        return (
            readable
            and query.experiment in (None, experiment.id)
            and (query.before is None or run.id < query.before)
            and (
                query.prefix is None
                or run.number.startswith(query.prefix)
                or (run.manifest_id or "").startswith(query.prefix)
            )
        )

    async def manifest(self, id: int) -> bytes | None:
        return self._manifests.get(id)

    async def open(self) -> list[Run]:
        turns: Counter[str] = Counter()
        found = []
        for run in self._runs.values():
            if run.closed_at is None:
                turns[run.account] += 1
                found.append((turns[run.account], run.id, run))
        return [run for _, _, run in sorted(found, key=lambda each: each[:2])]

    async def over_at(self, run: Run) -> float | None:
        records = [await self.archive.store_.reservation(id) for id in run.told.boards.values()]
        known = [record for record in records if record is not None]
        if any(record.ended_at is None for record in known):
            return None
        return max((record.ended_at for record in known if record.ended_at is not None), default=run.begun_at)

    async def progress(self, run: Run) -> Progress:
        rows = await self.rows(run, run.number, 10**9)
        results = sum(row["error"] is None for row in rows)
        superseded = any(row["attempt"] < run.told.retried.get(row["evaluation_id"], 0) for row in rows)
        every = list(self._rows_of(run, run.number))
        retried = any(row["attempt"] > 1 for row in every)
        last_seq = max((row["seq"] for row in every), default=None)
        return Progress(results, len(rows) - results, len(every), retried, superseded, last_seq)

    async def rows(self, run: Run, after: str, limit: int) -> list[dict[str, Any]]:
        best: dict[str, Row] = {}
        for row in self._rows_of(run, after):
            id = row["evaluation_id"]
            if id not in best or _rank(row) > _rank(best[id]):
                best[id] = row
        return [{name: best[id][name] for name in RESULT_FIELDS} for id in sorted(best)][:limit]

    def _rows_of(self, run: Run, after: str) -> Iterator[Row]:
        for row in self.archive.all_rows():
            mine = max(after, run.number) < row["evaluation_id"] <= last_id(run.number)
            arrived = run.last_seq is None or row["seq"] <= run.last_seq
            if mine and arrived and account_of(row["client"]) == run.account:
                yield row

    def closed_rows(self) -> set[int]:
        """Return the rows (`seq`) of all runs that are closed."""
        runs = [run for run in self._runs.values() if run.closed_at is not None]
        return {row["seq"] for run in runs for row in self._rows_of(run, run.number)}

    async def close(self, id: int, closed: Closed) -> None:
        if self._runs[id].closed_at is not None:
            return
        self._manifests[id] = closed.manifest
        self._first_days[id] = datetime.fromtimestamp(closed.first, UTC).date()
        self._runs[id] = evolve(
            self._runs[id],
            closed_at=self.archive.clock.seconds(),
            manifest_id=closed.manifest_id,
            results=closed.results,
            failed=closed.failed,
            boards=closed.boards,
            last_seq=closed.last_seq,
        )

    async def keep_circuit(self, account: str, number: str, sha256: str) -> bool:
        self._run_circuits.add((account, number, sha256))
        return (account, sha256) in self._circuits

    async def add_circuit(self, account: str, sha256: str, length: int, block: bytes, most: int) -> bool:
        taken = sum(len(kept[1]) for (owner, _), kept in self._circuits.items() if owner == account)
        if taken + len(block) > most:
            return False
        self._circuits.setdefault((account, sha256), (length, block))
        return True

    async def circuit(self, run: Run, sha256: str) -> tuple[int, bytes] | None:
        if (run.account, run.number, sha256) not in self._run_circuits:
            return None
        return self._circuits.get((run.account, sha256))

    async def forget(self, id: int) -> None:
        if self._runs[id].closed_at is None:
            del self._runs[id]

    def dropped(self, day: date) -> None:
        """Note that a day is dropped."""
        for id, first in self._first_days.items():
            if first <= day and self._runs[id].dropped_at is None:
                self._runs[id] = evolve(self._runs[id], dropped_at=self.archive.clock.seconds())

    def experiments(self) -> set[tuple[str, str]]:
        """Return the experiments that have runs."""
        return {(run.account, run.experiment) for run in self._runs.values()}


def _rank(row: Row) -> tuple[Any, ...]:
    return row["error"] is None, row["attempt"], row["ended_at"], row["seq"]
