"""Workers and boards in PostgreSQL: the statements behind `icefarm.control.storage.postgres.store`.

Every transaction locks rows in one order, so that none waits for another in a circle: the worker, then boards by
serial, then reservations.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import define
from psycopg2.errors import ForeignKeyViolation

from icefarm.contract import (
    MAX_BOARD_LABELS,
    BoardCalibration,
    BoardHealth,
    DeviceRecord,
    DeviceReport,
    DeviceStatus,
    WorkerHello,
    WorkerRecord,
    from_wire,
    to_wire,
)
from icefarm.control.scheduling.availability import free, undeletable
from icefarm.control.scheduling.explanations import (
    cannot_delete,
    too_many_labels,
    undeletable_worker,
    unknown_devices,
    unknown_worker,
)
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.interface import State, Taken
from icefarm.control.storage.postgres.calendar import calendar_of
from icefarm.control.storage.postgres.statements import Statements, in_transaction, now

__all__ = ["InventoryStatements", "all_devices", "all_workers", "check_known", "known_devices"]

_DEVICE = """
    serial, worker, status, reason, client, reservation, kind, firmware, firmware_version, usb_path,
    evaluations, failures, retries,
    extract(epoch FROM reserved_until)::float8, extract(epoch FROM changed_at)::float8,
    (SELECT extract(epoch FROM r.created_at)::float8 FROM reservation r WHERE r.id = reservation),
    model, coalesce((SELECT w.labels FROM worker w WHERE w.name = worker), '{}') || labels, calibration,
    (SELECT json_object_agg(s.id, s.client ORDER BY s.created_at, s.id) FROM reservation s
      WHERE s.within = reservation AND s.ended_at IS NULL),
    recent_attempts, recent_timeouts, recent_retries, recent_failures, set_aside
"""
#: Columns of a board's row that are fields of its health.
_HEALTH = 5

_WORKERS = """
    SELECT name, status, draining, host, version, kinds,
           (SELECT count(*) FROM device WHERE device.worker = worker.name),
           extract(epoch FROM last_seen)::float8, leaving, kind_versions, labels, shared_kinds
      FROM worker
"""

_UPSERT_WORKER = """
    INSERT INTO worker (name, status, host, version, kinds, kind_versions, shared_kinds, instance)
    VALUES (%(name)s, 'online', %(host)s, %(version)s, %(kinds)s, %(kind_versions)s, %(shared_kinds)s, %(instance)s)
    ON CONFLICT (name) DO UPDATE
       SET status = 'online', host = excluded.host, version = excluded.version, kinds = excluded.kinds,
           kind_versions = excluded.kind_versions, shared_kinds = excluded.shared_kinds,
           instance = excluded.instance, last_seen = now()
"""

# A new process of a worker that had to leave starts over once none of its boards is reserved.
_BEGIN_ANEW = """
    UPDATE worker SET draining = false, leaving = false
     WHERE name = %(name)s AND leaving AND instance <> %(instance)s
       AND NOT EXISTS (SELECT FROM device WHERE device.worker = worker.name AND reservation IS NOT NULL)
