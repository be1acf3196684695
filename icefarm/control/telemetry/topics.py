"""Events on the routers' topics: changed records for everybody, messages for single clients.

A thousand boards that change hands cause thousands of events, and most of the time no display is open, so nothing is
sent to nobody.  The router says which subscriptions there are, before it answers the one who subscribes: who then asks
for a snapshot misses nothing.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from attrs import Factory, asdict, define, field
from twisted.logger import Logger

from icefarm.bus import Bus
from icefarm.concurrency.deferreds import Tasks, outcomes
from icefarm.contract import READING_TOPIC, ReservationRecord, client_topic, event_topic, to_wire
from icefarm.control.sessions.routers import Routers
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
from icefarm.errors import IcefarmError, LinkLost

__all__ = ["OWN_EVENTS", "Audience", "RouterTopics"]

#: Control's own messages to a client; a device kind may not send events with these names.
OWN_EVENTS = ("initialised", "ending_soon", "ended", "failure", "give_back", "give_back_soon", "joined")

#: Seconds for an answer of the router itself.
ROUTER_LIMIT = 5.0
#: Concurrent questions about subscriptions.
AT_ONCE = 64

_BOARDS, _WORKERS = event_topic("device"), event_topic("worker")
_RESERVATIONS, _QUEUE = event_topic("reservation"), event_topic("queue")
_BOOKINGS = event_topic("booking")
_AVAILABLE, _DELETED, _LOG = event_topic("available"), event_topic("deleted"), event_topic("log")


@define(eq=False)
class Audience:
    """The subscriptions at the router.  As long as they are not known, somebody listens to everything."""

    _known: bool = False
    #: By the router's number of a subscription: (URI, how it matches).
    _subscriptions: dict[int, tuple[str, str]] = Factory(dict)
    #: The topics among them, the prefixes, and how many other patterns there are.
    _exact: Counter[str] = Factory(Counter)
    _prefixes: tuple[str, ...] = ()
    _patterns: int = 0
    _log: Logger = Factory(Logger)

    async def attach(self, bus: Bus) -> None:
        """Learn the subscriptions at a newly joined router, and follow them."""
        self.detach()
        try:
            await bus.subscribe("wamp.subscription.on_create", self._created)
            await bus.subscribe("wamp.subscription.on_delete", self._deleted)
            found = await bus.call("wamp.subscription.list", timeout=ROUTER_LIMIT)
            numbers = [number for some in found.values() for number in some]
            asked = await outcomes([partial(_details, bus, number) for number in numbers], AT_ONCE)
        except IcefarmError as error:
            self._log.warn("the router does not say who has subscribed to what: {error}", error=error)
            return
        for details in asked:
            if isinstance(details, Mapping):
                self._add(details)
        self._known = True

    def detach(self) -> None:
        """Forget the subscriptions: the router is out of reach."""
        self._known = False
        self._subscriptions.clear()
        self._exact.clear()
        self._prefixes, self._patterns = (), 0

    def listens(self, topic: str) -> bool:
        """Tell whether somebody may have subscribed to a topic."""
        return not self._known or self._patterns > 0 or topic in self._exact or topic.startswith(self._prefixes)

    def _created(self, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> None:
        if len(args) > 1 and isinstance(args[1], Mapping):
            self._add(args[1])

    def _deleted(self, _: str, args: Sequence[Any], __: Mapping[str, Any]) -> None:
        gone = self._subscriptions.pop(args[1], None) if len(args) > 1 else None
        if gone is not None:
            self._count(*gone, -1)

    def _add(self, details: Mapping[str, Any]) -> None:
        number, uri, match = details["id"], str(details["uri"]), str(details.get("match", "exact"))
        if number not in self._subscriptions:
            self._subscriptions[number] = (uri, match)
            self._count(uri, match, 1)

    def _count(self, uri: str, match: str, more: int) -> None:
        if match == "exact":
            self._exact[uri] += more
            if not self._exact[uri]:
                del self._exact[uri]
        elif match == "prefix":
            self._prefixes = tuple(sorted({uri for uri, how in self._subscriptions.values() if how == "prefix"}))
        else:
            self._patterns += more


@define(eq=False)
class RouterTopics:
    """A subscriber.  Events while a router is out of reach are lost: clients that reconnect take a snapshot.

    An event goes to the routers at which somebody has subscribed to it.
    """

    routers: Routers
    #: Who listens, by router.
    audiences: defaultdict[str, Audience] = Factory(partial(defaultdict, Audience))
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
        for bus in self._listening(topic):
            for record in records:
                self._tasks.start(f"event on {topic}", partial(bus.publish, topic, (), to_wire(record)))

    def _publish(self, topic: str, fields: Mapping[str, Any], only: str | None = None) -> None:
        for bus in self._listening(topic):
            self._tasks.start(f"event on {topic}", partial(bus.publish, topic, (), dict(fields), only=only))

    def _listening(self, topic: str) -> list[Bus]:
        return [bus for router, bus in self.routers.buses.items() if self.audiences[router].listens(topic)]


async def _details(bus: Bus, number: int) -> Any:
    return await bus.call("wamp.subscription.get", [number], timeout=ROUTER_LIMIT)
