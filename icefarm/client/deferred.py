"""The client's API for Twisted applications: it runs on their own reactor, and its verbs return Deferreds.

A Deferred takes callbacks, and can be awaited in a coroutine that Twisted runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any, Unpack, overload

from twisted.internet.defer import Deferred

from icefarm.client.api.adapters import OnReactor
from icefarm.client.api.boards import BoardSet, ReservedBoards
from icefarm.client.api.calibration import OnReactorFarmBoards
from icefarm.client.api.calls import AnyKindCall, MultiPulseCountCall, PulseCountCall, VarianceCall, documented_as
from icefarm.client.api.device import AwaitedDevice, AwaitedDevices
from icefarm.client.api.experiments import AwaitedResults, ExperimentFace, ResultStream
from icefarm.client.api.facade import LeftAwaiting, OpenedAwaiting
from icefarm.client.api.notebook.progress_bar import MakeBar, counted_awaiting
from icefarm.client.evaluation.payload import Placing
from icefarm.client.evaluation.plan import RunPlan
from icefarm.client.evaluation.results import Result
from icefarm.client.evaluation.run import results_of
from icefarm.client.runs.archived_run import RunFace, RunHandle
from icefarm.client.session import ClientSession

__all__ = ["ArchivedRun", "Boards", "Device", "Devices", "Experiment", "Farm", "Results"]

Devices = AwaitedDevices


class Farm(OpenedAwaiting, OnReactor):
    """A farm of boards: ``async with Farm(reactor, url, name="exp") as farm``, or `open` and `close`.

    Reservations end when it closes, and when the reactor stops.
    """

    _trigger: Any = None

    def __init__(self, reactor: Any, url: str | None = None, name: str | None = None, **keywords: Any) -> None:
        """Take the application's reactor; the other arguments are those of `icefarm.client.Farm`."""
        self._reactor = reactor
        super().__init__(url, name, **keywords)

    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[PulseCountCall]) -> Deferred[Boards]: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[MultiPulseCountCall]) -> Deferred[Boards]: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[VarianceCall]) -> Deferred[Boards]: ...
    @overload
    def reserve(self, amount: int | None = None, **call: Unpack[AnyKindCall]) -> Deferred[Boards]: ...
    @documented_as(ClientSession.reserve)
    def reserve(self, *args: Any, **call: Any) -> Deferred[Boards]:
        return self._bound(self._reserve)(*args, **call)

    @documented_as(ClientSession.adopt)
    def adopt(self, *, keep: bool = True) -> Deferred[Boards]:
        return self._bound(self._adopt)(keep=keep)

    def _opened(self) -> None:
        self._trigger = self._reactor.addSystemEventTrigger(
            "before", "shutdown", lambda: Deferred.fromCoroutine(self.close())
        )

    def _ended(self) -> None:
        self._reactor.removeSystemEventTrigger(self._trigger)

    @property
    def boards(self) -> OnReactorFarmBoards:
        """All boards of the farm, reserved or not, to compare them."""
        return OnReactorFarmBoards(self)

    def _boards(self, boards: BoardSet) -> Boards:
        return Boards(boards)

    def _experiment(self, name: str, account: str | None) -> Experiment:
        return Experiment(self, name, account)

    def _run(self, handle: RunHandle) -> ArchivedRun:
        return ArchivedRun(self, handle)


class Boards(ReservedBoards[Iterable[Any], AsyncIterator[Result]], LeftAwaiting, OnReactor):
    """Reserved boards; made by `Farm.reserve`.  Leaving the ``async with`` block ends their reservations."""

    def __init__(self, boards: BoardSet) -> None:
        self._subject = boards

    async def _stream(self, plan: RunPlan, bitstreams: Iterable[Any], placing: Placing) -> AsyncIterator[Result]:
        run = self._subject.session.run(plan, self._subject.records)
        results = results_of(run, map(placing.item, bitstreams))
        async for result in results:
            yield result

    def _counted(self, results: AsyncIterator[Result], make_bar: MakeBar) -> AsyncIterator[Result]:
        return counted_awaiting(results, make_bar)


class Device(AwaitedDevice, OnReactor):
    """A reserved board with the methods of its kind, like `icefarm.client.device.Device`; `ask` returns a Deferred."""


class Results(AwaitedResults, OnReactor):
    """Results of an experiment: iterate with ``async for``; tables are Deferreds."""


class Experiment(ExperimentFace, OnReactor):
    """An experiment in the farm's archive, like that of the blocking API; its verbs return Deferreds."""

    def _results(self, stream: ResultStream) -> Results:
        return Results(self, stream)


class ArchivedRun(RunFace, OnReactor):
    """A run of an experiment, like that of the blocking API; its verbs return Deferreds."""
