"""A run of evaluations: a schedule, carried out over a client's session."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from attrs import define, field, frozen
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, succeed
from twisted.python.failure import Failure

from icefarm.client.connection.board_calls import BoardCalls
from icefarm.client.connection.link import client_log
from icefarm.client.evaluation.calibrations import KnownCalibrations
from icefarm.client.evaluation.results import Result
from icefarm.client.evaluation.resuming import Resumption, split
from icefarm.client.evaluation.run_report import CircuitKeeper, RunNotes
from icefarm.client.evaluation.scheduler import Dispatch, WorkLeft
from icefarm.client.evaluation.tasks import Blame, Item, Sending, TaskOutcome, blame
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.retry import doubled
from icefarm.contract import Measurement
from icefarm.errors import IcefarmError, InternalError, LinkLost, ReservationEnded, Withdrawn

if TYPE_CHECKING:
    from icefarm.client.evaluation.plan import RunPlan

__all__ = ["EvaluationRun", "ResultBatch", "no_board_left", "results_of"]

_log = client_log("run")
#: Where that goes.
_records = logging.getLogger("icefarm.client.run")


#: Failures in a row after which a board rests; seconds of the first rest, and of the longest: each doubles.  A
#: board that was unplugged fails within milliseconds; it must not be called, and counted as failing, for every item.
FAILURES_IN_A_ROW = 1
REST_FIRST = 0.25
REST_LONGEST = 5.0


@frozen
class ResultBatch:
    """Results since the last batch."""

    results: Sequence[Result]
    #: How many more items the run wants.
    wanted: int
    #: Every item has been answered.
    done: bool
    #: Why the run has no board left, if so.
    deserted: ReservationEnded | None


@define(eq=False)
class EvaluationRun:
    """Feed it items, take batches of results; each pair of item and board gives exactly one result.

    Neither side gets far ahead: results wait for `take`, and `ResultBatch.wanted` counts only what boards can use
    soon.
    """

    _clock: Clock
    _boards: BoardCalls
    #: The boards of the plan that are reserved now.
    _serials: Sequence[str]
    _plan: RunPlan
    #: Seconds for each attempt of one.
    _limit: float
    #: What the archive notes of each evaluation, beside the circuit's name.
    _note: Mapping[str, Any] = field(factory=dict)
    #: What is known already is answered from the archive; None: everything is measured.
    _resumption: Resumption | None = None
    #: The reports of the run to the farm; None if the farm keeps nothing of it.
    _notes: RunNotes | None = None
    #: To which results refer; None: no result has a correction.
    _calibrations: KnownCalibrations | None = None
    _dispatch: Dispatch = field(init=False)
    #: Options of each evaluation.
    _options: dict[str, Any] = field(init=False)
    _results: list[Result] = field(init=False, factory=list)
    #: What was measured since the last batch, for the run's report: measurements, and None for errors.
    _fresh: list[Measurement | None] = field(init=False, factory=list)
    _calls: dict[Sending, Deferred[Any]] = field(init=False, factory=dict)
    _taker: Deferred[ResultBatch] | None = field(init=False, default=None)
    _wake: Any = field(init=False, default=None)
    #: Failures in a row, by board; and when boards that rest are called again.
    _failures: dict[str, int] = field(init=False, factory=dict)
    _resting: dict[str, Any] = field(init=False, factory=dict)
    _over: bool = field(init=False, default=False)
    #: The look-up in the archive that is in progress, and why one failed.
    _looking: Deferred[None] | None = field(init=False, default=None)
    _trouble: IcefarmError | None = field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        plan, away = self._plan, self._boards.follow(self)
        self._options = dict(plan.options)
        self._dispatch = dispatch = Dispatch(self._serials, plan.depth, plan.fan_out, plan.look_ahead)
        for serial in away:
            dispatch.board_away(serial)
        for serial in self._boards.retiring:
            dispatch.retire(serial)

    def standing(self) -> ResultBatch:
        """Return what it takes now, before any result, as a batch."""
        work_left = self._dispatch.work_left()
        return ResultBatch((), self._wanted(work_left), False, None if work_left.boards else no_board_left())

    def _wanted(self, work_left: WorkLeft) -> int:
        return work_left.wanted if self._resumption is None else self._resumption.wanted(work_left.wanted)

    @property
    def had_boards(self) -> bool:
        """Whether it had a board when it began."""
        return bool(self._serials)

    @property
    def boards(self) -> list[str]:
        """The serials of the participating boards."""
        return self._dispatch.boards

    def feed(self, items: Iterable[Item], last: bool = False) -> None:
        """Take items; ``last`` says that these are the last."""
        if not self._over:
            self._take_in(items, last)
            self._stir()

    def _take_in(self, items: Iterable[Item], last: bool) -> None:
        if self._resumption is None:
            self._answered(self._dispatch.feed(items, last=last))
        else:
            self._resumption.add(items, last)
            self._look_up(self._resumption)

    def _look_up(self, resumption: Resumption) -> None:
        if self._looking is None and self._trouble is None:
            looking = ensureDeferred(self._resume(resumption))
            looking.addErrback(self._lost_archive)
            if not looking.called:
                self._looking = looking

    async def _resume(self, resumption: Resumption) -> None:
        """Look up what waits, batch by batch, and give the boards what is left."""
        while items := resumption.batch():
            answers, left = split(items, await resumption.look_up(items))
            self._answered(answers)
            self._answered(self._dispatch.feed(left))
            self._stir()
        self._looking = None
        if resumption.drained:
            self._dispatch.finish()
            self._stir()

    def _lost_archive(self, failure: Failure) -> None:
        self._looking = None
        if failure.check(CancelledError):
            return
        error = failure.value
        if isinstance(error, IcefarmError):
            self._trouble = error
        else:
            _log.failure("a look-up in the archive failed", failure)
            self._trouble = InternalError("an internal error of the client; its log has the details")
        self._stir()

    def begin(self, items: Sequence[Item], last: bool) -> Deferred[ResultBatch]:
        """Take the first items; return the first results if they are the last ones too, and else what it wants."""
        if last:
            return self.exchange(items, last)
        self.feed(items)
        return succeed(self.standing())

    def exchange(self, items: Sequence[Item], last: bool) -> Deferred[ResultBatch]:
        """Take items, send them at once, and return the next batch, as `take` does."""
        if not self._over and (items or last):
            self._take_in(items, last)
        taker = self._expected()
        self._look_now()
        return taker

    def take(self) -> Deferred[ResultBatch]:
        """Return the next batch as soon as there is a result, or the run needs more items."""
        taker = self._expected()
        self._stir()
        return taker

    def _expected(self) -> Deferred[ResultBatch]:
        taker: Deferred[ResultBatch] = Deferred(self._forget)
        if self._over:
            taker.errback(LinkLost("the run is over"))
        else:
            self._taker = taker
        return taker

    def add_board(self, serial: str, group: str) -> None:
        """Add a board that has joined the boards of this run."""
        if not self._over and group == self._plan.group:
            self._dispatch.add_board(serial)
            self._stir()

    def lose_board(self, serial: str, error: IcefarmError) -> None:
        """Remove a board."""
        if not self._over:
            answers, abandoned = self._dispatch.lose_board(serial, error)
            self._answered(answers)
            self._move(abandoned)

    def retire_board(self, serial: str) -> None:
        """Send nothing more to a board that is given back."""
        self._dispatch.retire(serial)

    def withdrawable(self, serial: str) -> list[str]:
        """Return the ids of evaluations on their way to a board that is given back, which others may carry out."""
        ids = (sending.task.evaluation_id for sending in self._dispatch.movable(serial))
        return [id for id in ids if id is not None]

    def uses(self, serial: str) -> bool:
        """Tell whether something for a board is on its way, or waits for it."""
        return self._dispatch.uses(serial)

    def board_away(self, serial: str) -> None:
        """Move evaluations that any board can do to boards that are present."""
        self._move(self._dispatch.board_away(serial))

    def board_back(self, serial: str) -> None:
        """Use the board again."""
        self._move(self._dispatch.board_back(serial))

    def _move(self, moved: Iterable[Sending]) -> None:
        for sending in moved:
            if sending in self._calls:
                self._calls.pop(sending).cancel()
        self._stir()

    def stop(self) -> None:
        """Cancel what is in flight.  Harmless when the run is over."""
        if self._over:
            return
        taker, self._taker = self._taker, None
        self._finish()
        if taker is not None:
            taker.errback(LinkLost("the run has been stopped"))

    def _finish(self) -> None:
        self._over = True
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if self._looking is not None:
            self._looking.cancel()
        for timer in self._resting.values():
            timer.cancel()
        self._resting.clear()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()
        self._boards.unfollow(self)
        if self._notes is not None:
            self._notes.end(self._fresh)

    def _forget(self, taker: Deferred[ResultBatch]) -> None:
        if self._taker is taker:
            self._taker = None

    def _stir(self) -> None:
        """Schedule once after all that arrived together is handled: a batch costs less than single items."""
        if self._wake is None and not self._over:
            self._wake = self._clock.callLater(0, self._look)

    def _look_now(self) -> None:
        """Schedule without waiting for the others of this turn: nothing else arrives with it."""
        if self._wake is not None:
            self._wake.cancel()
        if not self._over:
            self._look()

    def _look(self) -> None:
        self._wake = None
        sendings = self._dispatch.sendable()
        for sending in sendings:
            self._send(sending)
        if sendings:
            self._boards.flush()
        if self._taker is None or (sendings and not self._results and self._trouble is None):
            return
        if self._trouble is not None and not self._results:
            self._refuse(self._trouble)
            return
        work_left = self._dispatch.work_left()
        starved = work_left.idle and not self._dispatch.exhausted and self._looking is None
        if self._results or work_left.done or starved:
            self._deliver(work_left)

    def _refuse(self, why: IcefarmError) -> None:
        """End the run with an error."""
        taker, self._taker = self._taker, None
        self._finish()
        if taker is not None:
            taker.errback(why)

    def _deliver(self, work_left: WorkLeft) -> None:
        """Give the taker all results so far."""
        (taker, self._taker), (results, self._results) = (self._taker, None), (self._results, [])
        deserted = None if work_left.boards else no_board_left(self._dispatch.last_loss)
        wanted = self._wanted(work_left)
        if work_left.done:
            self._finish()
        elif self._notes is not None:
            fresh, self._fresh = self._fresh, []
            self._notes.count(fresh)
        if taker is not None:
            taker.callback(ResultBatch(results, wanted, work_left.done, deserted))

    def _send(self, sending: Sending) -> None:
        task, notes = sending.task, self._notes
        if task.evaluation_id is None:
            task.evaluation_id = uuid4().hex if notes is None else notes.id_for(task)
        call = {
            "evaluation_id": task.evaluation_id,
            "bitstream": task.item.payload,
            "options": self._options,
            "note": {**self._note, "circuit": task.item.name},
        }
        if notes is None or notes.keeper is None:
            evaluating = self._boards.evaluate(sending.serial, call, task.attempts, self._limit)
        else:
            evaluating = self._kept_and_evaluated(notes.keeper, sending, call)
        measuring: Deferred[Any] = ensureDeferred(evaluating)
        measuring.addCallbacks(self._measured, self._failed, callbackArgs=(sending,), errbackArgs=(sending,))
        measuring.addErrback(self._failed, sending)
        if not measuring.called:
            self._calls[sending] = measuring

    async def _kept_and_evaluated(
        self, keeper: CircuitKeeper, sending: Sending, call: Mapping[str, Any]
    ) -> Measurement:
        await keeper.keep(sending.task.item.payload)
        return await self._boards.evaluate(sending.serial, call, sending.task.attempts, self._limit)

    def _log_end(self, sending: Sending, text: str) -> None:
        """Log an evaluation's end: at level debug, since a run may have millions, and its results say the same."""
        about = {"board": sending.serial, "evaluation": sending.task.evaluation_id}
        _log.debug("evaluation {evaluation} on board {board} {text}", text=text, **about)

    def _measured(self, measured: Measurement, sending: Sending) -> None:
        if _records.isEnabledFor(logging.DEBUG):
            self._log_end(sending, "done")
        self._calls.pop(sending, None)
        if self._over:
            return
        self._answered(self._dispatch.succeeded(sending, measured))
        self._worked(sending.serial)
        if self._dispatch.idle:
            self._look_now()
        else:
            self._stir()

    def _failed(self, failure: Failure, sending: Sending) -> None:
        """Answer an item, or send it elsewhere; also one whose call was cancelled, or failed through a bug."""
        error = failure.value
        if not isinstance(error, IcefarmError):
            # A run that is over has cancelled its calls: what that raises in them is nobody's.
            if not self._over and failure.check(CancelledError) is None:
                _log.failure("an evaluation failed", failure)
            error = InternalError("an internal error of the client; its log has the details")
        elif _records.isEnabledFor(logging.DEBUG):
            self._log_end(sending, f"failed: {error.name}: {error}")
        self._calls.pop(sending, None)
        if self._over:
            return
        if isinstance(error, Withdrawn) and sending.task.pinned is None:
            sending.task.attempts.withdrawn()
            self._dispatch.returned(sending)
        else:
            self._answered(self._dispatch.failed(sending, error))
            self._blamed(sending.serial, error)
        self._stir()

    def _blamed(self, serial: str, error: IcefarmError) -> None:
        """Lose a board that is gone; let one that fails again and again rest, each time for longer."""
        fault = blame(error)
        if fault is Blame.GONE:
            self.lose_board(serial, error)
        elif fault is Blame.BOARD and serial not in self._resting:
            failures = self._failures[serial] = self._failures.get(serial, 0) + 1
            if failures > FAILURES_IN_A_ROW:
                delay = doubled(REST_FIRST, failures - FAILURES_IN_A_ROW - 1, REST_LONGEST)
                self._dispatch.rest(serial)
                self._resting[serial] = self._clock.callLater(delay, self._rested, serial)

    def _worked(self, serial: str) -> None:
        self._failures.pop(serial, None)
        if serial in self._resting:
            self._resting[serial].cancel()
            self._rested(serial)

    def _rested(self, serial: str) -> None:
        del self._resting[serial]
        self._dispatch.wake(serial)
        self._stir()

    def _answered(self, answers: Iterable[TaskOutcome]) -> None:
        for answer in answers:
            item, measured = answer.item, answer.result
            if measured is not None and measured.calibration is not None:
                self._learn(measured.calibration)
            if self._notes is not None and not answer.archived:
                self._fresh.append(measured)
            known = {} if self._calibrations is None else self._calibrations.by_id
            self._results.append(
                Result(item.source, answer.serial, measured, answer.error, item.placement, answer.archived, known)
            )

    def _learn(self, calibration: str) -> None:
        """Learn a calibration that a measurement names, unless it is known; its result looks it up later."""
        if self._calibrations is not None and calibration not in self._calibrations.by_id:
            self._calibrations.learn_later(calibration)


async def results_of(run: EvaluationRun, items: Iterable[Item]) -> AsyncIterator[Result]:
    """Feed a run with ``items``, pulled as boards need them, and yield its results as they arrive.

    Raises `ReservationEnded` if no board is left and there are still items.
    """
    source: Iterator[Item] = iter(items)
    batch = run.standing()
    try:
        while True:
            for result in batch.results:
                yield result
            if batch.done:
                return
            if batch.deserted is not None:
                raise batch.deserted
            fed = list(islice(source, batch.wanted))
            run.feed(fed, last=len(fed) < batch.wanted)
            batch = await run.take()
    finally:
        run.stop()


def no_board_left(why: IcefarmError | None = None) -> ReservationEnded:
    """Return the error of a run that has no board left; ``why`` is how it lost the last one."""
    reason = "all their reservations have ended" if why is None else why.message
    return ReservationEnded(f"no board is left: {reason}")
