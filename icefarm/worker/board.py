"""A board at the other end of its serial port: requests, their answers, and what to do when those don't come.

The protocol is in docs/protocol.md.  A frame that was damaged on its way is sent again (under a new id, so that an
answer to the first one can't be mistaken); a board that stays silent is given up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, TypeVar

from attrs import Factory, define, field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from icefarm.clock import Clock
from icefarm.kinds.circuit import Circuit
from icefarm.kinds.handle import Answer
from icefarm.worker import messages
from icefarm.worker.frame import Damaged, Frame, FrameReader

__all__ = ["Board", "BoardFailed", "Refused"]

#: Seconds for the answer to HELLO, STATUS or TEST, and how often they are sent (a board answers in milliseconds).
ASK_LIMIT = 1.0
ASKS = 3
#: Seconds that an evaluation may take beyond its window before the board counts as silent: its own watchdog allows
#: 1 s for loading and 1 s beyond the window; the transfer takes 0.2 s at 0.5 MB/s; the rest is for slow hosts.
EVALUATION_MARGIN = 4.0
#: How often an evaluation is sent again because it or its answer was damaged or lost.
RESENDS = 3
#: Evaluations in a row that end with CDONE or WATCHDOG before the board itself is to blame.
STRIKES = 4
#: What a board sends back in its test: every value of a byte.
ECHO = bytes(range(256))

_LEVELS = {10: LogLevel.debug, 20: LogLevel.info, 30: LogLevel.warn, 40: LogLevel.error}

R = TypeVar("R", bound=messages.Reply)


class BoardFailed(Exception):
    """The board did not do what was asked; its text is the end of a sentence that begins with "the board"."""


class Refused(Exception):
    """The board would not carry out an evaluation, and is not to blame for that."""


@define(eq=False)
class _Job:
    """An evaluation, from the call until its answer."""

    circuit: Circuit
    parameters: bytes
    window: float
    exclusive: bool
    answer: Deferred[Answer]
    id: int = 0
    started_at: float = 0.0
    resends: int = 0
    failures: int = 0


@define(eq=False)
class Board(Protocol):
    """Speaks to one board for as long as its port is open."""

    _clock: Clock
    #: Told once, before anything that waits fails: the port is open, but the board is of no use as it is.
    _failed: Callable[[str], None]
    #: Told once, before anything that waits fails: the connection broke.
    _lost: Callable[[str], None]
    #: Told each time that something was sent again.
    _retried: Callable[[], None]
    _log: Logger
    #: Evaluations that the board holds at a time; HELLO says it.
    buffers: int = 1
    transport: Any = None
    _reader: FrameReader = Factory(FrameReader)
    _ids: count[int] = Factory(lambda: count(1))
    _asked: dict[int, Deferred[messages.Reply | None]] = Factory(dict)
    _queue: deque[_Job] = Factory(deque)
    #: Sent and not yet answered, in the order in which the board carries them out.
    _sent: list[_Job] = Factory(list)
    _deadline: float = 0.0
    _timer: Any = None
    _strikes: int = 0
    _over: str | None = field(default=None)

    # -------------------------------------------------------------------------------------------- requests

    async def hello(self) -> messages.Hello:
        """Ask the board who it is.  Raises `BoardFailed`."""
        hello = await self._ask(messages.hello, messages.Hello)
        if hello.protocol != messages.PROTOCOL_VERSION:
            raise BoardFailed(f"speaks version {hello.protocol} of the protocol, not {messages.PROTOCOL_VERSION}")
        self.buffers = max(1, hello.buffers)
        return hello

    async def test(self) -> messages.Status:
        """Have the board test itself, and ask how it is.  Raises `BoardFailed`."""
        tested = await self._ask(lambda id_: messages.test(id_, ECHO), messages.Tested)
        if tested.failed != 0:
            raise BoardFailed(f"found itself faulty (test bits {tested.failed:#x})")
        if tested.echo != ECHO:
            raise BoardFailed("did not send back what it was sent")
        return await self._ask(messages.status, messages.Status)

    def evaluate(self, circuit: Circuit, parameters: bytes, *, window: float, overlap: bool) -> Deferred[Answer]:
        """Have a circuit loaded and measured, after those asked for before.

        ``window`` in seconds, in all.  Without ``overlap`` nothing else is sent to the board meanwhile.  Fails with
        `BoardFailed` or `Refused`.  Giving up waiting does not end the evaluation.
        """
        answer: Deferred[Answer] = Deferred()
        if self._over is not None:
            answer.errback(BoardFailed(self._over))
            return answer
        self._queue.append(_Job(circuit, parameters, window, not overlap, answer))
        self._pump()
        return answer

    def close(self, why: str) -> None:
        """Close the port; what waits fails with `BoardFailed`.  Nobody is told."""
        if self._end(why):
            if self.transport is not None:
                self.transport.loseConnection()
            self._fail_waiting(why)

    async def _ask(self, make: Callable[[int], bytes], expected: type[R]) -> R:
        for _ in range(ASKS):
            reply = await self._asked_once(make)
            if isinstance(reply, expected):
                return reply
            if isinstance(reply, messages.Failed):
                raise BoardFailed(f"refused a request: {reply.reason} {reply.text}".rstrip())
        raise BoardFailed("does not answer")

    def _asked_once(self, make: Callable[[int], bytes]) -> Deferred[messages.Reply | None]:
        """Send a request; fires with None where it has to be sent again."""
        if self._over is not None:
            raise BoardFailed(self._over)
        id_ = next(self._ids)
        answer: Deferred[messages.Reply | None] = Deferred(lambda _: self._forget(id_))
        self._asked[id_] = answer
        timer = self._clock.callLater(ASK_LIMIT, self._answer, id_, None)

        def stop_timer(result: Any) -> Any:
            if timer.active():
                timer.cancel()
            return result

        answer.addBoth(stop_timer)
        self.transport.write(make(id_))
        return answer

    def _forget(self, id_: int) -> None:
        self._asked.pop(id_, None)

    def _answer(self, id_: int, reply: messages.Reply | None) -> bool:
        waiting = self._asked.pop(id_, None)
        if waiting is not None:
            waiting.callback(reply)
        return waiting is not None

    # ----------------------------------------------------------------------------------------- evaluations

    def _pump(self) -> None:
        """Send as many of the waiting evaluations as the board holds."""
        while self._queue and self._over is None:
            job = self._queue[0]
            if len(self._sent) >= self.buffers or (self._sent and (job.exclusive or self._sent[0].exclusive)):
                return
            self._send(self._queue.popleft())

    def _send(self, job: _Job) -> None:
        job.id = next(self._ids)
        job.started_at = self._clock.seconds()
        self._sent.append(job)
        if len(self._sent) == 1:
            self._allow(job)
        circuit = job.circuit
        encoding = messages.Encoding.LZ4 if circuit.compressed else messages.Encoding.RAW
        self.transport.write(messages.evaluate(job.id, circuit.payload, circuit.length, encoding, job.parameters))

    def _resend(self, job: _Job) -> None:
        """Send an evaluation again, as the last of those that the board has."""
        self._sent.remove(job)
        job.resends += 1
        if job.resends > RESENDS:
            self._queue.appendleft(job)
            self._give_up("keeps garbling what is sent")
            return
        self._retried()
        self._send(job)
        self._allow(self._sent[0])

    def _allow(self, job: _Job) -> None:
        """Start the time limit of the evaluation that the board carries out now."""
        limit = job.window + EVALUATION_MARGIN
        self._deadline = self._clock.seconds() + limit
        # A timer that rings too early costs less than one that is set anew for each evaluation.
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
            self._give_up("does not answer")

    def _finish(self, id_: int) -> _Job | None:
        """Take an evaluation off the list, and send those again whose answers must have been lost before this one."""
        job = next((job for job in self._sent if job.id == id_), None)
        if job is None:
            return None
        position = self._sent.index(job)
        del self._sent[position]
        for lost in self._sent[:position]:
            self._resend(lost)
        if self._sent and self._over is None:
            self._allow(self._sent[0])
        return job

    def _result(self, result: messages.Result) -> None:
        job = self._finish(result.id)
        if job is None:
            return
        self._strikes = 0
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
            )
        )

    def _evaluation_failed(self, failed: messages.Failed) -> None:
        job = self._finish(failed.id)
        if job is None:
            return
        why = f"{failed.reason}: {failed.text}" if failed.text else failed.reason
        if failed.code not in (messages.Failure.CDONE, messages.Failure.WATCHDOG):
            self._pump()
            job.answer.errback(Refused(f"the board refused the evaluation ({why})"))
            return
        self._strikes += 1
        job.failures += 1
        if self._strikes >= STRIKES:
            self._queue.appendleft(job)
            self._give_up(f"fails one evaluation after the other ({why})")
        elif job.failures == 1:
            self._retried()
            self._queue.appendleft(job)
            self._pump()
        else:
            self._pump()
            job.answer.errback(Refused(f"the board could not carry out the evaluation ({why})"))

    # --------------------------------------------------------------------------------------------- the port

    def dataReceived(self, data: bytes) -> None:
        """For the port."""
        skipped = self._reader.skipped
        frames = self._reader.feed(data)
        for frame in frames:
            if self._over is not None:
                return
            if isinstance(frame, Damaged):
                self._again(frame.id)
            else:
                self._take(frame)
        if not frames and self._reader.skipped > skipped and self._sent and self._over is None:
            # A board speaks only to answer: what was garbled beyond recognition was the answer due next.
            self._resend(self._sent[0])

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """For the port."""
        why = reason.getErrorMessage()
        if self._end("was disconnected"):
            self._lost(why)
            self._fail_waiting("was disconnected")

    def _take(self, frame: Frame) -> None:
        try:
            reply = messages.decode(frame)
        except messages.MalformedReply as error:
            self._give_up(f"does not keep to the protocol: {error}")
            return
        match reply:
            case messages.Result():
                self._result(reply)
            case messages.Nak():
                self._nak(reply)
            case messages.Log(level, text):
                self._log.emit(_LEVELS.get(level, LogLevel.info), "the board says: {text}", text=text)
            case messages.Failed(id=id_) if not self._answer(id_, reply):
                self._evaluation_failed(reply)
            case _:
                self._answer(frame.id, reply)

    def _nak(self, nak: messages.Nak) -> None:
        if nak.code in (messages.NakCode.CORRUPT, messages.NakCode.TRUNCATED):
            self._again(nak.id)
            return
        job = self._finish(nak.id)
        if job is not None:
            self._pump()
            job.answer.errback(Refused(f"the board did not take the evaluation (NAK {nak.code})"))

    def _again(self, id_: int) -> None:
        """Send again what a damaged frame was about."""
        if self._answer(id_, None):
            self._retried()
            return
        job = next((job for job in self._sent if job.id == id_), None)
        if job is not None:
            self._resend(job)

    def _give_up(self, why: str) -> None:
        if self._end(why):
            if self.transport is not None:
                self.transport.loseConnection()
            self._failed(why)
            self._fail_waiting(why)

    def _end(self, why: str) -> bool:
        """Stop; False where that was done before."""
        if self._over is not None:
            return False
        self._over = why
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return True

    def _fail_waiting(self, why: str) -> None:
        jobs = [*self._sent, *self._queue]
        self._sent.clear()
        self._queue.clear()
        asked = list(self._asked.values())
        self._asked.clear()
        waiting: list[Deferred[Any]] = [*asked, *(job.answer for job in jobs)]
        for answer in waiting:
            answer.errback(BoardFailed(why))
