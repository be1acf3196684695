"""Readings of reference circuits and calibrations in PostgreSQL: statements of
`icefarm.control.storage.postgres.store.PostgresStore`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import define

from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import BoardCalibration, DeviceRecord, from_wire, to_wire
from icefarm.control.inventory.calibration.interface import KeptReading, LastMeasured
from icefarm.control.storage.connection import Transaction
from icefarm.control.storage.postgres.inventory import known_devices
from icefarm.control.storage.postgres.statements import Statements, in_transaction

__all__ = ["CalibrationStatements"]

_KEEP_READINGS = """
    INSERT INTO reference_reading (
           serial, reference, at, expected_hz, pulses, window_us, temperature_c, firmware, instance)
    SELECT r.serial, r.reference, to_timestamp(r.time), r.expected_hz, r.pulses, r.window_us, r.temperature_c,
           r.firmware, r.instance
      FROM json_to_recordset(%(readings)s::json) AS r (
           serial text, reference text, time float8, expected_hz float8, pulses float8, window_us bigint,
           temperature_c float8, firmware text, instance text)
"""

_KEEP_CALIBRATIONS = """
    INSERT INTO calibration (id, serial, reference, valid_from, figures)
    SELECT c ->> 'id', c ->> 'serial', c ->> 'reference', to_timestamp((c ->> 'valid_from')::float8), c
      FROM json_array_elements(%(calibrations)s::json) AS c
        ON CONFLICT (id) DO NOTHING
"""

_READINGS = """
    SELECT serial, reference, expected_hz, pulses, window_us, extract(epoch FROM at)::float8, temperature_c, firmware
      FROM reference_reading
     WHERE serial = %(serial)s AND reference = %(reference)s AND at >= to_timestamp(%(since)s)
     ORDER BY at DESC, id DESC LIMIT %(limit)s
"""


def _known(table: str) -> str:
    """Return the beginning of a query: the boards in a table that the farm knows, each with its references.

    They are found from one to the next by the table's index: a year has thousands of readings of each.
    """
    return f"""
    WITH RECURSIVE pair AS (
        (SELECT serial, reference FROM {table} ORDER BY serial, reference LIMIT 1)
        UNION ALL
        SELECT n.serial, n.reference
          FROM pair p, LATERAL (
               SELECT serial, reference FROM {table} t
                WHERE (t.serial, t.reference) > (p.serial, p.reference) ORDER BY serial, reference LIMIT 1) n),
    known AS (SELECT serial, reference FROM pair JOIN device USING (serial))
    """


_LAST = f"""
    {_known("reference_reading")}
    SELECT DISTINCT ON (k.serial) k.serial, extract(epoch FROM l.at)::float8, l.firmware, l.instance
      FROM known k, LATERAL (
           SELECT id, at, firmware, instance FROM reference_reading r
            WHERE r.serial = k.serial AND r.reference = k.reference ORDER BY at DESC, id DESC LIMIT 1) l
     ORDER BY k.serial, l.at DESC, l.id DESC
"""

_PRESENT = f"""
    {_known("calibration")}
    SELECT p.figures
      FROM known k, LATERAL (
           SELECT figures FROM calibration c WHERE c.serial = k.serial AND c.reference = k.reference
            ORDER BY valid_from DESC, id COLLATE "C" DESC LIMIT 1) p
     ORDER BY k.serial COLLATE "C", k.reference COLLATE "C"
"""

_BY_ID = """
    SELECT figures FROM calibration WHERE id = ANY(%(ids)s)
     ORDER BY serial COLLATE "C", reference COLLATE "C", id COLLATE "C"
"""

_SHOW = """
    UPDATE device SET calibration = f.value
      FROM (SELECT d.serial, e.value FROM json_each(%(figures)s::json) AS e (key, value)
              JOIN device d ON d.serial = e.key ORDER BY d.serial FOR UPDATE OF d) f
     WHERE device.serial = f.serial
    RETURNING device.serial
"""

_FORGET = """
    DELETE FROM reference_reading WHERE at < to_timestamp(%(before)s);
    DELETE FROM calibration c
     WHERE valid_from < to_timestamp(%(before)s)
       AND (EXISTS (SELECT FROM calibration n
                     WHERE n.serial = c.serial AND n.reference = c.reference AND n.valid_from >= c.valid_from
                       AND n.valid_from < to_timestamp(%(before)s)
                       AND (n.valid_from, n.id COLLATE "C") > (c.valid_from, c.id COLLATE "C"))
            OR NOT EXISTS (SELECT FROM device d WHERE d.serial = c.serial));
"""


def _calibration(figures: Mapping[str, Any]) -> Calibration:
    return from_wire(figures, Calibration, "a calibration in the database")


@define
class CalibrationStatements(Statements):
    """Readings and calibrations."""

    @in_transaction
    async def keep_readings(
        self, transaction: Transaction, readings: Sequence[KeptReading], calibrations: Sequence[Calibration]
    ) -> None:
        rows = [{**attrs.asdict(each.reading), "instance": each.instance} for each in readings]
        await transaction.rows(_KEEP_READINGS, {"readings": json.dumps(rows)})
        made = [attrs.asdict(each) for each in calibrations]
        await transaction.rows(_KEEP_CALIBRATIONS, {"calibrations": json.dumps(made)})

    @in_transaction
    async def reference_readings(
        self, transaction: Transaction, serial: str, reference: str, since: float, limit: int
    ) -> list[Reading]:
        fields = {"serial": serial, "reference": reference, "since": since, "limit": limit}
        return [Reading(*row) for row in reversed(await transaction.rows(_READINGS, fields))]

    @in_transaction
    async def last_measured(self, transaction: Transaction) -> dict[str, LastMeasured]:
        return {serial: LastMeasured(*rest) for serial, *rest in await transaction.rows(_LAST)}

    @in_transaction
    async def calibrations(self, transaction: Transaction, ids: Sequence[str] | None = None) -> list[Calibration]:
        if ids is None:
            rows = await transaction.rows(_PRESENT)
        else:
            rows = await transaction.rows(_BY_ID, {"ids": list(ids)})
        return [_calibration(figures) for (figures,) in rows]

    @in_transaction
    async def show_calibrations(
        self, transaction: Transaction, figures: Mapping[str, BoardCalibration]
    ) -> list[DeviceRecord]:
        shown = json.dumps({serial: to_wire(each) for serial, each in figures.items()})
        serials = sorted(row[0] for row in await transaction.rows(_SHOW, {"figures": shown}))
        return await known_devices(transaction, serials)

    @in_transaction
    async def forget_readings(self, transaction: Transaction, before: float) -> None:
        await transaction.rows(_FORGET, {"before": before})
