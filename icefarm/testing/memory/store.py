"""The in-memory stand-in for `icefarm.control.storage.postgres.store.PostgresStore`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import count
from uuid import uuid4

from attrs import Factory, define, evolve, field

from icefarm.calibration.records import Calibration, Reading
from icefarm.concurrency.clock import Clock
from icefarm.contract import (
    MAX_BOARD_LABELS,
    AccessRule,
    BoardCalibration,
    BoardHealth,
    BookingRecord,
    DeviceRecord,
    DeviceReport,
    DeviceStatus,
    ReservationRecord,
    Role,
    WorkerHello,
    WorkerRecord,
    account_of,
)
from icefarm.control.inventory.calibration.interface import KeptReading, LastMeasured
from icefarm.control.scheduling.access import AccessRules
from icefarm.control.scheduling.availability import current_status, free, undeletable
from icefarm.control.scheduling.bookings.allotment import allot, extended
from icefarm.control.scheduling.explanations import (
    cannot_delete,
    foreign_request,
    foreign_token,
    incomplete,
    not_yours,
    token_exists,
    too_many_labels,
    undeletable_worker,
    unknown_accounts,
    unknown_devices,
    unknown_token,
    unknown_worker,
)
from icefarm.control.scheduling.fair_queue import QueuedRequest
from icefarm.control.scheduling.fair_share import DEFAULT_PRIORITY, Hold, Ledger
from icefarm.control.scheduling.placement import ReservationRequest, Terms
from icefarm.control.sessions.roster import RosterEntry
from icefarm.control.storage.interface import AuditEntry, Kept, Lately, State, Store, Taken, TokenRecord
from icefarm.testing.memory.bookings import MemoryBookings
from icefarm.testing.memory.calibration import MemoryCalibrations

__all__ = ["MemoryStore"]


@define
class _Board:
    worker: str
    report: DeviceReport
    changed_at: float


@define
class _Part:
    """The part of a shared board's time that one client has had."""

    counted_at: float
    sharers: int = 1
    seconds: float = 0.0

    def count(self, now: float, sharers: int) -> None:
        """From now on so many share it."""
        self.seconds, self.counted_at, self.sharers = self.at(now), now, sharers

    def at(self, now: float) -> float:
        return self.seconds + max(0.0, now - self.counted_at) / self.sharers


def _new_id() -> str:
    return uuid4().hex


def _without_counters(report: DeviceReport) -> DeviceReport:
    """The fields whose change counts as a change of the board."""
    return evolve(report, evaluations=0, failures=0, retries=0, health=BoardHealth(), kind=None, reservation=None)


def _relabelled(before: Mapping[str, str], labels: Mapping[str, str | None], what: str) -> dict[str, str]:
    if _is_full(before, labels):
        raise too_many_labels(what)
    return {name: value for name, value in {**before, **labels}.items() if value is not None}


def _is_full(before: Mapping[str, str], labels: Mapping[str, str | None]) -> bool:
    return sum(value is not None for value in {**before, **labels}.values()) > MAX_BOARD_LABELS


