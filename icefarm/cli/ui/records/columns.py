"""Pure: no I/O, no clock.  The columns of the contract's records."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, tzinfo
from math import floor, log10
from operator import itemgetter
from typing import Any

import attrs

from icefarm.cli.ui.records.formatting import duration
from icefarm.cli.ui.records.tables import Column, Record, Shape
from icefarm.contract import (
    CORRECTED_FIELDS,
    RESULT_FIELDS,
    AccessRule,
    BookingRecord,
    DeviceRecord,
    ExperimentBoard,
    ExperimentRecord,
    QueueRecord,
    ReservationRecord,
    RunRecord,
    ShareRecord,
    UsageRecord,
    WorkerRecord,
    to_wire,
)
from icefarm.selectors.language import quoted
from icefarm.text.local_time import written

__all__ = [
    "ACCESS_RULES",
    "ACCOUNT_GROUPS",
    "AGREEMENT",
    "AUDIT",
    "BOARD_LABELS",
    "CORRECTED_RESULTS",
    "FINDINGS",
    "IMAGES",
    "LIMITS_OF_ACCOUNT",
    "REQUESTS",
    "RESULTS",
    "RUN_BOARDS",
    "RUN_DIGITS",
    "SERIALS",
    "SHARES",
    "TOKENS",
    "as_record",
    "bookings",
    "compared",
    "devices",
    "error",
    "expected",
    "experiment_boards",
    "experiments",
    "firmware",
    "labels",
    "moment",
    "progress",
    "queue",
    "reservations",
    "runs",
    "seconds_left",
    "suspect",
    "usage",
    "with_uncertainty",
    "workers",
]

#: Digits of a run's id in a table; a verb takes as many.
RUN_DIGITS = 12

#: A list of boards and nothing else.
SERIALS = Shape(("serial",), (Column("SERIAL", lambda record: record["serial"]),))


def as_record(record: Any) -> dict[str, Any]:
    """Return a record of the contract as a row of a table."""
    found: dict[str, Any] = to_wire(record)
    return found


def labels(record: Record) -> str | None:
    """Return labels as NAME=VALUE; None without any."""
    found = record.get("labels") or {}
    return " ".join(f"{name}={quoted(value)}" for name, value in sorted(found.items())) or None


#: Boards and their labels.
BOARD_LABELS = Shape(
    ("serial", "worker", "labels"),
    (
        Column("SERIAL", itemgetter("serial"), priority=0),
        Column("WORKER", itemgetter("worker"), priority=1, least=8),
        Column("LABELS", labels, priority=0, least=12),
    ),
)


def _who(record: Record) -> str:
    if record["account"] is not None:
        return str(record["account"])
    return "everybody" if record["group"] is None else f"group {record['group']}"


def _at_most(record: Record) -> str | None:
    return None if record["seconds"] is None else duration(record["seconds"])


#: Which accounts may have which boards.
ACCESS_RULES = Shape(
    tuple(each.name for each in attrs.fields(AccessRule)),
    (
        Column("ID", itemgetter("id"), right=True, priority=1),
        Column("FOR", _who, priority=0, least=10),
        Column("BOARDS", lambda record: record["where"] or "all", priority=0, least=12),
        Column("AT_MOST", _at_most, right=True, priority=1),
        Column("KINDS", lambda record: ",".join(record["kinds"] or ()) or "all", priority=2, least=10),
    ),
)

#: Groups of accounts.
ACCOUNT_GROUPS = Shape(
    ("group", "accounts"),
    (
        Column("GROUP", itemgetter("group"), priority=0),
        Column("ACCOUNTS", lambda record: " ".join(record["accounts"]), priority=0, least=20),
    ),
)

#: What the doctor found.
FINDINGS = Shape(("check", "mark", "text", "cure"), ())

#: A list of requests for boards, by the ids that their clients chose.
REQUESTS = Shape(("id",), (Column("ID", lambda record: record["id"]),))


def _fields(record: Any) -> tuple[str, ...]:
    return tuple(each.name for each in attrs.fields(record))


def _column(title: str, name: str, priority: int = 5, *, right: bool = False, least: int = 0) -> Column:
    return Column(title, itemgetter(name), right=right, priority=priority, least=least)


#: Tokens, which are known by their names.
TOKENS = Shape(
    ("name", "account", "role", "created_at", "expires_at", "last_used_at", "last_used_from", "replaced"),
    (
        _column("NAME", "name", 0),
        _column("ACCOUNT", "account", 1, least=10),
        _column("ROLE", "role", 1),
        _column("CREATED_AT", "created_at", 4),
        _column("EXPIRES_AT", "expires_at", 2),
        _column("LAST_USED_AT", "last_used_at", 3),
        _column("LAST_USED_FROM", "last_used_from", 5),
    ),
)

#: Limits of an account.
LIMITS_OF_ACCOUNT = Shape(
    ("limit", "value", "bounds"),
    (
        Column("LIMIT", lambda record: record["limit"]),
        Column("VALUE", lambda record: "the farm's" if record["value"] is None else f"{record['value']:g}"),
        Column("BOUNDS", lambda record: record["bounds"]),
    ),
)

#: What somebody did, or was refused.
AUDIT = Shape(
    ("time", "account", "name", "role", "session", "address", "action", "subject", "outcome", "detail"),
    (
        _column("TIME", "time", 0),
        _column("ACCOUNT", "account", 1, least=10),
        _column("NAME", "name", 3, least=12),
        _column("ACTION", "action", 1),
        _column("SUBJECT", "subject", 2, least=10),
        _column("OUTCOME", "outcome", 2, least=10),
        _column("ADDRESS", "address", 4),
    ),
)


def firmware(record: Record) -> str | None:
    """Return a firmware's name and version as one word."""
    name, version = record.get("firmware"), record.get("firmware_version")
    return name if name is None or version is None else f"{name}/{version}"


