"""The client's blocking API, for scripts and notebooks."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from itertools import islice
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from icefarm.client.api.adapters import Blocking
from icefarm.client.api.arguments import checked
from icefarm.client.api.boards import BoardSet, ReservedBoards
from icefarm.client.api.calibration import BlockingFarmBoards
from icefarm.client.api.calls import AnyKindCall, MultiPulseCountCall, PulseCountCall, VarianceCall, documented_as
from icefarm.client.api.exit_hooks import ExitHook
from icefarm.client.api.experiments import BlockingExperiment, within
from icefarm.client.api.facade import FarmFace
from icefarm.client.api.notebook.progress_bar import MakeBar, counted
from icefarm.client.api.notebook.shown import html_table
from icefarm.client.api.process_engine import engine
from icefarm.client.connection.events import Change, changes
from icefarm.client.evaluation.payload import Placing
from icefarm.client.evaluation.plan import CHUNK, RunPlan
from icefarm.client.evaluation.results import Result
from icefarm.client.evaluation.tasks import Item
from icefarm.client.runs.archived_run import RunFace, RunHandle
from icefarm.client.session import ClientSession, PlannedRun
from icefarm.contract import ReservationRecord
from icefarm.errors import IcefarmError
from icefarm.system.haste import leaving

if TYPE_CHECKING:
    # Twisted is imported when a farm is made.
    from icefarm.client.api.reactor_thread import Engine, PendingResult
    from icefarm.client.evaluation.run import ResultBatch

__all__ = ["ArchivedRun", "Boards", "Farm"]


class Farm(FarmFace, Blocking):
    """A farm of boards.  Leaving the ``with`` block, or the end of the script, ends its reservations."""

    def _set_up(self) -> None:
        self._engine = engine()
        self._reactor = self._engine.reactor

    def _start(self) -> None:
        self._bound(self._subject.start)()
        self._ending = ExitHook(self.close)

    @property
    def closed(self) -> bool:
        """Whether it has been closed, or belongs to the process that this one was forked from."""
        return not self._ending.pending

    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[PulseCountCall]) -> Boards: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[MultiPulseCountCall]) -> Boards: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[VarianceCall]) -> Boards: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[AnyKindCall]) -> Boards: ...
    @documented_as(ClientSession.reserve)
    def reserve(self, *args: Any, **call: Any) -> Boards:
        return self._bound(self._reserve)(*args, **call)

    @documented_as(ClientSession.adopt)
    def adopt(self, *, keep: bool = True) -> Boards:
        return self._bound(self._adopt)(keep=keep)

    @checked
    def watch(self, interval: float | None = None) -> Iterator[list[Change]]:
        """Yield the farm's changes for as long as the caller iterates: a snapshot first, then each change.

        With ``interval`` in seconds it yields an empty list whenever nothing happened for that long.
        """
        return changes(self._engine, self._subject.watch, interval)

    @checked
    def asking(self, serial: str, method: str, *, limit: float | None = 60.0, **arguments: Any) -> Future[Any]:
        """Start an `ask`, and return at once; callbacks of the future run in the client's own thread."""
        return self._engine.submit(self._subject.ask, serial, method, limit=limit, **arguments)

    @checked
    def rebooting(self, serials: Sequence[str]) -> Future[list[str]]:
        """Start a `reboot`, and return at once."""
        return self._engine.submit(self._subject.reboot, serials)

    @checked
    def close(self, *, end: bool = True) -> None:
        """End the reservations (unless ``end`` is false) and sign out.  Takes less than 5 s."""
        if self._ending.pending:
            self._ending.done()
            with leaving():
                self._bound(self._subject.stop)(end=end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @checked
    def stream(
        self,
        plan: RunPlan,
        reservations: Mapping[str, ReservationRecord],
        items: Iterable[Item],
        *,
        deserted_raises: bool = True,
    ) -> Iterator[Result]:
        """Yield the results of a plan.

        ``items`` are pulled, and results yielded, in the caller's thread; only whole batches cross between the threads.
        If no board is left, raises `ReservationEnded`; without ``deserted_raises``, each remaining item is a result
        with that error instead.
        """
        return self._results(plan, reservations, items, deserted_raises)

    def _results(
        self, plan: RunPlan, reservations: Mapping[str, ReservationRecord], items: Iterable[Item], deserted_raises: bool
    ) -> Iterator[Result]:
        engine = self._engine
        feeder = _Feeder(engine, PlannedRun(self._subject, plan, reservations), items)
        following = feeder.begin(deserted_raises)
        done = False
        try:
            while True:
                batch = following.wait()
                done, deserted = batch.done, batch.deserted if deserted_raises else None
                if deserted is None and not done:
                    # Before the results: the boards continue while the caller handles them.
                    following = feeder.feed(batch.wanted)
                yield from batch.results
                if done:
                    return
                if deserted is not None:
                    raise deserted
        finally:
            if not done and engine.pid == os.getpid():
                following.cancel()
                feeder.stop()

    def _repr_html_(self) -> str:
        return html_table(("farm", "name", "experiment", "boards", "state"), [self._row()])

    def _row(self) -> tuple[object, ...]:
        """Return what is known of the farm here, and the states of its boards, if it answers at once."""
        own = (self.url, self.name, self._subject.experiment, ", ".join(self._subject.serials) or None)
        if self.closed:
            return (*own, "closed")
        try:
            devices = within(self._engine, self._subject.devices)
        except (IcefarmError, TimeoutError):
            return (*own, "does not answer")
        counts = Counter(str(device.status) for device in devices)
        return (*own, ", ".join(f"{count} {status}" for status, count in sorted(counts.items())))

    @property
    def boards(self) -> BlockingFarmBoards:
        """All boards of the farm, reserved or not, to compare them."""
        return BlockingFarmBoards(self)

    def _boards(self, boards: BoardSet) -> Boards:
        return Boards(self, boards)

    def _experiment(self, name: str, account: str | None) -> BlockingExperiment:
        return BlockingExperiment(self, name, account)

    def _run(self, handle: RunHandle) -> ArchivedRun:
        return ArchivedRun(self, handle)


class Boards(ReservedBoards[Iterable[Any], Iterator[Result]], Blocking):
    """Reserved boards; made by `Farm.reserve`.  Leaving the ``with`` block ends their reservations."""

    def __init__(self, farm: Farm, boards: BoardSet) -> None:
        self._farm = farm
        self._subject = boards
        self._call_as(farm)

    def _stream(self, plan: RunPlan, bitstreams: Iterable[Any], placing: Placing) -> Iterator[Result]:
        return self._farm._results(plan, self._subject.records, map(placing.item, bitstreams), True)

    def _counted(self, results: Iterator[Result], make_bar: MakeBar) -> Iterator[Result]:
        return counted(results, make_bar)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._farm.closed:
            with leaving():
                self._bound(self._subject.leave)()


class _Feeder:
    """Pulls the items of a run in the caller's thread, and hands them over, as many as the run wants."""

    def __init__(self, engine: Engine, run: PlannedRun, items: Iterable[Item]) -> None:
        self._engine = engine
        self._run = run
        self._items = iter(items)
        self._exhausted = False

    def begin(self, needs_boards: bool) -> PendingResult[ResultBatch]:
        """Begin the run with its first items; see `PlannedRun.begin`."""
        chunk = self._pulled(self._run.first)
        try:
            return self._engine.begin(self._run.begin, chunk, self._exhausted, needs_boards)
        except KeyboardInterrupt:
            # It may come once the run has been handed over, when nothing else would stop it.
            self.stop()
            raise

    def feed(self, wanted: int) -> PendingResult[ResultBatch]:
        """Hand over so many items; the answer is of the next results, asked for with the last ones."""
        chunk: list[Item] = []
        ends = False
        while wanted > 0 and not self._exhausted:
            if chunk:
                self._engine.post(self._run.feed, chunk)
            size = min(wanted, CHUNK)
            chunk = self._pulled(size)
            ends = self._exhausted
            wanted -= size
        return self._engine.begin(self._run.exchange, chunk, ends)

    def _pulled(self, size: int) -> list[Item]:
        chunk = list(islice(self._items, size))
        self._exhausted = len(chunk) < size
        return chunk

    def stop(self) -> None:
        """Have the run stopped."""
        self._engine.post(self._run.stop)


class ArchivedRun(RunFace, Blocking):
    """A run of an experiment; made by `Farm.archived_run` and `Experiment.run`."""
