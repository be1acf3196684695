"""Makes workers and the store agree on every board's reservation.

The store decides; a worker's reports show what it believes.  If the two differ and no operation in progress explains
it, the reconciler prepares or releases the board again.
"""

from __future__ import annotations

from functools import partial

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.concurrency.deferreds import Tasks
from icefarm.contract import DeviceRecord, DeviceReport, DeviceStatus, ReservationRecord
from icefarm.control.reservations.termination import Termination
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import BoardFailed, BoardReady
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient
from icefarm.errors import IcefarmError, TransportError

__all__ = ["Reconciler", "holders"]


async def holders(store: Store, reservation: str) -> list[ReservationRecord]:
    """Return the clients' reservations that a board's own stands for: those within it, or just that one."""
    record = await store.reservation(reservation)
    if record is None or record.client:
        return [] if record is None else [record]
    return [each for each in await store.active(worker=record.worker) if each.within == reservation]


@define(eq=False)
class Reconciler:
    """Acts on workers' reports of boards."""

    store: Store
    worker_client: WorkerClient
    termination: Termination
    publisher: Publisher
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def stop(self) -> None:
        """Cancel pending work."""
        self._tasks.stop()

    def reconcile(self, record: DeviceRecord, report: DeviceReport) -> None:
        """Act on a board on which the store and its worker disagree, or that is reserved and broken."""
        if self.worker_client.is_settling(record.serial):
            return
        if record.status is DeviceStatus.BROKEN and record.reservation is not None:
            self._tasks.start(f"board {record.serial} is broken", partial(self._give_up, record.reservation, report))
        else:
            self._log.info(
                "board {serial}: its worker has it for {held}, the store for {wanted}",
                serial=record.serial,
                held=report.shares or report.reservation,
                wanted=list(record.shares) or record.reservation,
            )
            self._tasks.start(f"board {record.serial} is corrected", partial(self._correct, record, report))

    async def _correct(self, record: DeviceRecord, report: DeviceReport) -> None:
        wanted = [] if record.reservation is None else await holders(self.store, record.reservation)
        wanted = [each for each in wanted if each.ended_at is None]
        if self.worker_client.is_settling(record.serial):
            return
        ids = {each.id for each in wanted}
        for share in report.shares if record.reservation == report.reservation else ():
            if share not in ids:
                await self._release(record, share)
        for each in wanted:
            if each.id not in report.shares:
                await self._prepare(each)
        if not wanted and report.reservation is not None:
            await self._release(record, report.reservation)

    async def _release(self, record: DeviceRecord, held: str) -> None:
        try:
            await self.worker_client.release_id(record.worker, record.serial, held, "the reservation has ended")
        except TransportError:
            # The worker is away; its next hello shows the difference, if it persists.
            return

    async def _prepare(self, wanted: ReservationRecord) -> None:
        try:
            await self.worker_client.prepare(wanted)
        except TransportError:
            return
        except IcefarmError as error:
            self.publisher.publish(BoardFailed(wanted, str(error)))
            self.termination.schedule_end([wanted.id], f"the board failed: {error}")
        else:
            self.publisher.publish(BoardReady(wanted))

    async def _give_up(self, reservation: str, report: DeviceReport) -> None:
        """Set a board aside: its holder is notified, and may reserve another."""
        why = report.reason or "it does not pass its test"
        wanted = [each for each in await holders(self.store, reservation) if each.ended_at is None]
        for each in wanted:
            self.publisher.publish(BoardFailed(each, why))
        self.termination.schedule_end([each.id for each in wanted], f"the board failed: {why}")
