"""Pure: no I/O, no clock.  Events of sessions, and control's reactions (see `icefarm.control.sessions.liveness`)."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

from attrs import frozen

from icefarm.bus import SessionKey
from icefarm.contract import Role
from icefarm.control.telemetry.events import BoardLost, ClientBack, ClientGone, SessionEnded, WorkerLost

__all__ = [
    "AbsenceEvent",
    "Admitted",
    "ClientMissing",
    "Contested",
    "DeviceFound",
    "DeviceMissing",
    "Effect",
    "Event",
    "Expired",
    "Granted",
    "Heard",
    "Joined",
    "Kill",
    "Left",
    "Listed",
    "Renewed",
    "Revoked",
    "RouterAway",
    "RouterEvent",
    "Session",
    "SessionEvent",
    "StillMissing",
    "Ticked",
    "Welcomed",
]


@frozen
class Session:
    """A session at the router, and its claims."""

    number: int
    role: Role
    name: str
    #: Empty if not given.
    instance: str = ""
    #: When it will have been silent for too long; None while it is not watched.
    due: float | None = None
    #: Another session wants its name: until when it must call to keep it; None if none does.
    contested: float | None = None
    #: A worker's: it has said hello in this session.
    welcomed: bool = False
    #: The token that it signed in with, if any.
    token: int | None = None
    #: When the issuer's token that it signed in with is no longer valid, in seconds since the epoch, if it has one.
    expires_at: float | None = None
    #: Where it connects from, as the router reports; empty if unknown.
    address: str = ""
    #: The name of its router.
    router: str = ""
    #: A client's: it said at its sign-in that it follows its boards to other routers.
    follows: bool = False

    #: What no other session of the farm has: a `SessionKey`.
    key = property(attrgetter("router", "number"))


@frozen
class Admitted:
    """A sign-in is admitted; it replaces sessions of the same instance."""

    role: Role
    name: str
    instance: str
    router: str = ""


@frozen
class Contested:
    """A sign-in was refused because other sessions have its name."""

    role: Role
    name: str


@frozen
class Joined:
    """The router reports a new session."""

    session: Session


@frozen
class Left:
    """The router reports the end of a session."""

    number: int
    router: str = ""


@frozen
class Heard:
    """A session called; with ``watch``, it must send heartbeats from now on."""

    session: Session
    watch: bool = False


@frozen
class Welcomed:
    """A worker's hello was processed."""

    number: int
    router: str = ""


@frozen
class Listed:
    """Control (re)joined the router, and found these sessions."""

    sessions: Sequence[Session]
    router: str = ""


@frozen
class RouterAway:
    """Control has lost a router, or cannot reach one of several."""

    router: str


@frozen
class Revoked:
    """These tokens are no longer valid."""

    tokens: frozenset[int]


@frozen
class Expired:
    """The issuer's tokens of these sessions are no longer valid."""

    sessions: frozenset[SessionKey]


@frozen
class Renewed:
    """A session has shown a fresh token of the issuer, which is valid until that moment."""

    number: int
    expires_at: float
    router: str = ""


@frozen
class ClientMissing:
    """A client holds reservations: watch it, or if it is absent, wait for it."""

    name: str


@frozen
class Granted:
    """A client got a reservation that ends when it has been away for so many seconds."""

    name: str
    seconds: float


@frozen
class StillMissing:
    """An absent client, since when it is away, and how many seconds of absence its reservations last."""

    name: str
    since: float
    seconds: float


@frozen
class DeviceMissing:
    """A reserved board is gone: unplugged, or together with its worker."""

    serial: str
    #: Its worker is away, so the board's own state is unknown.
    with_worker: bool = False


@frozen
class DeviceFound:
    """A board is back, or no longer reserved."""

    serial: str


@frozen
class Ticked:
    """Time has passed."""


#: What a router or a call says of sessions.
SessionEvent = Admitted | Contested | Joined | Left | Heard | Welcomed | Revoked | Expired | Renewed
#: What control sees of the routers themselves.
RouterEvent = Listed | RouterAway
#: What the rest of control says of clients and boards that are away, or may be so.
AbsenceEvent = ClientMissing | Granted | StillMissing | DeviceMissing | DeviceFound
Event = SessionEvent | RouterEvent | AbsenceEvent | Ticked


@frozen
class Kill:
    """End a session at the router."""

    number: int
    reason: str
    router: str = ""


#: Reactions: a session to end, or an event for the rest of control.
Effect = Kill | SessionEnded | WorkerLost | ClientBack | ClientGone | BoardLost
