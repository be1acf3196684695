"""A board at the other end of its serial port: requests, their answers, and what to do when none arrive.

The protocol is in docs/protocol.md.  A board that stays silent counts as failed.
`icefarm.worker.protocol.pipeline.Pipeline` handles evaluations.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import count
from random import randrange
from typing import Any, Protocol, TypeVar

from attrs import Factory, define, field
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol as PortProtocol
from twisted.logger import LogLevel
from twisted.python.failure import Failure

from icefarm.bitstream.image import body
from icefarm.bitstream.up5k import BOOT_SETTINGS, BRAM_HEIGHT, BRAM_WIDTHS, CRAM_HEIGHTS, CRAM_WIDTH, EMPTY_COMMENT
from icefarm.concurrency.clock import Clock
from icefarm.kinds.circuit import Admission, Circuit
from icefarm.worker.protocol import messages
from icefarm.worker.protocol.frames import Damaged, FrameReader
from icefarm.worker.protocol.health import Outcome, Tally
from icefarm.worker.protocol.held import Held
from icefarm.worker.protocol.pipeline import BoardUnusable, Pipeline, Refused, Unsupported

__all__ = ["BoardClient", "PortOwner"]

#: Seconds for the answer to HELLO, STATUS or TEST, and how often they are sent (a board answers in milliseconds).
ASK_LIMIT = 1.0
ASKS = 3
#: What a board must echo in its test: every value of a byte.
ECHO = bytes(range(256))

_LEVELS = {10: LogLevel.debug, 20: LogLevel.info, 30: LogLevel.warn, 40: LogLevel.error}

R = TypeVar("R", bound=messages.Reply)


class PortOwner(Protocol):
    """Opened the port; gets its end and the board's messages."""

    def board_failed(self, client: BoardClient, why: str) -> None:
        """Called once, before pending requests fail: the port was open, but the board is unusable."""

    def port_lost(self, client: BoardClient, why: str) -> None:
        """Called once, before pending requests fail: the connection broke."""

    def board_said(self, level: LogLevel, text: str) -> None:
        """The board sent a line of its own log."""


