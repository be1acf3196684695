"""Pure: no I/O, no clock.  What the store keeps of calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from attrs import frozen

from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import BoardCalibration, DeviceRecord

__all__ = ["CalibrationStore", "KeptReading", "LastMeasured"]


@frozen
class KeptReading:
    """A reading, and which start of its worker gave it."""

    reading: Reading
    instance: str


@frozen
class LastMeasured:
    """When a board last measured a reference circuit, with which firmware, and under which start of its worker."""

    at: float
    firmware: str
    instance: str


class CalibrationStore(Protocol):
    """Readings of reference circuits, and calibrations; a part of `icefarm.control.storage.interface.Store`."""

    async def keep_readings(self, readings: Sequence[KeptReading], calibrations: Sequence[Calibration]) -> None:
        """Store readings, and the calibrations that follow of them; a calibration that there is already stays."""

    async def reference_readings(self, serial: str, reference: str, since: float, limit: int) -> list[Reading]:
        """Return a board's readings since then, the last ``limit`` of them; the oldest first.

        Of readings with the same time, the one that was stored first comes first.
        """

    async def last_measured(self) -> dict[str, LastMeasured]:
        """Return the last reading of each board that the farm knows and that has one, by serial."""

    async def calibrations(self, ids: Sequence[str] | None = None) -> list[Calibration]:
        """Return these calibrations, or the present ones of all boards that the farm knows.

        They come by serial, reference and id.  The present one of a board and a reference is the one with the latest
        ``valid_from``, and of those that have the same, the last by id.
        """

    async def show_calibrations(self, figures: Mapping[str, BoardCalibration]) -> list[DeviceRecord]:
        """Set the figures in the records of these boards, by serial; returns those that the farm knows."""

    async def forget_readings(self, before: float) -> None:
        """Delete readings before that moment, and calibrations before it that were replaced before it too, or whose
        board is gone.
        """
