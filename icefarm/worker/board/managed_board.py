"""One board as the worker sees it: carries out what `icefarm.worker.board.state_machine` decides.

USB events, commands, and the ends of procedures become events of the state machine;
`icefarm.worker.board.runner` keeps their order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from icefarm.concurrency.rate_limit import RateLimit
from icefarm.contract import Assignment, BoardReading, DeviceReport, DeviceStatus
from icefarm.errors import DeviceFailed, IcefarmError, InvalidArgument, Unavailable
from icefarm.kinds.registry import Kind
from icefarm.log_format import printable
from icefarm.text.counts import counted
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.context import SLOWER, WorkerContext
from icefarm.worker.board.runner import Procedure, Runner
from icefarm.worker.board.state_machine import Life, time_limit
from icefarm.worker.flash.images import Images, NoImage
from icefarm.worker.protocol.board_client import BoardClient
from icefarm.worker.protocol.health import Tally
from icefarm.worker.protocol.pipeline import BoardUnusable
from icefarm.worker.reservation.board_reservation import BoardReservation
from icefarm.worker.reservation.measuring import ReservationContext
from icefarm.worker.reservation.shared_board import SharedBoard

__all__ = ["ManagedBoard"]

#: Lines about a board in so many seconds: those that it says, and those about its evaluations.
LINES, LINES_PERIOD = 50, 5.0
#: Longest id and reason in such a line, in characters.
LONGEST_ID, LONGEST_REASON = 100, 400
#: Why a board that is available has another firmware than the default one.
BORROWED = "measures reference circuits"
#: Ended reservations that a board remembers, to explain late calls.
REMEMBERED = 64


@define(eq=False)
class ManagedBoard(Runner):
    """A board, present or not, with the reservation that it serves, or those that share it."""

    serial: str
    images: Images
    _context: WorkerContext
    reservation: BoardReservation | SharedBoard | None = None
    #: Whether each of its evaluations is logged, not only those that fail.
    logs_evaluations: bool = Factory(lambda self: self._context.follows_evaluations, takes_self=True)
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
    _past: deque[tuple[str, str]] = Factory(lambda: deque(maxlen=REMEMBERED))
    #: Bounds the lines that the board, and clients with its evaluations, cause.
    _lines: RateLimit = Factory(lambda: RateLimit(LINES, LINES_PERIOD))

    def __attrs_post_init__(self) -> None:
        power = self._context.hardware.switches_power
        self.begin(Life(self.images.default, power=power), self._context.clock)

    # ------------------------------------------------------------------------------------------------ commands

    def assign(self, assignment: Assignment) -> BoardReservation:
        """Serve a reservation; one that it already serves continues unchanged.

        Raises `UnknownKind`, `InvalidArgument` (options), `DeviceFailed` (no firmware for that kind).
        """
        before = self.reservation
        if assignment.within is not None:
            own = evolve(assignment, reservation=assignment.within, client="", options={}, within=None)
            return self._shared(own).join(assignment)
        if isinstance(before, BoardReservation) and before.assignment.reservation == assignment.reservation:
            before.relabel(assignment.labels)
            return before
        context = self._reservation_context()
        kind, firmware = self._kind_of(assignment)
        new = BoardReservation.of(assignment, kind, firmware, context)
        self._serve(new)
        return new

    def share_among(self, own: Assignment, shares: Sequence[Assignment]) -> None:
        """Let these clients share the board, and no others, within the farm's ``own`` reservation.

        Raises as `assign` does.
        """
        shared, wanted = self._shared(own), {each.reservation for each in shares}
        for reservation in shared.ids():
            if reservation not in wanted:
                self._leave(shared, reservation, "the farm no longer knows it")
        for each in shares:
            shared.join(each)
        self._require(shared)

    def find(self, reservation: str) -> BoardReservation | None:
        """Return the client's reservation of that id, if the board serves it."""
        return None if self.reservation is None else self.reservation.find(reservation)

    def _shared(self, own: Assignment) -> SharedBoard:
        """Serve several clients, within the farm's own reservation; what it already serves so continues."""
        before = self.reservation
        if isinstance(before, SharedBoard) and before.assignment.reservation == own.reservation:
            shared = before
        else:
            kind, firmware = self._kind_of(own)
            if not kind.shareable:
                raise InvalidArgument(
                    f"kind {kind.name} needs a board for itself; reserve without shared", kind=kind.name
                )
            shared = SharedBoard(own, kind, firmware, self._reservation_context())
            self._serve(shared)
        return shared

    def _kind_of(self, assignment: Assignment) -> tuple[Kind, s.Firmware]:
        kind = self._context.kinds.get(assignment.kind)
        try:
            return kind, self.images.get(kind.firmware).firmware
        except NoImage as error:
            raise DeviceFailed(str(error), serial=self.serial) from None

    def _reservation_context(self) -> ReservationContext:
        context = self._context
        return ReservationContext(context.worker, context.clock, context.admission, self, context.archive)

    def _serve(self, new: BoardReservation | SharedBoard) -> None:
        before = self.reservation
        if new.assignment.reservation != self._borrowed:
            self._borrowed = None
        if before is not None:
            self._end(before, "another one took its place")
        self.reservation = new
        self._require(new)

    def _leave(self, shared: SharedBoard, reservation: str, reason: str) -> None:
        left = shared.leave(reservation, reason)
        if left is not None:
            self._past.extend(left.held())

    def _require(self, reservation: BoardReservation | SharedBoard) -> None:
        """Say what a reservation requires; the board is reported too if others share it now."""
        want = s.DesiredState(reservation.assignment.reservation, reservation.kind.name, reservation.firmware)
        self.post(e.Assign(want))

    async def prepare(self, assignment: Assignment) -> None:
        """Serve a reservation; returns when the board is usable.  Raises like `assign`, and `DeviceFailed`."""
        reservation = self.assign(assignment)
        if isinstance(self.reservation, SharedBoard):
            self._require(self.reservation)
        await reservation.usable()

    def borrow(self, assignment: Assignment) -> BoardReservation:
        """Serve a reservation of the farm's own: meanwhile it is reported as available, and any other one takes it.

        Raises `Unavailable` where it is not free, and what `assign` raises.
        """
        if self.reservation is not None or not isinstance(self.life.state, s.Ready):
            raise Unavailable(f"board {self.serial} is not free", serial=self.serial)
        self._borrowed = assignment.reservation
        try:
            return self.assign(assignment)
        except IcefarmError:
            self._borrowed = None
            raise

    def release(self, reservation: str | None, reason: str) -> None:
        """End a reservation (None: whichever it serves); harmless if it serves another one.

        Of several that share the board, the others go on.
        """
        mine = self.reservation
        if mine is None:
            return
        if reservation in (None, mine.assignment.reservation):
            self._end(mine, reason)
            self.post(e.Release())
        elif isinstance(mine, SharedBoard) and reservation is not None:
            self._leave(mine, reservation, reason)
            self._require(mine)

    def reboot(self) -> Deferred[None]:
        """Restart and flash the board; its reservation stays.

        Fires when it is usable again; fails with `DeviceFailed` if that won't be soon.
        """
        waiter: Deferred[None] = Deferred(self._rebooting.remove)
        self._rebooting.append(waiter)
        self.post(e.Reboot())
        self._tell_rebooting()
        return waiter

    def retest(self) -> None:
        """Give a broken board another chance."""
        self.post(e.Retest())

    def delete(self) -> None:
        """Forget the board."""
        self._let_go("the board was deleted")

    def stop(self) -> None:
        """Release the board unchanged, because the worker stops."""
        self._let_go("the worker stops")

    def was_held(self, client: str, reservation: str) -> bool:
        """Tell whether that client's reservation was one of the last ones here."""
        return (client, reservation) in self._past

    @property
    def at_rest(self) -> bool:
        """Whether it is not reserved, and not in transition between states."""
        resting = isinstance(self.life.state, s.Broken) or time_limit(self.life) is None
        return resting and self.reservation is None

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
        return self.tally.reading(self.serial, None if self._want is None else self._want.kind)

    @property
    def _want(self) -> s.DesiredState | None:
        """What its reservation requires, unless it is borrowed for that."""
        want = self.life.want
        return None if want is None or want.reservation == self._borrowed else want

    def _let_go(self, reason: str) -> None:
        """End all operations on the board, and leave it running."""
        if self.reservation is not None:
            self._end(self.reservation, reason)
        self.post(e.Delete())

    def _end(self, reservation: BoardReservation | SharedBoard, reason: str) -> None:
        self.reservation = None
        self._past.extend(reservation.held())
        reservation.end(reason)

    # -------------------------------------------------------------------------------------------- the machine

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
            self._context.observer.changed(self)

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

    # --------------------------------------------------------------------------------------------- procedures

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

    # ------------------------------------------------------------------------------------- what the port tells

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
            self._context.observer.noted(self, level.name, f"board {self.serial} says: {text}")

    def evaluation_failed(self, reservation: str, evaluation: str, error: IcefarmError) -> None:
        """Log why an evaluation failed, here and at control, so that it can be followed by its id."""
        if self._may_log():
            evaluation = printable(evaluation, LONGEST_ID)
            text = f"evaluation {evaluation} failed: {error.name}: {printable(str(error), LONGEST_REASON)}"
            about = {"serial": self.serial, "reservation": reservation, "evaluation": evaluation}
            self._log.info("{serial}: {text}", text=text, worker=self._context.worker, **about)
            self._context.observer.evaluation_failed(self, reservation, evaluation, text)

    def evaluation_done(self, reservation: str, evaluation: str) -> None:
        """Log that an evaluation has its answer."""
        if self._may_log():
            about = {"serial": self.serial, "reservation": reservation, "evaluation": printable(evaluation, LONGEST_ID)}
            self._log.debug("{serial}: evaluation {evaluation} done", worker=self._context.worker, **about)

    def _may_log(self) -> bool:
        left_out = self._lines.admit(self._context.clock.seconds())
        if left_out:
            self._log.warn("{serial}: {lines} left out", serial=self.serial, lines=counted(left_out, "line"))
        return left_out is not None

    # ------------------------------------------------------------------------- what reservation and tally tell

    def hopeless(self) -> str | None:
        """Return why waiting for the board is useless now; None if it is not."""
        match self.life.state:
            case s.Broken(why) | s.Gone(waiting=False, why=why):
                return why
        return None

    def emit(self, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        """Send the client an event of the kind."""
        self._context.observer.emitted(self, reservation, event, fields)

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
                    self._context.observer.noted(self, "warn", f"board {self.serial} is set aside: {why}")
            case s.Ready() if self._aside:
                self._aside = False
                self._context.observer.noted(
                    self, "info", f"board {self.serial} passed its test and is back in service"
                )
            case _ if self.life.tries > before.tries:
                self._log.info("{serial} is tried again after {state}", serial=self.serial, state=before.state)
