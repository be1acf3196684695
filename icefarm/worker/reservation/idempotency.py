"""Evaluations under ids that clients choose: each is carried out once, and a repeated call gets the same answer."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine, Hashable
from typing import Any, Protocol

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.python.failure import Failure

from icefarm.errors import Busy, IcefarmError, InvalidArgument, Withdrawn

__all__ = ["Evaluations", "Outcomes", "check_id"]

#: Carries an evaluation out.
Evaluate = Callable[[], Coroutine[Deferred[Any], Any, Any]]

#: Results kept for repeated calls, for each reservation of a board: several times as many as may be in progress.  At
#: about 1 kB each, they take little memory even with hundreds of boards.
KEPT = 512
#: Evaluations that may run or wait at one board; clients need a handful.
RUNNING = 128
#: Longest evaluation id, in characters.
LONGEST_ID = 64


class Outcomes(Protocol):
    """Receives the outcomes of evaluations; `icefarm.worker.archive.recorder.ReservationRows` archives it."""

    def keep(self, evaluation_id: str, note: Any, result: Any) -> None:
        """An evaluation gave a result, or a Failure; the calls that wait for it are not answered yet."""

    def lull(self) -> None:
        """Nothing is in progress now."""

    def resume(self) -> None:
        """Something is in progress again."""


class EvaluationCounter(Protocol):
    """Counts evaluations; `icefarm.worker.protocol.health.Tally` does."""

    def evaluated(self, error: BaseException | None) -> None:
        """An evaluation ended: with a result, or with an error."""


@define(eq=False)
class _Running:
    """An evaluation in progress and the calls that wait for it."""

    content: int
    #: The client's note about it.
    note: Any
    task: Deferred[Any] | None = None
    waiting: list[Deferred[Any]] = Factory(list)

    def join(self) -> Deferred[Any]:
        """Wait for the result; cancelling the wait does not end the evaluation."""
        waiter: Deferred[Any] = Deferred(self.waiting.remove)
        self.waiting.append(waiter)
        return waiter

    def leave(self) -> list[Deferred[Any]]:
        """Return the calls that wait for the result, and forget them."""
        waiting, self.waiting = self.waiting, []
        return waiting


@define(eq=False)
class Evaluations:
    """The evaluations of one reservation of one board."""

    #: Counts each evaluation that ends.
    _tally: EvaluationCounter
    _outcomes: Outcomes | None = None
    _running: dict[str, _Running] = Factory(dict)
    _kept: OrderedDict[str, tuple[int, Any]] = Factory(OrderedDict)
    #: The latest call that a kept result answered, where it was not the first.
    _calls: dict[str, int] = Factory(dict)

    def once(self, evaluation_id: str, content: Hashable, evaluate: Evaluate, note: Any = None) -> Deferred[Any]:
        """Evaluate, or join, or return the kept result; see `icefarm.kinds.DeviceHandle.once`."""
        check_id(evaluation_id)
        fingerprint = hash(content)
        known = self._kept.get(evaluation_id)
        if known is not None:
            _check_same(known[0], fingerprint, evaluation_id)
            self._answered_again(evaluation_id, note, known[1])
            answer: Deferred[Any] = Deferred()
            answer.callback(known[1])
            return answer
        running = self._running.get(evaluation_id)
        if running is not None:
            _check_same(running.content, fingerprint, evaluation_id)
            if note is not None and running.note is not None and note.attempt > running.note.attempt:
                running.note = note
            return running.join()
        return self._start(evaluation_id, fingerprint, evaluate, note)

    def end(self, error: IcefarmError) -> None:
        """End running evaluations: waiting calls get ``error``."""
        running, self._running = self._running, {}
        for evaluation in running.values():
            for waiter in evaluation.leave():
                waiter.callback(Failure(error))
            if evaluation.task is not None:
                evaluation.task.cancel()

    def _start(self, evaluation_id: str, fingerprint: int, evaluate: Evaluate, note: Any) -> Deferred[Any]:
        if len(self._running) >= RUNNING:
            raise Busy(f"{RUNNING} evaluations wait for this board already; send more as results arrive")
        is_first = not self._running
        running = self._running[evaluation_id] = _Running(fingerprint, note)
        waiter = running.join()
        if self._outcomes is not None and is_first:
            self._outcomes.resume()
        running.task = ensureDeferred(evaluate())
        running.task.addBoth(self._finished, evaluation_id, running)
        return waiter

    def _finished(self, result: Any, evaluation_id: str, running: _Running) -> None:
        if self._running.get(evaluation_id) is running:
            del self._running[evaluation_id]
        waiting = running.leave()
        begun = not isinstance(result, Failure) or result.check(CancelledError, Withdrawn) is None
        if begun:
            self._tally.evaluated(result.value if isinstance(result, Failure) else None)
            # Only then is it answered.
            if self._outcomes is not None and running.note is not None:
                self._outcomes.keep(evaluation_id, running.note, result)
        if not isinstance(result, Failure):
            self._kept[evaluation_id] = (running.content, result)
            if len(self._kept) > KEPT:
                forgotten, _ = self._kept.popitem(last=False)
                self._calls.pop(forgotten, None)
        if self._outcomes is not None and not self._running:
            self._outcomes.lull()
        for waiter in waiting:
            waiter.callback(result)

    def _answered_again(self, evaluation_id: str, note: Any, result: Any) -> None:
        """Archive a kept result under the later call that it answers: another board may have been called meanwhile."""
        if self._outcomes is not None and note is not None and note.attempt > self._calls.get(evaluation_id, 1):
            self._calls[evaluation_id] = note.attempt
            self._outcomes.keep(evaluation_id, note, result)


def check_id(evaluation_id: str) -> None:
    """Raise `InvalidArgument` for an id that no evaluation has."""
    if not 0 < len(evaluation_id) <= LONGEST_ID:
        raise InvalidArgument(f"an evaluation_id has 1 to {LONGEST_ID} characters, not {len(evaluation_id)}")


def _check_same(content: int, other: int, evaluation_id: str) -> None:
    if content != other:
        raise InvalidArgument(f"evaluation_id {evaluation_id!r} was used for another evaluation; choose a new one")
