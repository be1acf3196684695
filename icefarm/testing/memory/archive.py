"""The archive in memory: the stand-in for `icefarm.control.archive.postgres` in tests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import count
from typing import Any

from attrs import Factory, define, evolve, field

from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    RESULT_FIELDS,
    ExperimentBoard,
    ExperimentFigures,
    ExperimentPart,
    FailureRecord,
    account_of,
)
from icefarm.control.archive.copying.extracts import as_lines
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
    SeriesPoint,
    SeriesQuery,
    Stored,
    StoredExperiment,
)
from icefarm.control.archive.rows import ArchiveRow, ArchiveRows, OwnedRow, OwnedRows, owned
from icefarm.control.archive.usage import HeldTime, Measured, UsageQuery
from icefarm.testing.memory.runs import MemoryRuns
from icefarm.testing.memory.store import MemoryStore

__all__ = ["MemoryArchive"]


@define
class _Kept:
    """A stored row."""

    seq: int
    experiment: int
    worker: str
    owned: OwnedRow

    @property
    def row(self) -> ArchiveRow:
        return self.owned.row

    def result(self) -> tuple[Any, ...]:
        """Return it with `RESULT_FIELDS`."""
        values: dict[str, Any] = self.row._asdict()
        values |= {"seq": self.seq, "client": self.owned.client, "worker": self.worker}
        for name in ("options", "value", "labels", "board_labels"):
            values[name] = None if values[name] is None else json.loads(values[name])
        return tuple(values[name] for name in RESULT_FIELDS)


@define(eq=False)
class MemoryArchive(Archive):
    """Implements `Archive` beside a `MemoryStore`."""

    clock: Clock
    store_: MemoryStore
    exported: list[tuple[date, str]] = Factory(list)
    _rows: list[_Kept] = Factory(list)
    _experiments: dict[ExperimentKey, StoredExperiment] = Factory(dict)
    _figures: list[tuple[int, ExperimentFigures]] = Factory(list)
    _days: set[date] = Factory(set)
    _numbers: Any = Factory(lambda: count(1))
    runs: MemoryRuns = field(init=False)

    @runs.default
    def _make_runs(self) -> MemoryRuns:
        return MemoryRuns(self)

    async def store(self, worker: str, rows: ArchiveRows) -> Stored:
        served = {}
        for id in {row.reservation for row in rows}:
            record = await self.store_.reservation(id)
            if record is not None and worker in (record.worker, *self.store_.past_workers.get(id, ())):
                served[id] = (record.serial, record.client)
        own = owned(rows, served)
        foreign = own.missing_of(rows)
        new: Counter[ExperimentKey] = Counter()
        for each in own.in_order():
            if self._keep(worker, each):
                new[each.key] += 1
        return Stored(dict(new), len(rows) - foreign - sum(new.values()), foreign, own)

    async def keep(self, worker: str, rows: OwnedRows) -> None:
        for each in rows:
            self._keep(worker, each)
            await self.announce(each.key, None, True)

    def _keep(self, worker: str, each: OwnedRow) -> bool:
        id = self.made(each.key)
        row = each.row
        same = [k for k in self._rows if k.experiment == id and k.row.evaluation_id == row.evaluation_id]
        values = [kept for kept in same if kept.row.error is None]
        mine = [kept for kept in same if kept.row.reservation == row.reservation]
        replaced = mine if row.error is not None else [*mine, *values]
        if any(kept.row.attempt >= row.attempt for kept in mine):
            return False
        if row.error is None and any(kept.row.attempt > row.attempt for kept in values):
            return False
        gone = {kept.seq for kept in replaced if kept.row.attempt < row.attempt}
        if gone:
            gone -= self.runs.closed_rows()
        if any(kept.seq not in gone and kept.row.day == row.day for kept in mine):
            return False
        self._rows = [kept for kept in self._rows if kept.seq not in gone]
        self._days.add(row.day)
        self._rows.append(_Kept(next(self._numbers), id, worker, each))
        return True

    async def experiments(self, query: ExperimentFilter) -> list[StoredExperiment]:
        found = [self._counted(each) for each in self._experiments.values() if _fits(each, query)]
        return sorted(found, key=lambda each: (each.active_at, each.id), reverse=True)[: query.limit]

    async def boards(self, id: int) -> list[ExperimentBoard]:
        rows = [kept.row for kept in self._rows if kept.experiment == id]
        found = []
        for serial in sorted({row.serial for row in rows}):
            mine = [row for row in rows if row.serial == serial]
            failed = sum(row.error is not None for row in mine)
            times = [row.ended_at for row in mine]
            found.append(ExperimentBoard(serial, len(mine) - failed, failed, min(times), max(times)))
        return found

    async def recent_failures(self, account: str | None, seconds: float, limit: int) -> list[FailureRecord]:
        since = self.clock.seconds() - seconds
        found = [
            FailureRecord(
                kept.owned.client,
                kept.row.serial,
                kept.row.kind,
                kept.row.circuit,
                kept.row.error,
                kept.row.message,
                kept.row.ended_at,
            )
            for kept in self._rows
            if kept.row.error is not None
            and kept.row.ended_at > since
            and account in (None, account_of(kept.owned.client))
        ]
        return sorted(found, key=lambda each: -each.time)[:limit]

    async def failures(self, id: int) -> dict[str, int]:
        return dict(Counter(k.row.error for k in self._rows if k.experiment == id and k.row.error is not None))

    async def results(self, id: int, query: ResultQuery) -> tuple[list[tuple[Any, ...]], bool]:
        found, more = self._page(id, query)
        return [kept.result() for kept in found], more

    def _page(self, id: int, query: ResultQuery) -> tuple[list[_Kept], bool]:
        found = [kept for kept in self._rows if kept.experiment == id and _asked(kept, query)][: query.limit]
        page: list[_Kept] = []
        size = 0
        while len(page) < len(found) and size < query.size:
            size += 25 + len(found[len(page)].row.value or "")
            page.append(found[len(page)])
        return page, len(page) == query.limit or size >= query.size

    async def extract(self, id: int, query: ResultQuery, form: FileForm) -> Extract:
        page, more = self._page(id, query)
        data = as_lines(RESULT_FIELDS, [kept.result() for kept in page], form)
        return Extract(data, len(page), page[-1].seq if page else query.after, more)

    async def known(self, id: int, query: KnownQuery) -> tuple[list[tuple[Any, ...]], bool]:
        newest: dict[tuple[str, str], _Kept] = {}
        for kept in self._rows:
            row = kept.row
            board = "" if query.serials is None else row.serial
            if (
                kept.experiment == id
                and row.error is None
                and row.message is None
                and row.kind == query.kind
                and json.loads(row.options) == query.options
                and row.sha256 is not None
                and row.sha256 in query.sha256
                and (query.serials is None or row.serial in query.serials)
            ):
                newest[row.sha256, board] = kept
        keys = sorted(key for key in newest if key > query.after)
        taken, size = 0, 0
        while taken < len(keys) and size < query.bytes:
            size += len(newest[keys[taken]].row.value or "") + 500
            taken += 1
        return [newest[key].result() for key in keys[:taken]], taken < len(keys)

    async def series(self, id: int, query: SeriesQuery) -> Series:
        asked = ResultQuery(query.after, serials=query.serials, since=query.since, until=query.until)
        found = [kept for kept in self._rows if kept.experiment == id and _asked(kept, asked)]
        binned: dict[tuple[str, float], list[ArchiveRow]] = {}
        for row in (kept.row for kept in found):
            for serial, step in (("", query.step), (row.serial, query.board_step)):
                binned.setdefault((serial, row.ended_at // step * step), []).append(row)
        points = [_point(serial or None, time, binned[serial, time]) for serial, time in sorted(binned)]
        return Series(max((kept.seq for kept in found), default=query.after), points, query.step, query.board_step)

    async def of_board(self, serial: str, query: ExperimentFilter) -> list[ExperimentPart]:
        parts = []
        for each in self._experiments.values():
            mine = [board for board in await self.boards(each.id) if board.serial == serial]
            if mine and _fits(each, query):
                (b,) = mine
                parts.append(ExperimentPart(each.account, each.name, b.done, b.failed, b.first_at, b.last_at))
        return sorted(parts, key=lambda part: part.last_at, reverse=True)[: query.limit]

    async def usage(self, query: UsageQuery) -> tuple[list[HeldTime], list[Measured]]:
        return self._held(query), self._measured(query)

    def _held(self, query: UsageQuery) -> list[HeldTime]:
        spans: dict[tuple[str, str], list[tuple[float, float, float]]] = {}
        for each in self.store_.all_reservations():
            begin = max(each.created_at, query.since)
            end = query.until if each.ended_at is None else min(each.ended_at, query.until)
            account = account_of(each.client)
            if begin < query.until and end > query.since and query.account in (None, account):
                spans.setdefault((account, each.serial), []).append((begin, end, each.part))
        return [
            HeldTime(
                *key,
                len(own),
                sum((end - begin) * part for begin, end, part in own),
                min(own)[0],
                max(end for _, end, _ in own),
            )
            for key, own in spans.items()
        ]

    def _measured(self, query: UsageQuery) -> list[Measured]:
        days: dict[tuple[int, str, date], list[ArchiveRow]] = {}
        for kept in self._rows:
            days.setdefault((kept.experiment, kept.row.serial, kept.row.day), []).append(kept.row)
        names = {each.id: each for each in self._experiments.values()}
        found: dict[tuple[str, str, str], Measured] = {}
        for (id, serial, _), rows in days.items():
            first, last = min(row.ended_at for row in rows), max(row.ended_at for row in rows)
            each = names[id]
            if last < query.since or first >= query.until or query.account not in (None, each.account):
                continue
            key = (each.account, each.name, serial)
            failed = sum(row.error is not None for row in rows)
            seconds = min(last, query.until) - max(first, query.since)
            before = found.get(key) or Measured(*key, 0, 0, 0.0, first, last)
            found[key] = Measured(
                *key,
                before.evaluations + len(rows) - failed,
                before.failed + failed,
                before.seconds + seconds,
                min(before.first_at, first),
                max(before.last_at, last),
            )
        return list(found.values())

    async def figures(self, id: int, after: int, limit: int) -> list[ExperimentFigures]:
        return [each for experiment, each in self._figures if experiment == id and each.id > after][:limit]

    async def log(self, key: ExperimentKey, figures: Mapping[str, float], time: float) -> None:
        self._figures.append((self.made(key), ExperimentFigures(next(self._numbers), time, dict(figures))))

    async def announce(self, key: ExperimentKey, total: int | None, shared: bool | None) -> None:
        self.made(key)
        known = self._experiments[key]
        self._experiments[key] = evolve(
            known,
            total=known.total if total is None else total,
            shared=known.shared if shared is None else shared,
        )

    async def partitions(self) -> list[Partition]:
        return [Partition(day, 1000 * sum(kept.row.day == day for kept in self._rows)) for day in sorted(self._days)]

    async def prepare(self, days: Sequence[date]) -> None:
        self._days.update(days)

    async def export(self, day: date, directory: str) -> str:
        self.exported.append((day, directory))
        return f"{directory}/measurements-{day}.csv.gz"

    async def drop(self, day: date) -> None:
        self._days.discard(day)
        self._rows = [kept for kept in self._rows if kept.row.day != day]
        used = {kept.experiment for kept in self._rows} | {experiment for experiment, _ in self._figures}
        old = self.clock.seconds() - 86400.0
        self.runs.dropped(day)
        with_runs = self.runs.experiments()
        self._experiments = {
            key: each
            for key, each in self._experiments.items()
            if each.id in used or each.active_at >= old or key in with_runs
        }

    def named(self, key: ExperimentKey) -> StoredExperiment:
        """Return an experiment that is there."""
        return self._experiments[key]

    def all_rows(self) -> list[dict[str, Any]]:
        """Return everything, with `RESULT_FIELDS`."""
        return [dict(zip(RESULT_FIELDS, kept.result(), strict=True)) for kept in self._rows]

    async def forget_figures(self, before: float) -> None:
        self._figures = [(id, each) for id, each in self._figures if each.time >= before]

    def made(self, key: ExperimentKey) -> int:
        """Return the id of an experiment, which is made if it is new."""
        # To the microsecond, as the database keeps it.
        now = round(self.clock.seconds(), 6)
        known = self._experiments.get(key) or StoredExperiment(next(self._numbers), *key, None, True, now, now)
        self._experiments[key] = evolve(known, active_at=now)
        return known.id

    def _counted(self, each: StoredExperiment) -> StoredExperiment:
        rows = [kept.row for kept in self._rows if kept.experiment == each.id]
        failed = sum(row.error is not None for row in rows)
        times = [row.ended_at for row in rows]
        return evolve(
            each,
            done=len(rows) - failed,
            failed=failed,
            boards=len({row.serial for row in rows}),
            first_at=min(times, default=None),
            last_at=max(times, default=None),
        )


def _point(serial: str | None, time: float, rows: Sequence[ArchiveRow]) -> SeriesPoint:
    failed = sum(row.error is not None for row in rows)
    numbers = [row.number for row in rows if row.number is not None]
    total = sum(numbers) if numbers else None
    return SeriesPoint(
        serial, time, len(rows) - failed, failed, len(numbers), total, min(numbers, default=None),
        max(numbers, default=None),
    )  # fmt: skip


def _fits(each: StoredExperiment, query: ExperimentFilter) -> bool:
    readable = query.reader in (None, each.account) or (each.shared and not query.private)
    return (
        readable
        and query.account in (None, each.account)
        and query.name in (None, each.name)
        and (query.before is None or (each.active_at, each.id) < query.before)
        and (query.since is None or each.active_at >= query.since)
    )


def _asked(kept: _Kept, query: ResultQuery) -> bool:
    row = kept.row
    return (
        kept.seq > query.after
        and (query.serials is None or row.serial in query.serials)
        and (query.since is None or row.ended_at >= query.since)
        and (query.until is None or row.ended_at < query.until)
        and (query.failed is None or (row.error is not None) == query.failed)
        and (query.kind is None or row.kind == query.kind)
        and (query.sha256 is None or row.sha256 in query.sha256)
    )
