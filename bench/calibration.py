"""What calibrations are worth: virtual boards with known offset, noise, drift and temperature, on a clock of its own.

``python -m bench.calibration [--boards 200] [--days 90] [--seed 1]`` prints the figures of docs/calibration.md beside
their goals; the exit code is 1 if one is missed.  Nothing runs but the firmware's model of virtual boards and
`icefarm.calibration`: each board measures a reference as often as on a farm, and all is estimated again each time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from math import sqrt
from pathlib import Path
from random import Random
from statistics import NormalDist, fmean, pstdev
from typing import Any

from attrs import Factory, define, evolve, frozen

from bench.virtual_model import REFERENCE_C, ModelOptions, VirtualModel, model_library
from icefarm.calibration.correction import corrected
from icefarm.calibration.distributions import chi2_quantile, t_quantile
from icefarm.calibration.estimation import DAY, MAD_TO_SIGMA, calibrate
from icefarm.calibration.records import Calibration, Corrected, Reading
from icefarm.calibration.steps import begin_of_line
from icefarm.calibration.suspects import against_history, against_others
from icefarm.control.inventory.calibration.references import MAIN, REFERENCES, WINDOW, WINDOWS
from icefarm.control.inventory.calibration.schedule import PERIOD, turn_of

__all__ = ["OPTIONS", "Proof", "Share", "prove"]

OPTIONS = ModelOptions(offset_ppm=2_000, noise_ppm=50, drift_ppm_per_day=3, ppm_per_kelvin=30)
#: The reference: its frequency, and what a session is.
REFERENCE, EXPECTED_HZ = MAIN, REFERENCES[MAIN].expected_hz
WINDOW_US = round(WINDOW * 1e6)
#: Seconds that a window costs beyond its length: loading the circuit, and the way to the board and back; and that a
#: session does: a change of firmware there and back.
BESIDE_S, FIRMWARE_S = 0.1, 6.0
#: For so many seconds a board is reserved at most when its turn comes, and measures after that.
LATE_S = 3_600.0
#: The circuit that is corrected.
CIRCUIT_HZ = 1_234_567.0
#: Seconds since the epoch at which the boards start.
BEGIN = 1.8e9
#: Sessions until a board has a history that it is compared with here; boards that deviate each time from then on.
WARM, TRIED_EACH_TIME = 8, 10
#: A deviation that has to be found, in standard deviations.
SIGMAS = 5.0
#: The same of a board against the others where these are few, whose scatter is not known as well.
MANY, SIGMAS_OF_FEW = 150, 7.0
LEVEL = 0.95
#: Confidence that a share differs from the level before it counts as missed.
SURE = 0.99


@frozen
class Share:
    """How many of how many, with Wilson's interval."""

    found: int
    of: int

    @property
    def value(self) -> float:
        return self.found / self.of

    @property
    def interval(self) -> tuple[float, float]:
        z, n, p = NormalDist().inv_cdf((1 + SURE) / 2), self.of, self.value
        middle, half = p + z * z / (2 * n), z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{self.value:.1%} of {self.of} ({low:.1%} to {high:.1%})"


@frozen
class Proof:
    """All that was found."""

    boards: int
    days: int
    #: Estimates, and corrected values, whose 95 % interval has the truth.
    coverage: dict[str, Share]
    #: Deviations of 5 sigma that the first session after them showed.
    steps: Share
    #: Boards that are 5 sigma off the others, marked after their first session; 7 sigma off fewer than 150 others.
    strangers: Share
    false_alarms: int
    #: How far values of one circuit scatter over the boards, ppm: as measured, corrected, and as the uncertainty says.
    raw_ppm: float
    corrected_ppm: float
    predicted_ppm: float
    #: Share of the boards' time.
    cost: float

    @property
    def alarms_a_year(self) -> float:
        """False alarms a board and year: the upper end of what so many can come from, with 95 % confidence."""
        return chi2_quantile(LEVEL, 2 * self.false_alarms + 2) / 2 / (self.boards * self.days / 365.25)

    @property
    def agreement(self) -> tuple[float, float]:
        """Between what the scatter of corrected values over its prediction is, in 99 of 100 cases."""
        freedom = self.boards - 1
        low, high = (chi2_quantile(tail, freedom) / freedom for tail in ((1 - SURE) / 2, (1 + SURE) / 2))
        return sqrt(low), sqrt(high)

    def rows(self) -> Iterator[tuple[str, str, str, bool]]:
        """Yield each figure with its goal, what was measured, and whether that meets the goal."""
        for name, share in self.coverage.items():
            low, high = share.interval
            yield f"{name} within its 95 % interval", "95 %", str(share), low <= LEVEL <= high
        yield "5 sigma steps found by the next session", "99 %", str(self.steps), self.steps.value >= 0.99
        sigmas = _sigmas_off(self.boards)
        yield (
            f"{sigmas:g} sigma strangers found by the first session",
            "95 %",
            str(self.strangers),
            self.strangers.value >= LEVEL,
        )
        alarms = f"{self.false_alarms} (at most {self.alarms_a_year:.2g} a board and year)"
        yield "false alarms", "below 1 a board and year", alarms, self.alarms_a_year < 1
        ratio, (low, high) = self.corrected_ppm / self.predicted_ppm, self.agreement
        gain = f"{self.raw_ppm / self.corrected_ppm:.1f} ({self.raw_ppm:.0f} to {self.corrected_ppm:.1f} ppm)"
        yield (
            "boards agree better by a factor",
            f"{self.raw_ppm / self.predicted_ppm:.1f} as predicted",
            gain,
            low <= ratio <= high,
        )
        yield "share of the boards' time", "below 0.1 %", f"{self.cost:.4%}", self.cost < 0.001

    @property
    def met(self) -> bool:
        return all(met for *_, met in self.rows())


