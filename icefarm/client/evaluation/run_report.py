"""Tells the farm of runs: when they begin, and how they ended.

This costs an evaluation nothing: its id is a number in the run instead of a random one, and reports are
gathered, so that a script of many short runs makes few calls.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any, Protocol

from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, TimeoutError

from icefarm.bitstream import compress
from icefarm.bus import Bus
from icefarm.client.connection.link import client_log
from icefarm.client.evaluation.tasks import Task
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks, shielded
from icefarm.contract import Measurement, RunReport, control_procedure, to_wire
from icefarm.errors import Busy, IcefarmError, LimitReached, LinkLost, NoSuchProcedure, TimedOut
from icefarm.runs.numbers import evaluation_id
from icefarm.text.counts import counted

__all__ = ["CircuitKeeper", "RunNotes", "RunReporter"]

#: Seconds between two calls, so that short runs are told of together, and reports of one call.
GATHER, TOGETHER = 0.5, 100
#: Seconds that closing a client waits for its last reports.
FLUSH = 1.0
#: Evaluations of which a report says how often they were attempted.
MOST_RETRIED = 10_000
#: Errors that pass.
_PASSING = (Busy, LimitReached, LinkLost, NoSuchProcedure, TimedOut)
#: Seconds until a report is tried again; seconds for a call; and runs whose reports are kept meanwhile.
PAUSE, CALL_LIMIT, MOST_WAITING = 10.0, 30.0, 10_000

_log = client_log("runs")


class ReportLink(Protocol):
    """A session with the farm; `icefarm.client.connection.link.FarmLink` is one."""

    @property
    def bus(self) -> Bus | None:
        """The session; None while there is none."""


@define(eq=False)
class RunReporter:
    """The reports of one client, one call at a time."""

    clock: Clock
    link: ReportLink
    #: The runs that are still to be told of, by number.
    _waiting: dict[str, RunNotes] = Factory(dict)
    _sending: Deferred[None] | None = None
    _timer: Any = None
    _off: bool = False
    #: Nobody had the procedure: control is away, or it is older.
    _deaf: bool = False
    _tasks: Tasks = Factory(Tasks)

    def tell(self, run: RunNotes) -> None:
        """Report a run, soon, as it stands then."""
        if not self._off:
            self._waiting[run.number] = run
            if self._timer is None and self._sending is None:
                self._begin()

    async def flush(self) -> None:
        """Tell what is still to be told, in a bounded time."""
        # What waits now may wait for the call that is under way.
        for _ in range(2):
            self._cancel_timer()
            if self._sending is None:
                self._begin()
            if self._sending is None:
                return
            try:
                await shielded(self._sending).addTimeout(FLUSH, self.clock)  # type: ignore[arg-type]
            except TimeoutError:
                _log.warn(
                    "could not report to the farm how {runs} ended", runs=counted(max(1, len(self._waiting)), "run")
                )
                return
            if self._deaf:
                return

    def stop(self) -> None:
        """Tell nothing more."""
        self._off = True
        self._tasks.stop()
        self._cancel_timer()

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _begin(self) -> None:
        self._timer = None
        if not self._waiting:
            return
        self._sending = Deferred()
        self._tasks.start("reports of runs", self._send)

    async def _send(self) -> None:
        runs = list(self._waiting.values())[:TOGETHER]
        for run in runs:
            del self._waiting[run.number]
        pause = GATHER
        try:
            await self._tell([run.report() for run in runs])
            self._deaf = False
        except _PASSING as error:
            self._waiting = {**{run.number: run for run in runs}, **self._waiting}
            self._deaf = isinstance(error, NoSuchProcedure)
            pause = PAUSE if self._deaf else GATHER
            self._forget_oldest()
            _log.debug("the farm was not told of runs: {error}", error=error)
        finally:
            done, self._sending = self._sending, None
            if not self._off:
                # Even if nothing waits: runs that end within that time are reported together.
                self._timer = self.clock.callLater(pause, self._begin)
            if done is not None:
                done.callback(None)

    async def _tell(self, reports: list[RunReport]) -> None:
        """Send reports; one that the farm refuses costs no other.  Raises errors that pass."""
        try:
            await self._call({"runs": [to_wire(report) for report in reports]})
        except _PASSING:
            raise
        except IcefarmError as error:
            if len(reports) == 1:
                number = reports[0].number
                _log.warn("the farm keeps no record of run {number}: {error}", number=number, error=error)
                return
            # After an error that passes, all are sent again, which changes nothing for those that had arrived.
            for report in reports:
                await self._tell([report])

    async def _call(self, arguments: Mapping[str, Any]) -> None:
        bus = self.link.bus
        if bus is None:
            raise LinkLost("the farm is out of reach")
        await bus.call(control_procedure("run_report"), (), arguments, timeout=CALL_LIMIT)

    def _forget_oldest(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]


@define(eq=False)
class CircuitKeeper:
    """Has the farm keep the circuits of a run, each before it is evaluated; what is there already is not sent."""

    #: Calls one of control's procedures.
    call: Callable[..., Coroutine[Any, Any, Any]]
    number: str
    _kept: set[str] = Factory(set)
    _off: bool = False

    async def keep(self, payload: Mapping[str, Any]) -> None:
        """Have a circuit kept.  A farm that does not is warned of once, and the run goes on."""
        sha256 = payload["sha256"]
        if self._off or sha256 in self._kept:
            return
        try:
            if not await self.call("circuit_keep", run=self.number, sha256=sha256):
                await self.call("circuit_keep", run=self.number, sha256=sha256, **_packed(payload))
        except IcefarmError as error:
            self._off = True
            _log.warn("circuits of this run are not kept from here on: {error}", error=error)
        else:
            self._kept.add(sha256)


def _packed(payload: Mapping[str, Any]) -> dict[str, Any]:
    if "lz4" in payload:
        return {"block": payload["lz4"], "length": payload["length"]}
    return {"block": compress(payload["plain"]), "length": len(payload["plain"])}


@define(eq=False)
class RunNotes:
    """What one run has to tell.  A report is made when it is sent, and not while an evaluation waits to begin."""

    reporter: RunReporter
    number: str
    #: Makes the report of its beginning.
    _make: Callable[[str], RunReport]
    #: None: the farm keeps no circuits of the run.
    keeper: CircuitKeeper | None = None
    _begun: bool = False
    _ended: bool = False
    _results: int = 0
    _failures: int = 0
    _retried: dict[str, int] = Factory(dict)
    #: How often a bitstream came without its place in the run; and the number of each board that some are for.
    _unplaced: int = 0
    _boards: dict[str, int] = Factory(dict)

    def id_for(self, task: Task) -> str:
        """Return the id of an evaluation, which says where it stands in the run."""
        if not self._begun:
            self._begun = True
            self.reporter.tell(self)
        placement: Mapping[str, Any] | None = task.item.placement
        index = None if placement is None else placement.get("index")
        if index is None:
            index, self._unplaced = self._unplaced, self._unplaced + 1
        board = 0 if task.pinned is None else self._boards.setdefault(task.pinned, len(self._boards) + 1)
        return evaluation_id(self.number, index, board)

    def count(self, answers: Iterable[Measurement | None]) -> None:
        """Count evaluations that are answered: with a measurement, or an error."""
        for measured in answers:
            if measured is None:
                self._failures += 1
                continue
            self._results += 1
            if measured.attempt > 1 and len(self._retried) < MOST_RETRIED:
                self._retried[measured.evaluation_id] = measured.attempt

    def end(self, answers: Iterable[Measurement | None] = ()) -> None:
        """Tell that the run has ended, after these answers."""
        self.count(answers)
        if self._begun and not self._ended:
            self._ended = True
            self.reporter.tell(self)

    def report(self) -> RunReport:
        """Return what to tell the farm now."""
        begun = self._make(self.number)
        if not self._ended:
            return begun
        return evolve(begun, ended=True, results=self._results, failures=self._failures, retried=self._retried)