@cache
def _idle_circuit() -> Circuit:
    """Return the circuit whose configuration bits are all 0: no net is driven."""
    cram = [bytes(CRAM_WIDTH * height // 8) for height in CRAM_HEIGHTS]
    bram = [bytes(width * BRAM_HEIGHT // 8) for width in BRAM_WIDTHS]
    return Admission().admit(EMPTY_COMMENT + body(BOOT_SETTINGS["enabled"], cram, bram))


@define(eq=False)
class BoardClient(PortProtocol):
    """Talks to one board for as long as its port is open."""

    _clock: Clock
    _owner: PortOwner
    #: Counts retries and time-outs.
    _tally: Tally
    #: What the board divides its configuration clock by.
    _slower: int = 1
    transport: Any = None
    _reader: FrameReader = Factory(FrameReader)
    _asked: dict[int, Deferred[messages.Reply | None]] = Factory(dict)
    _over: str | None = None
    #: Called with each unsolicited message of the application: type, payload.
    listener: Callable[[int, bytes], None] | None = None
    #: The board's evaluations.
    pipeline: Pipeline = field(init=False)

    @pipeline.default
    def _make_pipeline(self) -> Pipeline:
        # A board that did not notice that its port was closed may answer earlier requests; those have other ids.
        ids = count(randrange(1, 2**31))
        return Pipeline(self._clock, self, self._tally, self._slower, ids)

    # ---------------------------------------------------------------------------------------------- requests

    async def hello(self) -> messages.Hello:
        """Send HELLO and return the answer.  Raises `BoardUnusable`."""
        hello = await self._ask(messages.hello, messages.Hello)
        if not 1 <= hello.protocol <= messages.PROTOCOL_VERSION:
            raise BoardUnusable(
                f"speaks version {hello.protocol} of the protocol, not 1 to {messages.PROTOCOL_VERSION}"
            )
        self.pipeline.buffers = max(1, hello.buffers)
        self.pipeline.held = Held(hello.buffers if hello.protocol >= messages.DIFFERENCES_SINCE else 0)
        return hello

    async def test(self) -> messages.Status:
        """Make the board test itself, and ask its status.  Raises `BoardUnusable`.

        A test overwrites the board's free buffers.
        """
        self.pipeline.held = Held(self.pipeline.held.buffers)
        tested = await self._ask(lambda id_: messages.test(id_, ECHO), messages.Tested)
        if tested.failed != 0:
            raise BoardUnusable(f"found itself faulty (test bits {tested.failed:#x})")
        if tested.echo != ECHO:
            raise BoardUnusable("did not send back what it was sent")
        return await self._ask(messages.status, messages.Status)

    async def load(self) -> None:
        """Load a circuit that does nothing.  Raises `BoardUnusable` if the FPGA does not take it.

        Default firmware before 1.1 evaluates nothing; then nothing is known, and nothing is raised.
        """
        try:
            await self.pipeline.evaluate(_idle_circuit(), b"", 0.0, overlap=False)
        except Unsupported:
            return
        except Refused as refused:
            raise BoardUnusable(f"takes no circuit: {refused}") from None

    async def message(self, type_: int, payload: bytes) -> bytes:
        """Send the application a message (0x40 to 0x7F) and return its reply.

        Resent if no answer comes in time.  Raises `BoardUnusable`, and ValueError for an invalid message.
        """
        reply = await self._ask(lambda id_: messages.message(type_, id_, payload), messages.Message)
        return reply.payload

    def close(self, why: str) -> None:
        """Close the port; pending requests fail with `BoardUnusable`.  The owner is not called."""
        if self._end(why):
            self._hang_up()
            self._fail_waiting(why)

    async def _ask(self, make: Callable[[int], bytes], expected: type[R]) -> R:
        for _ in range(ASKS):
            reply = await self._asked_once(make)
            if isinstance(reply, expected):
                return reply
            if isinstance(reply, messages.FailureReply):
                raise BoardUnusable(f"refused a request: {reply.reason} {reply.text}".rstrip())
        raise BoardUnusable("does not answer")

    def _asked_once(self, make: Callable[[int], bytes]) -> Deferred[messages.Reply | None]:
        """Send a request; fires with None if it must be resent."""
        if self._over is not None:
            raise BoardUnusable(self._over)
        id_ = next(self.pipeline.ids)
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

    # ---------------------------------------------------------------------------------------------- the port

    def connectionMade(self) -> None:
        """For the port."""
        self.pipeline.transport = self.transport

    def dataReceived(self, data: bytes) -> None:
        """For the port."""
        skipped = self._reader.skipped
        frames = self._reader.feed(data)
        for frame in frames:
            if self._over is not None:
                return
            if isinstance(frame, Damaged):
                self._again(frame.id)
                continue
            try:
                reply = messages.decode(frame)
            except messages.MalformedReply as error:
                self.give_up(f"does not keep to the protocol: {error}")
                return
            if isinstance(reply, messages.ResultReply):
                self.pipeline.result(reply)
            else:
                self._take(frame.id, reply)
        if not frames and self._reader.skipped > skipped:
            self.pipeline.noise()

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        """For the port."""
        why = reason.getErrorMessage()
        if self._end("was disconnected"):
            self._owner.port_lost(self, why)
            self._fail_waiting("was disconnected")

    def _take(self, id_: int, reply: messages.Reply) -> None:
        """Handle what is not the result of an evaluation."""
        match reply:
            case messages.Nak(code=messages.NakCode.CORRUPT | messages.NakCode.TRUNCATED):
                self._again(reply.id)
            case messages.Nak():
                self.pipeline.not_taken(reply)
            case messages.Log(level, text):
                self._owner.board_said(_LEVELS.get(level, LogLevel.info), text)
            case messages.Message(id=0, type=type_, payload=payload):
                if self.listener is not None:
                    self.listener(type_, payload)
            case messages.FailureReply() if not self._answer(reply.id, reply):
                self.pipeline.failed(reply)
            case _:
                self._answer(id_, reply)

    def _again(self, id_: int) -> None:
        """Resend the request that a damaged frame answered."""
        if self._answer(id_, None):
            self._tally.went_wrong(Outcome.RETRY)
        else:
            self.pipeline.again(id_)

    def give_up(self, why: str) -> None:
        """The board is unusable: close the port; pending requests fail with `BoardUnusable`."""
        if self._end(why):
            self._hang_up()
            self._owner.board_failed(self, why)
            self._fail_waiting(why)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()

    def _end(self, why: str) -> bool:
        """Stop; return False if it was already stopped."""
        if self._over is not None:
            return False
        self._over = why
        self.pipeline.stop(why)
        return True

    def _fail_waiting(self, why: str) -> None:
        asked = list(self._asked.values())
        self._asked.clear()
        for answer in asked:
            answer.errback(BoardUnusable(why))
        self.pipeline.fail(why)
