"""Pure: no I/O, no clock.  What happens to those who are here, and what control does about it (see `presence`)."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

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
    "Granted",
    "Heard",
    "Joined",
    "Kill",
    "Left",
    "Listed",
    "Revoked",
    "Session",
    "SessionEvent",
    "StillMissing",
    "Ticked",
    "Welcomed",
]


@frozen
class Session:
    """A session at the router, as it calls itself."""

    number: int
    role: Role
    name: str
    #: Empty where nobody said it.
    instance: str = ""
    #: When it has been silent for too long; None while it is not watched.
    due: float | None = None
    #: Another wants its name: until when it must call to keep that; None where nobody does.
    contested: float | None = None
    #: A worker's: it has said hello in this session.
    welcomed: bool = False
    #: The token that it signed in with; None without one.
    token: int | None = None
    #: Where it connects from, as the router says; empty where that is not known.
    address: str = ""


@frozen
class Admitted:
    """Somebody may sign in; sessions of the same instance are its past."""

    role: Role
    name: str
    instance: str


@frozen
class Contested:
    """Somebody else was refused a name because of the sessions that have it."""

    role: Role
    name: str


@frozen
class Joined:
    """The router says that a session began."""

    session: Session


@frozen
class Left:
    """The router says that a session ended."""

    number: int


@frozen
class Heard:
    """A session called; with ``watch``, it must send heartbeats from now on."""

    session: Session
    watch: bool = False


@frozen
class Welcomed:
    """A worker's hello was taken in."""

    number: int


@frozen
class Listed:
    """Control (re)joined the router, and these sessions are there."""

    sessions: Sequence[Session]


@frozen
class Revoked:
    """These tokens are not valid any more."""

    tokens: frozenset[int]


@frozen
class ClientMissing:
    """A client holds reservations: watch it, or wait for it where it is not here."""

    name: str


@frozen
class Granted:
    """A client got a reservation that ends when it has been away for so many seconds."""

    name: str
    seconds: float


@frozen
class StillMissing:
    """A client that is away since a moment has reservations that last so many seconds of it."""

    name: str
    since: float
    seconds: float


@frozen
class DeviceMissing:
    """A board is gone while a client holds it: unplugged, or with its worker."""

    serial: str
    #: Nobody knows of the board itself: its worker is away.
    with_worker: bool = False


@frozen
class DeviceFound:
    """A board is there, or nobody holds it any more."""

    serial: str


@frozen
class Ticked:
    """Time has passed."""


#: What the router or a call says of sessions.
SessionEvent = Admitted | Contested | Joined | Left | Heard | Welcomed | Listed | Revoked
#: What the rest of control says of clients and boards that are away, or may be so.
AbsenceEvent = ClientMissing | Granted | StillMissing | DeviceMissing | DeviceFound
Event = SessionEvent | AbsenceEvent | Ticked


@frozen
class Kill:
    """End a session at the router."""

    number: int
    reason: str


#: What follows: a session to end, or what the rest of control hears of.
Effect = Kill | SessionEnded | WorkerLost | ClientBack | ClientGone | BoardLost
