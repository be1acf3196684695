"""What the store in memory knows of workers and boards, and of calibrations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from attrs import Factory, define, evolve

from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import (
    MAX_BOARD_LABELS,
    BoardCalibration,
    BoardHealth,
    DeviceRecord,
    DeviceReport,
    DeviceStatus,
    ReservationRecord,
    WorkerHello,
    WorkerRecord,
)
from icefarm.control.inventory.calibration.interface import KeptReading, LastMeasured
from icefarm.control.scheduling.availability import current_status, undeletable
from icefarm.control.scheduling.explanations import (
    cannot_delete,
    too_many_labels,
    undeletable_worker,
    unknown_devices,
    unknown_worker,
)
from icefarm.control.storage.interface import Taken
from icefarm.testing.memory.store.accounts import MemoryAccounts
from icefarm.testing.memory.store.calibration import MemoryCalibrations

__all__ = ["ClientPart", "MemoryInventory"]


@define
class _Board:
    worker: str
    report: DeviceReport
    changed_at: float


@define
class ClientPart:
    """The part of a shared board's time that one client has had."""

    counted_at: float
    sharers: int = 1
    seconds: float = 0.0

    def count(self, now: float, sharers: int) -> None:
        """From now on so many share it."""
        self.seconds, self.counted_at, self.sharers = self.at(now), now, sharers

    def at(self, now: float) -> float:
        return self.seconds + max(0.0, now - self.counted_at) / self.sharers


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
class MemoryInventory(MemoryAccounts):
    """The part of `Store` that is about workers and boards, and whose reservations these serve."""

    _workers: dict[str, WorkerRecord] = Factory(dict)
    _instances: dict[str, str] = Factory(dict)
    _boards: dict[str, _Board] = Factory(dict)
    _reservations: dict[str, ReservationRecord] = Factory(dict)
    #: The active reservation of each board that has one: of one that is shared, the farm's own, without a client.
    _holds: dict[str, str] = Factory(dict)
    #: The active reservations within each of the farm's own.
    _within: dict[str, dict[str, ClientPart]] = Factory(dict)
    #: Workers that had the board of a reservation before, by its id.
    past_workers: dict[str, set[str]] = Factory(dict)
    #: Labels of each board's own.
    _labels: dict[str, dict[str, str]] = Factory(dict)
    _calibrated: MemoryCalibrations = Factory(MemoryCalibrations)

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

    def _active(self, *, client: str | None = None, worker: str | None = None) -> list[ReservationRecord]:
        active = [one for serial in sorted(self._holds) for one in self._held(serial)]
        return [one for one in active if client in (None, one.client) and worker in (None, one.worker)]

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
