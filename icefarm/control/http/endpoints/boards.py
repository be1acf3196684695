"""Pure: no I/O, no clock.  Endpoints to find, reserve and keep boards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import Factory, field, frozen

from icefarm.control.http.endpoints.endpoint import AMOUNT, NAME, SERIALS, WHERE, Asked, Endpoint, NoQuery
from icefarm.errors import (
    DeviceFailed,
    InvalidArgument,
    NotYours,
    ReservationEnded,
    TimedOut,
    TransportError,
    Unavailable,
    UnknownDevice,
    UnknownKind,
    UnknownWorker,
)
from icefarm.text.durations import in_words
from icefarm.text.legacy_names import kind_options

__all__ = ["ENDPOINTS", "MAX_WAIT", "UNATTENDED_GRACE", "Reserve", "Waiting"]

#: Seconds that a reservation waits for a client that never had a session: as long as the longest reservation.
UNATTENDED_GRACE = 30 * 86400.0
#: Maximum seconds that a request waits for boards; and the default, less than the minute for which most proxies let a
#: connection be silent.
MAX_WAIT = 600.0
DEFAULT_WAIT = 25.0

_WITH_BOARDS = (Unavailable, UnknownKind, UnknownDevice, DeviceFailed, ReservationEnded, TimedOut, TransportError)

_SECONDS = {
    "description": "How long from now, in seconds; default: the farm's setting.",
    "exclusiveMinimum": 0,
    "maximum": 30 * 86400,
}
_KIND = {"description": "The device kind, such as pulsecount."}
_ARGS = {"description": 'Options of the kind, such as {"window": 1.0}.'}
_SHARED = {"description": "Others who say so, too, may share these boards, as the same kind."}
_WAIT = {"description": "Wait in the farm's queue if too few boards are free."}
_TIMEOUT = {
    "description": "Longest wait, in seconds. A request that waits longer than 25 s answers 202 then, and is polled.",
    "exclusiveMinimum": 0,
    "maximum": MAX_WAIT,
}
_ID = {"description": "The id of a request, as its opening answered.", "minLength": 1, "maxLength": 100}
_POLL = {"description": "How long to wait for a change, in seconds.", "minimum": 0, "maximum": 25}


@frozen
class KindQuery(Asked):
    """The query of a read."""

    kind: str | None = field(default=None, metadata={"description": "Only boards that can be of this kind."})
    where: str | None = field(default=None, metadata=WHERE)


@frozen
class BoardQuery(Asked):
    """The query of a read about one board."""

    serial: str = field(metadata={"description": "The board's serial."})


@frozen
class Reserve(Asked):
    """A request for some boards."""

    amount: int = field(metadata=AMOUNT)
    kind: str = field(metadata=_KIND)
    where: str | None = field(default=None, metadata=WHERE)
    name: str | None = field(default=None, metadata=NAME)
    args: dict[str, Any] = field(default=Factory(dict), metadata=_ARGS)
    seconds: float | None = field(default=None, metadata=_SECONDS)
    wait: bool = field(default=False, metadata=_WAIT)
    timeout: float = field(default=DEFAULT_WAIT, metadata=_TIMEOUT)
    shared: bool = field(default=False, metadata=_SHARED)

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        return {"amount": self.amount, "where": self.where, **_reserving(self)}


@frozen
class ReserveSerials(Asked):
    """A request for these boards."""

    serials: list[str] = field(metadata=SERIALS)
    kind: str = field(metadata=_KIND)
    name: str | None = field(default=None, metadata=NAME)
    args: dict[str, Any] = field(default=Factory(dict), metadata=_ARGS)
    seconds: float | None = field(default=None, metadata=_SECONDS)
    wait: bool = field(default=False, metadata=_WAIT)
    timeout: float = field(default=DEFAULT_WAIT, metadata=_TIMEOUT)
    shared: bool = field(default=False, metadata=_SHARED)

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        return {"serials": self.serials, **_reserving(self)}


@frozen
class BoardsWanted(Asked):
    """A request that waits for boards: for some, or for these."""

    kind: str = field(metadata=_KIND)
    amount: int | None = field(default=None, metadata=AMOUNT)
    serials: list[str] | None = field(default=None, metadata=SERIALS)
    where: str | None = field(default=None, metadata=WHERE)
    name: str | None = field(default=None, metadata=NAME)
    args: dict[str, Any] = field(default=Factory(dict), metadata=_ARGS)
    seconds: float | None = field(default=None, metadata=_SECONDS)
    shared: bool = field(default=False, metadata=_SHARED)

    def arguments(self) -> dict[str, Any]:
        """See `Asked`."""
        if (self.amount is None) == (self.serials is None):
            raise InvalidArgument("give either amount or serials")
        which = {"amount": self.amount} if self.serials is None else {"serials": self.serials}
        arguments = {
            **which,
            "where": self.where,
            "kind": self.kind,
            "options": kind_options(self.args),
            "grace": UNATTENDED_GRACE,
            "shared": self.shared,
        }
        return arguments if self.seconds is None else {**arguments, "seconds": self.seconds}


@frozen
class Poll(Asked):
    """A question about a request that waits."""

    id: str = field(metadata=_ID)
    name: str | None = field(default=None, metadata=NAME)
    seconds: float = field(default=20.0, metadata=_POLL)


@frozen
class RequestId(Asked):
    """One request that waits."""

    id: str = field(metadata=_ID)
    name: str | None = field(default=None, metadata=NAME)


@frozen
class NamedFor(Asked):
    """All of a client's boards, for a time."""

    name: str | None = field(default=None, metadata=NAME)
    seconds: float | None = field(default=None, metadata=_SECONDS)