"""

# A board that another worker has is left alone while that worker is online and sees the board. One that moves takes
# its reservation along.
_TAKE = f"""
    WITH taken AS (
        INSERT INTO device AS d (
               serial, worker, reported, reason, firmware, firmware_version, usb_path, evaluations, failures, retries,
               model, recent_attempts, recent_timeouts, recent_retries, recent_failures, set_aside)
        SELECT r.serial, %(worker)s, r.status, r.reason, r.firmware, r.firmware_version, r.usb_path,
               r.evaluations, r.failures, r.retries, r.model,
               h.attempts, h.timeouts, h.retries, h.failures, h.set_aside
          FROM json_to_recordset(%(reports)s::json) AS r (
               serial text, status text, reason text, firmware text, firmware_version text, usb_path text,
               evaluations bigint, failures bigint, retries bigint, health json, model text),
               json_to_record(r.health) AS h (
               attempts integer, timeouts integer, retries integer, failures integer, set_aside integer)
         ORDER BY r.serial
        ON CONFLICT (serial) DO UPDATE
           SET worker = excluded.worker, reported = excluded.reported, reason = excluded.reason,
               firmware = excluded.firmware, firmware_version = excluded.firmware_version,
               usb_path = excluded.usb_path, evaluations = excluded.evaluations, failures = excluded.failures,
               retries = excluded.retries, model = excluded.model,
               recent_attempts = excluded.recent_attempts, recent_timeouts = excluded.recent_timeouts,
               recent_retries = excluded.recent_retries, recent_failures = excluded.recent_failures,
               set_aside = excluded.set_aside,
               changed_at = CASE
                   WHEN (d.worker, d.reported, d.reason, d.firmware, d.firmware_version, d.usb_path)
                        IS DISTINCT FROM (excluded.worker, excluded.reported, excluded.reason, excluded.firmware,
                                          excluded.firmware_version, excluded.usb_path)
                   THEN now() ELSE d.changed_at END
         WHERE d.worker = excluded.worker OR d.reported = 'offline'
            OR NOT EXISTS (SELECT FROM worker w WHERE w.name = d.worker AND w.status = 'online')
        RETURNING d.*
    ), moved AS (
        UPDATE reservation SET worker = %(worker)s
         WHERE serial IN (SELECT serial FROM taken) AND ended_at IS NULL AND worker <> %(worker)s
    )
    SELECT {_DEVICE} FROM taken
"""

_SET_OFFLINE = """
    UPDATE device SET reported = 'offline', reason = %(reason)s, changed_at = now()
     WHERE serial IN (SELECT serial FROM device
                       WHERE worker = %(worker)s AND reported <> 'offline' AND serial <> ALL(%(except)s)
                       ORDER BY serial FOR UPDATE)
    RETURNING serial
"""

_LABEL = """
    UPDATE {table} SET labels = (labels - %(removed)s::text[]) || %(set)s::jsonb WHERE {key} = ANY(%(keys)s)
    RETURNING {key}, (SELECT count(*) FROM jsonb_object_keys(labels))
"""

_SEEN = """
    WITH seen AS (UPDATE worker SET last_seen = now() WHERE name = %(worker)s RETURNING name, status)
    SELECT count(*) FROM device JOIN seen ON device.worker = seen.name
     WHERE seen.status = 'online' AND device.reported <> 'offline'
