"""Evaluations on their way to workers in lists: those of one turn of the reactor together, and their results together.

Theory of operation
===================
::

    evaluate --> _unsent --once a turn--> evaluate_list --> _pending --results of any of its calls--> answered
                                               |
                                               +-- one call at a time waits for results

What always holds:

- An evaluation is in ``_unsent`` or in ``_pending`` until it is answered, its time is over, or its caller gives up.
- While something is pending, a call waits for results, or one will be sent this turn.
- A call that fails takes along all that is pending at that worker: with a lost connection they fail with it, and their
  callers call again.  With any other error each is called for alone (`Alone`), so that none suffers for another one.
- What a worker knows nothing of fails as with a lost connection: it was sent before a call whose answer names another
  session of the worker, or before the call that waits is answered without a result, since nothing is in progress then.
- What is called again has the id that it had, so the worker carries nothing out twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import count
from math import inf
from typing import Any

from attrs import Factory, define, frozen
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from icefarm.bus import Bus
from icefarm.client.connection.leases import Lease
from icefarm.concurrency.clock import Clock
from icefarm.contract import EVALUATE_LIST, LIST_BYTES, LIST_MOST, as_asked
from icefarm.errors import (
    IcefarmError,
    InternalError,
    InvalidArgument,
    LinkLost,
    NoSuchProcedure,
    TimedOut,
    error_from_wire,
)
from icefarm.text.durations import in_words

__all__ = ["Alone", "WorkerLists", "lists_of"]

#: Seconds for a worker to say whether it knows lists.
PING_LIMIT = 10.0
#: Bytes of an evaluation beside its bitstream, as counted for the bound of a list.
EVALUATION_BYTES = 1024


class Alone(Exception):
    """The evaluation is to be called for alone."""


@frozen(eq=False)
class _Evaluation:
    """An evaluation that has no answer yet."""

    number: int
    lease: Lease
    arguments: Mapping[str, Any]
    answer: Deferred[Any]
    limit: float | None
    #: When its time is over.
    deadline: float

    @property
    def size(self) -> int:
        """Bytes that it takes in a message, about."""
        bitstream = self.arguments["bitstream"]
        if isinstance(bitstream, Mapping):
            bitstream = bitstream.get("lz4") or bitstream.get("plain") or bitstream.get("delta") or b""
        return EVALUATION_BYTES + len(bitstream)

    def on_wire(self) -> dict[str, Any]:
        return {**self.arguments, "call": self.number, "serial": self.lease.record.serial}

    def completed(self, outcome: Any) -> Any:
        """Return a measurement with what a brief result has left out; any other outcome as it is."""
        return {**as_asked(self.on_wire()), **outcome} if isinstance(outcome, Mapping) else outcome


def lists_of(evaluations: Iterable[Any]) -> Iterator[list[Any]]:
    """Divide what has a ``size`` into lists that a worker takes, in order."""
    chosen: list[Any] = []
    total = 0
    for each in evaluations:
        size = each.size
        if chosen and (len(chosen) >= LIST_MOST or total + size > LIST_BYTES):
            yield chosen
            chosen, total = [], 0
        chosen.append(each)
        total += size
    if chosen:
        yield chosen


@define(eq=False)
class WorkerLists:
    """The lists of one client to one worker, as one session at the router reaches it."""

    _clock: Clock
    bus: Bus
    _log: Logger
    #: Whether it takes lists, as far as is known; None: it is to be asked.
    takes_lists: bool | None = None
    takes_deltas: bool = False
    #: Its results leave out what was said here.
    is_brief: bool = False
    _numbers: Iterator[int] = Factory(partial(count, 1))
    _unsent: dict[int, _Evaluation] = Factory(dict)
    _pending: dict[int, _Evaluation] = Factory(dict)
    #: The call that waits for results; None if no call does.
    _waiting: object = None
    #: Its session at the router, as its last answer named it.
    _session: object = None
    _flush: Any = None
    _timer: Any = None

    def ask(self, lease: Lease) -> None:
        """Ask whether it takes lists; until it answers, it does not."""
        self.takes_lists = False
        ensureDeferred(self._asked(lease)).addErrback(self._failed)

    async def _asked(self, lease: Lease) -> None:
        try:
            named = {"reservation": lease.record.id}
            answer = await self.bus.call(lease.prefix + "ping", (), named, timeout=PING_LIMIT)
            says = answer if isinstance(answer, Mapping) else {}
            self.takes_lists, self.takes_deltas = says.get("lists") is True, says.get("deltas") is True
            self.is_brief = says.get("brief") is True
        except InvalidArgument:
            self.takes_lists = False
        except IcefarmError:
            self.takes_lists = None

    def evaluate(self, lease: Lease, arguments: Mapping[str, Any], limit: float | None) -> Deferred[Any]:
        """Send an evaluation with the others of this turn; fails with `Alone`, `LinkLost`, `TimedOut` or its error."""
        number = next(self._numbers)
        answer: Deferred[Any] = Deferred(partial(self._given_up, number))
        deadline = inf if limit is None else self._clock.seconds() + limit
        self._unsent[number] = _Evaluation(number, lease, arguments, answer, limit, deadline)
        self._flush_later()
        self._watch(deadline)
        return answer

    def _given_up(self, number: int, _: object) -> None:
        self._forget(number)

    def _forget(self, number: int) -> _Evaluation | None:
        evaluation = self._unsent.pop(number, None) or self._pending.pop(number, None)
        self._rest()
        return evaluation

    # ----------------------------------------------------------------------------------------------- sending

    def _flush_later(self) -> None:
        """Send once all that happens in this turn has happened."""
        if self._flush is None:
            self._flush = self._clock.callLater(0, self._send)

    def flush(self) -> None:
        """Send what was to be sent in this turn."""
        if self._flush is not None:
            self._flush.cancel()
            self._send()

    def _send(self) -> None:
        self._flush = None
        unsent, self._unsent = self._unsent, {}
        lists = list(lists_of(unsent.values()))
        self._pending.update(unsent)
        if not lists and self._pending and self._waiting is None:
            lists.append([])
        for evaluations in lists:
            if not self._pending:
                # The connection is lost: an earlier list has failed at once, and all with it.
                return
            waits = None
            if self._waiting is None and evaluations is lists[-1]:
                waits = self._waiting = object()
            ensureDeferred(self._exchange(evaluations, waits)).addErrback(self._failed)

    async def _exchange(self, evaluations: list[_Evaluation], waits: object) -> None:
        """Send a list, and take what the worker answers: results of whichever evaluations have one.

        ``waits`` stands for the call, if it waits for results.
        """
        lease = (evaluations or list(self._pending.values()))[0].lease
        last = next(reversed(self._pending))
        before = evaluations[0].number - 1 if evaluations else last
        told: dict[str, Any] = {"evaluations": [each.on_wire() for each in evaluations], "wait": waits is not None}
        if self.is_brief:
            told["brief"] = True
        try:
            answer = await self.bus.call(lease.prefix + EVALUATE_LIST, (), told, timeout=None)
            results = [(int(each["call"]), _outcome(each)) for each in answer["results"]]
            unknown_until = before if self._is_another(answer.get("session")) else 0
            if waits is not None and waits is self._waiting and not results:
                unknown_until = last
        except LinkLost as error:
            self._give_up(LinkLost, error.message)
            return
        finally:
            # A call that was given up (`_overdue`) may be answered after the next one is sent.
            if waits is not None and self._waiting is waits:
                self._waiting = None
        answered = [(self._pending.pop(number, None), outcome) for number, outcome in results]
        if unknown_until:
            self._give_up(LinkLost, "the session of the worker that carried it out is gone", unknown_until)
        self._rest()
        if self._pending and self._waiting is None:
            self._flush_later()
        for evaluation, outcome in answered:
            # One that is answered may end others.
            if evaluation is not None and not evaluation.answer.called:
                evaluation.answer.callback(evaluation.completed(outcome) if self.is_brief else outcome)

    def _is_another(self, session: object) -> bool:
        """Tell whether an answer comes from another session of the worker than the one before."""
        before, self._session = self._session, session
        return before not in (None, session)

    def _give_up(self, error: type[Exception], message: str, last: float = inf) -> None:
        """Fail what is pending, as far as it was sent until the ``last`` one."""
        for number in [number for number in self._pending if number <= last]:
            # One that fails may end others.
            evaluation = self._pending.pop(number, None)
            if evaluation is not None:
                evaluation.answer.errback(error(message))
        self._rest()

    def _failed(self, failure: Failure) -> None:
        """Call for each evaluation alone, since one of them, or of their results, may be to blame."""
        if failure.check(IcefarmError) is None:
            self._log.failure("a list of evaluations failed", failure)
        else:
            self._log.debug("a list of evaluations failed: {error}", error=failure.value)
        self._give_up(Alone, "a list failed")

    # ------------------------------------------------------------------------------------------- their time

    def _watch(self, deadline: float) -> None:
        # A timer that fires too early costs less than one for each evaluation.
        if deadline == inf or (self._timer is not None and self._timer.getTime() <= deadline):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), self._overdue)

    def _rest(self) -> None:
        """Watch no longer if there is nothing to answer."""
        if self._timer is not None and not (self._pending or self._unsent):
            self._timer.cancel()
            self._timer = None

    def _overdue(self) -> None:
        self._timer, now = None, self._clock.seconds()
        for evaluation in [*self._unsent.values(), *self._pending.values()]:
            if evaluation.deadline <= now and self._forget(evaluation.number) is not None:
                procedure, limit = evaluation.lease.prefix + "evaluate", in_words(evaluation.limit or 0)
                evaluation.answer.errback(TimedOut(f"{procedure} did not answer within {limit}"))
                # The call that waits may have been lost: the worker answers an older one when a newer one comes.
                self._waiting = None
        left = [each.deadline for each in (*self._unsent.values(), *self._pending.values())]
        if left:
            self._watch(min(left))
            self._flush_later()


def _outcome(result: Mapping[str, Any]) -> Any:
    """Return the measurement of a result, or a Failure with its error."""
    if "measurement" in result:
        return result["measurement"]
    error = error_from_wire(result["error"], [result["message"]], result["fields"]) or InternalError()
    # That worker does not have the board; the board's own procedure leads to its present worker.
    return Failure(Alone(error.message) if isinstance(error, NoSuchProcedure) else error)
