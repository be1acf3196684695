"""Carries out the evaluations of a shared board in turns: as many at a time as the board has buffers.

`icefarm.worker.reservation.deficit_round_robin` decides whose is next, as late as possible: what the board has no
buffer for waits here, not in the board's pipeline.
"""

from __future__ import annotations

from collections.abc import Container, Iterable
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.errors import InvalidArgument
from icefarm.kinds.circuit import Circuit
from icefarm.kinds.handle import Answer
from icefarm.worker.protocol.pipeline import BoardUnusable, Pipeline, TakenBack
from icefarm.worker.reservation.deficit_round_robin import DeficitRoundRobin

__all__ = ["LOADING", "LONGEST", "BoardTurns", "Turn"]

#: Seconds that loading a circuit takes, about, beside its window: it counts with the cost of an evaluation.
LOADING = 0.05
#: Seconds that one evaluation may measure, since the others wait for it.
LONGEST = 10.0


@define(eq=False)
class _Job:
    """An evaluation of one of the clients that share a board."""

    account: str
    circuit: Circuit
    parameters: bytes
    window: float
    overlap: bool
    answer: Deferred[Answer]
    #: Under which it can be taken back.
    key: str | None = None
    begun_at: float = 0.0

    @property
    def cost(self) -> float:
        """The board time that it is expected to take."""
        return self.window + LOADING


@define(eq=False)
class BoardTurns:
    """What waits for a shared board, and what the board carries out."""

    _clock: Clock
    _order: DeficitRoundRobin[_Job] = Factory(DeficitRoundRobin)
    #: That of the board, while it is usable.
    _pipeline: Pipeline | None = None
    _begun: int = 0
    #: When the board last finished an evaluation.
    _last_end: float = 0.0

    def attach(self, pipeline: Pipeline) -> None:
        """The board is usable."""
        self._pipeline = pipeline
        self._begun = 0
        self._pump()

    def detach(self) -> None:
        """The board is unusable for now; waiting evaluations keep waiting."""
        self._pipeline = None

    def fail(self, why: str) -> None:
        """The board won't be usable soon: fail all waiting evaluations."""
        while (job := self._order.next()) is not None:
            job.answer.errback(BoardUnusable(why))

    def admit(self, account: str, weight: float) -> None:
        """Let an account share the board, with so much weight beside others."""
        self._order.weigh(account, weight)

    def dismiss(self, account: str) -> None:
        """An account stops sharing the board; none of its evaluations waits."""
        self._order.forget(account)

    def evaluate(
        self, account: str, circuit: Circuit, parameters: bytes, window: float, overlap: bool, key: str | None
    ) -> Deferred[Answer]:
        """See `icefarm.worker.protocol.pipeline.Pipeline.evaluate`; one that is cancelled is not begun any more."""
        answer: Deferred[Answer] = Deferred(partial(self._drop, account))
        job = _Job(account, circuit, parameters, window, overlap, answer, key)
        self._order.add(account, job, job.cost)
        self._pump()
        return answer

    def take_back(self, account: str, keys: Container[str]) -> None:
        """See `icefarm.worker.protocol.pipeline.Pipeline.take_back`."""
        waiting = self._order.discard(account, lambda job: job.key is not None and job.key in keys)
        if self._pipeline is not None:
            self._pipeline.take_back(keys)
        for job in waiting:
            job.answer.errback(TakenBack())

    def _drop(self, account: str, answer: Deferred[Answer]) -> None:
        self._order.discard(account, lambda job: job.answer is answer)

    def _pump(self) -> None:
        while (pipeline := self._pipeline) is not None and self._begun < pipeline.buffers:
            job = self._order.next()
            if job is None:
                return
            self._begun += 1
            job.begun_at = self._clock.seconds()
            answer = pipeline.evaluate(job.circuit, job.parameters, job.window, job.overlap, job.key)
            answer.addBoth(self._ended, job, pipeline)

    def _ended(self, result: Any, job: _Job, pipeline: Pipeline) -> None:
        if not (isinstance(result, Failure) and result.check(TakenBack)):
            now = self._clock.seconds()
            took = now - max(job.begun_at, self._last_end)
            self._last_end = now
            self._order.charge(job.account, max(0.0, took - job.cost))
        if self._pipeline is pipeline:
            self._begun -= 1
            if isinstance(result, Failure) and result.check(BoardUnusable):
                # It fails its evaluations; the others wait for the board's return.
                self._pipeline = None
        # The board never waits for what follows the answer.
        self._pump()
        if not job.answer.called:
            job.answer.callback(result)


@define(eq=False)
class Turn:
    """A reservation's place among those that share a board, with its account; stands in for the board's pipeline."""

    _turns: BoardTurns
    account: str
    _reservation: str

    def evaluate(
        self, circuit: Circuit, parameters: bytes, window: float, overlap: bool, key: str | None = None
    ) -> Deferred[Answer]:
        """See `icefarm.worker.protocol.pipeline.Pipeline.evaluate`."""
        own = None if key is None else self._own(key)
        return self._turns.evaluate(self.account, circuit, parameters, window, overlap, own)

    def check(self, window: float) -> None:
        """Raise `InvalidArgument` for an evaluation that others would wait for too long."""
        if window > LONGEST:
            raise InvalidArgument(
                f"an evaluation on a shared board measures for at most {LONGEST:g} s, since others wait for it, and "
                f"this one would for {window:g} s; reserve without shared, or ask for a shorter window or fewer repeats"
            )

    def take_back(self, keys: Iterable[str]) -> None:
        """See `icefarm.worker.protocol.pipeline.Pipeline.take_back`."""
        self._turns.take_back(self.account, {self._own(key) for key in keys})

    def _own(self, key: str) -> str:
        """Return a key as this reservation's: others may use the same one."""
        return f"{self._reservation} {key}"