def health(record: Record) -> str | None:
    """Return what went wrong in a board's last attempts to evaluate; None if all is well."""
    found = record["health"]
    words = [f"{found[name]} {name}" for name in ("timeouts", "retries", "failures") if found[name]]
    said = [f"{', '.join(words)} in {found['attempts']}"] if words else []
    said += [f"set aside {found['set_aside']}x"] if found["set_aside"] else []
    said += ["suspect"] if suspect(record) else []
    return "; ".join(said) or None


def suspect(record: Record) -> str | None:
    """Return why a board is suspect; None: it is not, or the farm does not say."""
    why = (record.get("calibration") or {}).get("suspect")
    return None if why is None else str(why)


#: Firmware images; ``current``: of the version that this icefarm comes with.
IMAGES = Shape(
    ("name", "version", "boards", "current", "bytes", "path"),
    (
        _column("NAME", "name", 0),
        _column("VERSION", "version", 1),
        _column("BOARDS", "boards", 2, least=12),
        Column("CURRENT", lambda record: "yes" if record["current"] else "no"),
        _column("BYTES", "bytes", right=True),
        _column("PATH", "path"),
    ),
)


def _left(now: float, priority: int) -> Column:
    def left(record: Record) -> str | None:
        end = record["expires_at"]
        return None if end is None else duration(end - now)

    return Column("ENDS_IN", left, right=True, priority=priority)


def _clients(record: Record) -> object:
    """The holders of a board: the clients that share it, or one."""
    return list((record.get("shares") or {}).values()) or record["client"]


def devices(now: float) -> Shape:
    """Boards; ``now`` is the farm's time."""
    return Shape(
        _fields(DeviceRecord),
        (
            _column("SERIAL", "serial", 0),
            _column("STATUS", "status", 0),
            _column("WORKER", "worker", 4, least=8),
            Column("CLIENT", _clients, priority=1, least=10),
            _column("KIND", "kind", 3, least=10),
            Column("FIRMWARE", firmware, priority=6),
            _column("EVALUATIONS", "evaluations", 7, right=True),
            _column("FAILURES", "failures", 7, right=True),
            Column("LABELS", labels, priority=4, least=10),
            Column("HEALTH", health, priority=5, least=14),
            _left(now, 2),
            _column("REASON", "reason", 1, least=14),
        ),
    )


def _kinds(record: Record) -> str:
    versions = record["kind_versions"]
    return ",".join(f"{name}/{versions[name]}" if versions.get(name) else name for name in record["kinds"])


def workers(now: float) -> Shape:
    """Workers; ``now`` is the farm's time."""

    def status(record: Record) -> str:
        if record["status"] != "online":
            return str(record["status"])
        return "leaving" if record["leaving"] else "draining" if record["draining"] else "online"

    return Shape(
        _fields(WorkerRecord),
        (
            _column("NAME", "name", 0),
            Column("STATUS", status, priority=0),
            _column("BOARDS", "devices", 1, right=True),
            _column("HOST", "host", 3, least=10),
            _column("VERSION", "version", 4),
            Column("KINDS", _kinds, priority=5, least=16),
            Column("LABELS", labels, priority=4, least=10),
            Column("SEEN_AGO", lambda record: duration(now - record["last_seen"]), right=True, priority=2),
        ),
    )


