"""Pure: no I/O, no clock.  Which boards a booking keeps, who must end for it and when, and what it releases.

Theory of operation
-------------------
A booking keeps a number of boards (or named ones) for an account, or for a group of accounts, from one time to
another.  It names no boards until somebody takes them, so most decisions are about numbers:

    booked ── its start ──> open ── taken boards count, the others are kept ──> over, at its end
       │                     │
       └── cancelled         └── `UNUSED` s without being taken: released, board by board

At a moment, a booking *claims* as many boards as it keeps: those that its own accounts hold then count first, then free
ones.  Claims of different bookings must be met at the same time, by different boards, though they may share candidates
(one wants any board, another one a kind, a third one E66).  `assign` (`bookings.matching`) finds such boards.

Four questions are answered by it:

    book      is there room?           at no moment of the booking do the claims exceed the boards in service
    reserve   which boards, how long?  not those that a claim of now needs; until the first start that would miss one
    extend    how long?                the same, for each reservation by itself
    keep      who must end?            where a start would miss boards, the newest reservations that go past it

A reservation that would cross a start that needs its board is *shortened*: it ends at that start and says why.
Reservations that existed before the booking, or that became one too many because a board broke, are shortened too,
with `NOTICE` seconds at least.

Invariants:

- A reservation is shortened only where a booking would miss a board otherwise.
- Without bookings of others at a moment, nothing is kept at that moment: the farm is work conserving.
- Two bookings never count on the same board.
- What the account of a booking holds is never taken from it by that booking, and counts only once.  Another booking
  takes it only if it needs just that board.
- In the last `HAND_OVER` seconds before its start, a booking keeps its boards already: nobody gets one for so short a
  time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from attrs import Factory, evolve, frozen

from icefarm.contract import BookingRecord, DeviceRecord, DeviceStatus, WorkerRecord, account_of
from icefarm.control.scheduling.bookings.matching import Claim, Matching, assign
from icefarm.errors import Unavailable
from icefarm.selectors.boards import is_virtual, names_virtual, selects
from icefarm.selectors.language import Selector, parse
from icefarm.text.counts import counted
from icefarm.text.local_time import utc

__all__ = [
    "HAND_OVER",
    "NOTICE",
    "NO_BOOKINGS",
    "UNUSED",
    "Calendar",
    "Ending",
    "Holding",
    "Shelf",
    "in_words",
    "peak",
]

#: Seconds before its start from which on a booking keeps its boards: others would not get far.
HAND_OVER = 60.0
#: Seconds that a running reservation has at least when it must end for a booking.
NOTICE = 300.0
#: Seconds without being taken after which a booked board is released.
UNUSED = 600.0
#: Seconds ahead in which a reservation rather gets boards that no booking needs.
AHEAD = 86400.0


@lru_cache(256)
def _parsed(text: str) -> Selector:
    return parse(text)


@frozen
class Holding:
    """Who has a board, since when and until when."""

    client: str
    since: float
    until: float


@frozen
class Shelf:
    """The boards in service, and who has which."""

    now: float
    #: The kinds that each board in service can be, by serial.
    kinds: Mapping[str, frozenset[str]]
    held: Mapping[str, Holding] = Factory(dict)
    #: All boards of the farm, for selectors; without them, a selector selects all.
    devices: Mapping[str, DeviceRecord] = Factory(dict)

    @classmethod
    def of(cls, devices: Sequence[DeviceRecord], workers: Iterable[WorkerRecord], now: float) -> Shelf:
        """Return the shelf of a farm: boards that are broken, offline or drained are not in service."""
        offers = {
            worker.name: frozenset(worker.kinds)
            for worker in workers
            if worker.status == "online" and not worker.draining
        }
        out = (DeviceStatus.BROKEN, DeviceStatus.OFFLINE)
        kinds = {
            each.serial: offers[each.worker] for each in devices if each.worker in offers and each.status not in out
        }
        held = {
            each.serial: Holding(each.client, each.reserved_at or 0.0, each.expires_at or now)
            for each in devices
            if each.client is not None
        }
        return cls(now, kinds, held, {each.serial: each for each in devices})

    def fitting(self, booking: BookingRecord) -> set[str]:
        """Return the boards in service that may serve a booking."""
        found = {serial for serial, kinds in self.kinds.items() if booking.kind is None or booking.kind in kinds}
        if booking.serials:
            return found & set(booking.serials)
        return self.selected(found, None if booking.where is None else _parsed(booking.where))

    def selected(self, serials: set[str], where: Selector | None) -> set[str]:
        """Return those of these boards that a request with that selector may have (`scheduling.availability`)."""
        if where is not None:
            serials = {
                serial for serial in serials if serial not in self.devices or selects(where, self.devices[serial])
            }
        if names_virtual(where) or all(map(is_virtual, self.devices.values())):
            return serials
        return {serial for serial in serials if serial not in self.devices or not is_virtual(self.devices[serial])}

    def holder(self, serial: str, at: float) -> str | None:
        """Return who holds a board at a moment, by the present reservations."""
        hold = self.held.get(serial)
        return None if hold is None or (at > self.now and hold.until <= at) else hold.client

    def with_held(self, more: Mapping[str, Holding]) -> Shelf:
        """Return the shelf on which these boards are held, too."""
        return evolve(self, held={**self.held, **more})

    def without(self, serials: Iterable[str]) -> Shelf:
        """Return the shelf on which these boards are free."""
        gone = set(serials)
        return evolve(self, held={serial: hold for serial, hold in self.held.items() if serial not in gone})


@frozen
class Ending:
    """A reservation must end then, for that booking."""

    serial: str
    at: float
    booking: BookingRecord


def _wider(claim: Claim, more: Iterable[str], shelf: Shelf) -> Claim:
    """Return a claim that can also be met by those of these boards that fit."""
    return evolve(claim, boards=claim.boards | (shelf.fitting(claim.booking) & set(more)))


def peak(spans: Iterable[tuple[float, float]], since: float) -> int:
    """Return how many spans of time there were at once at most, from ``since`` on; a span lasts until its end."""
    steps = sorted(step for begin, end in spans if end > since for step in ((max(begin, since), 1), (end, -1)))
    most = present = 0
    for _, change in steps:
        present += change
        most = max(most, present)
    return most


@frozen
class Calendar:
    """The bookings that have not ended, and the groups of accounts."""

    bookings: tuple[BookingRecord, ...] = ()
    #: By account.
    groups: Mapping[str, str] = Factory(dict)

    def __bool__(self) -> bool:
        return bool(self.bookings)

    def serves(self, booking: BookingRecord, client: str) -> bool:
        """Tell whether a booking is a client's: of its account, or of the group that this belongs to."""
        account = account_of(client)
        return booking.account in (account, self.groups.get(account))

    def open_at(self, at: float, shelf: Shelf) -> list[BookingRecord]:
        """Return the bookings that keep boards at a moment, the first to start first."""
        early = HAND_OVER if at <= shelf.now else 0.0
        found = [each for each in self.bookings if each.starts_at - early <= at < each.ends_at]
        return sorted(found, key=lambda each: (each.starts_at, each.created_at))

    def claims(self, shelf: Shelf, at: float, client: str | None = None) -> list[Claim]:
        """Return what bookings claim at a moment, except for ``client``'s own."""
        claims = []
        for booking in self.open_at(at, shelf):
            if client is not None and self.serves(booking, client):
                continue
            holders = {serial: shelf.holder(serial, at) for serial in shelf.fitting(booking)}
            free = {serial for serial, who in holders.items() if who is None}
            own = frozenset(serial for serial, who in holders.items() if who is not None and self.serves(booking, who))
            claims.append(Claim(booking, booking.kept, own | free, own))
        return claims

    def needs(self, shelf: Shelf) -> list[tuple[BookingRecord, int]]:
        """Return the bookings that keep boards now, and how many their accounts may still take."""
        claims = self.claims(shelf, shelf.now)
        given = Counter(booking.id for booking in assign(claims, _own(claims))[0].values())
        return [(claim.booking, claim.amount - given[claim.booking.id]) for claim in claims]

    def kept(self, shelf: Shelf, client: str, unwanted: Iterable[str]) -> dict[str, BookingRecord]:
        """Return the boards that are kept from a client now; ``unwanted`` ones, which it has no use for, first."""
        return self._kept_at(shelf, shelf.now, client, set(unwanted))

    def needed_soon(self, shelf: Shelf, client: str, unwanted: Iterable[str]) -> set[str]:
        """Return boards that bookings of others need later: a client rather gets others."""
        starts = {each.starts_at for each in self.bookings if shelf.now < each.starts_at <= shelf.now + AHEAD}
        bad = set(unwanted)
        return {serial for start in starts for serial in self._kept_at(shelf, start, client, bad)}

    def first_crossed(self, shelf: Shelf, client: str, serials: Iterable[str], until: float) -> BookingRecord | None:
        """Return the first booking of others that would miss a board if a client had these until then.

        On the shelf, they are free.
        """
        mine = set(serials)
        for at in sorted(at for at in self._moments(shelf) if at < until):
            claims = self.claims(shelf, at, client)
            order = [*_own(claims), *_free(claims)]
            if assign(claims, [serial for serial in order if serial not in mine])[1] > assign(claims, order)[1]:
                return max((claim.booking for claim in claims), key=lambda each: each.starts_at)
        return None

    def _moments(self, shelf: Shelf) -> set[float]:
        """Return now, and when bookings claim more: at their start, and where what their accounts have ends."""
        ends = {
            holding.until
            for holding in shelf.held.values()
            if any(self.serves(each, holding.client) for each in self.bookings)
        }
        return {shelf.now} | {at for at in ends | {each.starts_at for each in self.bookings} if at > shelf.now}

    def endings(self, shelf: Shelf) -> list[Ending]:
        """Return the reservations that must end for bookings: those that were made last."""
        found: dict[str, Ending] = {}
        soonest, last = shelf.now + NOTICE, max((holding.until for holding in shelf.held.values()), default=0.0)
        for at in sorted({max(each.starts_at, soonest) for each in self.bookings if each.starts_at < last}):
            for serial, booking in sorted(self._given_at(shelf, at).items()):
                holder = shelf.holder(serial, at)
                if holder is not None and not self.serves(booking, holder):
                    found.setdefault(serial, Ending(serial, at, booking))
                    shelf = shelf.with_held({serial: evolve(shelf.held[serial], until=at)})
        return list(found.values())

    def _given_at(self, shelf: Shelf, at: float) -> dict[str, BookingRecord]:
        """Return boards for all bookings: free ones, those of their own accounts, and others' where it must be."""
        claims = self.claims(shelf, at)
        counted = assign(claims, _own(claims))[0].keys()
        taken = [serial for serial in shelf.kinds if shelf.holder(serial, at) is not None]
        others = sorted(set(taken) - counted, key=lambda serial: (-shelf.held[serial].since, serial))
        order = [*sorted(counted), *_free(claims), *others]
        assignment = Matching([_wider(claim, others, shelf) for claim in claims])
        assignment.add_all(order)
        # Perhaps a booking needs just the board that another one's account has, and that could have another.
        assignment.claims = [_wider(claim, taken, shelf) for claim in claims]
        assignment.add_all(order)
        return assignment.owners()

    def check_room(self, shelf: Shelf, wanted: BookingRecord) -> None:
        """Raise `Unavailable` if there are not enough boards in service for one more booking."""
        all_free, calendar = evolve(shelf, held={}), evolve(self, bookings=(*self.bookings, wanted))
        within = {each.starts_at for each in self.bookings if wanted.starts_at < each.starts_at < wanted.ends_at}
        for at in sorted({wanted.starts_at, *within}):
            _, missing = assign(calendar.claims(all_free, at), sorted(all_free.kinds))
            if missing:
                raise _no_room(all_free, self.open_at(at, all_free), wanted, missing, at)

    def next_moment(self, now: float) -> float | None:
        """Return when a booking next begins, ends, or may release boards; None if nothing is booked."""
        times = [
            time
            for each in self.bookings
            for time in (each.starts_at - HAND_OVER, each.starts_at, each.starts_at + UNUSED, each.ends_at)
        ]
        return min((time for time in times if time > now), default=None)

    def _kept_at(self, shelf: Shelf, at: float, client: str, unwanted: set[str]) -> dict[str, BookingRecord]:
        claims = self.claims(shelf, at, client)
        own, free = _own(claims), _free(claims)
        order = sorted(free, key=lambda serial: (serial in unwanted, serial), reverse=True)
        given, _ = assign(claims, [*own, *order])
        return {serial: given[serial] for serial in given.keys() - set(own)}


