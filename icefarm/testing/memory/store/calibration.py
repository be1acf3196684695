"""Readings of reference circuits and calibrations in memory: a part of `icefarm.testing.memory.store.MemoryStore`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import Factory, define

from icefarm.calibration.records import Calibration, Reading
from icefarm.contract import BoardCalibration
from icefarm.control.inventory.calibration.interface import KeptReading, LastMeasured

__all__ = ["MemoryCalibrations"]


def _place(calibration: Calibration) -> tuple[str, str, str]:
    return calibration.serial, calibration.reference, calibration.id


def _age(calibration: Calibration) -> tuple[float, str]:
    return calibration.valid_from, calibration.id


def _present(calibrations: Iterable[Calibration]) -> dict[tuple[str, str], Calibration]:
    return {(each.serial, each.reference): each for each in sorted(calibrations, key=_age)}


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
        present = _present(self._calibrations.values()).values()
        return sorted((each for each in present if each.serial in known), key=_place)

    def show(self, figures: Mapping[str, BoardCalibration]) -> None:
        self.shown.update(figures)

    def id_of(self, serial: str) -> str | None:
        """Return the id of a board's calibration, if it shows one."""
        return None if serial not in self.shown else self.shown[serial].id

    def forget(self, before: float, known: Collection[str]) -> None:
        self._readings = [each for each in self._readings if each.reading.time >= before]
        past = [each for each in self._calibrations.values() if each.valid_from < before]
        kept = _present(past).values()
        for each in past:
            if each not in kept or each.serial not in known:
                del self._calibrations[each.id]
