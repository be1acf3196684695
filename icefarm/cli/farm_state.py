"""Pure: no I/O, no clock.  The state of a watched farm, and each change in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, define

from icefarm.cli.ui.records.columns import firmware
from icefarm.cli.ui.records.tables import Column, Record, Shape
from icefarm.client.connection.events import Change
from icefarm.client.session import Snapshot
from icefarm.contract import to_wire

__all__ = ["LINES", "View"]

#: The field that identifies a record.
_KEYS = {"worker": "name", "device": "serial", "reservation": "id", "queue": "id"}

#: A change as one line.
LINES = Shape(
    ("time", "event", "key", "change", "record"),
    (
        Column("TIME", lambda line: line["at"], 8),
        Column("EVENT", lambda line: line["event"], 11),
        Column("KEY", lambda line: line["key"], 16),
        Column("CHANGE", lambda line: line["change"]),
    ),
)


def _gone(event: str, record: Record) -> bool:
    """Tell whether an event reports that something is gone."""
    return (event == "reservation" and record.get("ended_at") is not None) or (
        event == "queue" and record.get("place") == 0
    )


@define
class View:
    """The last known state of the farm."""

    workers: dict[str, Record] = Factory(dict)
    devices: dict[str, Record] = Factory(dict)
    reservations: dict[str, Record] = Factory(dict)
    queue: dict[str, Record] = Factory(dict)
    #: Why the connection is lost; None while connected.
    stale: str | None = None
    #: Whether a snapshot has arrived.
    known: bool = False
    #: Seconds that the farm's clock is ahead of this one's.
    ahead: float = 0.0

    def apply(self, change: Change, now: float) -> list[dict[str, Any]]:
        """Apply a change at ``now``; return it as records for `LINES`, without ``at``."""
        match change:
            case Change("snapshot", Snapshot() as snapshot):
                self.stale, self.known, self.ahead = None, True, snapshot.time - now
                return self._replace(snapshot, now)
            case Change("stale", str() as reason):
                self.stale = reason
                return []
            case Change("deleted", {"serials": list(serials)}):
                known = [serial for serial in serials if serial in self.devices]
                return [_line(now, "device", serial, "deleted", self.devices.pop(serial)) for serial in known]
            case Change(event, Mapping() as record) if event in _KEYS:
                return self._change(event, record, now)
            case Change(event, Mapping() as record):
                return [_line(now, event, _other_key(record), _other_words(event, record), record)]
        return []

    def _table(self, event: str) -> dict[str, Record]:
        return {
            "worker": self.workers,
            "device": self.devices,
            "reservation": self.reservations,
            "queue": self.queue,
        }[event]

    def _replace(self, snapshot: Snapshot, now: float) -> list[dict[str, Any]]:
        lines = []
        everything: tuple[tuple[str, list[Any]], ...] = (
            ("worker", snapshot.workers),
            ("device", snapshot.devices),
            ("reservation", snapshot.reservations),
            ("queue", snapshot.queue),
        )
        for event, found in everything:
            records = {getattr(each, _KEYS[event]): to_wire(each) for each in found}
            table = self._table(event)
            for key in [key for key in table if key not in records]:
                lines.append(_line(now, event, key, "gone", table.pop(key)))
            for record in records.values():
                lines += self._change(event, record, now)
        return lines

    def _change(self, event: str, record: Record, now: float) -> list[dict[str, Any]]:
        key, table = str(record.get(_KEYS[event])), self._table(event)
        old = table.get(key)
        if _gone(event, record):
            table.pop(key, None)
            return [] if old is None else [_line(now, event, key, _gone_words(event, record), record)]
        table[key] = record
        before, after = (None if old is None else _WORDS[event](old)), _WORDS[event](record)
        if before == after:
            return []
        return [_line(now, event, key, after if before is None else f"{before} -> {after}", record)]


def _line(now: float, event: str, key: str | None, change: str, record: Record) -> dict[str, Any]:
    return {"time": now, "event": event, "key": key, "change": change, "record": record}


def _gone_words(event: str, record: Record) -> str:
    if event == "reservation":
        return f"board {record.get('serial')} of '{record.get('client')}': ended ({record.get('end_reason')})"
    return f"'{record.get('client')}' no longer waits"


def _device_words(record: Record) -> str:
    words = str(record.get("status"))
    if record.get("client") is not None:
        words += f" by '{record.get('client')}'" if words == "reserved" else f" for '{record.get('client')}'"
    elif words == "available" and record.get("firmware"):
        words += f" ({firmware(record)})"
    reason = record.get("reason")
    return words if not reason else f"{words}: {reason}"


def _worker_words(record: Record) -> str:
    draining = ", draining" if record.get("draining") else ""
    return f"{record.get('status')}{draining}, {record.get('devices')} boards"


def _reservation_words(record: Record) -> str:
    # Without its end: extensions are not news.
    return f"board {record.get('serial')} as {record.get('kind')} for '{record.get('client')}'"


def _queue_words(record: Record) -> str:
    return f"'{record.get('client')}' waits for {record.get('amount')}, place {record.get('place')}: " + str(
        record.get("reason")
    )


_WORDS = {
    "device": _device_words,
    "worker": _worker_words,
    "reservation": _reservation_words,
    "queue": _queue_words,
}


def _other_key(record: Record) -> str | None:
    key = record.get("serial") or record.get("worker")
    return None if key is None else str(key)


def _other_words(event: str, record: Record) -> str:
    if event == "available":
        serials = record.get("serials")
        return f"{record.get('amount')} more: " + (", ".join(map(str, serials)) if isinstance(serials, list) else "")
    return f"{record.get('level')}: {record.get('message')}" if event == "log" else str(dict(record))