"""


def _device(row: Sequence[Any]) -> DeviceRecord:
    serial, worker, status, reason, client, *rest, reserved_at, model, labels, figures, found = row[:-_HEALTH]
    calibration = None if figures is None else from_wire(figures, BoardCalibration, f"the calibration of {serial}")
    shares = found or {}
    rest += [BoardHealth(*row[-_HEALTH:]), reserved_at, model, labels, calibration, shares]
    return DeviceRecord(serial, worker, DeviceStatus(status), reason, next(iter(shares.values()), client), *rest)


async def _take(transaction: Transaction, worker: str, reports: Iterable[DeviceReport]) -> list[DeviceRecord]:
    """Keep what a worker says of its boards; returns those of them that it may have."""
    wire = json.dumps([to_wire(report) for report in reports])
    rows = await transaction.rows(_TAKE, {"worker": worker, "reports": wire})
    return sorted((_device(row) for row in rows), key=lambda device: device.serial)


async def _set_offline(transaction: Transaction, worker: str, reason: str, except_for: Iterable[str] = ()) -> list[str]:
    parameters = {"worker": worker, "reason": reason, "except": list(except_for)}
    return sorted(row[0] for row in await transaction.rows(_SET_OFFLINE, parameters))


async def all_workers(transaction: Transaction) -> list[WorkerRecord]:
    return [WorkerRecord(*row) for row in await transaction.rows(_WORKERS + 'ORDER BY name COLLATE "C"')]


async def all_devices(transaction: Transaction) -> list[DeviceRecord]:
    rows = await transaction.rows(f'SELECT {_DEVICE} FROM device ORDER BY serial COLLATE "C"')
    return [_device(row) for row in rows]


async def _devices_of(transaction: Transaction, worker: str) -> list[DeviceRecord]:
    statement = f'SELECT {_DEVICE} FROM device WHERE worker = %(worker)s ORDER BY serial COLLATE "C"'
    return [_device(row) for row in await transaction.rows(statement, {"worker": worker})]


async def known_devices(transaction: Transaction, serials: Sequence[str]) -> list[DeviceRecord]:
    statement = f"SELECT {_DEVICE} FROM device WHERE serial = ANY(%(serials)s)"
    found = {row[0]: _device(row) for row in await transaction.rows(statement, {"serials": list(serials)})}
    missing = [serial for serial in serials if serial not in found]
    if missing:
        raise unknown_devices(missing)
    return [found[serial] for serial in serials]


async def check_known(transaction: Transaction, serials: Sequence[str]) -> None:
    """Raise `UnknownDevice` where the farm lacks one, and lock them all for this transaction."""
    statement = "SELECT serial FROM device WHERE serial = ANY(%(serials)s) ORDER BY serial FOR UPDATE"
    found = {row[0] for row in await transaction.rows(statement, {"serials": list(serials)})}
    missing = [serial for serial in serials if serial not in found]
    if missing:
        raise unknown_devices(missing)


async def _label_worker(transaction: Transaction, worker: str, changes: Mapping[str, Any]) -> list[DeviceRecord]:
    counts = await transaction.rows(_LABEL.format(table="worker", key="name"), {**changes, "keys": [worker]})
    if not counts:
        raise unknown_worker(worker)
    if counts[0][1] > MAX_BOARD_LABELS:
        raise too_many_labels(f"worker {worker!r}")
    return await _devices_of(transaction, worker)


@define
class InventoryStatements(Statements):
    """Workers and boards."""

    @in_transaction
    async def hello(self, transaction: Transaction, hello: WorkerHello) -> list[str]:
        kinds = [kind.name for kind in hello.kinds]
        worker = {
            "name": hello.name,
            "host": hello.host,
            "version": hello.version,
            "kinds": kinds,
            "kind_versions": json.dumps({kind.name: kind.version for kind in hello.kinds}),
            "shared_kinds": [kind.name for kind in hello.kinds if kind.shareable],
            "instance": hello.instance,
        }
        await transaction.rows(_BEGIN_ANEW, worker)
        await transaction.rows(_UPSERT_WORKER, worker)
        reports = {report.serial: report for report in hello.devices}
        taken = await _take(transaction, hello.name, reports.values())
        await _set_offline(transaction, hello.name, "its worker no longer has it", except_for=reports)
        return sorted(reports.keys() - {device.serial for device in taken})

    @in_transaction
    async def report(self, transaction: Transaction, worker: str, reports: Sequence[DeviceReport]) -> Taken:
        try:
            taken = await _take(transaction, worker, reports)
        except ForeignKeyViolation:
            raise unknown_worker(worker) from None
        missing = {report.serial for report in reports} - {device.serial for device in taken}
        if not missing:
            return Taken(taken)
        statement = "SELECT serial, worker FROM device WHERE serial = ANY(%(serials)s)"
        return Taken(taken, dict(await transaction.rows(statement, {"serials": sorted(missing)})))

    @in_transaction
    async def delete_worker(self, transaction: Transaction, worker: str) -> list[str]:
        found = await transaction.rows(
            "SELECT status FROM worker WHERE name = %(worker)s FOR UPDATE", {"worker": worker}
        )
        if not found:
            raise unknown_worker(worker)
        boards = await transaction.rows(
            "SELECT serial, reservation FROM device WHERE worker = %(worker)s ORDER BY serial FOR UPDATE",
            {"worker": worker},
        )
        reserved = [serial for serial, reservation in boards if reservation is not None]
        if found[0][0] == "online" or reserved:
            raise undeletable_worker(worker, reserved)
        await transaction.rows("DELETE FROM device WHERE worker = %(worker)s", {"worker": worker})
        await transaction.rows("DELETE FROM worker WHERE name = %(worker)s", {"worker": worker})
        return [serial for serial, _ in boards]

    @in_transaction
    async def set_labels(
        self,
        transaction: Transaction,
        labels: Mapping[str, str | None],
        *,
        serials: Sequence[str] | None = None,
        worker: str | None = None,
    ) -> list[DeviceRecord]:
        changes = {
            "set": json.dumps({name: value for name, value in labels.items() if value is not None}),
            "removed": [name for name, value in labels.items() if value is None],
        }
        if worker is not None:
            return await _label_worker(transaction, worker, changes)
        wanted = list(serials or ())
        await check_known(transaction, wanted)
        counts = await transaction.rows(_LABEL.format(table="device", key="serial"), {**changes, "keys": wanted})
        full = sorted(serial for serial, count in counts if count > MAX_BOARD_LABELS)
        if full:
            raise too_many_labels(f"board {', '.join(full)}")
        return await known_devices(transaction, wanted)

    @in_transaction
    async def worker_seen(self, transaction: Transaction, worker: str) -> int:
        ((present,),) = await transaction.rows(_SEEN, {"worker": worker})
        return int(present)

    @in_transaction
    async def worker_lost(self, transaction: Transaction, worker: str, reason: str) -> list[DeviceRecord]:
        await transaction.rows("UPDATE worker SET status = 'offline' WHERE name = %(worker)s", {"worker": worker})
        return await known_devices(transaction, await _set_offline(transaction, worker, reason))

    @in_transaction
    async def set_draining(
        self, transaction: Transaction, worker: str, draining: bool, *, leaving: bool = False
    ) -> WorkerRecord:
        await transaction.rows(
            "UPDATE worker SET draining = %(draining)s, leaving = %(leaving)s WHERE name = %(worker)s",
            {"draining": draining, "leaving": draining and leaving, "worker": worker},
        )
        rows = await transaction.rows(_WORKERS + "WHERE name = %(worker)s", {"worker": worker})
        if not rows:
            raise unknown_worker(worker)
        return WorkerRecord(*rows[0])

    @in_transaction
    async def delete_devices(self, transaction: Transaction, serials: Sequence[str]) -> list[str]:
        wanted = list(dict.fromkeys(serials))
        await check_known(transaction, wanted)
        refused = [device for device in await known_devices(transaction, wanted) if undeletable(device) is not None]
        if refused:
            raise cannot_delete(refused)
        await transaction.rows("DELETE FROM device WHERE serial = ANY(%(serials)s)", {"serials": wanted})
        return wanted

    @in_transaction
    async def retire(self, transaction: Transaction, serials: Sequence[str]) -> list[str]:
        statement = """
            DELETE FROM device WHERE reservation IS NULL AND serial IN
                   (SELECT serial FROM device WHERE serial = ANY(%(serials)s) ORDER BY serial FOR UPDATE)
            RETURNING serial
        """
        return sorted(row[0] for row in await transaction.rows(statement, {"serials": list(serials)}))

    @in_transaction
    async def workers(self, transaction: Transaction) -> list[WorkerRecord]:
        return await all_workers(transaction)

    @in_transaction
    async def devices(
        self, transaction: Transaction, serials: Sequence[str] | None = None, *, worker: str | None = None
    ) -> list[DeviceRecord]:
        if worker is not None:
            return await _devices_of(transaction, worker)
        return await all_devices(transaction) if serials is None else await known_devices(transaction, serials)

    @in_transaction
    async def available(self, transaction: Transaction, kind: str | None = None) -> list[str]:
        return free(await all_devices(transaction), await all_workers(transaction), kind)

    @in_transaction
    async def state(self, transaction: Transaction) -> State:
        devices, workers = await all_devices(transaction), await all_workers(transaction)
        return State(devices, workers, await now(transaction), await calendar_of(transaction))