def _wants(record: Record) -> object:
    if record["serials"]:
        return record["serials"]
    return f"{record['amount']},shared" if record.get("shared") else record["amount"]


def queue(now: float) -> Shape:
    """Waiting requests; ``now`` is the farm's time."""
    return Shape(
        _fields(QueueRecord),
        (
            _column("PLACE", "place", 0, right=True),
            _column("CLIENT", "client", 0, least=10),
            _column("KIND", "kind", 3, least=10),
            Column("WANTS", _wants, right=True, priority=1, least=8),
            Column("WAITS_FOR", lambda record: duration(now - record["since"]), right=True, priority=1),
            _column("REASON", "reason", 2, least=14),
            _column("ID", "id", 4),
            Column("EXPECTED", lambda record: expected(record, now), priority=1),
            Column("BEHIND", lambda record: record.get("behind") or None, priority=2, least=8),
            Column("USED", lambda record: board_time(record.get("used")), right=True, priority=3),
        ),
    )


def expected(record: Record, now: float) -> str:
    """Say when a request is likely to be served: a range, or that it is unknown."""
    low, high = record.get("earliest"), record.get("latest")
    if low is None:
        return "unknown"
    least = max(0.0, low - now)
    if high is None:
        return f"in {duration(least)} or more"
    most = max(0.0, high - now)
    return f"in {duration(least)} to {duration(most)}" if duration(least) != duration(most) else f"in {duration(most)}"


def board_time(seconds: float | None) -> str:
    """Return use of boards as text, in board-hours."""
    return "" if seconds is None else f"{seconds / 3600:.1f} bh"


#: What accounts used lately.
SHARES = Shape(
    _fields(ShareRecord),
    (
        _column("ACCOUNT", "account", 0, least=10),
        Column("USED", lambda record: board_time(record["used"]), right=True, priority=0),
        Column("SHARE", lambda record: f"{record['share']:.0%}", right=True, priority=0),
        Column("WEIGHT", lambda record: f"{record['weight']:g}", right=True, priority=2),
        _column("BOARDS", "held", 1, right=True),
        _column("WAITING", "waiting", 1, right=True),
    ),
)


def bookings(zone: tzinfo) -> Shape:
    """Bookings, with times in a zone."""

    def boards(record: Record) -> Any:
        return record["serials"] or record["amount"]

    return Shape(
        _fields(BookingRecord),
        (
            _column("ACCOUNT", "account", 0, least=8),
            Column("BOARDS", boards, right=True, priority=0, least=8),
            Column("BEGINS", lambda record: written(record["starts_at"], zone), priority=0),
            Column("LASTS", lambda record: duration(record["ends_at"] - record["starts_at"]), right=True, priority=1),
            _column("KEPT", "kept", 3, right=True),
            _column("KIND", "kind", 5),
            _column("BOOKED_BY", "booked_by", 4, least=10),
            _column("ENDED", "end_reason", 3, least=8),
            _column("ID", "id", 2),
        ),
    )


def reservations(now: float) -> Shape:
    """Reservations; ``now`` is the farm's time."""
    return Shape(
        _fields(ReservationRecord),
        (
            _column("SERIAL", "serial", 0),
            _column("CLIENT", "client", 1, least=10),
            _column("KIND", "kind", 2, least=10),
            _left(now, 1),
            _column("WORKER", "worker", 3, least=8),
            _column("OPTIONS", "options", 4, least=16),
            _column("LIMITED_BY", "limited_by", 3, least=14),
            _column("ID", "id", 5),
        ),
    )


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
    return None if not total else f"{100 * (record['done'] + record['failed']) / total:.0f}%"


def _time_left(record: Record) -> str | None:
    left = seconds_left(record)
    return None if left is None else duration(left)