NO_BOOKINGS = Calendar()


def _own(claims: Iterable[Claim]) -> list[str]:
    return sorted({serial for claim in claims for serial in claim.own})


def _free(claims: Iterable[Claim]) -> list[str]:
    return sorted({serial for claim in claims for serial in claim.boards - claim.own})


def in_words(booking: BookingRecord) -> str:
    """Return a booking as the beginning of a reason: what is booked, for whom, from when."""
    what = "1 board is" if booking.amount == 1 else f"{booking.amount} boards are"
    if booking.serials:
        what = f"{', '.join(booking.serials)} {'is' if booking.amount == 1 else 'are'}"
    return f"{what} booked for {booking.account} from {utc(booking.starts_at)} until {utc(booking.ends_at)}"


def _no_room(
    shelf: Shelf, others: Sequence[BookingRecord], wanted: BookingRecord, missing: int, at: float
) -> Unavailable:
    fitting = shelf.fitting(wanted)
    words = f"{counted(wanted.amount, 'board')} cannot be booked: {missing} too few at {utc(at)}"
    out = [serial for serial in wanted.serials if serial not in shelf.kinds]
    if out:
        words += f"; {', '.join(out)} {'is' if len(out) == 1 else 'are'} not in service"
    words += f"; {counted(len(fitting), 'suitable board')} {'is' if len(fitting) == 1 else 'are'} in service"
    if others:
        words += f", and {'; '.join(in_words(each) for each in others)}"
    return Unavailable(words, asked=wanted.amount, missing=missing, suitable=len(fitting))
