"""Pure: no I/O, no clock.  What a request for boards gets: which of them (`choose`), and among bookings for how long
(`allot`); or for users, why it gets none.
"""

from __future__ import annotations

import heapq
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from attrs import Attribute, Factory, evolve, field, frozen

from icefarm.contract import DeviceRecord, ReservationRecord, WorkerRecord
from icefarm.control.scheduling.access import ANYTHING, Allowance
from icefarm.control.scheduling.availability import Sharing, Survey, survey, unavailable_reason
from icefarm.control.scheduling.bookings.calendar import Calendar, Holding, Shelf, in_words
from icefarm.control.scheduling.explanations import amount_refusal, board_refusal, unknown_devices
from icefarm.errors import InvalidArgument, Unavailable, UnknownKind
from icefarm.selectors.language import Selector

__all__ = [
    "MAX_BOARDS",
    "MOST_SHARERS",
    "Allotment",
    "Extension",
    "ReservationRequest",
    "Terms",
    "allot",
    "booked_for_others",
    "choose",
    "distinct_serials",
    "extended",
    "terms_of",
]

#: Maximum boards of one request; a guard against typing mistakes, far above any farm.
MAX_BOARDS = 10_000
#: How many clients may share a board, unless the operator sets another number: half a class.  With windows of a second
#: each of them has a result about four times a minute.
MOST_SHARERS = 16
#: Longest options of a kind, as JSON, in characters.
MAX_OPTIONS = 16_384
#: The reason for the end of a reservation that access rules bound.
BY_ACCESS = "what its account may have"


def distinct_serials(serials: Sequence[str]) -> list[str]:
    """Return serials, each once.  Raises `InvalidArgument` where there are too many."""
    if len(serials) > MAX_BOARDS:
        raise InvalidArgument(f"serials names {len(serials)} boards; at most {MAX_BOARDS} at once")
    return list(dict.fromkeys(serials))


def _check_amount(_: object, __: Attribute[int | None], amount: int | None) -> None:
    if amount is not None and not 1 <= amount <= MAX_BOARDS:
        raise InvalidArgument(f"amount must be between 1 and {MAX_BOARDS}, not {amount}")


def _check_serials(_: object, __: Attribute[Any], serials: tuple[str, ...] | None) -> None:
    if serials is None:
        return
    if not serials:
        raise InvalidArgument("serials names no board; name at least one, or give an amount")
    if len(distinct_serials(serials)) < len(serials):
        twice = sorted(serial for serial, times in Counter(serials).items() if times > 1)
        raise InvalidArgument(f"serials names more than once: {', '.join(twice)}", serials=twice)


