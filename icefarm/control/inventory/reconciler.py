"""Sees to it that workers and the store agree on what every board is reserved for.

The store decides; a worker's reports show what it believes.  Where the two differ and nothing is under way that
explains it, the board is prepared or released again.
"""

from __future__ import annotations

from functools import partial

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.contract import DeviceRecord, DeviceReport, DeviceStatus, ReservationRecord
from icefarm.control.reservations.allocator import Allocator
from icefarm.control.reservations.termination import Termination
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient
from icefarm.deferreds import Tasks
from icefarm.errors import IcefarmError, TransportError

__all__ = ["Reconciler"]


@define(eq=False)
class Reconciler:
    """Acts on what workers report of boards."""

    store: Store
    orders: WorkerClient
    endings: Termination
    reserving: Allocator
    announcements: Publisher
    #: Boards that are being prepared again.
    _preparing: set[str] = Factory(set)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def stop(self) -> None:
        """Give up what is under way."""
        self._tasks.stop()

    def compare(self, record: DeviceRecord, report: DeviceReport) -> None:
        """Look at a board as its worker reported it, and as the store then knew it."""
        if self._is_busy(record.serial):
            return
        if record.status is DeviceStatus.BROKEN and record.reservation is not None:
            self._tasks.start(f"board {record.serial} is broken", partial(self._give_up, record.reservation, report))
        elif record.status is DeviceStatus.OFFLINE or record.reservation == report.reservation:
            return
        else:
            self._log.info(
                "board {serial}: its worker has it for {held}, the store for {wanted}",
                serial=record.serial,
                held=report.reservation,
                wanted=record.reservation,
            )
            self._tasks.start(f"board {record.serial} is corrected", partial(self._correct, record, report.reservation))

    def _is_busy(self, serial: str) -> bool:
        return serial in self._preparing or serial in self.reserving.preparing or serial in self.endings.releasing

    async def _correct(self, record: DeviceRecord, held: str | None) -> None:
        wanted = None if record.reservation is None else await self.store.reservation(record.reservation)
        if self._is_busy(record.serial):
            return
        if wanted is not None and wanted.ended_at is None:
            await self._prepare(wanted)
        elif held is not None:
            await self._release(record, held)

    async def _release(self, record: DeviceRecord, held: str) -> None:
        self.endings.releasing.add(record.serial)
        try:
            await self.orders.release_id(record.worker, record.serial, held, "the reservation has ended")
        except TransportError:
            # The worker went away; its next hello shows the difference, if there still is one.
            return
        finally:
            self.endings.releasing.discard(record.serial)

    async def _prepare(self, wanted: ReservationRecord) -> None:
        self._preparing.add(wanted.serial)
        try:
            await self.orders.prepare(wanted)
        except TransportError:
            return
        except IcefarmError as error:
            self.announcements.tell(wanted, "failure", str(error))
            self.endings.schedule_end([wanted.id], f"the board failed: {error}")
        else:
            self.announcements.tell(wanted, "initialised")
        finally:
            self._preparing.discard(wanted.serial)

    async def _give_up(self, reservation: str, report: DeviceReport) -> None:
        """A board is set aside: its holder is told, and free to reserve another."""
        wanted = await self.store.reservation(reservation)
        if wanted is not None and wanted.ended_at is None:
            why = report.reason or "it does not pass its test"
            self.announcements.tell(wanted, "failure", why)
            self.endings.schedule_end([wanted.id], f"the board failed: {why}")