@define
class _Board:
    """A virtual board that measures references."""

    serial: str
    model: VirtualModel
    windows: int = 0
    readings: list[Reading] = Factory(list)
    calibration: Calibration | None = None

    def measure(self, hertz: float, days: float) -> tuple[int, float]:
        """Return the count of one window, and the temperature."""
        self.windows += 1
        celsius = self.model.temperature(self.serial, days)
        return self.model.pulses(hertz, self.serial, WINDOW_US, self.windows, days, celsius), round(celsius, 2)

    def session(self, days: float) -> list[Reading]:
        """Measure the reference."""
        done = []
        for _ in range(WINDOWS):
            pulses, celsius = self.measure(EXPECTED_HZ, days)
            time = BEGIN + days * DAY
            done.append(Reading(self.serial, REFERENCE, EXPECTED_HZ, pulses, WINDOW_US, time, celsius, "bench"))
            days += (WINDOW + BESIDE_S) / DAY
        return done


@define
class _Trial:
    """The sessions of all boards, and what is counted meanwhile."""

    boards: list[_Board]
    random: Random
    false_alarms: int = 0
    steps: list[bool] = Factory(list)
    strangers: list[bool] = Factory(list)
    #: Who is suspect, and of what.
    suspect: set[tuple[str, str, str]] = Factory(set)

    def turn(self, number: int) -> None:
        sessions = {board.serial: board.session(self._moment(board, number)) for board in self.boards}
        known = [(board.calibration, sessions[board.serial]) for board in self.boards if board.calibration is not None]
        found = against_history(known)
        if number >= WARM:
            for _ in range(TRIED_EACH_TIME):
                self.steps.append(self._finds_step(known))
        for board in self.boards:
            board.readings += sessions[board.serial]
            board.calibration = calibrate(board.readings, since=begin_of_line(board.calibration, board.readings))
        calibrations = [board.calibration for board in self.boards if board.calibration is not None]
        found += against_others(calibrations)
        if number == 0:
            self.strangers = [self._finds_stranger(calibrations, n) for n in range(len(calibrations))]
        suspect = {(each.serial, each.compared_with, each.figure) for each in found}
        self.false_alarms += len(suspect - self.suspect)
        self.suspect = suspect

    def _moment(self, board: _Board, number: int) -> float:
        """Return when a board measures in a turn, in days."""
        return (number * PERIOD + turn_of(board.serial) + self.random.uniform(0, LATE_S)) / DAY

    def _finds_step(self, sessions: Sequence[tuple[Calibration, list[Reading]]]) -> bool:
        """Tell whether a board that deviates from now on would be found at once."""
        chosen = self.random.randrange(len(sessions))
        calibration, session = sessions[chosen]
        factor = 1 + self.random.choice((-1, 1)) * SIGMAS * OPTIONS.noise_ppm * 1e-6
        moved = [evolve(reading, pulses=reading.pulses * factor) for reading in session]
        changed = [*sessions[:chosen], (calibration, moved), *sessions[chosen + 1 :]]
        return any(each.serial == calibration.serial for each in against_history(changed))

    def _finds_stranger(self, calibrations: Sequence[Calibration], chosen: int) -> bool:
        """Tell whether a board that is some robust standard deviations off the middle of all would be found."""
        spread = MAD_TO_SIGMA * OPTIONS.offset_ppm / 2  # of an even distribution
        noise = self.random.gauss(0, calibrations[chosen].offset_uncertainty_ppm)
        off = self.random.choice((-1, 1)) * _sigmas_off(len(calibrations)) * spread
        odd = evolve(calibrations[chosen], offset_ppm=off + noise)
        changed = [*calibrations[:chosen], odd, *calibrations[chosen + 1 :]]
        found = against_others(changed)
        return any(each.serial == odd.serial and each.figure == "offset_ppm" for each in found)


