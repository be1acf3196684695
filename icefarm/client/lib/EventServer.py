# ruff: noqa: N999
"""Brings events to handlers, under the names that existing scripts use.

Handlers may call the client, so they cannot run in the engine's thread, which would wait for itself: the event server
calls them in order in its own thread, which starts with the first event.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from logging import Logger, LoggerAdapter
from queue import SimpleQueue
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, ClassVar

from attrs import define

from icefarm.client.blocking import Farm
from icefarm.client.connection.events import ClientEvent
from icefarm.errors import IcefarmError

if TYPE_CHECKING:
    from icefarm.client.lib.AbstractEventHandler import AbstractEventHandler

__all__ = ["Event", "EventServer", "event_of"]

#: The scripts' names of the farm's own events; those of a device kind have the kind's names.
_NAMES = {
    "initialised": "initialized",
    "ending_soon": "reservation ending soon",
    "ended": "reservation end",
    "failure": "failure",
}
#: The serial in an event that concerns no board.
NO_BOARD = "meta"

#: Gets a worker's name, "request", and a mapping with serial (one or several), event and contents.
Send = Callable[[str, str, Mapping[str, Any]], bool]


@define
class Event:
    """An event; ``contents`` has its fields, including ``event`` and ``serial``."""

    serial: str
    event: str
    contents: dict[str, Any]


def event_of(heard: ClientEvent) -> Event:
    """Return an event in the form that scripts expect."""
    name, serial = _NAMES.get(heard.name, heard.name), heard.serial or NO_BOARD
    return Event(serial, name, {**heard.fields, "event": name, "serial": serial})


def _work(pending: SimpleQueue[Callable[[], None] | None]) -> None:
    while (task := pending.get()) is not None:
        task()


def _nobody(_: str, __: str, ___: Mapping[str, Any]) -> bool:
    return False


class EventServer:
    """Passes events to handlers, in the order in which they were added."""

    #: The farm's class; tests put an in-memory one here.
    _open: ClassVar[type[Farm]] = Farm

    def __init__(
        self, client_id: str, eventhandlers: list[AbstractEventHandler], logger: Logger | LoggerAdapter[Any]
    ) -> None:
        self.client_id = client_id
        self.eventhandlers = eventhandlers
        self.logger = logger
        self._farm: Farm | None = None
        self._own = False
        self._send: Send = _nobody
        #: Work for the handlers' thread; None ends it.
        self._pending: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: Thread | None = None
        self._lock = Lock()

    def addEventHandler(self, eh: AbstractEventHandler) -> None:
        """Add a handler: it gets each event after the earlier handlers."""
        self.eventhandlers.append(eh)

    def handleEvent(self, event: Event) -> None:
        """Pass an event to the handlers in this thread.  An error of one is logged, and the others still get it."""
        for handler in list(self.eventhandlers):
            try:
                handler.handleEvent(event)
            except Exception:
                # A handler is the script's own code; a bug in it must not cost the script all later events.
                self.logger.exception("%s failed for event %r", type(handler).__name__, event.event)

    def sendEvent(self, event: Event) -> None:
        """Pass an event to the handlers, in their own thread, after earlier ones."""
        self._do(lambda: self.handleEvent(event))

    def heard(self, heard: ClientEvent) -> None:
        """Handle an event of the farm (in the engine's thread)."""
        self.sendEvent(event_of(heard))

    def heard_available(self, _: int) -> None:
        """Boards became available: tell handlers how many there are now."""
        self._do(self._tell_available)

    def attach(self, farm: Farm, send: Send) -> None:
        """Use the session of a client, which passes on its events."""
        self._farm, self._send = farm, send

    def connectControl(self, url: str) -> None:
        """Sign in, if this event server is not a client's.  Raises `LinkLost`, `NotAuthorized`, `NameInUse`."""
        if self._farm is None:
            self._own = True
            self._farm = self._open(url, self.client_id, on_event=self.heard, on_available=self.heard_available)

    def connectWorker(self, url: str) -> None:
        """Do nothing: there are no connections to single workers; everything goes through the farm's address."""

    def disconnectWorker(self, url: str) -> bool:  # noqa: ARG002
        """Do nothing, like `connectWorker`."""
        return True

    def sendWorker(self, url: str, event: str, data: Mapping[str, Any]) -> bool:
        """Send a request to boards; see `BaseClient.requestWorker`.  False if that was impossible."""
        return self._send(url, event, data)

    def exit(self) -> None:
        """Stop: tell handlers (`AbstractEventHandler.exit`), drop later events.  Harmless twice."""
        with self._lock:
            handlers, self.eventhandlers = self.eventhandlers, []
            self._pending.put(None)
            self._pending, self._thread = SimpleQueue(), None
        for handler in handlers:
            try:
                handler.exit()
            except Exception:
                self.logger.exception("%s failed at the end", type(handler).__name__)
        if self._own and self._farm is not None:
            self._farm.close()

    def _do(self, task: Callable[[], None]) -> None:
        with self._lock:
            if not self.eventhandlers:
                return
            self._pending.put(task)
            if self._thread is None:
                self._thread = Thread(target=_work, args=[self._pending], name="icefarm-events", daemon=True)
                self._thread.start()

    def _tell_available(self) -> None:
        if self._farm is None or self._farm.closed:
            return
        try:
            amount = len(self._farm.available())
        except IcefarmError as error:
            self.logger.debug("the number of available boards is unknown: %s", error)
            return
        contents = {"event": "devices_available", "amount": amount, "serial": NO_BOARD}
        self.handleEvent(Event(NO_BOARD, "devices_available", contents))
