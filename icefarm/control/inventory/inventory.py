"""Workers and their boards: records workers' reports, and handles the loss of a worker."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any

from attrs import Factory, define, evolve, field, frozen
from twisted.logger import Logger

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Coalesced, Tasks
from icefarm.concurrency.in_order import Batches, InOrder
from icefarm.contract import (
    Assignment,
    DeviceRecord,
    DeviceReport,
    DeviceStatus,
    ReservationRecord,
    WorkerHello,
    WorkerRecord,
)
from icefarm.control.inventory.reconciler import Reconciler
from icefarm.control.reservations.termination import Termination
from icefarm.control.scheduling.availability import free
from icefarm.control.scheduling.explanations import contested
from icefarm.control.sessions.events import DeviceFound, DeviceMissing
from icefarm.control.sessions.limits import FarmLimits
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import known_devices
from icefarm.control.telemetry.events import (
    BoardFailed,
    BoardLost,
    BoardReady,
    BoardsAvailable,
    BoardsChanged,
    Event,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
    WorkerChanged,
    WorkerLost,
)
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient, assignment
from icefarm.errors import IcefarmError, InvalidArgument, UnknownDevice
from icefarm.text.counts import counted

__all__ = ["Inventory"]

#: Seconds in which a board that has changed hands is shown at the latest.
SHOWN_WITHIN = 0.1

#: Reports of several boards, as a worker sends them; and why some are refused, by serial.
_Reports = Batches[Sequence[DeviceReport], dict[str, IcefarmError]]


def _disagree(record: DeviceRecord, report: DeviceReport) -> bool:
    """Tell whether the store and a worker disagree on the holder of a board, or a broken board is reserved."""
    if record.status is DeviceStatus.BROKEN and record.reservation is not None:
        return True
    if record.status is DeviceStatus.OFFLINE:
        return False
    return record.reservation != report.reservation or record.shares.keys() != set(report.shares)


def _shows(device: DeviceRecord, reservation: ReservationRecord) -> bool:
    """Tell whether a board's record is as that reservation of it has become."""
    if reservation.within is not None:
        # What of it the board's own record has depends on the others who share the board.
        return False
    if reservation.ended_at is not None:
        return device.reservation != reservation.id
    return device.reservation == reservation.id and device.expires_at == reservation.expires_at


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
    """Keeps the store in agreement with workers' reports."""

    store: Store
    sessions: Sessions
    termination: Termination
    reconciler: Reconciler
    worker_client: WorkerClient
    publisher: Publisher
    clock: Clock
    limits: FarmLimits
    #: Boards that could be reserved according to their last report.
    _free: set[str] = Factory(set)
    #: Boards that went offline while reserved, and are not yet usable again; and whether together with their worker.
    _missed: dict[str, bool] = Factory(dict)
    #: How often each board was published from a report or its worker's loss.
    _published: Counter[str] = Factory(Counter)
    #: The workers' reports: those that come while others are written share a transaction.
    _reports: dict[str, _Reports] = Factory(dict)
    #: Reservations that began, changed or ended, whose boards were not published since, by serial.
    _unshown: dict[str, ReservationRecord] = Factory(dict)
    _shows_soon: Any = None
    #: Boards to publish again, with the worker of each; and boards that have become free.
    _changed: dict[str, str] = Factory(dict)
    _freed: dict[str, DeviceRecord] = Factory(dict)
    #: Messages to holders: the board's worker, the reservation, and what is wrong; None: the board is back.
    _messages: list[tuple[str, str, str | None]] = Factory(list)
    _order: InOrder = Factory(InOrder)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)
    _shows: Coalesced = field(init=False)
    _tells: Coalesced = field(init=False)
    _words: Coalesced = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._shows = Coalesced("publishing boards that changed hands", self._show_changed, self._tasks)
        self._tells = Coalesced("publishing boards that are free", self._tell_free, self._tasks)
        self._words = Coalesced("messages to holders", self._tell_holders, self._tasks)

    def stop(self) -> None:
        """Cancel pending work."""
        if self._shows_soon is not None:
            self._shows_soon.cancel()
        self._tasks.stop()

    def heard(self, event: Event) -> None:
        """Act on events of boards and workers."""
        match event:
            case (
                ReservationsStarted(records)
                | ReservationsExtended(records)
                | ReservationsShortened(records)
                | ReservationsEnded(records)
            ):
                self._show_soon(records)
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
        self._take_in(await self.store.devices(worker=hello.name), reports)
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

    async def report(self, worker: str, reports: Sequence[DeviceReport]) -> dict[str, IcefarmError]:
        """Record a worker's reports; returns why some are refused, by serial.  Raises what `Store.report` does."""
        return await self._of(worker).put(reports)

    def _of(self, worker: str) -> _Reports:
        if worker not in self._reports:
            self._reports[worker] = Batches(partial(self._report, worker))
        return self._reports[worker]

    async def lost(self, worker: str, reason: str) -> None:
        """Set a lost worker offline; its boards' reservations have the grace period."""
        if self.sessions.state.worker_is_here(worker):
            return
        devices = await self._order.run(f"worker {worker}", partial(self._lost, worker, reason))
        self._log.warn("worker {worker} is lost: {reason}", worker=worker, reason=reason)
        for record in await self.store.workers():
            if record.name == worker:
                self.publisher.publish(WorkerChanged(record))
        self._take_in(devices, {}, with_worker=True)

    async def show(self, record: WorkerRecord) -> None:
        """Publish a worker and its boards again, after an operator's decision about it."""
        self.publisher.publish(WorkerChanged(record))
        devices = await self.store.devices(worker=record.name)
        self._free -= {device.serial for device in devices}
        self._take_in(devices, {})

    async def look(self) -> None:
        """Learn from the store the state before control started: what is offline, and which of it is reserved."""
        for worker in await self.store.workers():
            if worker.status == "online" and not self.sessions.state.worker_is_here(worker.name):
                await self.lost(worker.name, "not connected")
        for device in await self.store.devices():
            if device.status is DeviceStatus.OFFLINE and device.reservation is not None:
                with_worker = not self.sessions.state.worker_is_here(device.worker)
                self._missed[device.serial] = with_worker
                self.sessions.tell(DeviceMissing(device.serial, with_worker))

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
        await self._of(hello.name).quiet()
        return await self.store.hello(hello)

    async def _lost(self, worker: str, reason: str) -> list[DeviceRecord]:
        await self._of(worker).quiet()
        return await self.store.worker_lost(worker, reason)

    async def _report(self, worker: str, lists: Sequence[Sequence[DeviceReport]]) -> list[dict[str, IcefarmError]]:
        """Write reports in one transaction; of a board, the last one counts."""
        latest = {report.serial: report for reports in lists for report in reports}
        refused: dict[str, IcefarmError] = {}
        try:
            await self._write(worker, latest, refused)
        except InvalidArgument:
            # One of them can't be stored.
            for serial, report in latest.items():
                try:
                    await self._write(worker, {serial: report}, refused)
                except InvalidArgument as error:
                    refused[serial] = error
        return [{each.serial: refused[each.serial] for each in reports if each.serial in refused} for reports in lists]

    async def _write(self, worker: str, reports: dict[str, DeviceReport], refused: dict[str, IcefarmError]) -> None:
        taken = await self.store.report(worker, list(reports.values()))
        refused.update({serial: contested(serial, other) for serial, other in taken.contested.items()})
        self._take_in(taken.devices, reports)

    def _take_in(
        self, devices: Sequence[DeviceRecord], reports: dict[str, DeviceReport], *, with_worker: bool = False
    ) -> None:
        """Publish changed boards, and act on the changes."""
        if devices:
            self._publish(devices)
        for device in devices:
            self._note_absence(device, with_worker)
            if device.status is not DeviceStatus.AVAILABLE:
                self._free.discard(device.serial)
            elif device.serial not in self._free:
                self._free.add(device.serial)
                self._freed[device.serial] = device
            if device.serial not in reports:
                continue
            if _disagree(device, reports[device.serial]):
                self.reconciler.reconcile(device, reports[device.serial])
            elif device.status is DeviceStatus.RESERVED:
                self.worker_client.settled(device.serial)
        if self._freed:
            self._tells.poke()

    def _publish(self, devices: Sequence[DeviceRecord]) -> None:
        self._published.update(device.serial for device in devices)
        for device in devices:
            reservation = self._unshown.get(device.serial)
            if reservation is not None and _shows(device, reservation):
                del self._unshown[device.serial]
        self.publisher.publish(BoardsChanged(devices))

    async def _tell_free(self) -> None:
        workers = await self.store.workers()
        boards, self._freed = list(self._freed.values()), {}
        freed = free(boards, workers, None)
        if freed:
            self.publisher.publish(BoardsAvailable(freed))

    def _show_soon(self, records: Sequence[ReservationRecord]) -> None:
        """Publish the boards of these reservations, unless reports of them do so within a moment.

        A board that changes hands is usually reported at once, for its worker flashes it.
        """
        self._unshown.update({record.serial: record for record in records})
        if self._unshown and self._shows_soon is None:
            self._shows_soon = self.clock.callLater(SHOWN_WITHIN, self._show_unshown)

    def _show_unshown(self) -> None:
        self._shows_soon, records, self._unshown = None, list(self._unshown.values()), {}
        self.show_boards(records)

    def show_boards(self, records: Sequence[ReservationRecord] | Sequence[DeviceRecord]) -> None:
        """Publish boards whose reservation or labels changed, unless a report that is newer than what is read does."""
        self._changed.update({record.serial: record.worker for record in records})
        if self._changed:
            self._shows.poke()

    async def _show_changed(self) -> None:
        changed, self._changed = self._changed, {}
        for worker in sorted(set(changed.values())):
            await self._of(worker).quiet()
        before = {serial: self._published[serial] for serial in changed}
        boards = await known_devices(self.store, changed.keys())
        current = [board for board in boards if self._published[board.serial] == before[board.serial]]
        if current:
            self.publisher.publish(BoardsChanged(current))

    def _note_absence(self, device: DeviceRecord, with_worker: bool) -> None:
        """Give a reserved board that goes offline its time to come back; notify its holder of both, once."""
        serial, reservation = device.serial, device.reservation
        if serial in self._missed and (reservation is None or device.status is not DeviceStatus.OFFLINE):
            self.sessions.tell(DeviceFound(serial))
        if reservation is None:
            self._missed.pop(serial, None)
        elif device.status is DeviceStatus.OFFLINE:
            # Even if it was back for a moment and never got ready; the absence counts from its start.
            self.sessions.tell(DeviceMissing(serial, with_worker))
            if self._missed.get(serial) is not with_worker:
                self._missed[serial] = with_worker
                self._tell_holder(device.worker, reservation, device.reason or "the board is offline")
        elif device.status is DeviceStatus.RESERVED and serial in self._missed:
            del self._missed[serial]
            self._tell_holder(device.worker, reservation, None)

    def _tell_holder(self, worker: str, reservation: str, trouble: str | None) -> None:
        self._messages.append((worker, reservation, trouble))
        self._words.poke()

    async def _tell_holders(self) -> None:
        messages, self._messages = self._messages, []
        held: dict[str, list[ReservationRecord]] = {}
        for name in sorted({worker for worker, _, _ in messages}):
            for record in await self.store.active(worker=name):
                # Of a board that is shared, the clients' reservations are within the farm's own.
                held.setdefault(record.within or record.id, []).append(record)
        for _, reservation, trouble in messages:
            for record in held.get(reservation, ()):
                self._tell(record, trouble)

    def _tell(self, record: ReservationRecord, trouble: str | None) -> None:
        if trouble is None:
            self.publisher.publish(BoardReady(record, "the board is back"))
        else:
            self.publisher.publish(BoardFailed(record, trouble))