def _check_options(_: object, __: Attribute[Any], options: dict[str, Any]) -> None:
    try:
        text = json.dumps(options, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidArgument(f"options can't be kept as JSON: {error}") from None
    if len(text) > MAX_OPTIONS:
        raise InvalidArgument(f"options take {len(text)} characters as JSON; at most {MAX_OPTIONS}")


def _avoid(serials: Iterable[str]) -> frozenset[str]:
    return frozenset(serials)


def _serials(serials: Sequence[str] | None) -> tuple[str, ...] | None:
    return None if serials is None else tuple(serials)


@frozen
class ReservationRequest:
    """A request: a number of boards, or these boards.  Exactly one of ``amount`` and ``serials`` is given.

    Raises `InvalidArgument`.
    """

    kind: str
    amount: int | None = field(default=None, validator=_check_amount)
    serials: tuple[str, ...] | None = field(default=None, converter=_serials, validator=_check_serials)
    options: dict[str, Any] = field(default=Factory(dict), validator=_check_options)
    #: With how many boards of an amount it can begin; None: with all.
    at_least: int | None = None
    #: Boards not to choose for an amount, such as one that just failed.
    avoid: frozenset[str] = field(default=frozenset(), converter=_avoid)
    #: Which boards an amount may be of; None: any.
    where: Selector | None = None
    #: What its account may have.
    allowance: Allowance = ANYTHING
    #: How many clients may share each board, this one among them; None: it has its boards for itself.
    sharers: int | None = None

    def __attrs_post_init__(self) -> None:
        if (self.amount is None) == (self.serials is None):
            raise InvalidArgument("give either amount or serials")
        if self.serials is not None and self.where is not None:
            raise InvalidArgument("where chooses among boards, and serials names them: give where with an amount")
        if self.sharers is not None and self.at_least is not None:
            raise InvalidArgument("at_least goes with boards that a client has for itself, not with shared ones")

    @property
    def most(self) -> int:
        """How many boards it is for."""
        return len(self.serials) if self.serials is not None else self.amount or 0

    @property
    def least(self) -> int:
        """With how many boards it can begin."""
        return self.most if self.serials is not None or self.at_least is None else min(self.at_least, self.most)

    def sharing(self, client: str) -> Sharing | None:
        """Return how the client of this request would share boards; None: it would not."""
        return None if self.sharers is None else Sharing(client, self.sharers)


@frozen
class Terms:
    """On which terms boards are reserved."""

    priority: float
    #: How many boards their group wants; None: those that it has.
    wanted: int | None = None
    #: How many it keeps when others ask for boards; None: all.
    at_least: int | None = None
    #: The selector of the boards that it wants.
    where: str | None = None


def terms_of(
    priority: float, amount: int | None, at_least: int | None, preemptible: bool | None, where: str | None = None
) -> Terms:
    """Return the terms that a request asks for.  Raises `InvalidArgument`."""
    if amount is None:
        if at_least is not None or preemptible:
            raise InvalidArgument("at_least and preemptible go with a number of boards, not with serials")
        return Terms(priority)
    if at_least is not None and not 1 <= at_least <= amount:
        raise InvalidArgument(f"at_least must be between 1 and {amount}, the number of boards, not {at_least}")
    if not preemptible and at_least is None:
        return Terms(priority)
    return Terms(priority, amount, (at_least or 1) if preemptible else None, where)


def choose(
    devices: Sequence[DeviceRecord],
    workers: Sequence[WorkerRecord],
    request: ReservationRequest,
    now: float,
    booked: Mapping[str, str] = MappingProxyType({}),
    client: str = "",
) -> list[str]:
    """Choose the boards that a request gets: all of them, or as many as there are where it begins with fewer; or none.

    Boards asked for by serial come in the order asked.  An amount is spread over the workers, the one with the fewest
    reserved boards first, and takes the boards with the fewest failures; suspect ones only where there are no others.
    Equal cases fall by name, so the same farm always gives the same answer.  A request for shared boards takes those
    that the fewest share, free ones first.  ``booked`` boards are kept for others; their values say for whom.

    Raises `Unavailable`, `UnknownKind`, `UnknownDevice` or `NotAuthorized`; their texts say what is missing and when to
    expect it.
    """
    by_name = {worker.name: worker for worker in workers}
    _check_kind(workers, request)
    sharing = request.sharing(client)
    if request.serials is not None:
        return _choose_named(devices, by_name, request, request.serials, now, booked, sharing)
    found = survey(devices, by_name, request.kind, request.where, request.allowance, request.avoid, booked, sharing)
    if len(found.usable) < request.least:
        raise amount_refusal(found.selection, found.obstacles, request.kind, request.least, now, booked)
    if sharing is not None:
        return _least_shared(found, devices, request.most)
    return _spread(found.usable, found.doubted, devices, min(request.most, len(found.usable)))


def _least_shared(found: Survey, devices: Sequence[DeviceRecord], amount: int) -> list[str]:
    """Choose boards that the fewest share: free ones as of any request, then others."""
    doubted = found.doubted
    free = [device for device in found.usable if not device.shares]
    ranked = [(each.serial in doubted, len(each.shares), each.serial) for each in found.usable if each.shares]
    chosen = _spread(free, doubted, devices, min(amount, len(free)))
    return chosen + [serial for _, _, serial in sorted(ranked)][: amount - len(chosen)]


def _check_kind(workers: Sequence[WorkerRecord], request: ReservationRequest) -> None:
    kind = request.kind
    if not workers:
        raise Unavailable("no worker has joined this farm yet, so it has no boards", free=0, suitable=0)
    kinds = sorted({offered for worker in workers for offered in worker.kinds})
    if kind not in kinds:
        raise UnknownKind(f"no worker offers kind '{kind}'; there are: {', '.join(kinds) or 'none'}", kinds=kinds)
    if request.sharers is not None and not any(kind in worker.shared_kinds for worker in workers):
        shared = sorted({offered for worker in workers for offered in worker.shared_kinds})
        raise InvalidArgument(
            f"boards of kind '{kind}' cannot be shared: it needs its board for itself, or its workers are of an "
            f"earlier version; reserve without shared. Kinds that can be shared here: {', '.join(shared) or 'none'}",
            kind=kind,
            shared_kinds=shared,
        )


def _spread(
    usable: Sequence[DeviceRecord], doubted: Collection[str], devices: Sequence[DeviceRecord], amount: int
) -> list[str]:
    load = Counter(device.worker for device in devices if device.reservation is not None)
    # Of each worker's boards the best is last, where pop() takes it.
    boards: dict[str, list[tuple[bool, int, str]]] = {}
    for device in usable:
        rank = device.serial in doubted, device.failures, device.serial
        boards.setdefault(device.worker, []).append(rank)
    for ranks in boards.values():
        ranks.sort(reverse=True)
    heap = [(ranks[-1][0], load[worker], ranks[-1][1], worker) for worker, ranks in boards.items()]
    heapq.heapify(heap)
    chosen: list[str] = []
    while len(chosen) < amount:
        _, reserved, _, worker = heapq.heappop(heap)
        chosen.append(boards[worker].pop()[2])
        if boards[worker]:
            in_doubt, failures, _ = boards[worker][-1]
            heapq.heappush(heap, (in_doubt, reserved + 1, failures, worker))
    return chosen


def _choose_named(
    devices: Sequence[DeviceRecord],
    workers: Mapping[str, WorkerRecord],
    request: ReservationRequest,
    serials: Sequence[str],
    now: float,
    booked: Mapping[str, str],
    sharing: Sharing | None,
) -> list[str]:
    known = {device.serial: device for device in devices}
    unknown = [serial for serial in serials if serial not in known]
    if unknown:
        raise unknown_devices(unknown)
    refused = [serial for serial in serials if not request.allowance.allows(known[serial], request.kind)]
    if refused:
        raise request.allowance.refusal(refused, request.kind)
    reasons = {}
    for serial in serials:
        device = known[serial]
        found = unavailable_reason(device, workers.get(device.worker), request.kind, booked=booked, sharing=sharing)
        if found is not None:
            reasons[serial] = f"board {serial} is {board_refusal(device, found, now, booked.get(serial))}"
    if reasons:
        raise Unavailable("; ".join(reasons.values()), serials=list(reasons), free=len(serials) - len(reasons))
    return list(serials)


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
