"""Evaluations in flight on one board: as many as it has buffers, in order, each with a time limit.

Theory of operation
===================
A board measures one circuit and receives the next ones into its buffers meanwhile.  It answers in the order in which
it received::

                   room in the board                      RESULT
    evaluate --> _queue ----------> _sent[0], _sent[1] ... ------> Answer
                   ^                   |
                   |                   +-- FAILED, NAK: the request is wrong ------------> Refused
                   +-------------------+-- FAILED: CDONE or WATCHDOG, the first time
                                       +-- the same, a second time -----------------------> Refused
                                       +-- damaged or lost on its way: sent again, as the last of `_sent`
                       +-- a difference, and the board does not hold its base: sent again as a whole
                                       +-- silent, or any of these too often: given up --> BoardUnusable

What always holds:

- ``_sent[0]`` is what the board carries out now, and the time limit is its own: its window and `EVALUATION_MARGIN`.
- ``_sent`` has at most `buffers` jobs.  A job without overlap is alone in it.
- Each time that a job is sent it has a new id, so that a late answer to the earlier one belongs to no job.
- What the FPGA made of a job, a RESULT or FAILED, comes in order: it shows that the answers to the jobs before were
  lost, and these are sent again.  What the board refuses, it refuses as soon as it has received it; that says nothing
  of the jobs before.
- A circuit goes as its difference from another one only if the board holds that, as far as is known (`held`).  After
  anything that was damaged or lost, nothing is known.
- A job is sent again at most `RESENDS` times.  `STRIKES` jobs in a row that end with CDONE or WATCHDOG are the board's
  fault, not the circuits'.
- A job that is taken back (`take_back`) fails with `TakenBack` and gives no result, or its answer was on its way and it
  ends as if nobody had asked.  ``_sent[0]`` is never taken back: the board carries it out.
- A pipeline that gives up sends nothing more (`stop`), and then fails every job that is left (`fail`).  So each job has
  exactly one outcome.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from attrs import Factory, define
from twisted.internet.defer import Deferred

from icefarm.concurrency.clock import Clock
from icefarm.kinds.circuit import Circuit
from icefarm.kinds.handle import Answer
from icefarm.worker.protocol import messages
from icefarm.worker.protocol.health import Outcome, Tally
from icefarm.worker.protocol.held import Held

if TYPE_CHECKING:
    from icefarm.worker.protocol.board_client import BoardClient

__all__ = [
    "EVALUATION_MARGIN",
    "RESENDS",
    "STRIKES",
    "BoardUnusable",
    "ParametersRefused",
    "Pipeline",
    "Refused",
    "TakenBack",
    "Unsupported",
]

#: Seconds beyond its window after which the board counts as silent: its own watchdog allows 1 s for loading and 1 s
#: beyond the window; the transfer takes 0.2 s at 0.5 MB/s; the rest is for slow hosts.
EVALUATION_MARGIN = 4.0
#: How often an evaluation is resent because it or its answer was damaged or lost.
RESENDS = 3
#: Consecutive evaluations that end with CDONE or WATCHDOG before the board itself counts as failed.
STRIKES = 4


class BoardUnusable(Exception):
    """The board failed; the text is the end of a sentence that begins with "the board"."""


class Refused(Exception):
    """The board refused an evaluation, and is not to blame for that."""


class ParametersRefused(Refused):
    """The board's firmware does not take the parameters."""


class Unsupported(Refused):
    """The board's firmware evaluates nothing."""


class TakenBack(Exception):
    """An evaluation was taken back before the board began it."""


class Transport(Protocol):
    """Where requests are written; Twisted's `ITransport`."""

    def write(self, data: bytes) -> None: ...


_REFUSALS: dict[int, type[Refused]] = {
    messages.Failure.BAD_PARAMETERS: ParametersRefused,
    messages.Failure.NOT_SUPPORTED: Unsupported,
}


#: What the FPGA made of an evaluation.  All other failures are refusals of the request.
_OF_FPGA = (messages.Failure.CDONE, messages.Failure.WATCHDOG, messages.Failure.NOT_MEASURED)
#: A board cannot make a bitstream of its difference from another one.
_OF_DIFFERENCES = (messages.Failure.UNKNOWN_BASE, messages.Failure.BAD_DIFFERENCE)


@define(eq=False)
class _Job:
    """An evaluation, from the call until its answer."""

    circuit: Circuit
    parameters: bytes
    window: float
    exclusive: bool
    answer: Deferred[Answer]
    #: Under which it can be taken back.
    key: str | None = None
    id: int = 0
    started_at: float = 0.0
    resends: int = 0
    failures: int = 0
    #: The board was told not to begin it.
    cancelled: bool = False
    #: Its circuit was sent as a difference.
    is_difference: bool = False

    def take_back(self) -> None:
        self.answer.errback(TakenBack())


