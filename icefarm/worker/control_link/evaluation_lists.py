"""Evaluations that arrive in lists, for any boards of this worker, and results that leave in lists.

Theory of operation
===================
A client has one call of ``evaluate_list`` at a time that waits for results, whatever it sends meanwhile::

    call(evaluations, wait) --> each begins at its board --> its result --> Collector of the client's session
                                                                                |
            answer of the call that waits, or of the next one <---- when due ---+

What always holds:

- Each evaluation is fenced, checked and carried out as if it had come alone, and answers by itself.
- Its result is in one answer.  If that is lost with the connection, the client calls again under the same id, and gets
  the kept result (`icefarm.worker.reservation.idempotency`).  So nothing needs an acknowledgement here.
- While a call waits, something is in progress, so it is answered: the last result is due at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from attrs import Factory, define
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import from_wire
from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import EVALUATE_LIST, LIST_MOST
from icefarm.errors import IcefarmError, InternalError, InvalidArgument, NoSuchProcedure, error_to_wire
from icefarm.text.echo import without_echo
from icefarm.worker.reservation.collector import Collector, patience

__all__ = ["BoardDoor", "EvaluationLists"]

#: Seconds for which the results of a session wait that calls no more.
KEPT_FOR = 60.0
#: Bytes of a measurement beside its value, at most, and of each number of the value.
MEASUREMENT_BYTES, NUMBER_BYTES = 2048, 9

#: Makes the elements of a list distinct: the client numbers them.
_CALL, _SERIAL = "call", "serial"


class BoardDoor(Protocol):
    """Where the calls on one board arrive; `icefarm.worker.control_link.rpc.BoardProcedures` implements it."""

    async def evaluate(self, caller: Caller, arguments: dict[str, Any]) -> Any:
        """Evaluate, as the board's procedure ``evaluate`` does."""

    def in_progress(self, reservation: object) -> int:
        """Return how many evaluations the board has under a reservation; others may share it."""


@define(eq=False)
class _Outbox:
    """The results of one client's session."""

    _clock: Clock
    #: When it was last called, or had a result.
    used: float
    running: int = 0
    _collector: Collector = Factory(Collector)
    _caller: Deferred[list[Any]] | None = None
    _timer: Any = None

    @property
    def idle(self) -> bool:
        return self.running == 0 and self._caller is None

    def add(self, result: Mapping[str, Any], left: int, took: float) -> None:
        """Take a result; its board still has ``left`` evaluations, and took so many seconds."""
        self.used = now = self._clock.seconds()
        self._collector.add(result, _size(result), now + patience(left, self.running, took))
        self._schedule()

    def take(self) -> list[Any]:
        """Return what there is."""
        return self._collector.take()

    def wait(self) -> Deferred[list[Any]]:
        """Return what is due, as soon as something is; a call that waits already is answered now."""
        self._answer()
        waiting: Deferred[list[Any]] = Deferred(self._forget)
        self._caller = waiting
        self._schedule()
        return waiting

    def _forget(self, waiting: Deferred[list[Any]]) -> None:
        if self._caller is waiting:
            self._caller = None

    def _schedule(self) -> None:
        """Answer when the list is due, but first handle all that arrived together."""
        delay = self._delay()
        if self._caller is None or delay is None:
            return
        if self._timer is not None:
            if self._timer.getTime() <= self._clock.seconds() + delay:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(delay, self._look)

    def _delay(self) -> float | None:
        """Return in how many seconds the call that waits is answered; None: not before another result."""
        due = self._collector.due
        if due is None:
            return None if self.running else 0.0
        return max(0.0, due - self._clock.seconds())

    def _look(self) -> None:
        self._timer = None
        if self._delay() == 0:
            self._answer()
        else:
            self._schedule()

    def _answer(self) -> None:
        waiting, self._caller = self._caller, None
        if waiting is not None:
            waiting.callback(self.take())


