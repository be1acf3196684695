"""Pure: no I/O, no clock.  The columns of the contract's records."""

from __future__ import annotations

from typing import Any

import attrs

from icefarm.cli.ui.formatting import duration
from icefarm.cli.ui.tables import Column, Record, Shape
from icefarm.contract import DeviceRecord, QueueRecord, ReservationRecord, WorkerRecord

__all__ = [
    "AUDIT",
    "FINDINGS",
    "IMAGES",
    "REQUESTS",
    "SERIALS",
    "TOKENS",
    "devices",
    "firmware",
    "queue",
    "reservations",
    "workers",
]

#: A list of boards and nothing else.
SERIALS = Shape(("serial",), (Column("SERIAL", lambda record: record["serial"]),))

#: What the doctor found.
FINDINGS = Shape(("check", "mark", "text", "cure"), ())

#: A list of requests for boards, by the ids that their clients chose.
REQUESTS = Shape(("id",), (Column("ID", lambda record: record["id"]),))

#: Tokens, which are known by their names.
TOKENS = Shape(
    ("name", "account", "role", "created_at", "expires_at", "last_used_at", "last_used_from", "replaced"),
    (
        Column("NAME", lambda record: record["name"]),
        Column("ACCOUNT", lambda record: record["account"]),
        Column("ROLE", lambda record: record["role"]),
        Column("CREATED_AT", lambda record: record["created_at"]),
        Column("EXPIRES_AT", lambda record: record["expires_at"]),
        Column("LAST_USED_AT", lambda record: record["last_used_at"]),
        Column("LAST_USED_FROM", lambda record: record["last_used_from"]),
    ),
)

#: What somebody did, or was refused.
AUDIT = Shape(
    ("time", "account", "name", "role", "session", "address", "action", "subject", "outcome", "detail"),
    (
        Column("TIME", lambda record: record["time"]),
        Column("ACCOUNT", lambda record: record["account"]),
        Column("NAME", lambda record: record["name"]),
        Column("ACTION", lambda record: record["action"]),
        Column("SUBJECT", lambda record: record["subject"]),
        Column("OUTCOME", lambda record: record["outcome"]),
        Column("ADDRESS", lambda record: record["address"]),
    ),
)


def _fields(record: Any) -> tuple[str, ...]:
    return tuple(each.name for each in attrs.fields(record))


def _column(title: str, name: str, *, right: bool = False) -> Column:
    return Column(title, lambda record: record[name], right=right)


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
    return "; ".join(said) or None


#: Firmware images; ``current``: of the version that this icefarm comes with.
IMAGES = Shape(
    ("name", "version", "boards", "current", "bytes", "path"),
    (
        _column("NAME", "name"),
        _column("VERSION", "version"),
        _column("BOARDS", "boards"),
        Column("CURRENT", lambda record: "yes" if record["current"] else "no"),
        _column("BYTES", "bytes", right=True),
        _column("PATH", "path"),
    ),
)


def _left(now: float) -> Column:
    def left(record: Record) -> str | None:
        end = record["expires_at"]
        return None if end is None else duration(end - now)

    return Column("ENDS_IN", left, right=True)


def devices(now: float) -> Shape:
    """Boards; ``now`` is the farm's time."""
    return Shape(
        _fields(DeviceRecord),
        (
            _column("SERIAL", "serial"),
            _column("STATUS", "status"),
            _column("WORKER", "worker"),
            _column("CLIENT", "client"),
            _column("KIND", "kind"),
            Column("FIRMWARE", firmware),
            _column("EVALUATIONS", "evaluations", right=True),
            _column("FAILURES", "failures", right=True),
            Column("HEALTH", health),
            _left(now),
            _column("REASON", "reason"),
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
            _column("NAME", "name"),
            Column("STATUS", status),
            _column("BOARDS", "devices", right=True),
            _column("HOST", "host"),
            _column("VERSION", "version"),
            Column("KINDS", _kinds),
            Column("SEEN_AGO", lambda record: duration(now - record["last_seen"]), right=True),
        ),
    )


def queue(now: float) -> Shape:
    """Waiting requests; ``now`` is the farm's time."""
    return Shape(
        _fields(QueueRecord),
        (
            _column("PLACE", "place", right=True),
            _column("CLIENT", "client"),
            _column("KIND", "kind"),
            Column("WANTS", lambda record: record["serials"] or record["amount"], right=True),
            Column("WAITS_FOR", lambda record: duration(now - record["since"]), right=True),
            _column("REASON", "reason"),
            _column("ID", "id"),
        ),
    )


def reservations(now: float) -> Shape:
    """Reservations; ``now`` is the farm's time."""
    return Shape(
        _fields(ReservationRecord),
        (
            _column("SERIAL", "serial"),
            _column("CLIENT", "client"),
            _column("KIND", "kind"),
            _left(now),
            _column("WORKER", "worker"),
            _column("OPTIONS", "options"),
            _column("ID", "id"),
        ),
    )