def _sigmas_off(boards: int) -> float:
    return SIGMAS if boards >= MANY else SIGMAS_OF_FEW


def _covered(value: float, uncertainty: float, freedom: float, truth: float) -> bool:
    return abs(value - truth) <= t_quantile((1 + LEVEL) / 2, freedom) * uncertainty


def _coverage(exact: VirtualModel, calibrations: Sequence[Calibration]) -> dict[str, Share]:
    """Count estimates that hold: those of a model without noise are true."""
    held: dict[str, int] = {"offset": 0, "drift": 0, "temperature coefficient": 0}
    for each in calibrations:
        assert each.reference_temperature_c is not None
        days = (each.reference_time - BEGIN) / DAY
        truth = {
            "offset": exact.pace_ppm(each.serial, days, each.reference_temperature_c),
            "drift": exact.pace_ppm(each.serial, 1, REFERENCE_C) - exact.pace_ppm(each.serial, 0, REFERENCE_C),
            "temperature coefficient": exact.pace_ppm(each.serial, 0, REFERENCE_C + 1)
            - exact.pace_ppm(each.serial, 0, REFERENCE_C),
        }
        estimates = {
            "offset": (each.offset_ppm, each.offset_uncertainty_ppm),
            "drift": (each.drift_ppm_per_day, each.drift_uncertainty),
            "temperature coefficient": (each.ppm_per_kelvin, each.kelvin_uncertainty),
        }
        for name, (value, uncertainty) in estimates.items():
            held[name] += _covered(value, uncertainty, each.degrees_of_freedom, truth[name])
    return {name: Share(count, len(calibrations)) for name, count in held.items()}


def prove(library: Any, boards: int, days: int, seed: int) -> Proof:
    """Let so many boards measure for so many days, and say what came of it."""
    random = Random(seed)
    model, exact = VirtualModel.of(OPTIONS, library), VirtualModel.of(evolve(OPTIONS, noise_ppm=0), library)
    trial = _Trial([_Board(f"{random.getrandbits(64):016X}", model) for _ in range(boards)], random)
    for number in range(int(days * DAY / PERIOD)):
        trial.turn(number)
    calibrations = [board.calibration for board in trial.boards if board.calibration is not None]
    raw, fixed = _measured(trial.boards, days)
    held = sum(low <= CIRCUIT_HZ <= high for low, high in (each.interval(LEVEL) for each in fixed))
    part = 1e6 / CIRCUIT_HZ
    return Proof(
        boards=boards,
        days=days,
        coverage={**_coverage(exact, calibrations), "corrected value": Share(held, len(fixed))},
        steps=Share(sum(trial.steps), len(trial.steps)),
        strangers=Share(sum(trial.strangers), len(trial.strangers)),
        false_alarms=trial.false_alarms,
        raw_ppm=pstdev(raw) * part,
        corrected_ppm=pstdev(each.value for each in fixed) * part,
        predicted_ppm=sqrt(fmean(each.standard_uncertainty**2 for each in fixed)) * part,
        cost=(len(REFERENCES) * WINDOWS * (WINDOW + BESIDE_S) + FIRMWARE_S) / PERIOD,
    )


def _measured(boards: Sequence[_Board], days: float) -> tuple[list[float], list[Corrected]]:
    """Measure a circuit on all boards; return what they counted in a second, and the same corrected."""
    raw, fixed = [], []
    for board in boards:
        assert board.calibration is not None
        pulses, celsius = board.measure(CIRCUIT_HZ, days)
        raw.append(float(pulses))
        fixed.append(corrected(pulses, board.calibration, time=BEGIN + days * DAY, temperature_c=celsius))
    return raw, fixed


def main() -> int:
    parser = argparse.ArgumentParser("python -m bench.calibration", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--boards", type=int, default=200)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="icefarm-bench-") as directory:
        proof = prove(model_library(Path(directory)), asked.boards, asked.days, asked.seed)
    effort = f"{WINDOWS} windows of {WINDOW:g} s each {PERIOD / 3600:g} hours"
    print(f"{asked.boards} virtual boards, {asked.days} days, {effort}; {OPTIONS}")
    for name, goal, measured, met in proof.rows():
        print(f"{name:48} {goal:26} {measured:40} {'met' if met else 'MISSED'}")
    return 0 if proof.met else 1


if __name__ == "__main__":
    sys.exit(main())