@frozen
class Named(Asked):
    """All of a client's boards."""

    name: str | None = field(default=None, metadata=NAME)


@frozen
class NamedSerials(Asked):
    """Some of a client's boards."""

    serials: list[str] = field(metadata=SERIALS)
    name: str | None = field(default=None, metadata=NAME)


@frozen
class SerialsFor(Asked):
    """Some of a client's boards, for a time."""

    serials: list[str] = field(metadata=SERIALS)
    name: str | None = field(default=None, metadata=NAME)
    seconds: float | None = field(default=None, metadata=_SECONDS)


@frozen
class Serials(Asked):
    """Boards of any client."""

    serials: list[str] = field(metadata=SERIALS)


@frozen
class Waiting:
    """A request that has no boards yet: what its caller reads meanwhile."""

    id: str = field(metadata={"description": "To poll and to cancel it by."})
    state: str = field(metadata={"description": "waiting; or ready, and the next poll gets the boards."})
    place: int | None = field(metadata={"description": "Its place in the queue, from 1; null while unknown."})
    reason: str = field(metadata={"description": "Why it waits, for users."})


def _reserving(asked: Reserve | ReserveSerials) -> dict[str, Any]:
    """Return the arguments that do not say which boards."""
    arguments: dict[str, Any] = {"kind": asked.kind, "options": kind_options(asked.args), "grace": UNATTENDED_GRACE}
    if asked.shared:
        arguments["shared"] = True
    if asked.wait:
        if not 0 < asked.timeout <= MAX_WAIT:
            raise InvalidArgument(f"timeout must be above 0 s and at most {in_words(MAX_WAIT)}, not {asked.timeout!r}")
        arguments |= {"wait": True, "timeout": asked.timeout}
    return arguments if asked.seconds is None else {**arguments, "seconds": asked.seconds}


def _serials_of(answer: Mapping[str, Any]) -> Any:
    return answer["serials"]


ENDPOINTS = (
    Endpoint(
        "/available", "GET", "List the boards that can be reserved now, and their number.",
        KindQuery, "available", "available",
    ),
    Endpoint(
        "/devices", "GET", "List the boards that can be reserved now.",
        KindQuery, "available", "serials", answer=_serials_of,
    ),
    Endpoint(
        "/snapshot", "GET", "List the farm's workers, boards, reservations and waiting requests.",
        NoQuery, "snapshot", "object",
    ),
    Endpoint(
        "/history", "GET", "List a board's last day: states, measurements by the minute, lines of its worker's log.",
        BoardQuery, "device_history", "object",
    ),
    Endpoint(
        "/journal", "GET", "List recent changes of boards, reservations, and lines of workers' logs.",
        NoQuery, "journal", "object",
    ),
    Endpoint(
        "/reserve", "POST", "Reserve a number of boards, all or none; returns when they are ready.",
        Reserve, "reserve", "reservations", _WITH_BOARDS, may_wait=True,
    ),
    Endpoint(
        "/reserveserials", "POST", "Reserve these boards, all or none; returns when they are ready.",
        ReserveSerials, "reserve", "reservations", _WITH_BOARDS, may_wait=True,
    ),
    Endpoint(
        "/requests", "POST", "Reserve boards, or begin to wait for them: then the answer is 202, and you must poll.",
        BoardsWanted, "request_open", "reservations", _WITH_BOARDS, may_wait=True,
    ),
    Endpoint(
        "/requests/poll", "POST", "Poll a waiting request; control forgets it when nobody polls for 30 s.",
        Poll, "request_poll", "reservations", (*_WITH_BOARDS, NotYours), may_wait=True,
    ),
    Endpoint(
        "/requests/cancel", "POST", "Cancel a waiting request; returns the boards that were ready for it.",
        RequestId, "request_cancel", "serials", (ReservationEnded,),
    ),
    Endpoint(
        "/extend", "POST", "Extend the client's reservations of these boards; never shortens one.",
        SerialsFor, "extend", "serials", (NotYours,),
    ),
    Endpoint(
        "/extendall", "POST", "Extend all of the client's reservations; never shortens one.",
        NamedFor, "extend", "serials",
    ),
    Endpoint(
        "/end", "POST", "End the client's reservations of these boards; returns the freed boards.",
        NamedSerials, "end", "serials", (NotYours, UnknownDevice),
    ),
    Endpoint(
        "/endall", "POST", "End all of the client's reservations; returns the freed boards.",
        Named, "end", "serials",
    ),
    Endpoint(
        "/reboot", "POST", "Restart and flash the client's boards (an operator: any); their reservations stay.",
        NamedSerials, "reboot", "serials",
        (NotYours, UnknownDevice, UnknownWorker, DeviceFailed, TimedOut, TransportError),
    ),
    Endpoint(
        "/endany", "POST", "End anybody's reservations of these boards (operator).",
        Serials, "end_any", "serials", (UnknownDevice,), operating=True,
    ),
    Endpoint(
        "/delete", "POST", "Delete boards that are offline or broken (operator).",
        Serials, "delete", "serials", (UnknownDevice,), operating=True,
    ),
)  # fmt: skip
