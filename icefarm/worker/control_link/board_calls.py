"""Calls of clients on boards that they have reserved: one at a time, and evaluations in lists for many boards.

Theory of operation of lists
============================
A client has one call of ``evaluate_list`` at a time that waits for results, whatever it sends meanwhile::

    call(evaluations, wait) --> each begins at its board --> its result --> Collector of the client's session
                                                                                |
            answer of the call that waits, or of the next one <---- when due ---+

What always holds:

- Each evaluation is fenced, checked and carried out as if it had come alone, and is answered separately.
- Its result is in one answer.  If that is lost with the connection, the client calls again under the same id, and gets
  the kept result (`icefarm.worker.reservation.idempotency`).  So nothing needs an acknowledgement here.
- While a call waits, something is in progress, so it is answered: the last result is due at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from attrs import Factory, define, frozen
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.arguments import from_wire
from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.contract import EVALUATE_LIST, LIST_MOST, device_prefix, without_asked
from icefarm.errors import (
    IcefarmError,
    InternalError,
    InvalidArgument,
    NoSuchProcedure,
    NotYours,
    ReservationEnded,
    UnknownBitstream,
    Withdrawn,
    error_to_wire,
)
from icefarm.kinds.registry import EVALUATE
from icefarm.text.echo import without_echo
from icefarm.worker.archive.recorder import Recorder
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.control_link.settling import Settling
from icefarm.worker.reservation.board_reservation import BoardReservation
from icefarm.worker.reservation.collector import Collector

__all__ = ["BoardDoor", "BoardProcedures", "EvaluationLists"]

#: A sign of life, which the client of a board asks for before it waits on; the answer says what the worker knows.
PING = "ping"
#: Begins none of these evaluations: ``(reservation, evaluations)``, a list of ids.
WITHDRAW = "withdraw"
#: Seconds for which the worker keeps results of a session that has stopped calling.
KEPT_FOR = 60.0

#: Makes the elements of a list distinct: the client numbers them.
_CALL, _SERIAL = "call", "serial"
#: Arguments of a list.
_TAKEN = ("evaluations", "wait", "brief")


class BoardDoor(Protocol):
    """Where evaluations for one board arrive; `BoardProcedures` implements it."""

    def evaluate(self, caller: Caller, arguments: dict[str, Any]) -> Awaitable[Any]:
        """Evaluate, as the board's procedure ``evaluate`` does.  Raises what that does, or fails with it."""


@define(eq=False)
class _Outbox:
    """The results of one client's session."""

    _clock: Clock
    #: When it was last called, or had a result.
    used: float
    #: Evaluations that have no result yet: in all, and at each board.
    running: int = 0
    _at_board: Counter[str] = Factory(Counter)
    collector: Collector = Factory(Collector)
    _caller: Deferred[list[Any]] | None = None
    _timer: Any = None

    @property
    def idle(self) -> bool:
        return self.running == 0 and self._caller is None

    def expect(self, evaluations: Sequence[Mapping[str, Any]]) -> None:
        """Expect a result of each of these."""
        self.running += len(evaluations)
        self._at_board.update(each[_SERIAL] for each in evaluations)

    def one_less(self, serial: str) -> int:
        """Count a result that a board gives now; return how many more it is to give."""
        self.used = self._clock.seconds()
        self.running -= 1
        left = self._at_board[serial] = self._at_board[serial] - 1
        if left == 0:
            del self._at_board[serial]
        return left

    def take(self) -> list[Any]:
        """Return all results so far."""
        return self.collector.take()

    def wait(self) -> Deferred[list[Any]]:
        """Return what is due, as soon as something is; a call that waits already is answered now."""
        self._answer()
        waiting: Deferred[list[Any]] = Deferred(self._forget)
        self._caller = waiting
        self.schedule()
        return waiting

    def _forget(self, waiting: Deferred[list[Any]]) -> None:
        if self._caller is waiting:
            self._caller = None

    def schedule(self) -> None:
        """Answer when the list is due, but first handle all that arrived together, if anything else can arrive."""
        delay = self._delay()
        if self._caller is None or delay is None:
            return
        if self.running == 0:
            self._answer()
            return
        if self._timer is not None:
            if self._timer.getTime() <= self._clock.seconds() + delay:
                return
            self._timer.cancel()
        self._timer = self._clock.callLater(delay, self._look)

    def _delay(self) -> float | None:
        """Return in how many seconds the call that waits is answered; None: not before another result."""
        due = self.collector.due
        if due is None:
            return None if self.running else 0.0
        return max(0.0, due - self._clock.seconds())

    def _look(self) -> None:
        self._timer = None
        if self._delay() == 0:
            self._answer()
        else:
            self.schedule()

    def _answer(self) -> None:
        waiting, self._caller = self._caller, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if waiting is not None:
            waiting.callback(self.take())


