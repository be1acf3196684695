"""Workers' reports of their boards: written to the store, published, and compared with what the store wants.

Reports of a worker that arrive while earlier ones are written share a transaction.  Boards that changed hands are
published here too, unless a report does so at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from attrs import Factory, define, field
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from icefarm.concurrency.clock import Clock
from icefarm.concurrency.deferreds import Coalesced, Tasks
from icefarm.contract import DeviceRecord, DeviceReport, DeviceStatus, ReservationRecord
from icefarm.control.inventory.reconciler import Reconciler
from icefarm.control.scheduling.availability import free
from icefarm.control.scheduling.explanations import contested
from icefarm.control.sessions.events import DeviceFound, DeviceMissing
from icefarm.control.sessions.tracker import Sessions
from icefarm.control.storage.interface import Store
from icefarm.control.storage.mirror import known_devices
from icefarm.control.telemetry.events import (
    BoardFailed,
    BoardReady,
    BoardsAvailable,
    BoardsChanged,
    Event,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
)
from icefarm.control.telemetry.publisher import Publisher
from icefarm.control.worker_client import WorkerClient
from icefarm.errors import IcefarmError, InvalidArgument

__all__ = ["Batches", "BoardReports"]

#: Seconds in which a board that has changed hands is shown at the latest.
SHOWN_WITHIN = 0.1

T = TypeVar("T")
R = TypeVar("R")


@define(eq=False)
class _Batch(Generic[T, R]):
    """Items, the waiters for each answer, and the waiters for the end of all."""

    items: list[T] = Factory(list)
    answers: list[Deferred[R]] = Factory(list)
    ended: list[Deferred[None]] = Factory(list)


@define(eq=False)
class Batches(Generic[T, R]):
    """Carries out a single item at once, and items that arrive meanwhile together, in order, when it has ended.

    So nothing waits in a quiet farm, and the busier it is, the more items share a transaction.
    """

    #: Carries out items; returns an answer for each.
    operation: Callable[[Sequence[T]], Coroutine[Any, Any, Sequence[R]]]
    _next: _Batch[T, R] = Factory(_Batch)
    _running: _Batch[T, R] | None = None

    def put(self, item: T) -> Deferred[R]:
        """Have an item carried out; fires with its answer, or fails as the operation does for its whole batch.

        It may be cancelled; the item is carried out still.
        """
        answer: Deferred[R] = Deferred()
        self._next.items.append(item)
        self._next.answers.append(answer)
        if self._running is None:
            self._begin()
        return answer

    async def quiet(self) -> None:
        """Wait until all that was put so far has been carried out, or has failed."""
        if self._running is None:
            return
        ended: Deferred[None] = Deferred()
        (self._next if self._next.items else self._running).ended.append(ended)
        await ended

    def _begin(self) -> None:
        if self._next.items:
            self._running, self._next = self._next, _Batch()
            ensureDeferred(self.operation(self._running.items)).addBoth(self._done, self._running)

    def _done(self, result: Sequence[R] | Failure, batch: _Batch[T, R]) -> None:
        self._running = None
        self._begin()
        for place, answer in enumerate(batch.answers):
            answer.callback(result if isinstance(result, Failure) else result[place])
        for ended in batch.ended:
            ended.callback(None)


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


@define(eq=False)
class BoardReports:
    """Keeps the store in agreement with what workers report of their boards."""

    store: Store
    sessions: Sessions
    reconciler: Reconciler
    worker_client: WorkerClient
    publisher: Publisher
    clock: Clock
    #: Boards that could be reserved according to their last report.
    _free: set[str] = Factory(set)
    #: Boards that went offline while reserved, and are not yet usable again; and whether together with their worker.
    _missed: dict[str, bool] = Factory(dict)
    #: How often each board was published from a report or its worker's loss.
    _published: Counter[str] = Factory(Counter)
    #: By worker.
    _reports: dict[str, _Reports] = Factory(dict)
    #: Reservations that began, changed or ended, whose boards were not published since, by serial.
    _unshown: dict[str, ReservationRecord] = Factory(dict)
    _shows_soon: Any = None
    #: Boards to publish again, with the worker of each; and boards that have become free.
    _changed: dict[str, str] = Factory(dict)
    _freed: dict[str, DeviceRecord] = Factory(dict)
    #: Messages to holders: the board's worker, the reservation, and what is wrong; None: the board is back.
    _messages: list[tuple[str, str, str | None]] = Factory(list)
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
        """Show boards whose reservations changed."""
        match event:
            case (
                ReservationsStarted(records)
                | ReservationsExtended(records)
                | ReservationsShortened(records)
                | ReservationsEnded(records)
            ):
                self._show_soon(records)

    async def report(self, worker: str, reports: Sequence[DeviceReport]) -> dict[str, IcefarmError]:
        """Record a worker's reports; returns why some are refused, by serial.  Raises what `Store.report` does."""
        return await self._of(worker).put(reports)

    async def written(self, worker: str) -> None:
        """Wait until the reports that a worker has sent so far are written, or have failed."""
        await self._of(worker).quiet()

    def _of(self, worker: str) -> _Reports:
        if worker not in self._reports:
            self._reports[worker] = Batches(partial(self._write_all, worker))
        return self._reports[worker]

    def expect(self, serial: str, *, with_worker: bool) -> None:
        """A reserved board is offline, perhaps together with its worker: it has its time to come back."""
        self._missed[serial] = with_worker
        self.sessions.tell(DeviceMissing(serial, with_worker))

    def offer_again(self, serials: Collection[str]) -> None:
        """Publish these boards as available when they are taken in next, even if they were before."""
        self._free.difference_update(serials)

    async def _write_all(self, worker: str, lists: Sequence[Sequence[DeviceReport]]) -> list[dict[str, IcefarmError]]:
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
        self.take_in(taken.devices, reports)

    def take_in(
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
        self._changed.update({record.serial: record.worker for record in records})
        self._shows.poke()

    async def show_boards(self, boards: Sequence[DeviceRecord]) -> None:
        """Publish boards whose labels changed; returns when whoever asks next finds them changed."""
        self._changed.update({board.serial: board.worker for board in boards})
        await self._shows.finished()

    async def _show_changed(self) -> None:
        """Publish boards that changed, unless a report that is newer than what is read does."""
        changed, self._changed = self._changed, {}
        for worker in sorted(set(changed.values())):
            await self.written(worker)
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
