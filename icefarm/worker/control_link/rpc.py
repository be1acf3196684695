"""The worker's procedures: what control calls, and what clients call on their boards, checked at the door."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from attrs import define, field

from icefarm.arguments import CheckedFunction, from_wire
from icefarm.bus import Caller
from icefarm.contract import Assignment, Role, device_prefix, method_of
from icefarm.errors import InvalidArgument, NotAuthorized, NotYours, ReservationEnded
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.board.registry import BoardRegistry
from icefarm.worker.control_link.shutdown import Departure
from icefarm.worker.reservation.board_reservation import BoardReservation

__all__ = ["ControlProcedures", "DeviceProcedures"]


@define(eq=False)
class ControlProcedures:
    """``icefarm.v1.worker.<name>.*``: what control wants of this worker."""

    _inventory: Callable[[], BoardRegistry]
    #: Told of each device that control has given an order for.
    _ordered: Callable[[str], None]
    _departure: Departure
    draining: bool = False
    _functions: dict[str, CheckedFunction] = field(init=False)

    @_functions.default
    def _all(self) -> dict[str, CheckedFunction]:
        every = (self.prepare, self.release, self.reboot, self.delete, self.retest, self.drain, self.resume, self.leave)
        return {function.__name__: CheckedFunction.of(function) for function in every}

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
        device = self._inventory().get(serial)
        self._ordered(serial)
        await device.prepare(assignment)

    async def release(self, serial: str, reservation: str, reason: str) -> None:
        """End a board's reservation, if it is still that one."""
        device = self._inventory().get(serial)
        self._ordered(serial)
        device.release(reservation, reason)

    async def reboot(self, serial: str) -> None:
        """Restart and flash a board, keeping its reservation; answers when it is usable again."""
        await self._inventory().get(serial).reboot()

    async def delete(self, serial: str) -> None:
        """Forget a board."""
        self._inventory().delete(serial)

    async def retest(self, serial: str) -> None:
        """Give a broken board another chance now."""
        self._inventory().get(serial).retest()

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
class DeviceProcedures:
    """``icefarm.v1.device.<serial>.*``: what clients call on boards that they have reserved."""

    #: Waits until this worker knows whose its boards are.
    _settled: Callable[[], Awaitable[None] | None]

    async def handle(
        self, device: ManagedBoard, caller: Caller, procedure: str, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """Carry out a call on a device (`icefarm.bus.Handler`, but for the device)."""
        waiting = self._settled()
        if waiting is not None:
            await waiting
        arguments = dict(kwargs)
        if "reservation" in arguments:
            reservation = arguments.pop("reservation")
        elif args:
            reservation, *args = args
        else:
            raise InvalidArgument(
                "reservation is missing: a call to a board names the reservation that it is made under"
            )
        holding = admitted(device, caller, from_wire(reservation, str, "reservation"))
        return await holding.call(procedure.removeprefix(device_prefix(device.serial)), args, arguments)


def admitted(device: ManagedBoard, caller: Caller, reservation: str) -> BoardReservation:
    """Return the reservation that a caller has on a device.  Raises `NotYours`, `ReservationEnded`."""
    holding, serial = device.holding, device.serial
    if holding is not None and holding.assignment.reservation == reservation:
        if holding.assignment.client == caller.authid:
            return holding
        raise NotYours(f"board {serial} is reserved by somebody else", serial=serial)
    if holding is None or holding.assignment.client == caller.authid or device.was_held(caller.authid, reservation):
        raise ReservationEnded(f"reservation {reservation!r} of board {serial} has ended; reserve again", serial=serial)
    raise NotYours(f"board {serial} is reserved by somebody else", serial=serial)
