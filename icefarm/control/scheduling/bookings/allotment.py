"""Pure: no I/O, no clock.  What a request for boards gets: which boards, and for how long, among reservations and
bookings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from attrs import evolve, frozen

from icefarm.contract import DeviceRecord, ReservationRecord, WorkerRecord
from icefarm.control.scheduling.bookings.calendar import Calendar, Holding, Shelf, in_words
from icefarm.control.scheduling.placement import ReservationRequest, choose
from icefarm.errors import Unavailable

__all__ = ["Allotment", "Extension", "allot", "booked_for_others", "extended"]

#: The reason for the end of a reservation that access rules bound.
BY_ACCESS = "what its account may have"


@frozen
class Allotment:
    """Boards for so many seconds."""

    serials: list[str]
    seconds: float
    #: Why not for longer, and when what limits it begins; None: as long as requested.
    limited_by: str | None = None
    until: float | None = None


@frozen
class Extension:
    """Until when a reservation goes on."""

    serial: str
    until: float
    limited_by: str | None = None


def allot(
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    request: ReservationRequest,
    now: float,
    client: str,
    seconds: float,
    calendar: Calendar,
) -> Allotment:
    """Return the boards that a client gets for its request.  Raises what `choose` does."""
    if not calendar.bookings:
        return Allotment(choose(devices, workers, request, now, client=client), seconds)
    shelf = Shelf.of(devices, workers, now)
    booked = booked_for_others(shelf, request, client, calendar)
    serials = _choose_lasting(devices, workers, request, shelf, client, calendar, booked)
    crossed = calendar.first_crossed(shelf.without(serials), client, serials, now + seconds)
    if crossed is None:
        return Allotment(serials, seconds)
    return Allotment(serials, max(0.0, crossed.starts_at - now), in_words(crossed), crossed.starts_at)


def booked_for_others(shelf: Shelf, request: ReservationRequest, client: str, calendar: Calendar) -> Mapping[str, str]:
    """Return the boards that are kept from a request now, and for what."""
    if not calendar:
        return MappingProxyType({})
    kept = calendar.kept(shelf, client, _unwanted(shelf, request))
    if request.sharers is not None:
        # Those that accounts of a booking share are theirs.
        claims = calendar.claims(shelf, shelf.now, client)
        kept |= {serial: claim.booking for claim in claims for serial in claim.own}
    return {serial: in_words(booking) for serial, booking in kept.items()}


def extended(
    records: Sequence[ReservationRecord],
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    now: float,
    seconds: float,
    calendar: Calendar,
    latest: Mapping[str, float] = MappingProxyType({}),
) -> list[Extension]:
    """Return until when each of a client's reservations goes on, if all are extended: never less than now.

    ``latest`` says until when at most, by serial.
    """
    ordered = sorted(records, key=lambda each: (each.created_at, each.serial))
    extensions = [_allowed(record, now + seconds, latest) for record in ordered]
    if not calendar.bookings:
        return extensions
    shelf, bounded = Shelf.of(devices, workers, now), []
    for record, extension in zip(ordered, extensions, strict=True):
        crossed = calendar.first_crossed(
            shelf.without([record.serial]), record.client, [record.serial], extension.until
        )
        if crossed is not None:
            end = max(record.expires_at, min(extension.until, crossed.starts_at))
            extension = Extension(record.serial, end, in_words(crossed))
        shelf = shelf.with_held({record.serial: Holding(record.client, record.created_at, extension.until)})
        bounded.append(extension)
    return bounded


def _allowed(record: ReservationRecord, until: float, latest: Mapping[str, float]) -> Extension:
    """Return until when a reservation may go on where no booking needs its board."""
    end = max(record.expires_at, until)
    most = latest.get(record.serial, end)
    if most < end:
        return Extension(record.serial, max(record.expires_at, most), BY_ACCESS)
    return Extension(record.serial, end)


def _choose_lasting(
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    request: ReservationRequest,
    shelf: Shelf,
    client: str,
    calendar: Calendar,
    booked: Mapping[str, str],
) -> list[str]:
    """Choose boards, preferably those that no booking needs soon."""
    needed = set() if request.serials else calendar.needed_soon(shelf, client, _unwanted(shelf, request))
    if needed:
        try:
            others = evolve(request, avoid=request.avoid | needed)
            return choose(devices, workers, others, shelf.now, booked, client)
        except Unavailable:
            # Not enough others: the reservation will be shorter.
            pass
    return choose(devices, workers, request, shelf.now, booked, client)


def _unwanted(shelf: Shelf, request: ReservationRequest) -> list[str]:
    """Return the boards in service that a request has no use for."""
    suitable = {serial for serial, kinds in shelf.kinds.items() if request.kind in kinds}
    if request.serials is None:
        suitable = shelf.selected(suitable, request.where)
    return [
        serial
        for serial in shelf.kinds
        if serial not in suitable
        or serial in request.avoid
        or (request.serials is not None and serial not in request.serials)
    ]
