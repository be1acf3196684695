"""Pure: no I/O, no clock.  The columns of what the archive has: experiments, runs, results, use, calibrations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import floor, log10
from operator import itemgetter

from icefarm.cli.ui.records.formatting import duration, moment
from icefarm.cli.ui.records.tables import Column, Record, Shape, column, fields_of
from icefarm.contract import CORRECTED_FIELDS, RESULT_FIELDS, ExperimentBoard, ExperimentRecord, RunRecord, UsageRecord

__all__ = [
    "AGREEMENT",
    "CORRECTED_RESULTS",
    "RESULTS",
    "RUN_BOARDS",
    "RUN_DIGITS",
    "compared",
    "error",
    "experiment_boards",
    "experiments",
    "progress",
    "runs",
    "seconds_left",
    "usage",
    "with_uncertainty",
]

#: Digits of a run's id in a table; a verb takes as many.
RUN_DIGITS = 12


def seconds_left(record: Record) -> float | None:
    """Return the seconds until an experiment has what its client expects, at its rate; None if that is unknown."""
    total, rate = record["total"], record["rate"]
    if total is None or not rate:
        return None
    missing = total - record["done"] - record["failed"]
    return missing / rate if missing > 0 else None


def progress(record: Record) -> str | None:
    """Return how much an experiment has of what its client expects; None if it did not say."""
    total = record["total"]
    # Down, so that 100% means that none is missing.
    return None if not total else f"{100 * (record['done'] + record['failed']) // total:.0f}%"


def _time_left(record: Record) -> str | None:
    left = seconds_left(record)
    return None if left is None else duration(left)


def experiments(now: float) -> Shape:
    """Experiments; ``now`` is the time here."""

    def ago(record: Record) -> str | None:
        return None if record["last_at"] is None else duration(now - record["last_at"])

    return Shape(
        fields_of(ExperimentRecord),
        (
            column("NAME", "name", 0, least=16),
            column("ACCOUNT", "account", 1, least=10),
            column("DONE", "done", 0, right=True),
            column("FAILED", "failed", 1, right=True),
            column("TOTAL", "total", 3, right=True),
            Column("PROGRESS", progress, right=True, priority=2),
            Column("RATE", lambda record: round(record["rate"], 2), right=True, priority=2),
            Column("TIME_LEFT", _time_left, right=True, priority=2),
            column("BOARDS", "boards", 4, right=True),
            Column("ACTIVE_AGO", ago, right=True, priority=3),
            column("SHARED", "shared", 6),
        ),
    )


def runs(now: float) -> Shape:
    """Runs of an experiment; ``now`` is the time here."""

    def labels(record: Record) -> str:
        return ", ".join(f"{name}={value}" for name, value in record["labels"].items())

    return Shape(
        fields_of(RunRecord),
        (
            Column("RUN", lambda record: (record["id"] or record["number"])[:RUN_DIGITS], priority=0),
            column("STATE", "state", 1),
            column("CLIENT", "client", 3, least=10),
            column("KIND", "kind", 4),
            column("RESULTS", "results", 0, right=True),
            column("FAILED", "failed", 1, right=True),
            column("BOARDS", "boards", 2, right=True),
            Column("BEGUN_AGO", lambda record: duration(now - record["begun_at"]), right=True, priority=2),
            Column("LABELS", labels, priority=5, least=10),
            Column("DROPPED", lambda record: None if record["dropped_at"] is None else "yes", priority=6),
        ),
    )


def _agrees(record: Record) -> str:
    return {True: "yes", False: "no", None: "-"}[record["agrees"]]


def _figure(name: str) -> Callable[[Record], str | None]:
    return lambda record: None if record[name] is None else f"{record[name]:.6g}"


#: Values of a run that was measured again.
AGREEMENT = Shape(
    (
        *("index", "circuit", "sha256", "quantity", "first_board", "second_board", "first", "second", "difference"),
        *("uncertainty", "agrees", "errors"),
    ),
    (
        column("N", "index", 1, right=True),
        column("CIRCUIT", "circuit", 0, least=12),
        column("OF", "quantity", 5, right=True),
        column("BOARD", "first_board", 1),
        column("NOW_ON", "second_board", 3),
        Column("FIRST", _figure("first"), right=True, priority=0),
        Column("SECOND", _figure("second"), right=True, priority=0),
        Column("DIFFERENCE", _figure("difference"), right=True, priority=0),
        Column("UNCERTAINTY", _figure("uncertainty"), right=True, priority=1),
        Column("AGREES", _agrees, priority=0),
        Column("ERRORS", lambda record: ", ".join(record["errors"]) or None, priority=2),
    ),
)

RUN_BOARDS = Shape(
    ("serial", "results", "failed", "workers", "firmwares", "origins"),
    (
        column("SERIAL", "serial", 0),
        column("RESULTS", "results", 0, right=True),
        column("FAILED", "failed", 0, right=True),
        Column("WORKER", lambda record: ", ".join(record["workers"]), priority=1),
        Column("FIRMWARE", lambda record: ", ".join(record["firmwares"]), priority=2),
        Column("ORIGIN", lambda record: ", ".join(record["origins"]), priority=2),
    ),
)


def experiment_boards(now: float) -> Shape:
    """What each board did for an experiment; ``now`` is the farm's time."""
    return Shape(
        fields_of(ExperimentBoard),
        (
            column("SERIAL", "serial", 0),
            column("DONE", "done", 0, right=True),
            column("FAILED", "failed", 0, right=True),
            Column("ACTIVE_AGO", lambda record: duration(now - record["last_at"]), right=True, priority=1),
        ),
    )


