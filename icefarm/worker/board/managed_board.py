"""One board as the worker sees it: a life, and the reservation that it serves, or those that share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred

from icefarm.contract import Assignment
from icefarm.errors import DeviceFailed, IcefarmError, InvalidArgument, Unavailable
from icefarm.kinds.registry import Kind
from icefarm.text.one_line import one_line
from icefarm.worker.board import events as e
from icefarm.worker.board import states as s
from icefarm.worker.board.runner import BoardLife
from icefarm.worker.board.state_machine import time_limit
from icefarm.worker.flash.images import NoImage
from icefarm.worker.reservation.board_reservation import BoardReservation
from icefarm.worker.reservation.measuring import ReservationContext
from icefarm.worker.reservation.shared_board import SharedBoard

__all__ = ["ManagedBoard"]

#: Longest id and reason in a line about an evaluation, in characters.
LONGEST_ID, LONGEST_REASON = 100, 400
#: Ended reservations that a board remembers, to explain late calls.
REMEMBERED = 64


@define(eq=False)
class ManagedBoard(BoardLife):
    """A board of this worker."""

    #: Whether each of its evaluations is logged, not only those that fail.
    logs_evaluations: bool = Factory(lambda self: self._context.follows_evaluations, takes_self=True)
    _past: deque[tuple[str, str]] = Factory(lambda: deque(maxlen=REMEMBERED))

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
        """Serve several clients within the farm's own reservation; those that it already serves there continue."""
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
        self._counted_as = None if self._borrowed is not None else new.kind.name
        self._require(new)

    def _leave(self, shared: SharedBoard, reservation: str, reason: str) -> None:
        left = shared.leave(reservation, reason)
        if left is not None:
            self._past.extend(left.held())

    def _require(self, reservation: BoardReservation | SharedBoard) -> None:
        """Post what a reservation requires; the board is reported too if its sharers have changed."""
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

    @property
    def at_rest(self) -> bool:
        """Whether it is not reserved, and not in transition between states."""
        resting = isinstance(self.life.state, s.Broken) or time_limit(self.life) is None
        return resting and self.reservation is None

    def delete(self) -> None:
        """Forget the board."""
        self._let_go("the board was deleted")

    def stop(self) -> None:
        """Release the board unchanged, because the worker stops."""
        self._let_go("the worker stops")

    def was_held(self, client: str, reservation: str) -> bool:
        """Tell whether that reservation of the client was one of the last ones here."""
        return (client, reservation) in self._past

    def _let_go(self, reason: str) -> None:
        """End all operations on the board, and leave it running."""
        if self.reservation is not None:
            self._end(self.reservation, reason)
        self.post(e.Delete())

    def _end(self, reservation: BoardReservation | SharedBoard, reason: str) -> None:
        self.reservation = None
        self._past.extend(reservation.held())
        reservation.end(reason)

    def evaluation_failed(self, reservation: str, evaluation: str, error: IcefarmError) -> None:
        """Log why an evaluation failed, here and at control, so that it can be followed by its id."""
        if self._may_log():
            evaluation = one_line(evaluation, LONGEST_ID)
            text = f"evaluation {evaluation} failed: {error.name}: {one_line(str(error), LONGEST_REASON)}"
            about = {"serial": self.serial, "reservation": reservation, "evaluation": evaluation}
            self._log.info("{serial}: {text}", text=text, worker=self._context.worker, **about)
            self._context.observer.evaluation_failed(self, reservation, evaluation, text)

    def evaluation_done(self, reservation: str, evaluation: str) -> None:
        """Log that an evaluation has its answer."""
        if self._may_log():
            about = {"serial": self.serial, "reservation": reservation, "evaluation": one_line(evaluation, LONGEST_ID)}
            self._log.debug("{serial}: evaluation {evaluation} done", worker=self._context.worker, **about)

    def emit(self, reservation: str, event: str, fields: Mapping[str, object]) -> None:
        """Send the client an event of the kind."""
        self._context.observer.emitted(self, reservation, event, fields)

    def changed(self) -> None:
        """See `icefarm.worker.board.runner.BoardLife`."""
        self._context.observer.changed(self)

    def noted(self, level: str, message: str) -> None:
        """See `icefarm.worker.board.runner.BoardLife`."""
        self._context.observer.noted(self, level, message)
