"""Workers that come and go: what their boards must serve, and what becomes of boards whose worker is lost."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from attrs import Factory, define, evolve, frozen
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Tasks
from icefarm.concurrency.in_order import InOrder
from icefarm.contract import Assignment, DeviceRecord, DeviceStatus, ReservationRecord, WorkerHello, WorkerRecord
from icefarm.control.inventory.board_reports import BoardReports
from icefarm.control.reservations.termination import Termination
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.telemetry.events import BoardLost, Event, WorkerChanged, WorkerLost
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import assignment
from icefarm.errors import UnknownDevice
from icefarm.text.counts import counted

__all__ = ["Inventory"]


@frozen
class Orders:
    """The reservations that a worker's boards must serve, by serial."""

    #: Of a board that several clients share, the farm's own reservation.
    assignments: dict[str, Assignment]
    shares: dict[str, list[Assignment]]
    #: It gets no new ones.
    draining: bool


@define(eq=False)
class Inventory:
    """Brings workers that come, and boards of those that are gone, to what the store says."""

    store: Store
    sessions: Sessions
    termination: Termination
    boards: BoardReports
    publisher: Publisher
    clock: Clock
    limits: FarmLimits
    _order: InOrder = Factory(InOrder)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def stop(self) -> None:
        """Cancel pending work."""
        self._tasks.stop()

    def heard(self, event: Event) -> None:
        """Act on workers and boards that are lost."""
        match event:
            case WorkerLost(name):
                lost = partial(self.lost, name, "its worker is not connected")
                self._tasks.persist(self.clock, f"worker {name} is lost", lost)
            case BoardLost(serial):
                self._tasks.persist(self.clock, f"board {serial} is lost", partial(self._give_up, serial))

    async def hello(self, hello: WorkerHello) -> Orders:
        """Register a worker; return what its boards must serve."""
        refused = await self._order.run(f"worker {hello.name}", partial(self._hello, hello))
        for serial in refused:
            self._log.error(
                "worker {worker} has board {serial}, which another worker has", worker=hello.name, serial=serial
            )
        active = await self._served_by(hello)
        workers = {worker.name: worker for worker in await self.store.workers()}
        reports = {report.serial: report for report in hello.devices if report.serial not in refused}
        self._log.info(
            "worker {worker} is here: {boards}, icefarm {version} on {host}",
            worker=hello.name,
            boards=counted(len(reports), "board"),
            version=hello.version,
            host=hello.host,
        )
        self.publisher.publish(WorkerChanged(workers[hello.name]))
        self.boards.take_in(await self.store.devices(worker=hello.name), reports)
        return self._orders([one for one in active if one.serial in reports], workers[hello.name].draining)

    async def _served_by(self, hello: WorkerHello) -> list[ReservationRecord]:
        """Return the active reservations of a worker's boards; end those that it is too old for.  Raises `Busy`."""
        active = await self.store.active(worker=hello.name)
        shareable = {kind.name for kind in hello.kinds if kind.shareable}
        lost = [one for one in active if one.within is not None and one.kind not in shareable]
        if lost:
            await self.termination.end_these(lost, "its worker is of another version now, which cannot share boards")
        return [one for one in active if one not in lost]

    def _orders(self, active: Sequence[ReservationRecord], draining: bool) -> Orders:
        orders = Orders({}, {}, draining)
        for record in active:
            wanted = assignment(record, self.limits)
            if record.within is None:
                orders.assignments[record.serial] = wanted
                continue
            own = evolve(wanted, reservation=record.within, client="", options={}, within=None, weight=1.0)
            orders.assignments[record.serial] = own
            orders.shares.setdefault(record.serial, []).append(wanted)
        return orders

    async def lost(self, worker: str, reason: str) -> None:
        """Set a lost worker offline; its boards' reservations have the grace period."""
        if self.sessions.state.worker_is_here(worker):
            return
        devices = await self._order.run(f"worker {worker}", partial(self._lost, worker, reason))
        self._log.warn("worker {worker} is lost: {reason}", worker=worker, reason=reason)
        for record in await self.store.workers():
            if record.name == worker:
                self.publisher.publish(WorkerChanged(record))
        self.boards.take_in(devices, {}, with_worker=True)

    async def show(self, record: WorkerRecord) -> None:
        """Publish a worker and its boards again, after an operator's decision about it."""
        self.publisher.publish(WorkerChanged(record))
        devices = await self.store.devices(worker=record.name)
        self.boards.offer_again([device.serial for device in devices])
        self.boards.take_in(devices, {})

    async def look(self) -> None:
        """Learn from the store the state before control started: what is offline, and which of it is reserved."""
        for worker in await self.store.workers():
            if worker.status == "online" and not self.sessions.state.worker_is_here(worker.name):
                await self.lost(worker.name, "not connected")
        for device in await self.store.devices():
            if device.status is DeviceStatus.OFFLINE and device.reservation is not None:
                away = not self.sessions.state.worker_is_here(device.worker)
                self.boards.expect(device.serial, with_worker=away)

    async def _give_up(self, serial: str) -> None:
        """End the reservation of a board that did not come back in time."""
        try:
            (device,) = await self.store.devices([serial])
        except UnknownDevice:
            return
        if device.status is DeviceStatus.OFFLINE and device.reservation is not None:
            self.termination.schedule_end(
                [device.reservation], f"the board did not come back: {device.reason or 'offline'}"
            )

    async def _hello(self, hello: WorkerHello) -> list[str]:
        # A report of an earlier session may still be on its way to the database; it is older.
        await self.boards.written(hello.name)
        return await self.store.hello(hello)

    async def _lost(self, worker: str, reason: str) -> list[DeviceRecord]:
        await self.boards.written(worker)
        return await self.store.worker_lost(worker, reason)
