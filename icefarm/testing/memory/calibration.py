"""Readings of reference circuits and calibrations in memory: a part of `icefarm.testing.memory.store.MemoryStore`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from attrs import Factory, define

from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import BoardCalibration
from icefarm.control.inventory.calibration.interface import KeptReading, LastMeasured

__all__ = ["MemoryCalibrations"]


def _place(calibration: Calibration) -> tuple[str, str, str]:
    return calibration.serial, calibration.reference, calibration.id


@define
class MemoryCalibrations:
    """What `icefarm.control.inventory.calibration.interface.CalibrationStore` keeps."""

    #: The figures in the records of boards.
    shown: dict[str, BoardCalibration] = Factory(dict)
    _readings: list[KeptReading] = Factory(list)
    _calibrations: dict[str, Calibration] = Factory(dict)

    def keep(self, readings: Sequence[KeptReading], calibrations: Sequence[Calibration]) -> None:
        self._readings += readings
        self._readings.sort(key=lambda each: each.reading.time)
        for each in calibrations:
            self._calibrations.setdefault(each.id, each)

    def readings(self, serial: str, reference: str, since: float, limit: int) -> list[Reading]:
        own = [each.reading for each in self._readings if each.reading.serial == serial]
        return [each for each in own if each.reference == reference and each.time >= since][-limit:]

    def last_measured(self, known: Collection[str]) -> dict[str, LastMeasured]:
        return {
            each.reading.serial: LastMeasured(each.reading.time, each.reading.firmware, each.instance)
            for each in self._readings
            if each.reading.serial in known
        }

    def calibrations(self, ids: Sequence[str] | None, known: Collection[str]) -> list[Calibration]:
        if ids is not None:
            return sorted((each for id, each in self._calibrations.items() if id in ids), key=_place)
        return sorted(self._present(known), key=_place)

    def show(self, figures: Mapping[str, BoardCalibration]) -> None:
        self.shown.update(figures)

    def id_of(self, serial: str) -> str | None:
        """Return the id of a board's calibration, if it shows one."""
        return None if serial not in self.shown else self.shown[serial].id

    def forget(self, before: float, known: Collection[str]) -> None:
        self._readings = [each for each in self._readings if each.reading.time >= before]
        present = self._present(known)
        self._calibrations = {
            id: each for id, each in self._calibrations.items() if each.valid_from >= before or each in present
        }

    def _present(self, known: Collection[str]) -> list[Calibration]:
        in_order = sorted(self._calibrations.values(), key=lambda each: (each.valid_from, each.id))
        return [*{(each.serial, each.reference): each for each in in_order if each.serial in known}.values()]
