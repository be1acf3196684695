# ruff: noqa: N999
"""Handlers of events, and how a method becomes one, under the names that existing scripts use."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

if TYPE_CHECKING:
    from icefarm.client.lib.EventServer import Event, EventServer

__all__ = ["AbstractEventHandler", "register"]

F = TypeVar("F", bound=Callable[..., Any])

#: Where `register` notes on a function which events it handles.
_MARK = "_icefarm_events"


def register(channel: str, *args: str) -> Callable[[F], F]:
    """Register a method for each event named ``channel``, with these fields of the event as its arguments.

    A method of a subclass that overrides it is called instead, registered or not.
    """

    def mark(function: F) -> F:
        setattr(function, _MARK, (*getattr(function, _MARK, ()), (channel, args)))
        return function

    return mark


class AbstractEventHandler:
    """Handles events: subclass it and `register` methods.  They run in the thread of the `EventServer`."""

    #: By event: the method's name, and the fields that it takes.
    _registered: ClassVar[Mapping[str, tuple[str, tuple[str, ...]]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._registered = {
            channel: (name, fields)
            for ancestor in reversed(cls.__mro__)
            for name, member in vars(ancestor).items()
            for channel, fields in getattr(member, _MARK, ())
        }

    def __init__(self, event_server: EventServer) -> None:
        self.event_server = event_server

    def exit(self) -> None:
        """Called when the event server ends."""

    def sendEvent(self, event: Event) -> None:
        """Hand an event to all handlers, this one included."""
        self.event_server.sendEvent(event)

    def handleEvent(self, event: Event) -> Any:
        """Call the method that is registered for the event.

        Returns its result; False if there is none, or if the event lacks one of its fields.
        """
        name, fields = self._registered.get(event.event, (None, ()))
        if name is None or any(field not in event.contents for field in fields):
            return False
        return getattr(self, name)(*(event.contents[field] for field in fields))
