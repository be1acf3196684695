"""Runs the life of a board, and carries out what `icefarm.worker.board.state_machine` decides.

Events are handled in order; each state has one timer and one procedure, which end with it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Coroutine
from functools import partial
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import BoardReading, DeviceReport, DeviceStatus
from icefarm.errors import DeviceFailed, IcefarmError
from icefarm.text.counts import counted
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.context import SLOWER, WorkerContext
from icefarm.worker.board.state_machine import Life, status_of, step, time_limit
from icefarm.worker.board.states import State
from icefarm.worker.flash.errors import FlashFailed
from icefarm.worker.flash.hub_power import PowerFailed
from icefarm.worker.flash.images import Images, NoImage
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.health import Tally
from icefarm.worker.protocol.pipeline import BoardUnusable
from icefarm.worker.reservation.board_reservation import BoardReservation
from icefarm.worker.reservation.shared_board import SharedBoard

__all__ = ["BoardLife", "Procedure", "Runner"]

#: Lines about a board in so many seconds: those that it says, and those about its evaluations.
LINES, LINES_PERIOD = 50, 5.0
#: Why a board that is available has another firmware than the default one.
BORROWED = "measures reference circuits"

#: A state's procedure; its result is an event of that state.
Procedure = Coroutine[Deferred[Any], Any, e.Event] | Coroutine[Deferred[Any], Any, None]

#: Expected failures of boards and ports; others are bugs, and logged as such.
_EXPECTED = (BoardUnusable, FlashFailed, PowerFailed, NoImage, OSError, IcefarmError)


@define(eq=False)
class Runner(ABC):
    """A life, and the running procedure of its state.

    What is one gives it its first life (`begin`), and carries out the effects.
    """

    #: Its state, and what it keeps between states.
    life: Life = field(init=False)
    #: The state in one word, and its reason or purpose, for users.
    _status: tuple[DeviceStatus, str | None] = field(init=False)
    _life_clock: Clock = field(init=False)
    _events: deque[tuple[e.Event, State | None]] = field(init=False, factory=deque)
    _deciding: bool = field(init=False, default=False)
    _timer: Any = field(init=False, default=None)
    _procedure: Deferred[None] | None = field(init=False, default=None)
    _log: Logger = field(init=False, factory=partial(Logger, namespace="icefarm.worker.protocol.board_client"))

    def begin(self, life: Life, clock: Clock) -> None:
        """Begin a life, before the first event."""
        self.life, self._status, self._life_clock = life, status_of(life), clock

    @abstractmethod
    def carry_out(self, effect: e.Effect) -> Procedure | None:
        """Carry out an effect; return the procedure of the state, where it begins one."""

    @abstractmethod
    def entered(self, before: Life) -> None:
        """The state has changed, and the effects have been carried out."""

    @abstractmethod
    def settled(self) -> None:
        """All events so far are handled."""

    def post(self, event: e.Event, state: State | None = None) -> None:
        """Handle an event, after earlier ones; drop it if its ``state`` has been left."""
        self._events.append((event, state))
        if self._deciding:
            return
        self._deciding = True
        try:
            while self._events:
                event, state = self._events.popleft()
                if state is None or state is self.life.state:
                    self._decide(event)
        finally:
            self._deciding = False
        self.settled()

    def _decide(self, event: e.Event) -> None:
        before = self.life
        self.life, effects = step(before, event)
        self._status, state = status_of(self.life), self.life.state
        entered = state is not before.state
        if entered:
            # The timer and the procedure are those of a state, and end with it.
            limit = time_limit(self.life)
            if self._timer is not None and self._timer.active():
                self._timer.cancel()
            timed_out = e.TimedOutWaiting()
            self._timer = None if limit is None else self._life_clock.callLater(limit, self.post, timed_out, state)
            procedure, self._procedure = self._procedure, None
            if procedure is not None:
                procedure.cancel()
        for effect in effects:
            begun = self.carry_out(effect)
            if begun is not None:
                # Its result is an event, and its failure another.
                running = Deferred.fromCoroutine(begun)
                self._procedure = running.addCallbacks(self._done, self._failed, (state,), {}, (state,))
        if entered:
            self.entered(before)

    def _done(self, event: e.Event | None, state: State) -> None:
        if event is not None:
            self.post(event, state)

    def _failed(self, failure: Failure, state: State) -> None:
        if failure.check(CancelledError):
            return
        if not failure.check(*_EXPECTED):
            self._log.failure("a procedure failed in {state}", failure, state=state)
        self.post(e.Failed(failure.getErrorMessage()), state)


@define(eq=False)
class BoardLife(Runner):
    """A board, present or not: carries out what `icefarm.worker.board.state_machine` decides, and reports it.

    USB events, commands, and the ends of procedures are its events.
    """

    serial: str
    images: Images
    _context: WorkerContext
    #: What it serves: one client, or those that share it.
    reservation: BoardReservation | SharedBoard | None = None
    #: Its counters and health.
    tally: Tally = Factory(Tally, takes_self=True)
    #: When writing the last image began, until the board runs it.
    _flash_began: float | None = None
    #: As it last reported in HELLO.
    _firmware: s.Firmware | None = None
    _client: BoardClient | None = None
    #: What its last report showed, without the counters.
    _told: dict[str, Any] | None = None
    _rebooting: list[Deferred[None]] = Factory(list)
    #: It was set aside, and not returned to service yet.
    _aside: bool = False
    #: Whether its FPGA took no bitstream, and has taken none since.
    _load_failed: bool = False
    #: The reservation for which it is borrowed, until it is ready again after that; None: it is not.
    _borrowed: str | None = None
    #: The kind of its last reservation, to which its counters belong also after that has ended; None: it had none, or
    #: was borrowed since.
    _counted_as: str | None = None
    #: Bounds the lines that the board, and clients with its evaluations, cause.
    _lines: RateLimit = Factory(lambda: RateLimit(LINES, LINES_PERIOD))

    def __attrs_post_init__(self) -> None:
        power = self._context.hardware.switches_power
        self.begin(Life(self.images.default, power=power), self._context.clock)

    @abstractmethod
    def changed(self) -> None:
        """Its report has changed."""

    @abstractmethod
    def noted(self, level: str, message: str) -> None:
        """Something for operators has happened: "warn" or "info", and a sentence."""

    # -------------------------------------------------------------------------------------------------- what it reports

    def report(self) -> DeviceReport:
        """Return its report."""
        shown, tally = self._told or self._shown(), self.tally
        health = tally.health.shown(self.life.relapses)
        return DeviceReport(
            serial=self.serial,
            **shown,
            evaluations=tally.evaluations,
            failures=tally.failures,
            retries=tally.retries,
            health=health,
        )

    def _shown(self) -> dict[str, Any]:
        """Return the parts of its report whose change is reported at once: everything except the counters."""
        life, want = self.life, self._want
        status, reason = self._status
        if self._borrowed is not None and status not in (DeviceStatus.BROKEN, DeviceStatus.OFFLINE):
            status, reason = DeviceStatus.AVAILABLE, BORROWED
        return {
            "status": status,
            "reason": reason,
            "reservation": None if want is None else want.reservation,
            "kind": None if want is None else want.kind,
            "firmware": None if self._firmware is None else self._firmware.name,
            "firmware_version": None if self._firmware is None else self._firmware.version,
            "usb_path": life.place,
            "model": self.images.model,
            "shares": self.reservation.ids() if isinstance(self.reservation, SharedBoard) else [],
        }

    def reading(self) -> BoardReading:
        """Return its counters."""
        return self.tally.reading(self.serial, self._counted_as)

    @property
    def _want(self) -> s.DesiredState | None:
        """What its reservation requires, unless it is borrowed for that."""
        want = self.life.want
        return None if want is None or want.reservation == self._borrowed else want

    # ------------------------------------------------------------------------------------------------------ the machine

    def _tell_rebooting(self) -> None:
        """Answer the calls that wait for a reboot, once its outcome is known."""
        hopeless = self.hopeless()
        if hopeless is None and not isinstance(self.life.state, s.Ready | s.Reserved):
            return
        waiting, self._rebooting = self._rebooting, []
        for waiter in waiting:
            if hopeless is None:
                waiter.callback(None)
            else:
                waiter.errback(DeviceFailed(f"board {self.serial} {hopeless}", serial=self.serial, reason=hopeless))

    def entered(self, before: Life) -> None:
        """See `Runner`."""
        if isinstance(self.life.state, s.Ready | s.Broken | s.Gone) and self.reservation is None:
            self._borrowed = None
        self._tell_rebooting()
        if isinstance(self.life.state, s.Reserved):
            assert self.reservation is not None
            assert self._client is not None
            self.reservation.attach(self._client)
        self._note(before)

    def settled(self) -> None:
        """See `Runner`: its report may have changed."""
        self.tally.on_trial = self.life.tries > 0 or self.life.relapses > 0
        shown = self._shown()
        told, self._told = self._told, shown
        if told != shown:
            status = shown["status"]
            if told is None or told["status"] is not status:
                level = LogLevel.debug if status is DeviceStatus.FLASHING else LogLevel.info
                self._log.emit(level, "{serial} is {status}", serial=self.serial, status=status)
            self.changed()

    def carry_out(self, effect: e.Effect) -> Procedure | None:
        """See `Runner`."""
        match effect:
            case e.OpenPort(path):
                self._close_port()
                return self._greet(path)
            case e.ClosePort():
                self._close_port()
            case e.Touch1200(path):
                self._close_port()
                return self._touch(path)
            case e.WriteImage(path, image):
                return self._write(path, image)
            case e.CyclePower(place):
                return self._cycle_power(place)
            case e.RunTest():
                return self._test()
            case e.StartKind():
                return self._start_kind()
            case e.SuspendKind() if self.reservation is not None:
                self.reservation.detach()
            case e.FailWaiting(why) if self.reservation is not None:
                self.reservation.fail_waiting(why)
        return None

    # ------------------------------------------------------------------------------------------------------- procedures

    async def _greet(self, path: str) -> e.Event:
        slower = SLOWER if self.serial in self._context.slow_load else 1
        self._client = client = BoardClient(self._context.clock, self, self.tally, slower)
        self._context.hardware.open(path, client)
        hello = await client.hello()
        if hello.serial != self.serial:
            raise BoardUnusable(f"says that it is {hello.serial}")
        self._firmware = s.Firmware(hello.app, hello.version)
        if self._flash_began is not None:
            self.tally.flashed(self._context.clock.seconds() - self._flash_began)
            self._flash_began = None
        return e.Greeted(self._firmware)

    async def _touch(self, path: str) -> None:
        await self._context.hardware.start_loader(path, self.serial, lambda: self.life.port != path)

    async def _write(self, path: str, firmware: s.Firmware) -> e.Event:
        image = self.images.get(firmware.name)
        self._flash_began = self._context.clock.seconds()
        await self._context.hardware.write(path, image.blocks, self.serial)
        return e.Written()

    async def _cycle_power(self, place: str) -> e.Event:
        await self._context.hardware.cycle_power(place, self.serial)
        return e.Cycled()

    async def _test(self) -> e.Event:
        assert self._client is not None
        await self._client.test()
        if self._load_failed:
            # The rest of the test passes on a board whose FPGA takes no bitstream.
            await self._client.load()
            self._load_failed = False
        return e.TestsPassed()

    async def _start_kind(self) -> e.Event:
        assert self.reservation is not None
        await self.reservation.start()
        return e.KindStarted()

    def _close_port(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close("was restarted")

    # ---------------------------------------------------------------------------- what port, reservation and tally tell

    def board_failed(self, client: BoardClient, why: str) -> None:
        """See `icefarm.worker.protocol.board_client.PortOwner`."""
        if client is self._client:
            self._load_failed = self._load_failed or client.pipeline.load_failed
            self.post(e.Failed(why), self.life.state)

    def port_lost(self, client: BoardClient, why: str) -> None:
        """See `icefarm.worker.protocol.board_client.PortOwner`."""
        if client is self._client:
            self.post(e.PortLost(why), self.life.state)

    def board_said(self, level: LogLevel, text: str) -> None:
        """Pass on the board's log lines, except debug ones."""
        if not self._may_log():
            return
        self._log.emit(level, "{serial} says: {text}", serial=self.serial, text=text)
        if level is not LogLevel.debug:
            self.noted(level.name, f"board {self.serial} says: {text}")

    def _may_log(self) -> bool:
        left_out = self._lines.admit(self._context.clock.seconds())
        if left_out:
            self._log.warn("{serial}: {lines} left out", serial=self.serial, lines=counted(left_out, "line"))
        return left_out is not None

    def hopeless(self) -> str | None:
        """Return why waiting for the board is useless now; None if it is not."""
        match self.life.state:
            case s.Broken(why) | s.Gone(waiting=False, why=why):
                return why
        return None

    def did_well(self) -> None:
        """See `icefarm.worker.protocol.health.TallyListener`."""
        if self.life.tries:
            self.post(e.Proven())
        if self.life.relapses and self.tally.health.mended:
            self.post(e.Mended())

    def did_badly(self, why: str, again: bool) -> None:
        """See `icefarm.worker.protocol.health.TallyListener`."""
        if not again:
            self._log.warn("{serial} {why}: it is reflashed", serial=self.serial, why=why)
        # Not while handling the board's message.
        self._context.clock.callLater(0, self.post, e.Unreliable(why, again))

    def _note(self, before: Life) -> None:
        match self.life.state:
            case s.Broken(why):
                self.tally.judged()
                self._aside = True
                self._log.warn("{serial} is set aside: {why}", serial=self.serial, why=why)
                if not isinstance(before.state, s.Broken):
                    self.noted("warn", f"board {self.serial} is set aside: {why}")
            case s.Ready() if self._aside:
                self._aside = False
                self.noted("info", f"board {self.serial} passed its test and is back in service")
            case _ if self.life.tries > before.tries:
                self._log.info("{serial} is tried again after {state}", serial=self.serial, state=before.state)