def experiments(now: float) -> Shape:
    """Experiments; ``now`` is the time here."""

    def ago(record: Record) -> str | None:
        return None if record["last_at"] is None else duration(now - record["last_at"])

    return Shape(
        _fields(ExperimentRecord),
        (
            _column("NAME", "name", 0, least=16),
            _column("ACCOUNT", "account", 1, least=10),
            _column("DONE", "done", 0, right=True),
            _column("FAILED", "failed", 1, right=True),
            _column("TOTAL", "total", 3, right=True),
            Column("PROGRESS", progress, right=True, priority=2),
            Column("RATE", lambda record: round(record["rate"], 2), right=True, priority=2),
            Column("TIME_LEFT", _time_left, right=True, priority=2),
            _column("BOARDS", "boards", 4, right=True),
            Column("ACTIVE_AGO", ago, right=True, priority=3),
            _column("SHARED", "shared", 6),
        ),
    )


def runs(now: float) -> Shape:
    """Runs of an experiment; ``now`` is the time here."""

    def labels(record: Record) -> str:
        return ", ".join(f"{name}={value}" for name, value in record["labels"].items())

    return Shape(
        _fields(RunRecord),
        (
            Column("RUN", lambda record: (record["id"] or record["number"])[:RUN_DIGITS], priority=0),
            _column("STATE", "state", 1),
            _column("CLIENT", "client", 3, least=10),
            _column("KIND", "kind", 4),
            _column("RESULTS", "results", 0, right=True),
            _column("FAILED", "failed", 1, right=True),
            _column("BOARDS", "boards", 2, right=True),
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
        _column("N", "index", 1, right=True),
        _column("CIRCUIT", "circuit", 0, least=12),
        _column("OF", "quantity", 5, right=True),
        _column("BOARD", "first_board", 1),
        _column("NOW_ON", "second_board", 3),
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
        _column("SERIAL", "serial", 0),
        _column("RESULTS", "results", 0, right=True),
        _column("FAILED", "failed", 0, right=True),
        Column("WORKER", lambda record: ", ".join(record["workers"]), priority=1),
        Column("FIRMWARE", lambda record: ", ".join(record["firmwares"]), priority=2),
        Column("ORIGIN", lambda record: ", ".join(record["origins"]), priority=2),
    ),
)


def experiment_boards(now: float) -> Shape:
    """What each board did for an experiment; ``now`` is the farm's time."""
    return Shape(
        _fields(ExperimentBoard),
        (
            _column("SERIAL", "serial", 0),
            _column("DONE", "done", 0, right=True),
            _column("FAILED", "failed", 0, right=True),
            Column("ACTIVE_AGO", lambda record: duration(now - record["last_at"]), right=True, priority=1),
        ),
    )


def error(record: Record) -> str | None:
    """Return the error of an evaluation in words; None if it has a result."""
    return None if record["error"] is None else f"{record['error']}: {record['message']}"


def moment(seconds: float) -> str:
    """Return a time as text, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _ended_at(record: Record) -> str:
    return moment(record["ended_at"]).removesuffix("+00:00") + "Z"


def usage(by: Sequence[str]) -> Shape:
    """Usage, by accounts, boards, experiments."""
    keys = {
        "account": ("ACCOUNT", "account"),
        "board": ("SERIAL", "serial"),
        "experiment": ("EXPERIMENT", "experiment"),
    }
    reserved = () if "experiment" in by else (_column("RESERVATIONS", "reservations", 3, right=True),)
    return Shape(
        _fields(UsageRecord),
        (
            *(_column(*keys[name], 0) for name in by),
            Column("HOURS", lambda record: round(record["seconds"] / 3600, 2), right=True, priority=0),
            _column("BOARDS", "boards", 2, right=True),
            *reserved,
            _column("EVALUATIONS", "evaluations", 1, right=True),
            _column("FAILED", "failed", 2, right=True),
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
            _column("SERIAL", "serial", 0),
            Column("OFFSET_PPM", _with_uncertainty("offset_ppm", "offset_uncertainty_ppm"), right=True, priority=0),
            Column("NOISE_PPM", lambda record: f"{record['noise_ppm']:.3g}", right=True, priority=1),
            Column(
                "DRIFT_PER_DAY", _with_uncertainty("drift_ppm_per_day", "drift_uncertainty"), right=True, priority=1
            ),
            Column("PER_KELVIN", _with_uncertainty("ppm_per_kelvin", "kelvin_uncertainty"), right=True, priority=2),
            _column("READINGS", "readings", 4, right=True),
            Column("MEASURED_AGO", lambda record: duration(now - record["measured_at"]), right=True, priority=3),
            _column("CALIBRATION", "id", 5),
            _column("SUSPECT", "suspect", 1, least=14),
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
