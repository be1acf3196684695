"""Passes on events to their subscribers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from attrs import Factory, define

from icefarm.control.telemetry.events import Event

__all__ = ["Publisher", "Subscriber"]


class Subscriber(Protocol):
    """What hears of events.  Its implementations are what "go to implementations" lists for `heard`."""

    def heard(self, event: Event) -> None:
        """Handle an event of a type that it subscribed to.

        It is called while the event's publisher waits; start longer work in the background.
        """


@define(eq=False)
class Publisher:
    """Each event goes to the subscribers of its type, in the order of subscription.

    Nobody publishes what it subscribed to, and no answer comes back: data flows one way.
    """

    _subscribers: dict[type[Event], list[Subscriber]] = Factory(dict)
    _published: Counter[type[Event]] = Factory(Counter)

    def subscribe(self, subscriber: Subscriber, *types: type[Event]) -> None:
        """Subscribe ``subscriber`` to all events of these types."""
        for each in types:
            self._subscribers.setdefault(each, []).append(subscriber)

    def count(self, types: Iterable[type[Event]]) -> int:
        """Return how many events of these types were published, so that a caller can detect later ones."""
        return sum(map(self._published.__getitem__, types))

    def publish(self, event: Event) -> None:
        """Pass on an event."""
        self._published[type(event)] += 1
        for subscriber in self._subscribers.get(type(event), ()):
            subscriber.heard(event)