def error(record: Record) -> str | None:
    """Return the error of an evaluation in words; None if it has a result."""
    return None if record["error"] is None else f"{record['error']}: {record['message']}"


def _ended_at(record: Record) -> str:
    return moment(record["ended_at"]).removesuffix("+00:00") + "Z"


def usage(by: Sequence[str]) -> Shape:
    """Usage, by accounts, boards, experiments."""
    keys = {
        "account": ("ACCOUNT", "account"),
        "board": ("SERIAL", "serial"),
        "experiment": ("EXPERIMENT", "experiment"),
    }
    reserved = () if "experiment" in by else (column("RESERVATIONS", "reservations", 3, right=True),)
    return Shape(
        fields_of(UsageRecord),
        (
            *(column(*keys[name], 0) for name in by),
            Column("HOURS", lambda record: round(record["seconds"] / 3600, 2), right=True, priority=0),
            column("BOARDS", "boards", 2, right=True),
            *reserved,
            column("EVALUATIONS", "evaluations", 1, right=True),
            column("FAILED", "failed", 2, right=True),
        ),
    )


def _with_uncertainty(figure: str, uncertainty: str) -> Callable[[Record], str]:
    return lambda record: with_uncertainty(record[figure], record[uncertainty])


def with_uncertainty(value: float, uncertainty: float) -> str:
    """Return a value with as many places as its uncertainty has meaning: two digits of it."""
    if not uncertainty > 0:
        return f"{value:.4g}"
    places = min(6, max(0, 1 - floor(log10(uncertainty))))
    # What rounds to nothing has no sign.
    return f"{round(value, places) + 0.0:.{places}f} ± {uncertainty:.{places}f}"


def compared(now: float) -> Shape:
    """Calibrations of boards, side by side; ``now`` is the farm's time."""
    return Shape(
        (
            *("serial", "reference", "offset_ppm", "offset_uncertainty_ppm", "noise_ppm", "drift_ppm_per_day"),
            *("drift_uncertainty", "ppm_per_kelvin", "kelvin_uncertainty", "temperature_c", "readings", "suspect"),
            *("measured_at", "firmware", "id"),
        ),
        (
            column("SERIAL", "serial", 0),
            Column("OFFSET_PPM", _with_uncertainty("offset_ppm", "offset_uncertainty_ppm"), right=True, priority=0),
            Column("NOISE_PPM", lambda record: f"{record['noise_ppm']:.3g}", right=True, priority=1),
            Column(
                "DRIFT_PER_DAY", _with_uncertainty("drift_ppm_per_day", "drift_uncertainty"), right=True, priority=1
            ),
            Column("PER_KELVIN", _with_uncertainty("ppm_per_kelvin", "kelvin_uncertainty"), right=True, priority=2),
            column("READINGS", "readings", 4, right=True),
            Column("MEASURED_AGO", lambda record: duration(now - record["measured_at"]), right=True, priority=3),
            column("CALIBRATION", "id", 5),
            column("SUSPECT", "suspect", 1, least=14),
        ),
    )


#: Results of an experiment, one by one.
RESULTS = Shape(
    RESULT_FIELDS,
    (
        Column("ENDED_AT", _ended_at, 20, priority=2),
        Column("SERIAL", itemgetter("serial"), 16, priority=0),
        Column("CIRCUIT", itemgetter("circuit"), 24, elided=True, priority=0, least=12),
        Column("VALUE", itemgetter("value"), 12, right=True, priority=0, least=10),
        Column("LABELS", itemgetter("labels"), 24, priority=3, least=12),
        Column("KIND", itemgetter("kind"), 12, priority=5),
        Column("ORIGIN", itemgetter("origin"), 12, priority=4),
        Column("ERROR", error, 40, priority=1, least=14),
    ),
)


def _corrected(record: Record) -> str | None:
    value, uncertainty = record["corrected"], record["standard_uncertainty"]
    return None if value is None else with_uncertainty(value, uncertainty)


#: The same with each value as a board without any deviation would have measured it.
CORRECTED_RESULTS = Shape(
    (*RESULT_FIELDS, *CORRECTED_FIELDS),
    (
        *RESULTS.columns[:4],
        Column("CORRECTED", _corrected, 20, right=True, priority=0, least=14),
        *RESULTS.columns[4:],
    ),
)
