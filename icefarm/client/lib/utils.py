"""Ready-made handlers of events, under the names that existing scripts use."""

from __future__ import annotations

from logging import Logger, LoggerAdapter
from threading import Condition
from time import monotonic
from typing import TYPE_CHECKING, Any

from icefarm.client.lib.AbstractEventHandler import AbstractEventHandler, register
from icefarm.client.lib.checks import count, seconds
from icefarm.errors import TimedOut
from icefarm.text.durations import in_words

if TYPE_CHECKING:
    from icefarm.client.lib.BaseAPI import BaseAPI
    from icefarm.client.lib.EventServer import Event, EventServer

__all__ = ["AvailabilityWaiter", "DefaultBaseEventHandler", "LoggerEventHandler", "ReservationExtender"]

#: Seconds after which to ask the farm again how many boards there are: an event may be lost with a connection.
LOOK_AGAIN = 10.0


class DefaultBaseEventHandler(AbstractEventHandler):
    """The events that every client gets; override those that matter."""

    @register("reservation ending soon", "serial")
    def handleReservationEndingSoon(self, serial: str) -> None:
        """Handle that a reservation ends in a few minutes."""

    @register("reservation end", "serial")
    def handleReservationEnd(self, serial: str) -> None:
        """Handle that a reservation has ended."""

    @register("failure", "serial")
    def handleFailure(self, serial: str) -> None:
        """Handle that a board failed."""


class LoggerEventHandler(AbstractEventHandler):
    """Logs every event."""

    def __init__(self, event_server: EventServer, logger: Logger | LoggerAdapter[Any]) -> None:
        super().__init__(event_server)
        self.logger = logger

    def handleEvent(self, event: Event) -> None:
        """Log the event."""
        self.logger.info("event %s of board %s: %s", event.event, event.serial, event.contents)


class ReservationExtender(AbstractEventHandler):
    """Extends reservations that end soon.  (Clients extend theirs automatically anyway.)"""

    def __init__(self, event_server: EventServer, client: BaseAPI, logger: Logger | LoggerAdapter[Any]) -> None:
        super().__init__(event_server)
        self.client = client
        self.logger = logger

    @register("reservation ending soon", "serial")
    def handleReservationEndingSoon(self, serial: str) -> None:
        """Extend it."""
        if self.client.extend([serial]):
            self.logger.info("extended the reservation of board %s", serial)
        else:
            self.logger.error("could not extend the reservation of board %s", serial)


class AvailabilityWaiter(AbstractEventHandler):
    """Waits until boards are available."""

    def __init__(self, event_server: EventServer, client: BaseAPI) -> None:
        super().__init__(event_server)
        self.client = client
        self.last_available = 0
        self._events = 0
        self._changed = Condition()

    @register("devices_available", "amount")
    def available(self, amount: int) -> None:
        """Note how many boards there are."""
        with self._changed:
            self.last_available = amount
            self._events += 1
            self._changed.notify_all()

    def waitForAmountAvailable(self, amount: Any, timeout: Any = None) -> None:
        """Return once that many boards are available; another client may still reserve them first.

        Raises `TimedOut` after ``timeout`` seconds (None: as long as it takes).
        """
        wanted, limit = count("amount", amount), seconds("timeout", timeout, "next_event.timeout")
        deadline = None if limit is None else monotonic() + limit
        while True:
            before = self._events
            answer = int(self.client.available())
            with self._changed:
                # An event that arrived meanwhile is newer than the answer.
                if self._events == before:
                    self.last_available = answer
                left = LOOK_AGAIN if deadline is None else min(LOOK_AGAIN, deadline - monotonic())
                if self._changed.wait_for(lambda: self.last_available >= wanted, max(0.0, left)):
                    return
            if deadline is not None and monotonic() >= deadline:
                raise TimedOut(f"{wanted} boards were not available within {in_words(limit or 0)}")
