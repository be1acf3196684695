"""Events on the router's topics: changed records for everybody, messages for single clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, asdict, define, field

from icefarm.bus import Bus
from icefarm.concurrency.deferreds import Tasks
from icefarm.contract import READING_TOPIC, ReservationRecord, client_topic, event_topic, to_wire
from icefarm.control.telemetry.audience import Audience
from icefarm.control.telemetry.events import (
    BoardFailed,
    BoardJoined,
    BoardReady,
    BoardsAvailable,
    BoardsChanged,
    BoardsDeleted,
    BoardWanted,
    BookingsChanged,
    EndingSoon,
    Event,
    GiveBackSoon,
    KindEvent,
    QueueChanged,
    RatesChanged,
    ReservationsEnded,
    ReservationsExtended,
    ReservationsShortened,
    ReservationsStarted,
    WorkerChanged,
    WorkerLogged,
)
from icefarm.errors import LinkLost

__all__ = ["OWN_EVENTS", "RouterTopics"]

#: Control's own messages to a client; a device kind may not send events with these names.
OWN_EVENTS = ("initialised", "ending_soon", "ended", "failure", "give_back", "give_back_soon", "joined")

_BOARDS, _WORKERS = event_topic("device"), event_topic("worker")
_RESERVATIONS, _QUEUE = event_topic("reservation"), event_topic("queue")
_BOOKINGS = event_topic("booking")
_AVAILABLE, _DELETED, _LOG = event_topic("available"), event_topic("deleted"), event_topic("log")


@define(eq=False)
class RouterTopics:
    """A subscriber.  Events while the router is out of reach are lost: clients that reconnect take a snapshot.

    An event that nobody has subscribed to is not sent.
    """

    bus: Bus | None = None
    audience: Audience = Factory(Audience)
    #: A lost link is not worth a line for each event.
    _tasks: Tasks = field(init=False, factory=partial(Tasks, (LinkLost,)))

    def heard(self, event: Event) -> None:
        """Publish what the event says, in the shapes of docs/control.md."""
        match event:
            case KindEvent(client, fields):
                self._tell_client(client, fields)
            case RatesChanged(time, boards):
                shown = {serial: board.shown() for serial, board in boards.items()}
                self._publish(READING_TOPIC, {"time": time, "boards": shown})
            case BookingsChanged(records):
                self._all(_BOOKINGS, records)
            case BoardReady() | BoardFailed() | EndingSoon() | BoardWanted() | GiveBackSoon() | BoardJoined():
                self._tell_holder(event)
            case _:
                self._tell_everybody(event)

    def stop(self) -> None:
        """Stop publishing."""
        self._tasks.stop()

    def _tell_everybody(self, event: Event) -> None:
        match event:
            case BoardsChanged(records):
                self._all(_BOARDS, records)
            case WorkerChanged(record):
                self._all(_WORKERS, [record])
            case QueueChanged(record):
                self._all(_QUEUE, [record])
            case ReservationsStarted(records) | ReservationsExtended(records) | ReservationsShortened(records):
                self._all(_RESERVATIONS, records)
            case ReservationsEnded(ended):
                for reservation in ended:
                    self._message(reservation, "ended", reservation.end_reason)
                self._all(_RESERVATIONS, ended)
            case BoardsAvailable(serials):
                self._publish(_AVAILABLE, {"amount": len(serials), "serials": list(serials)})
            case BoardsDeleted(serials):
                self._publish(_DELETED, {"serials": list(serials)})
            case WorkerLogged():
                self._publish(_LOG, asdict(event))

    def _tell_holder(
        self, event: BoardReady | BoardFailed | EndingSoon | BoardWanted | GiveBackSoon | BoardJoined
    ) -> None:
        match event:
            case BoardReady(reservation, reason):
                self._message(reservation, "initialised", reason)
            case BoardFailed(reservation, reason):
                self._message(reservation, "failure", reason)
            case EndingSoon(reservation, seconds):
                why = "" if reservation.limited_by is None else f": {reservation.limited_by}"
                words, expires_at = f"{seconds:.0f} s left{why}", reservation.expires_at
                self._message(
                    reservation, "ending_soon", words, expires_at=expires_at, limited_by=reservation.limited_by
                )

            case BoardWanted(reservation, reason, seconds):
                self._message(reservation, "give_back", reason, seconds=seconds)
            case GiveBackSoon(reservation, at, seconds, reason):
                self._message(reservation, "give_back_soon", reason, at=at, seconds=seconds)
            case BoardJoined(reservation):
                self._message(reservation, "joined", "a board is free", record=to_wire(reservation))

    def _message(self, held: ReservationRecord, event: str, reason: str | None, **fields: Any) -> None:
        about = {"event": event, "serial": held.serial, "reservation": held.id, "reason": reason, **fields}
        self._tell_client(held.client, about)

    def _tell_client(self, client: str, fields: Mapping[str, Any]) -> None:
        self._publish(client_topic(client), fields, only=client)
        name = client.partition("/")[2]
        if name:
            # Clients of an earlier version subscribe under the name that they proposed.
            self._publish(client_topic(name), fields, only=client)

    def _all(self, topic: str, records: Sequence[Any]) -> None:
        bus = self.bus
        if bus is None or not self.audience.listens(topic):
            return
        for record in records:
            self._tasks.start(f"event on {topic}", partial(bus.publish, topic, (), to_wire(record)))

    def _publish(self, topic: str, fields: Mapping[str, Any], only: str | None = None) -> None:
        bus = self.bus
        if bus is not None and self.audience.listens(topic):
            self._tasks.start(f"event on {topic}", partial(bus.publish, topic, (), dict(fields), only=only))