@define(eq=False)
class EvaluationLists:
    """The lists of all clients of a worker, in one session of its own."""

    _clock: Clock
    #: By serial: the boards that are offered in this session.
    doors: dict[str, BoardDoor] = Factory(dict)
    #: The number of that session: bitstreams sent in another one are not known here.
    session: int | None = None
    #: Writes down what was measured, before an answer leaves.
    recorder: Recorder = Factory(lambda self: Recorder(self._clock), takes_self=True)
    _outboxes: dict[int, _Outbox] = Factory(dict)
    _log: Logger = Factory(partial(Logger, namespace="icefarm.worker"))

    @property
    def sessions(self) -> int:
        """Sessions of clients whose results are kept."""
        return len(self._outboxes)

    async def handle(self, caller: Caller, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Begin the evaluations of a call, and answer it with results.  Raises `InvalidArgument` if none has begun."""
        evaluations, wait, brief = _arguments(args, kwargs)
        outbox = self._outbox(caller.session)
        outbox.expect(evaluations)
        for each in evaluations:
            self._begin(caller, each, outbox, brief)
        results = await outbox.wait() if wait else outbox.take()
        self.recorder.flush()
        return {"results": results, "session": self.session}

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

    def _begin(self, caller: Caller, evaluation: Mapping[str, Any], outbox: _Outbox, brief: bool) -> None:
        running = _begun(self._carried_out, caller, evaluation)
        running.addBoth(self._ended, evaluation, outbox, brief)

    def _carried_out(self, caller: Caller, evaluation: Mapping[str, Any]) -> Awaitable[Any]:
        arguments = dict(evaluation)
        serial = arguments.pop(_SERIAL)
        del arguments[_CALL]
        door = self.doors.get(serial)
        if door is None:
            raise NoSuchProcedure(f"this worker does not offer board {serial} now")
        return door.evaluate(caller, arguments)

    def _ended(self, result: Any, asked: Mapping[str, Any], outbox: _Outbox, brief: bool) -> None:
        left = outbox.one_less(asked[_SERIAL])
        if isinstance(result, Failure):
            answer = error_to_wire(without_echo(self._explained(result), asked))
        else:
            answer = {"measurement": without_asked(result, asked) if brief else result}
        outbox.collector.collect({_CALL: asked[_CALL], **answer}, outbox.used, left, outbox.running)
        outbox.schedule()

    def _explained(self, failure: Failure) -> IcefarmError:
        error = failure.value
        if isinstance(error, IcefarmError):
            return error
        if failure.check(CancelledError) is None:
            self._log.failure("an evaluation of a list failed", failure)
        return InternalError()


def _begun(begin: Callable[..., Awaitable[Any]], *args: Any) -> Deferred[Any]:
    """Return what a function gives that is awaited, or its error."""
    try:
        begun = begin(*args)
    except Exception:
        return fail()
    return begun if isinstance(begun, Deferred) else Deferred.fromCoroutine(_awaited(begun))


async def _awaited(begun: Awaitable[Any]) -> Any:
    return await begun


def _arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[list[Mapping[str, Any]], bool, bool]:
    """Check the arguments of a list.  Raises `InvalidArgument`; what is in an evaluation is checked with it."""
    given = {**dict(zip(_TAKEN, args, strict=False)), **kwargs}
    evaluations, wait, brief = given.pop("evaluations", None), given.pop("wait", True), given.pop("brief", False)
    if given or len(args) > len(_TAKEN):
        raise InvalidArgument(f"{EVALUATE_LIST} takes ({', '.join(_TAKEN)})")
    if not isinstance(wait, bool) or not isinstance(brief, bool):
        wait, brief = from_wire(wait, bool, "wait"), from_wire(brief, bool, "brief")
    if not isinstance(evaluations, list | tuple) or len(evaluations) > LIST_MOST:
        raise InvalidArgument(f"evaluations must be a list of at most {LIST_MOST} mappings")
    for each in evaluations:
        if not isinstance(each, Mapping) or type(each.get(_CALL)) is not int or not isinstance(each.get(_SERIAL), str):
            raise InvalidArgument("each of evaluations must be a mapping with call (a number) and serial (text)")
    return list(evaluations), wait, brief


@frozen
class BoardProcedures(BoardDoor):
    """``icefarm.v1.device.<serial>.*``: calls of clients on boards that they have reserved."""

    _board: ManagedBoard
    _settling: Settling
    #: Those of the whole worker.
    _lists: EvaluationLists
    prefix: str

    @classmethod
    def of(cls, board: ManagedBoard, settling: Settling, lists: EvaluationLists) -> BoardProcedures:
        return cls(board, settling, lists, device_prefix(board.serial))

    async def handle(self, caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Carry out a call (`icefarm.bus.Handler`)."""
        if not self._settling.settled:
            await self._settling.wait()
        method = procedure.removeprefix(self.prefix)
        if method == EVALUATE_LIST:
            return await self._lists.handle(caller, args, kwargs)
        try:
            return await self._called(caller, method, args, dict(kwargs))
        finally:
            self._lists.recorder.flush()

    def evaluate(self, caller: Caller, arguments: dict[str, Any]) -> Deferred[Any]:
        return self._called(caller, EVALUATE, (), arguments)

    def _called(self, caller: Caller, method: str, args: Sequence[Any], arguments: dict[str, Any]) -> Deferred[Any]:
        name, args = _reservation(args, arguments)
        evaluation = arguments.get("evaluation_id")
        reservation = self._admitted(caller, name)
        if method == PING:
            return succeed({"lists": True, "deltas": True, "withdraw": True, "brief": True})
        if method == WITHDRAW:
            reservation.withdraw(_ids_to_withdraw(args, arguments))
            return succeed(None)
        answer = _begun(reservation.call, method, args, arguments)
        if isinstance(evaluation, str):
            answer.addCallbacks(self._done, self._failed, (name, evaluation), errbackArgs=(name, evaluation))
        return answer

    def _done(self, answer: Any, name: str, evaluation: str) -> Any:
        if self._board.logs_evaluations:
            self._board.evaluation_done(name, evaluation)
        return answer

    def _failed(self, failure: Failure, name: str, evaluation: str) -> Failure:
        # Those have not begun: the client sends the whole bitstream next, or sends it elsewhere.
        if isinstance(failure.value, IcefarmError) and failure.check(UnknownBitstream, Withdrawn) is None:
            self._board.evaluation_failed(name, evaluation, failure.value)
        return failure

    def _admitted(self, caller: Caller, name: str) -> BoardReservation:
        """Return the caller's reservation of the board.  Raises `NotYours`, `ReservationEnded`."""
        board, serial, others = self._board, self._board.serial, self._board.reservation
        mine = None if others is None else others.find(name)
        if mine is not None and mine.client == caller.authid:
            return mine
        if mine is None and (others is None or others.is_held_by(caller.authid) or board.was_held(caller.authid, name)):
            raise ReservationEnded(f"reservation {name!r} of board {serial} has ended; reserve again", serial=serial)
        raise NotYours(f"board {serial} is reserved by another client", serial=serial)


def _reservation(args: Sequence[Any], arguments: dict[str, Any]) -> tuple[str, Sequence[Any]]:
    """Take the reservation out of the arguments of a call, of which it is the first; return it, and the other ones."""
    if "reservation" in arguments:
        name = arguments.pop("reservation")
    elif args:
        name, *args = args
    else:
        raise InvalidArgument("reservation is missing: a call to a board must name its reservation")
    return name if isinstance(name, str) else from_wire(name, str, "reservation"), args


def _ids_to_withdraw(args: Sequence[Any], arguments: Mapping[str, Any]) -> list[str]:
    """Return the argument of ``withdraw``: the ids of evaluations that the board is not to begin."""
    given = args[0] if args else arguments.get("evaluations")
    return list(from_wire(given, list[str], "evaluations"))
