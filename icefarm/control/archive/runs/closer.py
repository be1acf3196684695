"""Closes runs: makes the manifest of each, once all of its results have arrived."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, define, evolve, field, frozen
from twisted.internet.defer import CancelledError
from twisted.internet.task import deferLater
from twisted.logger import Logger

from icefarm import __version__
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Repeated
from icefarm.contract import WorkerRecord
from icefarm.control.archive.intake import MAX_BATCH
from icefarm.control.archive.runs.arrivals import Arrivals, RunSoFar
from icefarm.control.archive.runs.closing import LOST, SETTLED, RunStanding, may_close, next_look
from icefarm.control.archive.runs.interface import Closed, Run, RunStore
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import Event, MeasurementsArchived, WorkerIntroduced
from icefarm.errors import IcefarmError
from icefarm.runs.canonical import canonical, digest
from icefarm.runs.manifest import Summary, columns_of

__all__ = ["PAGE", "RunCloser", "told_of"]

#: Seconds between passes, while a run is to be closed soon, and otherwise.
BRISK, IDLE = 1.0, 30.0
#: Results that are summed up at once; others get their turn in between.
PAGE = 200


@frozen
class _Looked:
    """When to look at a run next, and since when it waits."""

    since: float
    next: float


@frozen
class _Farm:
    """What a pass reads once for all runs."""

    #: By the clock of the database, as the times of runs are.  A long pass has runs closed later by it, never earlier.
    now: float
    #: The version of each worker.
    versions: Mapping[str, str]


@define(eq=False)
class RunCloser:
    """Looks at the runs that are open."""

    runs: RunStore
    store: Store
    clock: Clock
    arrivals: Arrivals = Factory(Arrivals)
    #: When each worker said hello last, and the bytes in its spool with its last batch since then.
    _hellos: dict[str, float] = Factory(dict)
    _spools: dict[str, int] = Factory(dict)
    _looked: dict[int, _Looked] = Factory(dict)
    _log: Logger = Factory(Logger)
    _repeated: Repeated = field(init=False)

    @_repeated.default
    def _make_repeated(self) -> Repeated:
        return Repeated(self.clock, IDLE, "runs are closed", self._pass_or_again)

    def start(self) -> None:
        """Start: runs that an earlier control left open are closed too."""
        self._repeated.start(first=BRISK)

    def stop(self) -> None:
        """Stop."""
        self._repeated.stop()

    def poke(self) -> None:
        """A run has ended."""
        self._repeated.next_in(BRISK)

    def heard(self, event: Event) -> None:
        """Note that a worker is there, and what its spool holds."""
        match event:
            case WorkerIntroduced(hello):
                self._hellos[hello.name] = self.clock.seconds()
                self._spools.pop(hello.name, None)
            case MeasurementsArchived():
                self._spools[event.worker] = event.waiting

    async def _pass_or_again(self) -> None:
        try:
            await self.pass_once()
        except IcefarmError as error:
            self._log.warn("runs cannot be closed just now: {error}", error=error)

    async def pass_once(self) -> None:
        """Close those runs of which everything has arrived.  Raises `Busy`."""
        open_runs = await self.runs.open()
        self._looked = {run.id: self._looked[run.id] for run in open_runs if run.id in self._looked}
        due = [run for run in open_runs if self._is_due(run)]
        here = [run for run in due if not self._waits(run)]
        if here:
            await self._look_at(here)
        if any(run.ended_at is not None and run.id in self._looked for run in open_runs):
            self.poke()

    def _is_due(self, run: Run) -> bool:
        looked = self._looked.get(run.id)
        return looked is None or looked.next <= self.clock.seconds()

    def _waits(self, run: Run) -> bool:
        """Tell whether a run that has ended waits for rows, as is known here: to count it costs as much as a batch.

        Another control may have had some of them, so this is not asked forever.
        """
        if run.ended_at is None or not self.arrivals.lacks(run.account, run.number, run.told.results):
            return False
        now = self.clock.seconds()
        # The clock of the database may be another one.
        if not 0 <= now - run.ended_at < SETTLED:
            return False
        self._looked.setdefault(run.id, _Looked(now, now))
        return True

    async def _look_at(self, runs: Sequence[Run]) -> None:
        versions = {worker.name: worker.version for worker in await self.store.workers()}
        farm = _Farm(await self.store.now(), versions)
        for run in runs:
            now, looked = self.clock.seconds(), self._looked.get(run.id)
            since = now if looked is None else looked.since
            first = looked is None or looked.next == looked.since
            if not await self._close_or_wait(run, farm, first):
                self._looked[run.id] = _Looked(since, now + next_look(now - since))

    async def _close_or_wait(self, run: Run, farm: _Farm, first: bool) -> bool:
        """Close a run if it is whole.  One that cannot be closed, through a bug, holds no other one up."""
        try:
            return await self._close_if_whole(run, farm)
        except (IcefarmError, CancelledError):
            raise
        except Exception:
            if first:
                self._log.failure("run {number} of {account} cannot be closed", number=run.number, account=run.account)
            return False

    async def _close_if_whole(self, run: Run, farm: _Farm) -> bool:
        over_at = None
        if run.ended_at is None:
            over_at = await self.runs.over_at(run)
            if over_at is None:
                # Its client is there: nothing is counted while a run goes on.
                return False
        standing = await self._standing(run, over_at, farm.now)
        progress = await self.runs.progress(run)
        if not may_close(
            evolve(standing, results=progress.results, failures=progress.failures, superseded=progress.superseded)
        ):
            return False
        # At once: what arrives from now on is not in the count.
        arrived = self.arrivals.take(run.account, run.number, progress.rows)
        if progress.rows == 0:
            await self.runs.forget(run.id)
        else:
            run = evolve(run, last_seq=progress.last_seq)
            await self._close(run, farm, None if progress.retried else arrived)
        return True

    async def _standing(self, run: Run, over_at: float | None, now: float) -> RunStanding:
        """Return how far a run is, without what of it has arrived."""
        return RunStanding(
            since_end=None if run.ended_at is None else now - run.ended_at,
            since_reservations=None if over_at is None else now - over_at,
            told_results=run.told.results,
            told_failures=run.told.failures,
            results=0,
            failures=0,
            delivered=run.ended_at is not None or over_at is None or await self._delivered(run),
        )

    async def _delivered(self, run: Run) -> bool:
        names = {device.worker for device in await self.store.devices(list(run.told.boards))}
        workers = {worker.name: worker for worker in await self.store.workers()}
        return all(self._has_delivered(workers.get(name)) for name in names)

    def _has_delivered(self, worker: WorkerRecord | None) -> bool:
        if worker is None:
            return True
        hello = self._hellos.get(worker.name)
        # The first batch, if there is one, comes within seconds of the hello: this control may have just started.
        settled = worker.status == "online" and hello is not None and self.clock.seconds() - hello >= LOST
        # A batch that was shorter than the longest had all that there was.
        return settled and self._spools.get(worker.name, 0) < MAX_BATCH

    async def _close(self, run: Run, farm: _Farm, arrived: RunSoFar | None) -> None:
        summary = None if arrived is None else await self._summed_up(arrived)
        if summary is None:
            summary = await self._read_back(run)
        await self._keep(run, farm, summary)

    async def _summed_up(self, arrived: RunSoFar) -> Summary | None:
        for _ in arrived.rest():
            await self._others_turn()
        return arrived.summary

    async def _read_back(self, run: Run) -> Summary:
        """Sum up a run with its rows up to its last one: more may arrive between the pages."""
        summary, after = Summary(), run.number
        while rows := await self.runs.rows(run, after, PAGE):
            summary.add(columns_of(rows))
            after = rows[-1]["evaluation_id"]
            await self._others_turn()
        return summary

    async def _others_turn(self) -> None:
        await deferLater(self.clock, 0)  # type: ignore[arg-type]

    async def _keep(self, run: Run, farm: _Farm, summary: Summary) -> None:
        workers = {name: farm.versions.get(name) for name in summary.workers}
        content = canonical(summary.manifest(told_of(run, workers)))
        await self.runs.close(run.id, _closed(content, summary, run.last_seq))
        self._log.info(
            "run {id} of {account}'s experiment {experiment} is closed: {results} results, {failed} failures",
            id=digest(content), account=run.account, experiment=run.experiment, results=summary.results,
            failed=summary.failed,
        )  # fmt: skip


def told_of(run: Run, workers: dict[str, str | None]) -> dict[str, object]:
    """Return the parts of a manifest that are not in the results."""
    told, ended = run.told, run.ended_at is not None
    return {
        "account": run.account,
        "experiment": run.experiment,
        "client": run.client,
        "number": run.number,
        "kind": told.kind,
        "options": told.options,
        "evaluation_options": told.evaluation_options,
        "placement": told.placement,
        "seed": told.placement.get("seed"),
        "labels": told.labels,
        # What the client had of it; nothing where the client was lost.
        "answered": {"results": told.results, "failed": told.failures} if ended else None,
        "versions": {"client": told.version, "control": __version__, "workers": workers},
    }


def _closed(manifest: bytes, summary: Summary, last_seq: int | None) -> Closed:
    assert last_seq is not None
    assert summary.first is not None
    assert summary.last is not None
    return Closed(
        digest(manifest),
        manifest,
        summary.results,
        summary.failed,
        summary.board_count,
        last_seq,
        summary.first,
        summary.last,
    )
