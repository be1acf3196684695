"""One board as the worker sees it: carries out what `icefarm.worker.board.state_machine` decides.

USB events, commands, and the ends of procedures become events of the state machine;
`icefarm.worker.board.runner` keeps their order.
"""

from __future__ import annotations

from collections import deque
from functools import partial

from attrs import Factory, define, evolve, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel

from icefarm.contract import Assignment, BoardHealth, BoardReading, DeviceReport, DeviceStatus
from icefarm.errors import DeviceFailed
from icefarm.usb_events import UsbEvent
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.context import WorkerContext
from icefarm.worker.board.runner import Runner
from icefarm.worker.flash.images import Images, NoImage
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.health import Health, Outcome
from icefarm.worker.protocol.pipeline import BoardFailed
from icefarm.worker.reservation.board_reservation import BoardReservation, ReservationContext
from icefarm.worker.reservation.counters import Tally

__all__ = ["ManagedBoard"]

#: Reservations that a device remembers after their end, to say so to those who call late.
REMEMBERED = 16


@define(eq=False)
class ManagedBoard:
    """A board, present or not, with the reservation that it serves."""

    serial: str
    images: Images
    _around: WorkerContext
    holding: BoardReservation | None = None
    evaluations: int = 0
    failures: int = 0
    retries: int = 0
    _tally: Tally = Factory(Tally)
    #: When the last image began to be written, until the board runs it.
    _flash_began: float | None = None
    #: As it last said in HELLO.
    _firmware: s.Firmware | None = None
    _board: BoardClient | None = None
    _told: DeviceReport | None = None
    _rebooting: list[Deferred[None]] = Factory(list)
    _health: Health = Factory(Health)
    #: It was flashed because it was unreliable, and has not shown yet that this helped.
    _doubted: bool = False
    #: It was set aside, and not taken back yet.
    _aside: bool = False
    _past: deque[tuple[str, str]] = Factory(lambda: deque(maxlen=REMEMBERED))
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker.protocol.board_client"))
    _runner: Runner = field(init=False)

    @_runner.default
    def _run_life(self) -> Runner:
        life = s.Life(self.images.default, power=self._around.hardware.switches_power)
        return Runner(life, self._around.clock, self._carry_out, self._entered, self._tell)

    @property
    def life(self) -> s.Life:
        """Its state, and what it keeps from state to state."""
        return self._runner.life

    # ------------------------------------------------------------------------------------------------ commands

    def usb(self, event: UsbEvent) -> None:
        """Take what happened to the board on USB."""
        self._runner.post(event)

    def assign(self, assignment: Assignment) -> BoardReservation:
        """Serve a reservation; one that it serves already goes on as it is.

        Raises `UnknownKind`, `InvalidArgument` (options), `DeviceFailed` (no firmware for that kind).
        """
        holding = self.holding
        if holding is not None and holding.assignment.reservation == assignment.reservation:
            return holding
        kind = self._around.kinds.get(assignment.kind)
        try:
            firmware = self.images.get(kind.firmware).firmware
        except NoImage as error:
            raise DeviceFailed(str(error), serial=self.serial) from None
        new = BoardReservation.of(assignment, kind, firmware, self._place())
        if holding is not None:
            self._end_holding(holding, "another one took its place")
        self.holding = new
        self._runner.post(e.Assign(s.DesiredState(assignment.reservation, kind.name, firmware)))
        return new

    async def prepare(self, assignment: Assignment) -> None:
        """Serve a reservation; answers when the board is usable.  Raises as `assign`, and `DeviceFailed`."""
        await self.assign(assignment).usable()

    def release(self, reservation: str | None, reason: str) -> None:
        """End a reservation (None: whichever it serves); harmless where it serves another one."""
        holding = self.holding
        if holding is None or reservation not in (None, holding.assignment.reservation):
            return
        self._end_holding(holding, reason)
        self._runner.post(e.Release())

    def reboot(self) -> Deferred[None]:
        """Restart and flash the board; its reservation stays.

        Fires when it is usable again; fails with `DeviceFailed` where that won't be soon.
        """
        waiter: Deferred[None] = Deferred(self._rebooting.remove)
        self._rebooting.append(waiter)
        self._runner.post(e.Reboot())
        self._tell_rebooting()
        return waiter

    def retest(self) -> None:
        """Give a broken board another chance."""
        self._runner.post(e.Retest())

    def delete(self) -> None:
        """Forget the board."""
        self._let_go("the board was deleted")

    def stop(self) -> None:
        """Let go of the board, as it is, because the worker stops."""
        self._let_go("the worker stops")

    def was_held(self, client: str, reservation: str) -> bool:
        """Tell whether that reservation of that client's was one of the last ones here."""
        return (client, reservation) in self._past

    @property
    def at_rest(self) -> bool:
        """Whether nobody has it, and it is not on its way from one state to another."""
        resting = isinstance(self.life.state, s.Broken) or s.time_limit(self.life) is None
        return resting and self.holding is None

    def report(self) -> DeviceReport:
        """Say how it is."""
        status, reason = s.status_of(self.life)
        want = self.life.want
        return DeviceReport(
            serial=self.serial,
            status=status,
            reason=reason,
            reservation=None if want is None else want.reservation,
            kind=None if want is None else want.kind,
            firmware=None if self._firmware is None else self._firmware.name,
            firmware_version=None if self._firmware is None else self._firmware.version,
            usb_path=self.life.place,
            evaluations=self.evaluations,
            failures=self.failures,
            retries=self.retries,
            health=self._health.shown(self.life.relapses),
        )

    def reading(self) -> BoardReading:
        """Say what there is to count and measure of it."""
        want = self.life.want
        kind = None if want is None else want.kind
        return self._tally.reading(self.serial, kind, self.evaluations, self.failures, self.retries)

    def _let_go(self, reason: str) -> None:
        """End all that concerns the board, and leave it running what it runs."""
        if self.holding is not None:
            self._end_holding(self.holding, reason)
        self._runner.post(e.Delete())

    def _end_holding(self, holding: BoardReservation, reason: str) -> None:
        self.holding = None
        self._past.append((holding.assignment.client, holding.assignment.reservation))
        holding.end(reason)

    # -------------------------------------------------------------------------------------------- the machine

    def _tell_rebooting(self) -> None:
        """Answer those who wait for the end of a reboot, once it is known how it ended."""
        hopeless = self._hopeless()
        if hopeless is None and not isinstance(self.life.state, s.Ready | s.Reserved):
            return
        waiting, self._rebooting = self._rebooting, []
        for waiter in waiting:
            if hopeless is None:
                waiter.callback(None)
            else:
                waiter.errback(DeviceFailed(f"board {self.serial} {hopeless}", serial=self.serial, reason=hopeless))

    def _entered(self, before: s.Life) -> None:
        self._tell_rebooting()
        if isinstance(self.life.state, s.Reserved):
            assert self.holding is not None
            assert self._board is not None
            self.holding.attach(self._board)
        self._note(before)

    def _carry_out(self, effect: e.Effect) -> None:
        match effect:
            case e.OpenPort(path):
                self._close_port()
                self._runner.run(self._greet(path))
            case e.ClosePort():
                self._close_port()
            case e.Touch1200(path):
                self._close_port()
                self._runner.run(self._touch(path))
            case e.WriteImage(path, image):
                self._runner.run(self._write(path, image))
            case e.CyclePower(place):
                self._runner.run(self._cycle_power(place))
            case e.RunTest():
                self._runner.run(self._test())
            case e.StartKind():
                self._runner.run(self._start_kind())
            case e.SuspendKind() if self.holding is not None:
                self.holding.detach()
            case e.FailWaiting(why) if self.holding is not None:
                self.holding.fail_waiting(why)

    # --------------------------------------------------------------------------------------------- procedures

    async def _greet(self, path: str) -> e.Event:
        board = BoardClient(
            self._around.clock, lambda why: self._board_failed(board, e.Failed(why)),
            lambda why: self._board_failed(board, e.PortLost(why)), self._count_bad, self._heard,
            self._around.slower(self.serial),
        )  # fmt: skip
        self._around.hardware.open(path, board)
        self._board = board
        hello = await board.hello()
        if hello.serial != self.serial:
            raise BoardFailed(f"says that it is {hello.serial}")
        self._firmware = s.Firmware(hello.app, hello.version)
        if self._flash_began is not None:
            self._tally.flashed(self._around.clock.seconds() - self._flash_began)
            self._flash_began = None
        return e.Greeted(self._firmware)

    async def _touch(self, path: str) -> None:
        await self._around.hardware.start_loader(path, self.serial, lambda: self.life.port != path)

    async def _write(self, path: str, firmware: s.Firmware) -> e.Event:
        image = self.images.get(firmware.name)
        self._flash_began = self._around.clock.seconds()
        await self._around.hardware.write(path, image.blocks, self.serial)
        return e.Written()

    async def _cycle_power(self, place: str) -> e.Event:
        await self._around.hardware.cycle_power(place, self.serial)
        return e.Cycled()

    async def _test(self) -> e.Event:
        assert self._board is not None
        await self._board.test()
        return e.TestsPassed()

    async def _start_kind(self) -> e.Event:
        assert self.holding is not None
        await self.holding.start()
        return e.KindStarted()

    def _close_port(self) -> None:
        board, self._board = self._board, None
        if board is not None:
            board.close("was restarted")

    def _board_failed(self, board: BoardClient, event: e.Event) -> None:
        if board is self._board:
            self._runner.post(event, self.life.state)

    # ------------------------------------------------------------------------------------------ what is told

    def _place(self) -> ReservationContext:
        return ReservationContext(
            self._around.worker, self.serial, self._around.clock, self._around.admission,
            self._hopeless, self._evaluated, partial(self._count_bad, Outcome.RETRY), self._tally.take,
            partial(self._around.observer.emitted, self),
        )  # fmt: skip

    def _hopeless(self) -> str | None:
        match self.life.state:
            case s.Broken(why) | s.Gone(waiting=False, why=why):
                return why
        return None

    def _evaluated(self, error: BaseException | None) -> None:
        if error is None:
            self.evaluations += 1
            if self.life.tries:
                self._runner.post(e.Proven())
            self._judge(Outcome.GOOD)
            if self.life.relapses and self._health.mended:
                self._runner.post(e.Mended())
        elif isinstance(error, DeviceFailed):
            self.failures += 1
            self._judge(Outcome.FAILURE)

    def _count_bad(self, outcome: Outcome) -> None:
        if outcome is Outcome.RETRY:
            self.retries += 1
        self._judge(outcome)

    def _heard(self, level: LogLevel, text: str) -> None:
        """Hand on what the board says of itself, but for what only its makers ask for."""
        self._log.emit(level, "{serial} says: {text}", serial=self.serial, text=text)
        if level is not LogLevel.debug:
            self._around.observer.noted(self, level.name, f"board {self.serial} says: {text}")

    def _judge(self, outcome: Outcome) -> None:
        """Have a board flashed that needs too many attempts, and set aside where that does not help."""
        self._health = self._health.after(outcome)
        if self._health.sound:
            self._doubted = False
        verdict = self._health.verdict
        if verdict is None:
            return
        again, self._doubted, self._health = self._doubted, not self._doubted, self._health.judged()
        if not again:
            self._log.warn("{serial} {why}: it is flashed anew", serial=self.serial, why=verdict)
        # Not from within what the board just said.
        self._around.clock.callLater(0, self._runner.post, e.Unreliable(verdict, again))

    def _note(self, before: s.Life) -> None:
        match self.life.state:
            case s.Broken(why):
                self._health, self._aside = self._health.judged(), True
                self._log.warn("{serial} is set aside: {why}", serial=self.serial, why=why)
                if not isinstance(before.state, s.Broken):
                    self._around.observer.noted(self, "warn", f"board {self.serial} is set aside: {why}")
            case s.Ready() if self._aside:
                self._aside = False
                self._around.observer.noted(self, "info", f"board {self.serial} passed its test and is taken back")
            case _ if self.life.tries > before.tries:
                self._log.info("{serial} is tried again after {state}", serial=self.serial, state=before.state)

    def _tell(self) -> None:
        report = self.report()
        told, self._told = self._told, report
        if told is None or not _alike(told, report):
            if told is None or told.status is not report.status:
                level = LogLevel.debug if report.status is DeviceStatus.FLASHING else LogLevel.info
                self._log.emit(level, "{serial} is {status}", serial=self.serial, status=report.status)
            self._around.observer.changed(self)


def _alike(one: DeviceReport, other: DeviceReport) -> bool:
    """Tell whether two reports differ in no more than their counters."""
    return _apart_from_counters(one) == _apart_from_counters(other)


def _apart_from_counters(report: DeviceReport) -> DeviceReport:
    return evolve(report, evaluations=0, failures=0, retries=0, health=BoardHealth())