@define(repr=False)
class MemoryStore(Store):
    """Implements `Store` on ``clock``, such as a `twisted.internet.task.Clock`."""

    clock: Clock
    new_id: Callable[[], str] = _new_id
    _workers: dict[str, WorkerRecord] = Factory(dict)
    _instances: dict[str, str] = Factory(dict)
    _boards: dict[str, _Board] = Factory(dict)
    _reservations: dict[str, ReservationRecord] = Factory(dict)
    #: The active reservation of each board that has one: of one that is shared, the farm's own, without a client.
    _holds: dict[str, str] = Factory(dict)
    #: The active reservations within each of the farm's own.
    _within: dict[str, dict[str, _Part]] = Factory(dict)
    #: The boards allocated to each request, and waiting requests with the moment at which they give up.
    _got: dict[str, list[str]] = Factory(dict)
    _queue: dict[str, tuple[QueuedRequest, float | None]] = Factory(dict)
    _numbers: Iterator[int] = Factory(lambda: count(1))
    #: By hash.
    _tokens: dict[str, TokenRecord] = Factory(dict)
    _audit: list[AuditEntry] = Factory(list)
    #: Workers that had the board of a reservation before, by its id.
    past_workers: dict[str, set[str]] = Factory(dict)
    _limits: dict[str, dict[str, float]] = Factory(dict)
    _rules: list[AccessRule] = Factory(list)
    #: Labels of each board's own.
    _labels: dict[str, dict[str, str]] = Factory(dict)
    _calibrated: MemoryCalibrations = Factory(MemoryCalibrations)
    _booked: MemoryBookings = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._booked = MemoryBookings(self.clock, self.new_id)

    # ------------------------------------------------------------------------------------- workers and boards

    async def hello(self, hello: WorkerHello) -> list[str]:
        before = self._workers.get(hello.name)
        begins_anew = (
            before is not None
            and before.leaving
            and self._instances[hello.name] != hello.instance
            and not self._active(worker=hello.name)
        )
        self._instances[hello.name] = hello.instance
        self._workers[hello.name] = WorkerRecord(
            name=hello.name,
            status="online",
            draining=before is not None and before.draining and not begins_anew,
            leaving=before is not None and before.leaving and not begins_anew,
            host=hello.host,
            version=hello.version,
            kinds=[kind.name for kind in hello.kinds],
            devices=0,
            last_seen=self.clock.seconds(),
            kind_versions={kind.name: kind.version for kind in hello.kinds},
            shared_kinds=[kind.name for kind in hello.kinds if kind.shareable],
            labels={} if before is None else before.labels,
        )
        reports = {report.serial: report for report in hello.devices}
        refused = sorted(serial for serial in reports if self._held_by_another(serial, hello.name) is not None)
        for serial in sorted(reports.keys() - set(refused)):
            self._take(hello.name, reports[serial])
        named = {serial for serial, board in self._boards.items() if board.worker == hello.name}
        self._set_offline(named - reports.keys(), "its worker no longer has it")
        return refused

    async def report(self, worker: str, reports: Sequence[DeviceReport]) -> Taken:
        if worker not in self._workers:
            raise unknown_worker(worker)
        others = {report.serial: self._held_by_another(report.serial, worker) for report in reports}
        mine = [report for report in reports if others[report.serial] is None]
        for report in mine:
            self._take(worker, report)
        devices = [self._device(serial) for serial in sorted(report.serial for report in mine)]
        return Taken(devices, {serial: other for serial, other in others.items() if other is not None})

    async def delete_worker(self, worker: str) -> list[str]:
        if worker not in self._workers:
            raise unknown_worker(worker)
        boards = sorted(serial for serial, board in self._boards.items() if board.worker == worker)
        reserved = [serial for serial in boards if serial in self._holds]
        if self._workers[worker].status == "online" or reserved:
            raise undeletable_worker(worker, reserved)
        for serial in boards:
            self._forget(serial)
        del self._workers[worker]
        self._instances.pop(worker, None)
        return boards

    async def worker_seen(self, worker: str) -> int:
        if worker not in self._workers:
            return 0
        self._workers[worker] = evolve(self._workers[worker], last_seen=self.clock.seconds())
        if self._workers[worker].status != "online":
            return 0
        mine = [board for board in self._boards.values() if board.worker == worker]
        return sum(board.report.status is not DeviceStatus.OFFLINE for board in mine)

    async def worker_lost(self, worker: str, reason: str) -> list[DeviceRecord]:
        if worker not in self._workers:
            return []
        self._workers[worker] = evolve(self._workers[worker], status="offline")
        changed = self._set_offline({serial for serial, b in self._boards.items() if b.worker == worker}, reason)
        return [self._device(serial) for serial in changed]

    async def set_draining(self, worker: str, draining: bool, *, leaving: bool = False) -> WorkerRecord:
        if worker not in self._workers:
            raise unknown_worker(worker)
        self._workers[worker] = evolve(self._workers[worker], draining=draining, leaving=draining and leaving)
        return self._worker(worker)

    async def workers(self) -> list[WorkerRecord]:
        return self._all_workers()

    async def devices(self, serials: Sequence[str] | None = None, *, worker: str | None = None) -> list[DeviceRecord]:
        if worker is not None:
            return [device for device in self._all_devices() if device.worker == worker]
        if serials is None:
            return self._all_devices()
        self._check_known(serials)
        return [self._device(serial) for serial in serials]

    async def delete_devices(self, serials: Sequence[str]) -> list[str]:
        self._check_known(serials)
        wanted = list(dict.fromkeys(serials))
        refused = [device for device in map(self._device, wanted) if undeletable(device) is not None]
        if refused:
            raise cannot_delete(refused)
        for serial in wanted:
            self._forget(serial)
        return wanted

    async def retire(self, serials: Sequence[str]) -> list[str]:
        retired = sorted({serial for serial in serials if serial in self._boards and serial not in self._holds})
        for serial in retired:
            self._forget(serial)
        return retired

    def _forget(self, serial: str) -> None:
        del self._boards[serial]
        self._labels.pop(serial, None)
        self._calibrated.shown.pop(serial, None)

    async def set_labels(
        self, labels: Mapping[str, str | None], *, serials: Sequence[str] | None = None, worker: str | None = None
    ) -> list[DeviceRecord]:
        if worker is not None:
            if worker not in self._workers:
                raise unknown_worker(worker)
            changed = _relabelled(self._workers[worker].labels, labels, f"worker {worker!r}")
            self._workers[worker] = evolve(self._workers[worker], labels=changed)
            changed_boards = [serial for serial in sorted(self._boards) if self._boards[serial].worker == worker]
            self._label_reservations(changed_boards)
            return [self._device(serial) for serial in changed_boards]
        wanted = list(serials or ())
        self._check_known(wanted)
        full = [serial for serial in wanted if _is_full(self._labels.get(serial, {}), labels)]
        if full:
            raise too_many_labels(f"board {', '.join(sorted(full))}")
        for serial in wanted:
            self._labels[serial] = _relabelled(self._labels.get(serial, {}), labels, f"board {serial}")
        self._label_reservations(wanted)
        return [self._device(serial) for serial in wanted]

    def _label_reservations(self, serials: Iterable[str]) -> None:
        for serial in serials:
            for held in self._ids_of(serial):
                self._reservations[held] = evolve(self._reservations[held], labels=self._labels_of(serial))

    def _held_by_another(self, serial: str, worker: str) -> str | None:
        board = self._boards.get(serial)
        if board is None or board.worker == worker or board.report.status is DeviceStatus.OFFLINE:
            return None
        return board.worker if self._workers[board.worker].status == "online" else None

    def _take(self, worker: str, report: DeviceReport) -> None:
        before = self._boards.get(report.serial)
        same = (
            before is not None
            and before.worker == worker
            and _without_counters(before.report) == _without_counters(report)
        )
        changed_at = before.changed_at if before is not None and same else self.clock.seconds()
        self._boards[report.serial] = _Board(worker, report, changed_at)
        for held in self._ids_of(report.serial):
            earlier = self._reservations[held].worker
            if earlier != worker:
                self.past_workers.setdefault(held, set()).add(earlier)
            self._reservations[held] = evolve(self._reservations[held], worker=worker)
            self._label_reservations([report.serial])

    def _ids_of(self, serial: str) -> list[str]:
        """Return the active reservations of a board: where it is shared, the farm's own and those within it."""
        held = self._holds.get(serial)
        return [] if held is None else [held, *self._within.get(held, ())]

    def _held(self, serial: str) -> list[ReservationRecord]:
        """Return the clients' active reservations of a board."""
        records = [self._shown(self._reservations[id]) for id in self._ids_of(serial)]
        return sorted((one for one in records if one.client), key=lambda one: one.client)

    def _shown(self, record: ReservationRecord) -> ReservationRecord:
        """Return a reservation with its part of the board's time until now."""
        part = self._within.get(record.within or "", {}).get(record.id)
        if part is None:
            return record
        now = self.clock.seconds()
        lasts = now - record.created_at
        return evolve(record, part=1 / part.sharers if lasts < 1.0 else min(1.0, part.at(now) / lasts))

    def _set_offline(self, serials: Iterable[str], reason: str) -> list[str]:
        changed = [
            serial for serial in sorted(serials) if self._boards[serial].report.status is not DeviceStatus.OFFLINE
        ]
        for serial in changed:
            board = self._boards[serial]
            board.report = evolve(board.report, status=DeviceStatus.OFFLINE, reason=reason)
            board.changed_at = self.clock.seconds()
        return changed

    def _worker(self, name: str) -> WorkerRecord:
        return evolve(self._workers[name], devices=sum(board.worker == name for board in self._boards.values()))

    def _all_workers(self) -> list[WorkerRecord]:
        return [self._worker(name) for name in sorted(self._workers)]

    def _device(self, serial: str) -> DeviceRecord:
        board, held = self._boards[serial], self._holds.get(serial)
        report, reservation = board.report, None if held is None else self._reservations[held]
        shares = {id: self._reservations[id].client for id in self._within.get(held or "", ())}
        return DeviceRecord(
            serial=serial,
            worker=board.worker,
            status=current_status(report.status, reserved=reservation is not None),
            reason=report.reason,
            client=next(iter(shares.values()), None if reservation is None else reservation.client),
            reservation=held,
            kind=None if reservation is None else reservation.kind,
            firmware=report.firmware,
            firmware_version=report.firmware_version,
            usb_path=report.usb_path,
            evaluations=report.evaluations,
            failures=report.failures,
            retries=report.retries,
            expires_at=None if reservation is None else reservation.expires_at,
            changed_at=board.changed_at,
            health=report.health,
            reserved_at=None if reservation is None else reservation.created_at,
            model=report.model,
            labels=self._labels_of(serial),
            shares=shares,
            calibration=self._calibrated.shown.get(serial),
        )

    def _labels_of(self, serial: str) -> dict[str, str]:
        return {**self._workers[self._boards[serial].worker].labels, **self._labels.get(serial, {})}

    def _all_devices(self) -> list[DeviceRecord]:
        return [self._device(serial) for serial in sorted(self._boards)]

    def _check_known(self, serials: Iterable[str]) -> None:
        missing = [serial for serial in serials if serial not in self._boards]
        if missing:
            raise unknown_devices(missing)

    # ----------------------------------------------------------------------------------------------- calibrations

    async def keep_readings(self, readings: Sequence[KeptReading], calibrations: Sequence[Calibration]) -> None:
        self._calibrated.keep(readings, calibrations)

    async def reference_readings(self, serial: str, reference: str, since: float, limit: int) -> list[Reading]:
        return self._calibrated.readings(serial, reference, since, limit)

    async def last_measured(self) -> dict[str, LastMeasured]:
        return self._calibrated.last_measured(self._boards)

    async def calibrations(self, ids: Sequence[str] | None = None) -> list[Calibration]:
        return self._calibrated.calibrations(ids, self._boards)

    async def show_calibrations(self, figures: Mapping[str, BoardCalibration]) -> list[DeviceRecord]:
        known = {serial: each for serial, each in figures.items() if serial in self._boards}
        self._calibrated.show(known)
        for serial in known.keys() & self._holds.keys():
            for held in self._ids_of(serial):
                self._reservations[held] = evolve(self._reservations[held], calibration=known[serial].id)
        return [self._device(serial) for serial in sorted(known)]

    async def forget_readings(self, before: float) -> None:
        self._calibrated.forget(before, self._boards)

    # ---------------------------------------------------------------------------------------------- reservations

    async def available(self, kind: str | None = None) -> list[str]:
        return free(self._all_devices(), self._all_workers(), kind)

    async def state(self) -> State:
        return State(self._all_devices(), self._all_workers(), self.clock.seconds(), self._booked.calendar())

    async def reserve(
        self,
        client: str,
        request: ReservationRequest,
        seconds: float,
        *,
        request_id: str | None = None,
        grace: float | None = None,
        more: bool = False,
        terms: Terms | None = None,
    ) -> list[ReservationRecord]:
        now = self.clock.seconds()
        before = [] if more else self._answered(client, request_id)
        terms = terms or Terms(DEFAULT_PRIORITY)
        if len(before) == request.most or (before and before[0].wanted is not None):
            self._strike(client, request_id)
            return before
        if before:
            raise incomplete(len(before), request.most)
        made, calendar = [], self._booked.calendar()
        chosen = allot(self._all_devices(), self._all_workers(), request, now, client, seconds, calendar)
        for serial in chosen.serials:
            reservation = ReservationRecord(
                id=self.new_id(),
                serial=serial,
                worker=self._boards[serial].worker,
                client=client,
                kind=request.kind,
                options=request.options,
                created_at=now,
                expires_at=now + chosen.seconds,
                grace=grace,
                labels=self._labels_of(serial),
                limited_by=chosen.limited_by,
                request=request_id,
                priority=terms.priority,
                wanted=terms.wanted,
                at_least=terms.at_least,
                where=terms.where,
                within=None if request.sharers is None else self._own(serial, request.kind, now + chosen.seconds),
                calibration=self._calibrated.id_of(serial),
            )
            self._reservations[reservation.id] = reservation
            if reservation.within is None:
                self._holds[serial] = reservation.id
                self._boards[serial].changed_at = now
            else:
                self._within[reservation.within][reservation.id] = _Part(now)
                self._recount(reservation.within)
            made.append(self._shown(reservation))
        if request_id is not None:
            self._strike(client, request_id)
            self._got.setdefault(request_id, []).extend(one.id for one in made)
        return made

    def _own(self, serial: str, kind: str, expires_at: float) -> str:
        """Return the farm's own reservation of a board that is shared, or about to be."""
        held = self._holds.get(serial)
        if held is None:
            worker, now = self._boards[serial].worker, self.clock.seconds()
            own = ReservationRecord(self.new_id(), serial, worker, "", kind, {}, now, expires_at)
            held = self._holds[serial] = own.id
            self._reservations[held], self._within[held] = own, {}
            self._boards[serial].changed_at = now
        return held

    def _recount(self, own: str) -> None:
        """The clients that share a board have changed, or the time for which they do."""
        parts, now = self._within[own], self.clock.seconds()
        if not parts:
            reason = "nobody shares the board any more"
            self._reservations[own] = evolve(self._reservations[own], ended_at=now, end_reason=reason)
            serial = self._reservations[own].serial
            del self._within[own], self._holds[serial]
            self._boards[serial].changed_at = now
            return
        for part in parts.values():
            part.count(now, len(parts))
        last = max(self._reservations[id].expires_at for id in parts)
        self._reservations[own] = evolve(self._reservations[own], expires_at=last)

    async def answered(self, client: str, request_id: str) -> list[ReservationRecord]:
        return self._answered(client, request_id)

    def _answered(self, client: str, request_id: str | None) -> list[ReservationRecord]:
        return [one for one in self._active(client=client) if one.id in self._got.get(request_id or "", ())]

    def _strike(self, client: str, request_id: str | None) -> None:
        """Remove a served request from the queue; another client's request of the same id is not affected."""
        queued, _ = self._queue.get(request_id or "", (None, None))
        if queued is not None and queued.client == client:
            del self._queue[queued.id]

    async def extend(
        self,
        client: str,
        serials: Sequence[str] | None,
        seconds: float,
        *,
        until: Mapping[str, float] | None = None,
    ) -> list[ReservationRecord]:
        own = {reservation.serial: reservation for reservation in self._active(client=client)}
        if serials is not None:
            foreign = [serial for serial in serials if serial not in own]
            if foreign:
                raise not_yours(foreign)
        records = [own[serial] for serial in sorted(own if serials is None else set(serials))]
        now, calendar = self.clock.seconds(), self._booked.calendar()
        for each in extended(records, self._all_devices(), self._all_workers(), now, seconds, calendar, until or {}):
            longer = evolve(own[each.serial], expires_at=each.until, limited_by=each.limited_by)
            self._reservations[longer.id] = longer
            if longer.within is not None:
                self._recount(longer.within)
        return [self._reservations[record.id] for record in records]

    async def end(self, *, client: str | None, serials: Sequence[str] | None, reason: str) -> list[ReservationRecord]:
        if serials is None:
            if client is None:
                raise ValueError("whose reservations, or which boards?")
            return self._end([reservation.id for reservation in self._active(client=client)], reason)
        self._check_known(serials)
        held = [reservation for serial in set(serials) for reservation in self._held(serial)]
        ending = [reservation for reservation in held if client in (None, reservation.client)]
        foreign = {one.serial for one in held} - {one.serial for one in ending}
        if foreign:
            raise not_yours(sorted(foreign))
        return self._end([reservation.id for reservation in ending], reason)

    async def want_fewer(self, client: str, request_id: str, boards: int) -> None:
        for one in self._active(client=client):
            if one.request == request_id and one.wanted is not None:
                wanted = max(1, one.wanted - boards)
                least = None if one.at_least is None else min(one.at_least, wanted)
                self._reservations[one.id] = evolve(one, wanted=wanted, at_least=least)

    async def end_reservations(self, ids: Sequence[str], reason: str) -> list[ReservationRecord]:
        return self._end(ids, reason)

    async def end_expired(self) -> list[ReservationRecord]:
        now = self.clock.seconds()
        ended = []
        for one in [one for one in self._active() if one.expires_at <= now]:
            ended += self._end([one.id], "expired" if one.limited_by is None else f"expired: {one.limited_by}")
        return ended

    async def active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        return self._active(client=client, worker=worker)

    def all_reservations(self) -> list[ReservationRecord]:
        """Return all reservations of clients, also ended ones."""
        return [self._shown(one) for one in self._reservations.values() if one.client]

    async def reservation(self, id: str) -> ReservationRecord | None:
        return self._reservations.get(id)

    async def lately(self, half_life: float, holds: int) -> Lately:
        past = [one for one in self._reservations.values() if one.ended_at is not None and one.client]
        past.sort(key=lambda one: (one.ended_at or 0.0, one.serial))
        ledger = Ledger(half_life)
        for one in past:
            ledger.add(Hold(account_of(one.client), one.created_at, one.ended_at, one.part))
        alone = [one for one in past if one.within is None]
        last = [Hold(account_of(one.client), one.created_at, one.ended_at) for one in alone]
        return Lately(self.clock.seconds(), ledger.at(self.clock.seconds()), last[-holds:])

    async def now(self) -> float:
        return self.clock.seconds()

    def _active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        active = [one for serial in sorted(self._holds) for one in self._held(serial)]
        return [one for one in active if client in (None, one.client) and worker in (None, one.worker)]

    def _end(self, ids: Collection[str], reason: str) -> list[ReservationRecord]:
        now = self.clock.seconds()
        ended = []
        for one in self._active():
            if one.id not in ids and one.within not in ids:
                continue
            self._reservations[one.id] = over = evolve(one, ended_at=now, end_reason=reason)
            ended.append(over)
            if one.within is None:
                del self._holds[one.serial]
                self._boards[one.serial].changed_at = now
            else:
                del self._within[one.within][one.id]
                self._recount(one.within)
        return ended

    # ------------------------------------------------------------------------------------------------------ queue

    async def enqueue(
        self,
        client: str,
        request: ReservationRequest,
        request_id: str,
        timeout: float | None,
        *,
        since: float | None = None,
        priority: float = DEFAULT_PRIORITY,
    ) -> QueuedRequest:
        now = self.clock.seconds()
        known, _ = self._queue.get(request_id, (None, None))
        if known is not None and known.client != client:
            raise foreign_request(request_id)
        if known is None:
            began = now if since is None else since
            queued = QueuedRequest(request_id, client, request, next(self._numbers), began, priority=priority)
            self._queue[request_id] = (queued, None if timeout is None else now + timeout)
        return self._queued(request_id)

    async def dequeue(self, ids: Sequence[str]) -> list[str]:
        return [id for id in sorted(set(ids)) if self._queue.pop(id, None) is not None]

    async def waiting(self) -> list[QueuedRequest]:
        now = self.clock.seconds()
        for id, (_, until) in list(self._queue.items()):
            if until is not None and until <= now:
                del self._queue[id]
        return sorted(map(self._queued, self._queue), key=lambda queued: (queued.since, queued.number))

    def _queued(self, id: str) -> QueuedRequest:
        queued, until = self._queue[id]
        return evolve(queued, left=None if until is None else max(0.0, until - self.clock.seconds()))

    # --------------------------------------------------------------------------------------------------- bookings

    async def book(self, wanted: BookingRecord, most: Mapping[str, float] | None = None) -> BookingRecord:
        self._check_known(wanted.serials)
        return self._booked.book(wanted, most, self._all_devices(), self._all_workers())

    async def bookings(self, since: float | None = None) -> list[BookingRecord]:
        def shown(each: BookingRecord) -> bool:
            return each.ended_at is None or (since is not None and each.ends_at > since)

        return [each for each in self._booked.sorted() if shown(each)]

    async def cancel_bookings(self, ids: Sequence[str], account: str | None, reason: str) -> list[BookingRecord]:
        return self._booked.cancel(ids, account, reason)

    async def keep_bookings(self) -> Kept:
        held = {serial: [one.id for one in self._held(serial)] for serial in self._holds}
        kept = self._booked.keep(self._reservations, held, self._all_devices(), self._all_workers())
        for own in list(self._within):
            self._recount(own)
        return kept

    async def account_groups(self) -> dict[str, str]:
        return dict(self._booked.groups)

    async def set_account_groups(self, groups: Mapping[str, str | None]) -> None:
        for account, name in groups.items():
            self._booked.groups.pop(account, None)
            if name is not None:
                self._booked.groups[account] = name

    # ----------------------------------------------------------------------------------------------------- tokens

    async def add_token(
        self, name: str, role: Role, hash: str, *, account: str | None = None, lasts: float | None = None
    ) -> TokenRecord:
        if any(token.name == name and not token.replaced for token in self._valid().values()):
            raise token_exists(name)
        now = self.clock.seconds()
        expires_at = None if lasts is None else now + lasts
        token = TokenRecord(name, role, now, name if account is None else account, next(self._numbers), expires_at)
        self._tokens[hash] = token
        return token

    async def rotate_token(self, name: str, hash: str, *, overlap: float, lasts: float | None = None) -> TokenRecord:
        old = next(((h, t) for h, t in self._valid().items() if t.name == name and not t.replaced), None)
        if old is None:
            raise unknown_token(name)
        until = self.clock.seconds() + overlap
        until = until if old[1].expires_at is None else min(until, old[1].expires_at)
        self._tokens[old[0]] = evolve(old[1], replaced=True, expires_at=until)
        return await self.add_token(name, old[1].role, hash, account=old[1].account, lasts=lasts)

    def _valid(self) -> dict[str, TokenRecord]:
        now = self.clock.seconds()
        return {
            hash: token for hash, token in self._tokens.items() if token.expires_at is None or token.expires_at > now
        }

    async def token_by_hash(self, hash: str, *, used_from: str | None = None) -> TokenRecord | None:
        found = self._valid().get(hash)
        if found is not None and used_from is not None:
            self._tokens[hash] = evolve(found, last_used_at=self.clock.seconds(), last_used_from=used_from)
        return found

    async def list_tokens(self) -> list[TokenRecord]:
        return sorted(self._valid().values(), key=lambda token: (token.name, token.id))

    async def ended_tokens(self, ids: Collection[int]) -> set[int]:
        return set(ids) - {token.id for token in self._valid().values()}

    async def revoke_token(self, name: str) -> None:
        revoked = [hash for hash, token in self._valid().items() if token.name == name]
        if not revoked:
            raise unknown_token(name)
        for hash in revoked:
            del self._tokens[hash]

    # --------------------------------------------------------------------------------------------------- limits

    async def account_limits(self) -> dict[str, dict[str, float]]:
        return {account: dict(limits) for account, limits in self._limits.items() if limits}

    async def set_account_limits(self, account: str, limits: Mapping[str, float | None]) -> None:
        own = self._limits.setdefault(account, {})
        for name, value in limits.items():
            own.pop(name, None)
            if value is not None:
                own[name] = value

    # ------------------------------------------------------------------------------------------------------ access

    async def access(self) -> AccessRules:
        return AccessRules(list(self._rules), await self.account_groups())

    async def add_access(self, rule: AccessRule) -> AccessRule:
        for each in self._rules:
            if evolve(each, id=rule.id) == rule:
                return each
        self._rules.append(evolve(rule, id=next(self._numbers)))
        return self._rules[-1]

    async def remove_access(self, ids: Sequence[int]) -> list[int]:
        removed = sorted(rule.id for rule in self._rules if rule.id in ids)
        self._rules = [rule for rule in self._rules if rule.id not in ids]
        return removed

    # -------------------------------------------------------------------------------------------------- accounts

    async def import_accounts(
        self, entries: Sequence[RosterEntry], hashes: Mapping[str, str], *, lasts: float | None = None
    ) -> list[str]:
        there = {token.name: token for token in self._valid().values() if not token.replaced}
        for entry in entries:
            token = there.get(entry.name)
            if token is not None and (token.account, token.role) != (entry.name, Role.CLIENT):
                raise foreign_token(entry.line, entry.name, token.account, token.role.value)
        made = [entry.name for entry in entries if entry.name not in there]
        for name in made:
            await self.add_token(name, Role.CLIENT, hashes[name], lasts=lasts)
        for entry in entries:
            if entry.group is not None:
                await self.set_account_groups({entry.name: entry.group or None})
            await self.set_account_limits(entry.name, entry.limits)
        return made

    async def remove_accounts(self, accounts: Sequence[str]) -> dict[str, int]:
        tokens = [token for token in self._valid().values() if token.account in accounts]
        counts = {name: sum(token.account == name for token in tokens) for name in accounts}
        known = self._booked.groups.keys() | {account for account, limits in self._limits.items() if limits}
        unknown = [name for name in accounts if not counts[name] and name not in known]
        others = sorted({token.account for token in tokens if token.role is not Role.CLIENT})
        if unknown or others:
            raise unknown_accounts(unknown, others)
        self._tokens = {hash: token for hash, token in self._tokens.items() if token not in tokens}
        for name in accounts:
            self._booked.groups.pop(name, None)
            self._limits.pop(name, None)
        return counts

    # ------------------------------------------------------------------------------------------------ audit log

    async def keep_audit(self, entries: Sequence[AuditEntry]) -> None:
        self._audit += entries

    async def audit(
        self, since: float, *, account: str | None = None, action: str | None = None, limit: int
    ) -> list[AuditEntry]:
        found = [
            entry
            for entry in self._audit
            if entry.time >= since and account in (None, entry.account) and action in (None, entry.action)
        ]
        return found[-limit:]

    async def forget_audit(self, before: float) -> None:
        self._audit = [entry for entry in self._audit if entry.time >= before]
