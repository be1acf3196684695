"""The procedures of the worker's boards at the router, in one session.

Control decides whether the worker may offer them: it must have the board by the inventory, so a board that is new is
offered once control has taken it in.  A board whose procedures nobody can call is reported as offline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from attrs import Factory, define, evolve
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from icefarm.bus import Bus, Registration
from icefarm.contract import DeviceReport, DeviceStatus
from icefarm.errors import IcefarmError, LinkLost
from icefarm.worker.board.managed_board import ManagedBoard
from icefarm.worker.control_link.rpc import BoardProcedures, Settling

__all__ = ["BoardRegistrations"]


@define(eq=False)
class BoardRegistrations:
    """Registers, and knows what is not registered."""

    _bus: Bus
    _settling: Settling
    #: Called with the serial of a board that has become callable, or was found not to be.
    _changed: Callable[[str], None]
    _registrations: dict[str, Deferred[Registration | None]] = Factory(dict)
    #: Why boards that control knows cannot be called.
    _refused: dict[str, str] = Factory(dict)
    _log: Logger = Factory(lambda: Logger(namespace="icefarm.worker"))

    async def offer(self, boards: Iterable[ManagedBoard], *, known: bool) -> None:
        """Register the procedures of the boards that have none; ``known``: control has taken these boards in."""
        missing = [board for board in boards if board.serial not in self._registrations]
        offers = [Deferred.fromCoroutine(self._offer(board, known)) for board in missing]
        await gatherResults(offers, consumeErrors=True)

    async def withdraw(self, serial: str) -> None:
        """Take back the procedures of a board that is not here any more."""
        self._refused.pop(serial, None)
        registering = self._registrations.pop(serial, None)
        registration = None if registering is None else await registering
        if registration is not None:
            await registration.end()

    def shown(self, report: DeviceReport) -> DeviceReport:
        """Return what to report of a board: one that nobody can call is offline."""
        why = self._refused.get(report.serial)
        if why is None or report.status in (DeviceStatus.OFFLINE, DeviceStatus.BROKEN):
            return report
        return evolve(report, status=DeviceStatus.OFFLINE, reason=f"nobody can call it: {why}")

    async def _offer(self, board: ManagedBoard, known: bool) -> None:
        serial, procedures = board.serial, BoardProcedures.of(board, self._settling)
        registering: Deferred[Registration | None] = Deferred()
        self._registrations[serial] = registering
        registration = None
        try:
            registration = await self._bus.register(procedures.prefix, procedures.handle, prefix=True, replace=True)
        except IcefarmError as error:
            self._registrations.pop(serial, None)
            # Of a session that is lost there is nothing to say: the next one offers all boards again.
            if known and serial not in self._refused and not isinstance(error, LinkLost):
                self._refused[serial] = str(error)
                self._log.warn("nobody can call board {serial}: {why}", serial=serial, why=error)
                self._changed(serial)
        else:
            if self._refused.pop(serial, None) is not None:
                self._changed(serial)
        finally:
            registering.callback(registration)
