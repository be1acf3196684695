"""The worker's procedures: what control calls, and what clients call on their boards, checked at the door."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import Factory, define, field, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from icefarm.arguments import CheckedFunction, from_wire
from icefarm.bus import Caller
from icefarm.contract import Assignment, Role, device_prefix, method_of
from icefarm.errors import InvalidArgument, NotAuthorized, NotYours, ReservationEnded, TimedOut
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.board.registry import BoardRegistry
from icefarm.worker.control_link.shutdown import Departure
from icefarm.worker.reservation.board_reservation import BoardReservation

__all__ = ["BoardProcedures", "ControlProcedures", "Settling"]

#: Seconds that calls on boards wait for control to say for the first time whose they are.
SETTLE_LIMIT = 10.0


@define(eq=False)
class ControlProcedures:
    """``icefarm.v1.worker.<name>.*``: what control wants of this worker."""

    _boards: BoardRegistry
    _departure: Departure
    #: Boards that control gave an order for since the hello was sent: its answer is older than that.
    _ordered: set[str] = Factory(set)
    draining: bool = False
    _functions: dict[str, CheckedFunction] = field(init=False)

    @_functions.default
    def _all(self) -> dict[str, CheckedFunction]:
        every = (self.prepare, self.release, self.reboot, self.delete, self.retest, self.drain, self.resume, self.leave)
        return {function.__name__: CheckedFunction.of(function) for function in every}

    def hello_sent(self) -> None:
        """What control orders from now on is newer than its answer to the hello."""
        self._ordered.clear()

    def converge(self, assignments: Mapping[str, Assignment]) -> None:
        """Have boards as control's answer to the hello wants them, but for those that it gave an order for since."""
        self._boards.converge(assignments, self._ordered)

    async def handle(self, caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Carry out a call (`icefarm.bus.Handler`)."""
        if caller.role != Role.CONTROL:
            raise NotAuthorized("only control may call a worker")
        _, method = method_of(procedure)
        function = self._functions.get(method)
        if function is None:
            raise InvalidArgument(f"a worker has no procedure {method!r}; it has {', '.join(self._functions)}")
        return await function.function(**function.bind(args, kwargs))

    async def prepare(self, serial: str, assignment: Assignment) -> None:
        """Have a board serve a reservation; answers when it is usable."""
        board = self._boards.get(serial)
        self._ordered.add(serial)
        await board.prepare(assignment)

    async def release(self, serial: str, reservation: str, reason: str) -> None:
        """End a board's reservation, if it is still that one."""
        board = self._boards.get(serial)
        self._ordered.add(serial)
        board.release(reservation, reason)

    async def reboot(self, serial: str) -> None:
        """Restart and flash a board, keeping its reservation; answers when it is usable again."""
        await self._boards.get(serial).reboot()

    async def delete(self, serial: str) -> None:
        """Forget a board."""
        self._boards.delete(serial)

    async def retest(self, serial: str) -> None:
        """Give a broken board another chance now."""
        self._boards.get(serial).retest()

    async def drain(self) -> None:
        """Take note that no new reservations will come; control does not choose this worker's boards."""
        self.draining = True

    async def resume(self) -> None:
        """Take note that reservations will come again."""
        self.draining = False
        self._departure.revoke()

    async def leave(self) -> None:
        """End this process as soon as its boards are at rest: nobody has them, and nobody will."""
        self._departure.allow()


@define(eq=False)
class Settling:
    """Keeps calls on boards waiting until control has said for the first time whose the boards are."""

    _clock: Any
    _settled: bool = False
    _waiting: list[Deferred[None]] = Factory(list)

    def done(self) -> None:
        """Control has said it."""
        self._settled = True
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            waiter.callback(None)

    def wait(self) -> Deferred[None] | None:
        """Return a Deferred that fires then, or fails with `TimedOut`; None where there is nothing to wait for."""
        if self._settled:
            return None
        waiter: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiter)
        return waiter.addTimeout(SETTLE_LIMIT, self._clock, _unsettled)


@frozen
class BoardProcedures:
    """``icefarm.v1.device.<serial>.*``: what clients call on a board that they have reserved."""

    _board: ManagedBoard
    _settling: Settling
    prefix: str

    @classmethod
    def of(cls, board: ManagedBoard, settling: Settling) -> BoardProcedures:
        return cls(board, settling, device_prefix(board.serial))

    async def handle(self, caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Carry out a call (`icefarm.bus.Handler`)."""
        waiting = self._settling.wait()
        if waiting is not None:
            await waiting
        arguments = dict(kwargs)
        if "reservation" in arguments:
            name = arguments.pop("reservation")
        elif args:
            name, *args = args
        else:
            raise InvalidArgument(
                "reservation is missing: a call to a board names the reservation that it is made under"
            )
        reservation = self._admitted(caller, from_wire(name, str, "reservation"))
        return await reservation.call(procedure.removeprefix(self.prefix), args, arguments)

    def _admitted(self, caller: Caller, name: str) -> BoardReservation:
        """Return the reservation that a caller has on the board.  Raises `NotYours`, `ReservationEnded`."""
        board, mine, serial = self._board, self._board.reservation, self._board.serial
        if mine is not None and mine.assignment.reservation == name:
            if mine.assignment.client == caller.authid:
                return mine
            raise NotYours(f"board {serial} is reserved by somebody else", serial=serial)
        if mine is None or mine.assignment.client == caller.authid or board.was_held(caller.authid, name):
            raise ReservationEnded(f"reservation {name!r} of board {serial} has ended; reserve again", serial=serial)
        raise NotYours(f"board {serial} is reserved by somebody else", serial=serial)


def _unsettled(result: Any, limit: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise TimedOut(f"control has not said within {limit:g} s whose this board is; try again")
    return result