@define(eq=False)
class EvaluationLists:
    """The lists of all clients of a worker, in one session of its own."""

    _clock: Clock
    #: By serial: the boards that are offered in this session.
    doors: dict[str, BoardDoor] = Factory(dict)
    #: The number of that session: what another one was sent is not known here.
    session: int | None = None
    _outboxes: dict[int, _Outbox] = Factory(dict)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    @property
    def sessions(self) -> int:
        """Sessions of clients whose results are kept."""
        return len(self._outboxes)

    async def handle(self, caller: Caller, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the evaluations of a call, and answer it with results.  Raises `InvalidArgument` if none has begun."""
        evaluations, wait = _arguments(args, kwargs)
        outbox = self._outbox(caller.session)
        outbox.running += len(evaluations)
        for each in evaluations:
            self._begin(caller, each, outbox)
        return {"results": await outbox.wait() if wait else outbox.take(), "session": self.session}

    def _outbox(self, session: int) -> _Outbox:
        now = self._clock.seconds()
        outbox = self._outboxes.get(session)
        if outbox is None:
            gone = [key for key, box in self._outboxes.items() if box.idle and now - box.used > KEPT_FOR]
            for key in gone:
                del self._outboxes[key]
            outbox = self._outboxes[session] = _Outbox(self._clock, now)
        outbox.used = now
        return outbox

    def _begin(self, caller: Caller, evaluation: Mapping[str, Any], outbox: _Outbox) -> None:
        door = self.doors.get(evaluation[_SERIAL])
        running = Deferred.fromCoroutine(self._carried_out(caller, door, evaluation))
        running.addBoth(self._ended, door, evaluation, outbox)

    async def _carried_out(self, caller: Caller, door: BoardDoor | None, evaluation: Mapping[str, Any]) -> Any:
        arguments = dict(evaluation)
        serial = arguments.pop(_SERIAL)
        del arguments[_CALL]
        if door is None:
            raise NoSuchProcedure(f"this worker does not offer board {serial} now")
        return await door.evaluate(caller, arguments)

    def _ended(self, result: Any, door: BoardDoor | None, asked: Mapping[str, Any], outbox: _Outbox) -> None:
        outbox.running -= 1
        call, left = asked[_CALL], 0 if door is None else door.in_progress(asked.get("reservation"))
        if isinstance(result, Failure):
            error = without_echo(self._explained(result), asked)
            outbox.add({_CALL: call, **error_to_wire(error)}, left, 0.0)
        else:
            outbox.add({_CALL: call, "measurement": result}, left, _duration(result))

    def _explained(self, failure: Failure) -> IcefarmError:
        error = failure.value
        if isinstance(error, IcefarmError):
            return error
        if failure.check(CancelledError) is None:
            self._log.failure("an evaluation of a list failed", failure)
        return InternalError()


def _arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], bool]:
    """Check what a list is made of.  Raises `InvalidArgument`; what is in an evaluation is checked with it."""
    given = {**dict(zip(("evaluations", "wait"), args, strict=False)), **kwargs}
    evaluations, wait = given.pop("evaluations", None), given.pop("wait", True)
    if given or len(args) > 2:
        raise InvalidArgument(f"{EVALUATE_LIST} takes (evaluations, wait)")
    if not isinstance(wait, bool):
        wait = from_wire(wait, bool, "wait")
    if not isinstance(evaluations, list | tuple) or len(evaluations) > LIST_MOST:
        raise InvalidArgument(f"evaluations must be a list of at most {LIST_MOST} mappings")
    for each in evaluations:
        if not isinstance(each, Mapping) or type(each.get(_CALL)) is not int or not isinstance(each.get(_SERIAL), str):
            raise InvalidArgument("each of evaluations must be a mapping with call (a number) and serial (text)")
    return list(evaluations), wait


def _size(result: Mapping[str, Any]) -> int:
    """Return how many bytes a result takes, at most; what only a kind of another author could answer is guessed."""
    measured = result.get("measurement")
    value = measured.get("value") if isinstance(measured, Mapping) else measured
    if value is None or isinstance(value, int | float):
        return MEASUREMENT_BYTES
    if isinstance(value, list | tuple):
        return MEASUREMENT_BYTES + NUMBER_BYTES * sum(len(each) if isinstance(each, list) else 1 for each in value)
    return MEASUREMENT_BYTES + len(repr(value))


def _duration(result: Any) -> float:
    try:
        return float(result["ended_at"] - result["started_at"])
    except (KeyError, TypeError):
        # A kind of another author may answer with anything.
        return 0.0