@define(eq=False)
class Pipeline:
    """A board's unanswered evaluations."""

    _clock: Clock
    #: Gives up a board that is unusable, and calls `stop` and `fail`.
    _client: BoardClient
    _tally: Tally
    #: What the board divides its configuration clock by; 1: as fast as the FPGA takes it.
    slower: int = 1
    #: Ids of requests; shared with requests other than evaluations.
    ids: count[int] = Factory(partial(count, 1))
    #: While the port is open.
    transport: Transport | None = None
    #: Evaluations that the board holds at a time.
    buffers: int = 1
    #: The bitstreams that the board holds.
    held: Held = Factory(Held)
    _queue: deque[_Job] = Factory(deque)
    #: Sent and unanswered, in the order in which the board carries them out.
    _sent: list[_Job] = Factory(list)
    _deadline: float = 0.0
    _timer: Any = None
    _strikes: int = 0
    #: Whether it gave up because the FPGA took no bitstream.
    load_failed: bool = False
    _over: str | None = None

    def evaluate(
        self, circuit: Circuit, parameters: bytes, window: float, overlap: bool, key: str | None = None
    ) -> Deferred[Answer]:
        """Load and measure a circuit, after earlier ones.

        ``window`` is the total in seconds.  Without ``overlap`` nothing else is sent to the board meanwhile.  Under its
        ``key`` it can be taken back.  Fails with `BoardUnusable`, `Refused` or `TakenBack`.  Cancelling does not end
        the evaluation.
        """
        answer: Deferred[Answer] = Deferred()
        if self._over is not None:
            answer.errback(BoardUnusable(self._over))
            return answer
        self._queue.append(_Job(circuit, parameters, window, not overlap, answer, key))
        self._pump()
        return answer

    def take_back(self, keys: Container[str]) -> None:
        """Withdraw evaluations: those that the board has not begun fail with `TakenBack`.

        Those that the board has in a buffer are cancelled there.  If that is lost on its way, they are carried out.
        """
        waiting = [job for job in self._queue if job.key in keys]
        self._queue = deque(job for job in self._queue if job.key not in keys)
        for job in self._sent[1:]:
            if job.key in keys and not job.cancelled and self.transport is not None and self._over is None:
                job.cancelled = True
                self.held.cancelling(job.id)
                self.transport.write(messages.cancel(next(self.ids), job.id))
        for job in waiting:
            job.take_back()

    def stop(self, why: str) -> None:
        """Send nothing any more."""
        self._over = why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def fail(self, why: str) -> None:
        """Fail all pending evaluations, after `stop`."""
        jobs = [*self._sent, *self._queue]
        self._sent.clear()
        self._queue.clear()
        for job in jobs:
            job.answer.errback(BoardUnusable(why))

    # ----------------------------------------------------------------------------------------------- sending

    def _pump(self) -> None:
        """Send as many waiting evaluations as the board has buffers."""
        while self._queue and self._over is None:
            job = self._queue[0]
            if len(self._sent) >= self.buffers or (self._sent and (job.exclusive or self._sent[0].exclusive)):
                return
            self._send(self._queue.popleft())

    def _send(self, job: _Job) -> None:
        job.id = next(self.ids)
        job.started_at = self._clock.seconds()
        self._sent.append(job)
        if len(self._sent) == 1:
            self._allow(job)
        difference = self.held.difference_for(job.circuit, alone=job.exclusive)
        job.is_difference = difference is not None
        self.held.sent(job.id, job.circuit)
        circuit, parameters = job.circuit, job.parameters
        if difference is None:
            encoding = messages.Encoding.LZ4 if circuit.compressed else messages.Encoding.RAW
            request = messages.evaluate(job.id, circuit.payload, circuit.length, encoding, parameters, self.slower)
        else:
            base, runs, check = difference.base, difference.runs, difference.check
            request = messages.evaluate_difference(job.id, base, runs, check, circuit.length, parameters, self.slower)
        assert self.transport is not None
        self.transport.write(request)

    def _resend(self, job: _Job) -> None:
        """Resend an evaluation, as the board's last one."""
        self.held.clear()
        if job.cancelled:
            # Whatever was damaged, the board no longer has the evaluation.
            self._forget(job)
            return
        self._sent.remove(job)
        job.resends += 1
        if job.resends > RESENDS:
            self._queue.appendleft(job)
            self._client.give_up("keeps garbling what is sent")
            return
        self._tally.went_wrong(Outcome.RETRY)
        self._send(job)
        self._allow(self._sent[0])

    def _repeat(self, job: _Job) -> None:
        """Send an evaluation that failed once more, as the next one."""
        if job.cancelled:
            job.take_back()
            return
        self._tally.went_wrong(Outcome.RETRY)
        self._queue.appendleft(job)

    def _allow(self, job: _Job) -> None:
        """Start the time limit of the evaluation in progress."""
        limit = job.window + EVALUATION_MARGIN
        self._deadline = self._clock.seconds() + limit
        # A timer that fires too early costs less than resetting it for each evaluation.
        if self._timer is None:
            self._timer = self._clock.callLater(limit, self._overdue)
        elif self._timer.getTime() > self._deadline:
            self._timer.reset(limit)

    def _overdue(self) -> None:
        self._timer = None
        if not self._sent:
            return
        left = self._deadline - self._clock.seconds()
        if left > 0:
            self._timer = self._clock.callLater(left, self._overdue)
        else:
            self._tally.went_wrong(Outcome.TIMEOUT)
            self._client.give_up("does not answer")

    # ----------------------------------------------------------------------------------------------- answers

    def result(self, result: messages.ResultReply) -> None:
        """An evaluation gave a result."""
        job = self._finish(result.id)
        self.held.answered(result.id)
        if job is None:
            return
        self._strikes = 0
        if self._queue:
            self._pump()
        job.answer.callback(
            Answer(
                content=result.value,
                sequence=result.sequence,
                load_us=result.load_us,
                window_us=result.window_us,
                usb_bytes_in_window=result.received,
                temperature_c=result.temperature,
                started_at=job.started_at,
                ended_at=self._clock.seconds(),
                origin=result.origin,
            )
        )

    def failed(self, failed: messages.FailureReply) -> None:
        """An evaluation could not be carried out."""
        self.held.failed(failed.id)
        if failed.code == messages.Failure.CANCELLED and self._cancelled(failed.id):
            return
        if failed.code in _OF_DIFFERENCES and self._sent_whole(failed):
            return
        job = self._finish(failed.id) if failed.code in _OF_FPGA else self._refused(failed.id)
        if job is None:
            return
        why = f"{failed.reason}: {failed.text}" if failed.text else failed.reason
        if failed.code not in (messages.Failure.CDONE, messages.Failure.WATCHDOG):
            self._pump()
            refusal = _REFUSALS.get(failed.code, Refused)
            job.answer.errback(refusal(f"the board refused the evaluation ({why})"))
            return
        self._strikes += 1
        job.failures += 1
        if self._strikes >= STRIKES:
            self._queue.appendleft(job)
            self.load_failed = failed.code == messages.Failure.CDONE
            self._client.give_up(f"fails one evaluation after the other ({why})")
        elif job.failures == 1:
            self._repeat(job)
            self._pump()
        else:
            self._pump()
            job.answer.errback(Refused(f"the board could not carry out the evaluation ({why})"))

    def not_taken(self, nak: messages.Nak) -> None:
        """The board did not accept an evaluation, and resending it would not help."""
        self.held.clear()
        job = self._refused(nak.id)
        if job is not None:
            self._pump()
            job.answer.errback(Refused(f"the board did not take the evaluation (NAK {nak.code})"))

    def again(self, id_: int) -> None:
        """An evaluation, or its answer, was damaged."""
        job = self._find(id_)
        if job is not None:
            self._resend(job)

    def noise(self) -> None:
        """An unrecognisable frame: a board only sends answers, so it was the next one due."""
        if self._sent and self._over is None:
            self._resend(self._sent[0])

    def _cancelled(self, id_: int) -> bool:
        """The board cancelled an evaluation; tell whether it was asked to.  It answers out of turn then."""
        job = self._find(id_)
        if job is None or not job.cancelled:
            return False
        self._forget(job)
        return True

    def _sent_whole(self, failed: messages.FailureReply) -> bool:
        """Send a circuit whole that the board could not make of its difference; tell whether it was sent as one.

        The board says so at once, out of turn.
        """
        job = self._find(failed.id)
        if job is None or not job.is_difference:
            return False
        if job.cancelled or failed.code == messages.Failure.BAD_DIFFERENCE:
            self._resend(job)
            return True
        # It was right to forget the base: an earlier evaluation failed while this one was on its way.
        self.held.clear()
        self._sent.remove(job)
        self._send(job)
        self._allow(self._sent[0])
        return True

    def _forget(self, job: _Job) -> None:
        """A cancelled evaluation is not on the board any more."""
        self._remove(job)
        self._pump()
        job.take_back()

    def _refused(self, id_: int) -> _Job | None:
        """Remove an evaluation that the board refused; earlier ones go on."""
        job = self._find(id_)
        if job is not None:
            self._remove(job)
        return job

    def _remove(self, job: _Job) -> None:
        was_first = self._sent[0] is job
        self._sent.remove(job)
        if was_first and self._sent:
            self._allow(self._sent[0])

    def _find(self, id_: int) -> _Job | None:
        return next((job for job in self._sent if job.id == id_), None)

    def _finish(self, id_: int) -> _Job | None:
        """Remove an evaluation, and resend earlier ones, whose answers must have been lost."""
        job = self._find(id_)
        if job is None:
            return None
        position = self._sent.index(job)
        del self._sent[position]
        for lost in self._sent[:position]:
            if self._over is None:
                self._resend(lost)
        if self._sent and self._over is None:
            self._allow(self._sent[0])
        return job
