"""The worker's procedures for control, with checked arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, TimeoutError

from icefarm.arguments import CheckedFunction
from icefarm.bus import Caller
from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import failures
from icefarm.contract import Assignment, ReferenceCircuit, Role, method_of
from icefarm.errors import InvalidArgument, NotAuthorized, TimedOut, error_to_wire
from icefarm.text.durations import in_words
from icefarm.worker.board.pool import BoardPool
from icefarm.worker.board.registry import BoardRegistry
from icefarm.worker.control_link.shutdown import Departure
from icefarm.worker.reservation.references import measure_references

__all__ = ["ControlProcedures"]


@define(eq=False)
class ControlProcedures:
    """``icefarm.v1.worker.<name>.*``: control's orders for this worker."""

    _clock: Clock
    _boards: BoardRegistry
    _departure: Departure
    #: None where all boards are always there.
    _pool: BoardPool | None = None
    #: Boards for which control has given an order since the hello was sent; the order is newer than the hello's answer.
    _ordered: set[str] = Factory(set)
    draining: bool = False
    _functions: dict[str, CheckedFunction] = field(init=False)

    @_functions.default
    def _all(self) -> dict[str, CheckedFunction]:
        every = (
            *(self.prepare, self.prepare_all, self.relabel, self.release, self.release_all, self.reboot),
            *(self.delete, self.retest),
            *(self.drain, self.resume, self.leave, self.plug_in, self.retire, self.measure_references),
        )
        return {function.__name__: CheckedFunction.of(function) for function in every}

    def hello_sent(self) -> None:
        """Orders from now on are newer than control's answer to the hello."""
        self._ordered.clear()

    def converge(self, assignments: Mapping[str, Assignment], shares: Mapping[str, Sequence[Assignment]]) -> None:
        """Assign boards as control's answer to the hello says, except those with a later order."""
        self._boards.converge(assignments, shares, self._ordered)

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
        """Make a board serve a reservation; returns when it is usable."""
        board = self._boards.get(serial)
        self._ordered.add(serial)
        await board.prepare(assignment)

    async def prepare_all(self, assignments: dict[str, Assignment], seconds: float) -> dict[str, Any]:
        """Make boards serve reservations, by serial; returns when each is usable or has failed, or the time is over.

        ``failed`` in the answer says why some are not usable.
        """
        orders = {serial: partial(self._prepare_within, seconds, serial, each) for serial, each in assignments.items()}
        failed = await failures(orders, max(1, len(orders)))
        return {"failed": {serial: error_to_wire(error) for serial, error in failed.items()}}

    async def _prepare_within(self, seconds: float, serial: str, assignment: Assignment) -> None:
        preparing = Deferred.fromCoroutine(self.prepare(serial, assignment))
        preparing.addTimeout(seconds, self._clock)  # type: ignore[arg-type]
        try:
            await preparing
        except TimeoutError:
            raise TimedOut(f"board {serial} was not usable within {in_words(seconds)}") from None

    async def release_all(self, reservations: dict[str, str], reason: str) -> dict[str, Any]:
        """End reservations, by the serials of their boards; a board that has another one by now keeps it.

        ``failed`` in the answer says why some are not released.
        """
        orders = {serial: partial(self.release, serial, each, reason) for serial, each in reservations.items()}
        failed = await failures(orders, max(1, len(orders)))
        return {"failed": {serial: error_to_wire(error) for serial, error in failed.items()}}

    async def relabel(self, serial: str, labels: dict[str, str]) -> None:
        """Note a board's labels in what it measures from now on."""
        reservation = self._boards.get(serial).reservation
        if reservation is not None:
            reservation.relabel(labels)

    async def release(self, serial: str, reservation: str, reason: str) -> None:
        """End a board's reservation, if it is still that one."""
        board = self._boards.get(serial)
        self._ordered.add(serial)
        board.release(reservation, reason)

    async def reboot(self, serial: str) -> None:
        """Restart and flash a board, keeping its reservation; returns when it is usable again."""
        await self._boards.get(serial).reboot()

    async def delete(self, serial: str) -> None:
        """Forget a board."""
        self._boards.delete(serial)

    async def retest(self, serial: str) -> None:
        """Give a broken board another chance now."""
        self._boards.get(serial).retest()

    async def measure_references(
        self, serial: str, reservation: str, window: float, circuits: list[ReferenceCircuit]
    ) -> list[dict[str, Any]]:
        """Measure reference circuits on a free board; a reservation of the board takes precedence."""
        return await measure_references(self._boards.get(serial), reservation, window, circuits)

    async def plug_in(self, amount: int) -> int:
        """Plug in that many more virtual boards, or as many as there are; returns how many."""
        return 0 if self._pool is None else await self._pool.plug_in(amount)

    async def retire(self, serials: list[str]) -> list[str]:
        """Unplug virtual boards that are not needed, except reserved ones; returns those that it unplugged."""
        return [] if self._pool is None else await self._pool.retire(serials)

    async def drain(self) -> None:
        """Note that the worker is drained: control does not give out its boards."""
        self.draining = True

    async def resume(self) -> None:
        """Note that control gives out this worker's boards again."""
        self.draining = False
        self._departure.revoke()

    async def leave(self) -> None:
        """End this process as soon as its boards are idle: none is reserved, and none will be."""
        self._departure.allow()
