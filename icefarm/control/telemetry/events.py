"""Pure: no I/O, no clock.  What happens in the farm, as `icefarm.control.telemetry.publisher.Publisher` passes it on.

An event says what has happened, not what to do about it; `icefarm.control.wiring.assembly` lists the subscribers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen

from icefarm.bus import SessionKey
from icefarm.contract import (
    BoardReading,
    BookingRecord,
    DeviceRecord,
    QueueRecord,
    ReservationRecord,
    WorkerHello,
    WorkerRecord,
)
from icefarm.control.telemetry.counting import BoardRates

__all__ = [
    "AccessChanged",
    "BoardFailed",
    "BoardJoined",
    "BoardLost",
    "BoardReady",
    "BoardWanted",
    "BoardWorked",
    "BoardsAvailable",
    "BoardsChanged",
    "BoardsDeleted",
    "BookingsChanged",
    "ClientBack",
    "ClientGone",
    "EndingSoon",
    "Event",
    "GiveBackSoon",
    "KindEvent",
    "LimitsChanged",
    "MeasurementsArchived",
    "QueueChanged",
    "RatesChanged",
    "ReferencesMeasured",
    "ReservationsEnded",
    "ReservationsExtended",
    "ReservationsShortened",
    "ReservationsStarted",
    "RouterJoined",
    "SessionEnded",
    "SignInAnswered",
    "WorkerChanged",
    "WorkerIntroduced",
    "WorkerLogged",
    "WorkerLost",
]

# ------------------------------------------------------------------------------------------------ boards and workers


@frozen
class BoardsChanged:
    """These boards changed: state, holder, counters."""

    records: Sequence[DeviceRecord]


@frozen
class BoardsAvailable:
    """These boards have become available."""

    serials: Sequence[str]


@frozen
class BoardsDeleted:
    """An operator deleted these boards."""

    serials: Sequence[str]


@frozen
class WorkerIntroduced:
    """A worker said hello, and control has taken it in."""

    hello: WorkerHello


@frozen
class WorkerChanged:
    """A worker came or went, is drained, or is in use again."""

    record: WorkerRecord


@frozen
class WorkerLogged:
    """A worker's log line for displays; ``serial`` names the board that it is about."""

    time: float
    worker: str
    level: str
    message: str
    serial: str | None


# ------------------------------------------------------------------------------------------------------ reservations


@frozen
class ReservationsStarted:
    """Boards were reserved; they are not ready yet."""

    records: Sequence[ReservationRecord]


@frozen
class ReservationsExtended:
    """Reservations were extended."""

    records: Sequence[ReservationRecord]


@frozen
class ReservationsShortened:
    """Reservations end earlier than they would: bookings need their boards (``limited_by``)."""

    records: Sequence[ReservationRecord]


@frozen
class ReservationsEnded:
    """Reservations ended; their ``end_reason`` says why."""

    records: Sequence[ReservationRecord]


@frozen
class BookingsChanged:
    """Boards were booked, or a booking was cancelled, is over, or has released boards."""

    records: Sequence[BookingRecord]


@frozen
class BoardReady:
    """A reserved board is usable: for the first time, or again (``reason`` says why)."""

    reservation: ReservationRecord
    reason: str | None = None


@frozen
class BoardFailed:
    """A reserved board is unusable; perhaps it comes back."""

    reservation: ReservationRecord
    reason: str


@frozen
class EndingSoon:
    """A reservation ends in so many seconds, unless it is extended."""

    reservation: ReservationRecord
    seconds: float


@frozen
class BoardWanted:
    """The holder of a reservation is asked to give its board back within so many seconds."""

    reservation: ReservationRecord
    reason: str
    seconds: float


@frozen
class GiveBackSoon:
    """The holder of a reservation is to give its board back at a time, in so many seconds, if others still wait."""

    reservation: ReservationRecord
    at: float
    seconds: float
    reason: str


@frozen
class BoardJoined:
    """A client that has boards has got another one for the same request."""

    reservation: ReservationRecord


@frozen
class KindEvent:
    """A message of a device kind for the client that holds the board."""

    client: str
    fields: Mapping[str, Any]


@frozen
class QueueChanged:
    """A waiting request has a new place or reason; place 0: it no longer waits."""

    record: QueueRecord


# ----------------------------------------------------------------------------------------------------------- figures


@frozen
class BoardWorked:
    """A board did this since its last reading."""

    done: BoardReading


@frozen
class RatesChanged:
    """Rates of boards at a time, by serial; boards that are not named go on as before."""

    time: float
    boards: Mapping[str, BoardRates]


@frozen
class MeasurementsArchived:
    """A worker's batch is in the archive: new rows by account and experiment, and those that were there already.

    ``refused`` rows were wrong, or of reservations that are not the worker's.  ``waiting`` is the bytes in the worker's
    spool, and ``lost`` the rows that it has lost since it started.
    """

    worker: str
    new: Mapping[tuple[str, str], int]
    known: int
    refused: int
    waiting: int
    lost: int


@frozen
class ReferencesMeasured:
    """A board was lent for reference circuits for so many seconds, and gave so many readings."""

    serial: str
    readings: int
    seconds: float


# ---------------------------------------------------------------------------------------------------------- sessions


@frozen
class RouterJoined:
    """Control began a session at a router, which has no name where it is the farm's only one."""

    router: str = ""


@frozen
class AccessChanged:
    """An operator changed who may have which boards."""


@frozen
class LimitsChanged:
    """The limits of single accounts changed."""


@frozen
class SignInAnswered:
    """A sign-in attempt; the outcome is "accepted" or the name of an error."""

    role: str
    outcome: str


@frozen
class SessionEnded:
    """A session at the router ended; its number is not used again."""

    number: int
    router: str = ""

    @property
    def key(self) -> SessionKey:
        """What no other session of the farm has."""
        return self.router, self.number


@frozen
class WorkerLost:
    """A worker's last session ended."""

    name: str


@frozen
class ClientBack:
    """A client has a session that it did not have before."""

    name: str


@frozen
class ClientGone:
    """A client has been away for the grace period, the farm's or the shortest of its reservations'."""

    name: str
    since: float


@frozen
class BoardLost:
    """A reserved board did not come back within the grace period."""

    serial: str


Event = (
    BoardsChanged | BoardsAvailable | BoardsDeleted | WorkerIntroduced | WorkerChanged | WorkerLogged
    | ReservationsStarted | ReservationsExtended | ReservationsShortened | ReservationsEnded | BookingsChanged
    | BoardReady | BoardFailed | EndingSoon | BoardWanted | GiveBackSoon | BoardJoined
    | KindEvent | QueueChanged | BoardWorked | RatesChanged | MeasurementsArchived | ReferencesMeasured
    | AccessChanged | LimitsChanged | RouterJoined | SignInAnswered | SessionEnded | WorkerLost | ClientBack
    | ClientGone | BoardLost
)  # fmt: skip
