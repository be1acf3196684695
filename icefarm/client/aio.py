"""The client's asyncio API.  The engine runs in its own thread; the event loop never blocks."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Coroutine, Iterable, Mapping
from functools import partial
from typing import Any, Unpack, overload

from icefarm.client.api.adapters import Asyncio
from icefarm.client.api.boards import BoardSet, ReservedBoards
from icefarm.client.api.calibration import AsyncioFarmBoards
from icefarm.client.api.calls import AnyKindCall, MultiPulseCountCall, PulseCountCall, VarianceCall, documented_as
from icefarm.client.api.device import AwaitedDevice, AwaitedDevices
from icefarm.client.api.exit_hooks import ExitHook
from icefarm.client.api.experiments import AwaitedResults, ExperimentFace, ResultStream
from icefarm.client.api.facade import LeftAwaiting, OpenedAwaiting
from icefarm.client.api.notebook.progress_bar import MakeBar, counted_awaiting
from icefarm.client.api.process_engine import engine
from icefarm.client.evaluation.payload import Placing
from icefarm.client.evaluation.plan import CHUNK, RunPlan
from icefarm.client.evaluation.results import Result
from icefarm.client.runs.archived_run import RunFace, RunHandle
from icefarm.client.session import ClientSession, PlannedRun
from icefarm.contract import ReservationRecord

__all__ = ["ArchivedRun", "Boards", "Device", "Devices", "Experiment", "Farm", "Results"]

Devices = AwaitedDevices

#: Where the asyncio API takes bitstreams from.
Bitstreams = Iterable[Any] | AsyncIterable[Any]


class Farm(OpenedAwaiting, Asyncio):
    """A farm of boards.  ``async with Farm(url, name="exp") as farm`` signs in; leaving it ends the reservations."""

    _ending: ExitHook

    def _set_up(self) -> None:
        self._engine = engine()
        self._reactor = self._engine.reactor

    def _opened(self) -> None:
        self._ending = ExitHook(partial(self._engine.run, self._subject.stop))

    def _ended(self) -> None:
        self._ending.done()

    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[PulseCountCall]) -> Coroutine[Any, Any, Boards]: ...
    @overload
    def reserve(
        self, amount: int | None = None, **call: Unpack[MultiPulseCountCall]
    ) -> Coroutine[Any, Any, Boards]: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[VarianceCall]) -> Coroutine[Any, Any, Boards]: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[AnyKindCall]) -> Coroutine[Any, Any, Boards]: ...
    @documented_as(ClientSession.reserve)
    def reserve(self, *args: Any, **call: Any) -> Coroutine[Any, Any, Boards]:
        return self._bound(self._reserve)(*args, **call)

    @documented_as(ClientSession.adopt)
    def adopt(self, *, keep: bool = True) -> Coroutine[Any, Any, Boards]:
        return self._bound(self._adopt)(keep=keep)

    @property
    def closed(self) -> bool:
        """Whether it is not open: not yet, no longer, or opened by the parent of this forked process."""
        return super().closed or not self._ending.pending

    @property
    def boards(self) -> AsyncioFarmBoards:
        """All boards of the farm, reserved or not, to compare them."""
        return AsyncioFarmBoards(self)

    def _boards(self, boards: BoardSet) -> Boards:
        return Boards(self, boards)

    def _experiment(self, name: str, account: str | None) -> Experiment:
        return Experiment(self, name, account)

    def _run(self, handle: RunHandle) -> ArchivedRun:
        return ArchivedRun(self, handle)

    async def stream(
        self, plan: RunPlan, reservations: Mapping[str, ReservationRecord], bitstreams: Bitstreams, placing: Placing
    ) -> AsyncIterator[Result]:
        """Yield the results of a plan.  Bitstreams are read and checked in the engine's thread."""
        run = PlannedRun(self._subject, plan, reservations)
        source = _each(bitstreams)
        # An asynchronous iterable may give its next item late: each is sent at once.
        at_once = 0 if isinstance(bitstreams, AsyncIterable) else CHUNK
        done = False
        try:
            given, ends = await _some(source, min(at_once, run.first))
            batch = await self._bound(run.begin)(map(placing.item, given), ends)
            while True:
                done = batch.done
                for result in batch.results:
                    yield result
                if done:
                    return
                if batch.deserted is not None:
                    raise batch.deserted
                wanted, given = batch.wanted, []
                while wanted > 0 and not ends:
                    if given:
                        self._post(run.feed, map(placing.item, given))
                    given, ends = await _some(source, min(wanted, max(1, at_once)))
                    wanted -= len(given)
                batch = await self._bound(run.exchange)(map(placing.item, given), ends)
        finally:
            if not done:
                self._post(run.stop)


class Boards(ReservedBoards[Bitstreams, AsyncIterator[Result]], LeftAwaiting, Asyncio):
    """Reserved boards; made by `Farm.reserve`.  Leaving the ``async with`` block ends their reservations."""

    def __init__(self, farm: Farm, boards: BoardSet) -> None:
        self._farm = farm
        self._subject = boards
        self._call_as(farm)

    def _stream(self, plan: RunPlan, bitstreams: Bitstreams, placing: Placing) -> AsyncIterator[Result]:
        return self._farm.stream(plan, self._subject.records, bitstreams, placing)

    def _counted(self, results: AsyncIterator[Result], make_bar: MakeBar) -> AsyncIterator[Result]:
        return counted_awaiting(results, make_bar)


class Device(AwaitedDevice, Asyncio):
    """A reserved board with the methods of its kind, like `icefarm.client.device.Device`, but `ask` is awaited."""


class Results(AwaitedResults, Asyncio):
    """Results of an experiment: iterate with ``async for``, or await a table."""


class Experiment(ExperimentFace, Asyncio):
    """An experiment in the farm's archive, like that of the blocking API, but awaited."""

    def _results(self, stream: ResultStream) -> Results:
        return Results(self, stream)


async def _each(bitstreams: Bitstreams) -> AsyncIterator[Any]:
    if isinstance(bitstreams, AsyncIterable):
        async for bitstream in bitstreams:
            yield bitstream
    else:
        for bitstream in bitstreams:
            yield bitstream


async def _some(source: AsyncIterator[Any], most: int) -> tuple[list[Any], bool]:
    """Return the next ones, and whether there are no more."""
    given: list[Any] = []
    while len(given) < most:
        try:
            given.append(await anext(source))
        except StopAsyncIteration:
            return given, True
    return given, False


class ArchivedRun(RunFace, Asyncio):
    """A run of an experiment, like that of the blocking API, but awaited."""
