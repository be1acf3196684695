"""Pure: no I/O, no clock.  What readings of boards say of them: calibrations, and which boards are suspect."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import Factory, define, evolve, frozen

from icefarm.calibration.estimation import DAY, calibrate
from icefarm.calibration.records import Calibration, Reading
from icefarm.calibration.steps import begin_of_line
from icefarm.calibration.suspects import Suspicion, against_history, against_others
from icefarm.contract import BoardCalibration, Measurement, from_wire
from icefarm.control.inventory.calibration.references import MAIN, REFERENCES
from icefarm.control.scheduling.availability import SuspectRule
from icefarm.errors import InvalidArgument

__all__ = ["Judge", "figures_of", "in_time", "readings_of"]

#: Days for which a board's last session is compared with those of other boards.
RECENT = 2.0
#: Seconds that a worker's clock may differ from control's.
CLOCKS_APART = 60.0

Key = tuple[str, str]


def readings_of(serial: str, measurements: Iterable[Mapping[str, Any]]) -> list[Reading]:
    """Return a worker's measurements as readings, except those that are not counts of a known reference.

    Raises `InvalidArgument` for anything but a measurement of this board.
    """
    found = []
    for each in measurements:
        measured = from_wire(each, Measurement, "what a worker measured")
        if measured.serial != serial:
            raise InvalidArgument(f"a worker answered with what {measured.serial!a:.100} measured, not {serial}")
        reference = REFERENCES.get(str(each.get("reference")))
        if reference is not None and isinstance(measured.value, int | float) and measured.window_us > 0:
            firmware = f"{measured.firmware} {measured.firmware_version}"
            found.append(
                Reading(
                    serial, reference.name, reference.expected_hz, float(measured.value), measured.window_us,
                    measured.started_at, measured.temperature_c, firmware,
                )
            )  # fmt: skip
    return found


def in_time(readings: Sequence[Reading], began: float, ended: float) -> list[Reading]:
    """Return readings that a board made between two times of control's clock.

    A worker's clock may be wrong, as that of a computer without a battery is until it has asked for the time.  Then its
    readings get the time of the end.  With yesterday's date the board would be due again at once; with tomorrow's
    date its calibration would stay the present one until then.
    """
    if all(began - CLOCKS_APART <= reading.time <= ended + CLOCKS_APART for reading in readings):
        return list(readings)
    return [evolve(reading, time=ended) for reading in readings]


def figures_of(
    calibration: Calibration, temperature_c: float | None, suspect: str | None, rule: str
) -> BoardCalibration:
    """Return a calibration as records of boards show it, with the board's last temperature."""
    return BoardCalibration(
        id=calibration.id,
        reference=calibration.reference,
        measured_at=calibration.valid_from,
        temperature_c=temperature_c,
        offset_ppm=calibration.offset_ppm,
        offset_uncertainty_ppm=calibration.offset_uncertainty_ppm,
        noise_ppm=calibration.noise_ppm,
        drift_ppm_per_day=calibration.drift_ppm_per_day,
        drift_uncertainty=calibration.drift_uncertainty,
        ppm_per_kelvin=calibration.ppm_per_kelvin,
        kelvin_uncertainty=calibration.kelvin_uncertainty,
        readings=calibration.readings,
        suspect=suspect,
        rule=rule,
    )


@frozen
class _Session:
    """What a board measured of a reference the last time, and its calibration from before that."""

    before: Calibration
    readings: Sequence[Reading]


@define
class Judge:
    """The present calibrations and last sessions of all boards."""

    rule: SuspectRule = SuspectRule.AVOID
    present: dict[Key, Calibration] = Factory(dict)
    _sessions: dict[Key, _Session] = Factory(dict)
    #: Of boards when they last measured.
    _temperatures: dict[str, float | None] = Factory(dict)
    #: Why boards are suspect that have not measured since: an earlier control, or an old session, showed it.
    _told: dict[str, str] = Factory(dict)
    #: What `suspects` last said.
    _found: dict[str, str] = Factory(dict)

    def learn(self, calibrations: Iterable[Calibration], shown: Mapping[str, BoardCalibration]) -> None:
        """Load from the store: calibrations, and the figures in the records of boards."""
        self.present = {(each.serial, each.reference): each for each in calibrations}
        self._temperatures = {serial: each.temperature_c for serial, each in shown.items()}
        self._told = {serial: each.suspect for serial, each in shown.items() if each.suspect is not None}

    def measured(self, key: Key, past: Sequence[Reading], session: Sequence[Reading]) -> Calibration | None:
        """Record a session of a board and reference; returns the resulting calibration, None if there is none yet."""
        known = self.present.get(key)
        # Another firmware may count differently.
        before = known if known is not None and known.firmware == session[-1].firmware else None
        self._temperatures[key[0]] = session[-1].temperature_c
        if before is not None:
            self._sessions[key] = _Session(before, session)
            self._acquit(key[0])
        readings = [*past, *session]
        made = calibrate(readings, since=begin_of_line(before, readings))
        if made is not None:
            self.present[key] = made
        return made

    def forget(self, serials: Iterable[str]) -> None:
        """Forget boards."""
        gone = set(serials)
        self.present = {key: each for key, each in self.present.items() if key[0] not in gone}
        self._sessions = {key: each for key, each in self._sessions.items() if key[0] not in gone}
        for serial in gone:
            self._temperatures.pop(serial, None)
            self._acquit(serial)

    def _acquit(self, serial: str) -> None:
        """Forget why a board was suspect."""
        self._told.pop(serial, None)
        self._found.pop(serial, None)

    def suspects(self, now: float) -> dict[str, str]:
        """Return the boards that are suspect, each with why."""
        self._drop_old_sessions(now)
        found = dict(self._told)
        for suspicion in self._suspicions():
            found.setdefault(suspicion.serial, str(suspicion))
        self._found = found
        return found

    def _drop_old_sessions(self, now: float) -> None:
        """Stop comparing old sessions; a suspect board stays suspect until it measures again."""
        old = [key for key, each in self._sessions.items() if now - each.readings[-1].time >= RECENT * DAY]
        for key in old:
            del self._sessions[key]
        self._told |= {serial: self._found[serial] for serial, _ in old if serial in self._found}

    def _suspicions(self) -> Iterable[Suspicion]:
        for reference in REFERENCES:
            sessions = [(each.before, each.readings) for (_, name), each in self._sessions.items() if name == reference]
            yield from against_history(sessions)
            yield from against_others([each for (_, name), each in self.present.items() if name == reference])

    def figures(self, now: float) -> dict[str, BoardCalibration]:
        """Return the figures of all boards that have some, by serial."""
        suspects = self.suspects(now)
        return {
            serial: figures_of(each, self._temperatures.get(serial), suspects.get(serial), self.rule)
            for (serial, reference), each in self.present.items()
            if reference == MAIN
        }
