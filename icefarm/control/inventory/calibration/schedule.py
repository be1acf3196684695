"""Pure: no I/O, no clock.  Which boards are to measure the reference circuits now."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Mapping, Sequence
from math import floor

from attrs import frozen

from icefarm.contract import DeviceRecord, DeviceStatus, WorkerHello
from icefarm.control.inventory.calibration.interface import LastMeasured

__all__ = ["LEAST_APART", "PERIOD", "QUIET", "Measurer", "due", "measurer", "turn_of"]

#: Seconds between two times: less than a day, so that a board that changed is found within one, and no part of a day,
#: so that it measures in the cool of the night and in the heat of the afternoon, which tell what temperature does.
PERIOD = 19 * 3600.0
#: Seconds for which a board is free before it measures: clients often want a returned board again.
QUIET = 60.0
#: Least seconds between two times: a worker that restarts repeatedly costs its boards little.
LEAST_APART = 6 * 3600.0
#: The device kind that measures, and its firmware on the boards.
KIND = "pulsecount"


@frozen
class Measurer:
    """A worker whose boards can measure references: its present start, and the firmware that measures."""

    instance: str
    firmware: str


def measurer(hello: WorkerHello) -> Measurer | None:
    """Return what a hello says of that; None for a worker that cannot measure references."""
    for kind in hello.kinds:
        if kind.name == KIND and hello.references:
            return Measurer(hello.instance, f"{kind.firmware} {kind.firmware_version}")
    return None


def turn_of(serial: str) -> float:
    """Return when a board's turn is, in seconds after each beginning of a period: boards spread over it."""
    return zlib.crc32(serial.encode()) / 2**32 * PERIOD


def due(
    devices: Sequence[DeviceRecord],
    measurers: Mapping[str, Measurer],
    last: Mapping[str, LastMeasured],
    now: float,
    resting: Collection[str] = (),
) -> list[str]:
    """Return the serials of the boards that are due, those that have waited longest first.

    ``measurers`` are workers by name, ``last`` is what boards measured last, and ``resting`` boards are left alone.
    """
    found = []
    for board in devices:
        worker = measurers.get(board.worker)
        if worker is None or board.serial in resting or not _is_idle(board, now):
            continue
        before = last.get(board.serial)
        if before is None or _is_due(board.serial, worker, before, now):
            found.append((0.0 if before is None else before.at, board.serial))
    return [serial for _, serial in sorted(found)]


def _is_idle(board: DeviceRecord, now: float) -> bool:
    return board.status is DeviceStatus.AVAILABLE and board.reservation is None and now - board.changed_at >= QUIET


def _is_due(serial: str, worker: Measurer, before: LastMeasured, now: float) -> bool:
    if now - before.at < LEAST_APART:
        return False
    if worker.firmware != before.firmware or worker.instance != before.instance:
        return True
    own = turn_of(serial)
    return floor((now - own) / PERIOD) > floor((before.at - own) / PERIOD)
