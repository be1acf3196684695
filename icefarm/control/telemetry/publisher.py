"""What control tells everybody: records as they change, and word to single clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, define
from twisted.logger import Logger

from icefarm.bus import Bus
from icefarm.contract import (
    READING_TOPIC,
    DeviceRecord,
    QueueRecord,
    ReservationRecord,
    WorkerRecord,
    client_topic,
    event_topic,
    to_wire,
)
from icefarm.deferreds import Tasks
from icefarm.errors import LinkLost

__all__ = ["OWN_EVENTS", "Publisher"]

#: Words to a client that come from control; a device kind may not send an event that looks like one of them.
OWN_EVENTS = ("initialised", "ending_soon", "ended", "failure")


@define(eq=False)
class Publisher:
    """Publishes.  What is said while the router is out of reach is lost: whoever comes back asks for a snapshot."""

    bus: Bus | None = None
    #: Each is called with every event's name and fields, at the router or not.
    listeners: list[Callable[[str, Mapping[str, Any]], None]] = Factory(list)
    _log: Logger = Factory(Logger)
    _tasks: Tasks = Factory(Tasks)

    def device(self, record: DeviceRecord) -> None:
        """Say what a board is now."""
        self._event("device", to_wire(record))

    def reservation(self, record: ReservationRecord) -> None:
        """Say what became of a reservation; ``ended_at`` says that it has ended."""
        self._event("reservation", to_wire(record))

    def worker(self, record: WorkerRecord) -> None:
        """Say what a worker is now."""
        self._event("worker", to_wire(record))

    def queue(self, record: QueueRecord) -> None:
        """Say where a request is in the queue; ``place`` 0 says that it no longer waits."""
        self._event("queue", to_wire(record))

    def available(self, serials: Sequence[str]) -> None:
        """Say that these boards can be reserved now, and could not before: ``amount`` and ``serials``."""
        self._event("available", {"amount": len(serials), "serials": list(serials)})

    def deleted(self, serials: Sequence[str]) -> None:
        """Say that boards were forgotten: ``serials``."""
        self._event("deleted", {"serials": list(serials)})

    def readings(self, fields: Mapping[str, Any]) -> None:
        """Say what boards count and measure."""
        self._publish(READING_TOPIC, fields)

    def log(self, fields: Mapping[str, Any]) -> None:
        """Pass on a line that a worker logged: ``time``, ``worker``, ``level``, ``message``, and ``serial`` or null."""
        self._event("log", fields)

    def tell(self, record: ReservationRecord, event: str, reason: str | None = None, **fields: Any) -> None:
        """Tell the holder of a reservation what became of it: ``event``, ``serial``, ``reservation``, ``reason``."""
        about = {"event": event, "serial": record.serial, "reservation": record.id, "reason": reason, **fields}
        self.tell_client(record.client, about)

    def tell_client(self, client: str, message: Mapping[str, Any]) -> None:
        self._publish(client_topic(client), message, only=client)
        name = client.partition("/")[2]
        if name:
            # Clients of an earlier version listen under the name that they asked for.
            self._publish(client_topic(name), message, only=client)

    def _event(self, name: str, fields: Mapping[str, Any]) -> None:
        for listener in self.listeners:
            listener(name, fields)
        self._publish(event_topic(name), fields)

    def _publish(self, topic: str, fields: Mapping[str, Any], only: str | None = None) -> None:
        bus = self.bus
        if bus is not None:
            self._tasks.start(f"event on {topic}", partial(_publish, bus, topic, dict(fields), only))


async def _publish(bus: Bus, topic: str, fields: Mapping[str, Any], only: str | None) -> None:
    try:
        await bus.publish(topic, (), fields, only=only)
    except LinkLost:
        return
