"""Pure: no I/O, no clock.  The columns of what the farm has: boards, workers, requests, reservations, accounts."""

from __future__ import annotations

from datetime import tzinfo
from operator import itemgetter
from typing import Any

from icefarm.cli.ui.records.formatting import duration
from icefarm.cli.ui.records.tables import Column, Record, Shape, column, fields_of
from icefarm.contract import (
    AccessRule,
    BookingRecord,
    DeviceRecord,
    QueueRecord,
    ReservationRecord,
    ShareRecord,
    WorkerRecord,
    to_wire,
)
from icefarm.selectors.language import quoted
from icefarm.text.local_time import written

__all__ = [
    "ACCESS_RULES",
    "ACCOUNT_GROUPS",
    "AUDIT",
    "BOARD_LABELS",
    "FINDINGS",
    "IMAGES",
    "LIMITS_OF_ACCOUNT",
    "REQUESTS",
    "SERIALS",
    "SHARES",
    "TOKENS",
    "as_record",
    "bookings",
    "devices",
    "expected",
    "firmware",
    "labels",
    "queue",
    "reservations",
    "suspect",
    "workers",
]

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
    fields_of(AccessRule),
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


#: Tokens, which are known by their names.
TOKENS = Shape(
    ("name", "account", "role", "created_at", "expires_at", "last_used_at", "last_used_from", "replaced"),
    (
        column("NAME", "name", 0),
        column("ACCOUNT", "account", 1, least=10),
        column("ROLE", "role", 1),
        column("CREATED_AT", "created_at", 4),
        column("EXPIRES_AT", "expires_at", 2),
        column("LAST_USED_AT", "last_used_at", 3),
        column("LAST_USED_FROM", "last_used_from", 5),
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
        column("TIME", "time", 0),
        column("ACCOUNT", "account", 1, least=10),
        column("NAME", "name", 3, least=12),
        column("ACTION", "action", 1),
        column("SUBJECT", "subject", 2, least=10),
        column("OUTCOME", "outcome", 2, least=10),
        column("ADDRESS", "address", 4),
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
        column("NAME", "name", 0),
        column("VERSION", "version", 1),
        column("BOARDS", "boards", 2, least=12),
        Column("CURRENT", lambda record: "yes" if record["current"] else "no"),
        column("BYTES", "bytes", right=True),
        column("PATH", "path"),
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
        fields_of(DeviceRecord),
        (
            column("SERIAL", "serial", 0),
            column("STATUS", "status", 0),
            column("WORKER", "worker", 4, least=8),
            Column("CLIENT", _clients, priority=1, least=10),
            column("KIND", "kind", 3, least=10),
            Column("FIRMWARE", firmware, priority=6),
            column("EVALUATIONS", "evaluations", 7, right=True),
            column("FAILURES", "failures", 7, right=True),
            Column("LABELS", labels, priority=4, least=10),
            Column("HEALTH", health, priority=5, least=14),
            _left(now, 2),
            column("REASON", "reason", 1, least=14),
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
        fields_of(WorkerRecord),
        (
            column("NAME", "name", 0),
            Column("STATUS", status, priority=0),
            column("BOARDS", "devices", 1, right=True),
            column("HOST", "host", 3, least=10),
            column("VERSION", "version", 4),
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
        fields_of(QueueRecord),
        (
            column("PLACE", "place", 0, right=True),
            column("CLIENT", "client", 0, least=10),
            column("KIND", "kind", 3, least=10),
            Column("WANTS", _wants, right=True, priority=1, least=8),
            Column("WAITS_FOR", lambda record: duration(now - record["since"]), right=True, priority=1),
            column("REASON", "reason", 2, least=14),
            column("ID", "id", 4),
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
    fields_of(ShareRecord),
    (
        column("ACCOUNT", "account", 0, least=10),
        Column("USED", lambda record: board_time(record["used"]), right=True, priority=0),
        Column("SHARE", lambda record: f"{record['share']:.0%}", right=True, priority=0),
        Column("WEIGHT", lambda record: f"{record['weight']:g}", right=True, priority=2),
        column("BOARDS", "held", 1, right=True),
        column("WAITING", "waiting", 1, right=True),
    ),
)


def bookings(zone: tzinfo) -> Shape:
    """Bookings, with times in a zone."""

    def boards(record: Record) -> Any:
        return record["serials"] or record["amount"]

    return Shape(
        fields_of(BookingRecord),
        (
            column("ACCOUNT", "account", 0, least=8),
            Column("BOARDS", boards, right=True, priority=0, least=8),
            Column("BEGINS", lambda record: written(record["starts_at"], zone), priority=0),
            Column("LASTS", lambda record: duration(record["ends_at"] - record["starts_at"]), right=True, priority=1),
            column("KEPT", "kept", 3, right=True),
            column("KIND", "kind", 5),
            column("BOOKED_BY", "booked_by", 4, least=10),
            column("ENDED", "end_reason", 3, least=8),
            column("ID", "id", 2),
        ),
    )


def reservations(now: float) -> Shape:
    """Reservations; ``now`` is the farm's time."""
    return Shape(
        fields_of(ReservationRecord),
        (
            column("SERIAL", "serial", 0),
            column("CLIENT", "client", 1, least=10),
            column("KIND", "kind", 2, least=10),
            _left(now, 1),
            column("WORKER", "worker", 3, least=8),
            column("OPTIONS", "options", 4, least=16),
            column("LIMITED_BY", "limited_by", 3, least=14),
            column("ID", "id", 5),
        ),
    )
