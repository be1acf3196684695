"""A month of a lab, by the rules of the queue alone and a clock of its own: who gets how much, and who waits how long.

``python -m bench.lab_month [--days 30] [--seeds 3]`` prints the figures of docs/sharing.md.  Nothing runs but the pure
core of control: `decide`, with what accounts used and with groups of boards that become fewer and more.

Ten boards.  Three experiments run all month, each with ``reserve(8, at_least=2, preemptible=True)``; each crashes every
few days, and begins again.  Thirty students come twice a week, fifteen at a time within half an hour, each for one
board and a quarter to two thirds of an hour.  Boards fail, and are repaired.  All have the same priority.  Twice a week
four boards are booked for guests for two hours, two days ahead; to one of four bookings nobody comes.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from statistics import quantiles
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from icefarm.contract import BookingRecord, DeviceRecord, DeviceStatus, ReservationRecord, WorkerRecord
from icefarm.control.scheduling.bookings.calendar import NOTICE, UNUSED, Calendar, Shelf
from icefarm.control.scheduling.bookings.rules import check_booking, progressed
from icefarm.control.scheduling.elastic import GROWS, groups
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict, decide
from icefarm.control.scheduling.fair_share import HALF_LIFE, Hold, Ledger, standing
from icefarm.control.scheduling.placement import ReservationRequest

__all__ = ["HANDED_OVER", "LONGEST_WAIT", "Figures", "Lab", "simulate"]

HOUR, DAY = 3600.0, 86400.0
KIND = "pulsecount"
BOARDS, EXPERIMENTS, STUDENTS = 10, 3, 30
#: Boards that an experiment would like to have, and keeps.
WANTED, AT_LEAST = 8, 2
#: Seconds between two looks at the queue while nothing happens; control looks every minute.
LOOK = 600.0
#: And while a booking is near.
LOOK_CLOSELY = 30.0
#: Seconds until a board that was given back is available: its firmware is written again.
FLASHING = 6.0
#: Days of the week and hours at which a class begins, and students in it.
CLASSES = ((0, 10), (0, 14), (3, 10), (3, 14))
CLASS_SIZE = STUDENTS // 2
#: Minutes that a student works with a board.
WORK = (15, 40)
#: Days of the week and hours of bookings, their boards, and seconds; who comes does so in the first so many seconds.
BOOKINGS, BOOKED, BOOKED_FOR, COMES = ((2, 10), (3, 15)), 4, 2 * HOUR, 240.0
GUESTS = "guests"
#: Seconds from the end of an evaluation in flight until a board that is given back is there for somebody else.
HAND_ON = 1.0 + FLASHING
#: The documented bounds of a wait: of a request for one board, which is next after a half-life and gets the first board
#: that its holder gives back; and of a guest, if a board breaks at the beginning and another holder is given notice.
LONGEST_WAIT = HALF_LIFE + WORK[1] * 60 + HAND_ON
HANDED_OVER = NOTICE + LOOK_CLOSELY + HAND_ON


@frozen
class Figures:
    """What came of a month."""

    #: For each whole day and experiment: its part of what the experiments used, 1 being a fair one.
    shares: list[float]
    #: Seconds that each request of a student waited, and those that wait still.
    waits: list[float]
    unserved: int
    #: Seconds that each guest waited for a board that was booked; and boards that guests waited for in vain.
    guests: list[float]
    missed: int
    #: Bookings that released their boards, since nobody came.
    released: int
    #: Boards that changed hands while their group went on.
    handovers: int
    #: Parts of the time for which a board in order was held, while somebody wanted one.
    busy: float
    #: Board-hours of students, and of experiments.
    students: float
    experiments: float


@define(eq=False)
class Lab:
    """The boards, who holds them, and who waits."""

    random: Random
    now: float = 0.0
    ledger: Ledger = Factory(Ledger)
    held: dict[str, ReservationRecord] = Factory(dict)
    waiting: dict[str, QueuedRequest] = Factory(dict)
    status: dict[str, DeviceStatus] = field(init=False)
    leaving: set[str] = Factory(set)
    #: What is called when a student's request is served.
    then: dict[str, Callable[[str], None]] = Factory(dict)
    used: dict[tuple[int, str], float] = Factory(lambda: defaultdict(float))
    waits: list[float] = Factory(list)
    bookings: list[BookingRecord] = Factory(list)
    #: Reservations that end for a booking.
    ending: set[str] = Factory(set)
    #: Those that ended lately.
    recent: list[ReservationRecord] = Factory(list)
    guests: list[float] = Factory(list)
    released: int = 0
    handovers: int = 0
    idle: float = 0.0
    in_order: float = 0.0
    _events: list[tuple[float, int, Callable[[], None]]] = Factory(list)
    _numbers: Any = Factory(count)

    def __attrs_post_init__(self) -> None:
        self.status = {f"B{number}": DeviceStatus.AVAILABLE for number in range(BOARDS)}

    def at(self, time: float, action: Callable[[], None]) -> None:
        """Do something at a time."""
        heappush(self._events, (time, next(self._numbers), action))

    def run(self, until: float) -> None:
        """Let everything happen until then."""
        while self._events and self._events[0][0] <= until:
            time, _, action = heappop(self._events)
            self._account(time)
            action()
            self._walk()
        self._account(until)

    def _account(self, time: float) -> None:
        seconds = time - self.now
        wanted = bool(self.waiting) or any(group.missing for group in groups(self.held.values()))
        usable = [serial for serial, status in self.status.items() if status is DeviceStatus.AVAILABLE]
        if wanted:
            free = sum(serial not in self.held for serial in usable)
            self.in_order += seconds * len(usable)
            self.idle += seconds * max(0, free - self._kept())
        for record in self.held.values():
            begin = self.now
            while begin < time:
                end = min(time, (begin // DAY + 1) * DAY)
                self.used[int(begin // DAY), record.client] += end - begin
                begin = end
        self.now = time

    # ------------------------------------------------------------------------------------------------- the queue

    def _walk(self) -> None:
        self._keep_bookings()
        for _ in range(BOARDS * 2):
            if not self._look():
                return

    def _look(self) -> bool:
        active = list(self.held.values())
        lenders = groups(active)
        growing = {f"{GROWS}{group.client}": group for group in lenders if group.missing}
        queue = [
            *self.waiting.values(),
            *(
                QueuedRequest(id, group.client, ReservationRequest(KIND, group.missing, at_least=1), grows=True)
                for id, group in growing.items()
            ),
        ]
        calendar = self._calendar()
        stand = standing(self.ledger, [Hold(each.client, each.created_at) for each in active], self.now)
        verdicts = decide(queue, self._devices(), [WORKER], self.now, stand, calendar, lenders, self.leaving)
        for verdict in verdicts:
            for serial in verdict.asks:
                self._ask(serial)
        served = [verdict for verdict in verdicts if verdict.serials]
        for verdict in served:
            self._serve(verdict)
        return bool(served)

    def _devices(self) -> list[DeviceRecord]:
        return [evolve(DEVICE, serial=serial, status=status, **_held(self.held.get(serial), self.now))
                for serial, status in self.status.items()]  # fmt: skip

    # ----------------------------------------------------------------------------------------------- bookings

    def _calendar(self) -> Calendar:
        return Calendar(tuple(each for each in self.bookings if each.ended_at is None), GROUPS)

    def _kept(self) -> int:
        """Return how many free boards are there for guests."""
        calendar = self._calendar()
        return sum(left for _, left in calendar.needs(self._shelf())) if calendar else 0

    def _shelf(self) -> Shelf:
        return Shelf.of(self._devices(), [WORKER], self.now)

    def _keep_bookings(self) -> None:
        """Do what control does as time passes: release what nobody takes, and end who is in the way, on time."""
        calendar = self._calendar()
        if not calendar:
            return
        self.recent = [each for each in self.recent if (each.ended_at or 0.0) > self.now - UNUSED]
        for changed in progressed(calendar, [*self.held.values(), *self.recent], self.now):
            self.bookings = [changed if each.id == changed.id else each for each in self.bookings]
            self.released += changed.ended_at is not None and changed.kept == 0
        for ending in self._calendar().endings(self._shelf()):
            reservation = self.held[ending.serial].id
            if reservation not in self.ending:
                self.ending.add(reservation)
                self.at(ending.at, partial(self.give_back, ending.serial, reservation))

    def book(self, starts_at: float, comes: bool) -> None:
        """Book boards for guests, and have them come, or not."""
        made = BookingRecord(
            f"b{next(self._numbers)}",
            GUESTS,
            BOOKED,
            [],
            None,
            starts_at,
            starts_at + BOOKED_FOR,
            BOOKED,
            "op",
            self.now,
        )
        check_booking(made, self._calendar(), self._shelf(), None, "op")
        self.bookings.append(made)
        for time in (starts_at - 60.0, starts_at, starts_at + UNUSED, made.ends_at):
            self.at(time, _nothing)
        moment = starts_at - NOTICE
        while moment < starts_at + UNUSED:
            self.at(moment, _nothing)
            moment += LOOK_CLOSELY
        if comes:
            for guest in range(BOOKED):
                self.at(starts_at + self.random.uniform(0, COMES), partial(self.guest_comes, f"guest-{guest}", made))

    def guest_comes(self, name: str, booking: BookingRecord) -> None:
        """A guest takes one of the boards that are booked."""
        id, since = f"{name} {next(self._numbers)}", self.now
        self.waiting[id] = QueuedRequest(id, name, ReservationRequest(KIND, 1), next(self._numbers), since)
        self.then[id] = partial(self._guest_works, since, booking.ends_at)

    def _guest_works(self, since: float, until: float, serial: str) -> None:
        self.guests.append(self.now - since)
        self.at(until, partial(self.give_back, serial, self.held[serial].id))

    def _ask(self, serial: str) -> None:
        """Have a group give a board up: when its evaluation in flight ends, a window of a second at most."""
        self.leaving.add(serial)
        self.handovers += 1
        self.at(self.now + self.random.uniform(0.1, 1.0), partial(self.give_back, serial, self.held[serial].id))

    def _serve(self, verdict: Verdict) -> None:
        if verdict.id.startswith(GROWS):
            client, grouped = verdict.id.removeprefix(GROWS), True
        else:
            queued = self.waiting.pop(verdict.id)
            client, grouped = queued.client, queued.request.at_least is not None
        wanted, least = (WANTED, AT_LEAST) if grouped else (None, None)
        for serial in verdict.serials:
            self.held[serial] = ReservationRecord(
                f"r{next(self._numbers)}", serial, "w1", client, KIND, {}, self.now, self.now + DAY,
                request=client, wanted=wanted, at_least=least,
            )  # fmt: skip
        if verdict.id in self.then:
            self.then.pop(verdict.id)(verdict.serials[0])

    def give_back(self, serial: str, reservation: str) -> None:
        """End a reservation, if it has not ended."""
        self.leaving.discard(serial)
        record = self.held.get(serial)
        if record is None or record.id != reservation:
            return
        del self.held[serial]
        self.recent.append(evolve(record, ended_at=self.now))
        self.ledger.add(Hold(record.client, record.created_at, self.now))
        if self.status[serial] is DeviceStatus.AVAILABLE:
            self.status[serial] = DeviceStatus.FLASHING
            self.at(self.now + FLASHING, partial(self._ready, serial))

    def _ready(self, serial: str) -> None:
        if self.status[serial] is DeviceStatus.FLASHING:
            self.status[serial] = DeviceStatus.AVAILABLE

    # ------------------------------------------------------------------------------------------------- what happens

    def board_fails(self, serial: str) -> None:
        """A board is set aside for a while; its client goes on without it."""
        if serial in self.held:
            self.give_back(serial, self.held[serial].id)
        self.status[serial] = DeviceStatus.BROKEN
        self.at(self.now + self.random.uniform(0.5, 6) * HOUR, partial(self._repaired, serial))

    def _repaired(self, serial: str) -> None:
        self.status[serial] = DeviceStatus.AVAILABLE
        self.at(self.now + self.random.expovariate(1 / (5 * DAY)), partial(self.board_fails, serial))

    def experiment_begins(self, name: str) -> None:
        """An experiment asks for boards, and runs until it crashes."""
        request = ReservationRequest(KIND, WANTED, at_least=AT_LEAST)
        self.waiting[name] = QueuedRequest(name, name, request, next(self._numbers), self.now)
        self.at(self.now + self.random.uniform(1, 6) * DAY, partial(self._crashes, name))

    def _crashes(self, name: str) -> None:
        for record in [record for record in self.held.values() if record.client == name]:
            self.give_back(record.serial, record.id)
        self.waiting.pop(name, None)
        self.at(self.now + self.random.uniform(1, 20) * 60, partial(self.experiment_begins, name))

    def student_comes(self, name: str) -> None:
        """A student asks for a board, and works with it for a while."""
        id, since = f"{name} {next(self._numbers)}", self.now
        self.waiting[id] = QueuedRequest(id, name, ReservationRequest(KIND, 1), next(self._numbers), since)
        self.then[id] = partial(self._student_works, since)

    def _student_works(self, since: float, serial: str) -> None:
        self.waits.append(self.now - since)
        length = self.random.uniform(*WORK) * 60
        self.at(self.now + length, partial(self.give_back, serial, self.held[serial].id))

    def look(self) -> None:
        """Time passes."""
        self.at(self.now + LOOK, self.look)


WORKER = WorkerRecord("w1", "online", False, "host", "1.0", [KIND], BOARDS, 0.0)
DEVICE = DeviceRecord("", "w1", DeviceStatus.AVAILABLE, None, None, None, None, None, None, None, 0, 0, 0, None, 0.0)


GROUPS = {f"guest-{number}": GUESTS for number in range(BOOKED)}
#: Seconds of a reservation, which its client extends in time.
EXTENDED = HOUR


def _held(record: ReservationRecord | None, now: float) -> dict[str, Any]:
    if record is None:
        return {}
    times = {"reserved_at": record.created_at, "expires_at": now + EXTENDED}
    return {"client": record.client, "reservation": record.id, "kind": KIND, **times}


def _nothing() -> None:
    """Have the lab look."""


def simulate(seed: int, days: int = 30) -> Figures:
    """Live through a month."""
    lab = Lab(Random(seed))
    for number in range(EXPERIMENTS):
        lab.at(number * HOUR, partial(lab.experiment_begins, f"experiment-{number}"))
    for serial in lab.status:
        lab.at(lab.random.expovariate(1 / (5 * DAY)), partial(lab.board_fails, serial))
    for day in range(days):
        for weekday, hour in CLASSES:
            if day % 7 == weekday:
                first = 0 if hour == CLASSES[0][1] else CLASS_SIZE
                for student in range(first, first + CLASS_SIZE):
                    begins = day * DAY + hour * HOUR + lab.random.uniform(0, 1800)
                    lab.at(begins, partial(lab.student_comes, f"student-{student}"))
        for number, (weekday, hour) in enumerate(BOOKINGS):
            if day % 7 == weekday:
                starts_at = day * DAY + hour * HOUR
                comes = (day // 7 * len(BOOKINGS) + number) % 4 != 3
                lab.at(max(0.0, starts_at - 2 * DAY), partial(lab.book, starts_at, comes))
    lab.at(0.0, lab.look)
    lab.run(days * DAY)
    return _figures(lab, days)


def _figures(lab: Lab, days: int) -> Figures:
    names = [f"experiment-{number}" for number in range(EXPERIMENTS)]
    shares = []
    for day in range(1, days):
        total = sum(lab.used[day, name] for name in names)
        shares += [lab.used[day, name] * EXPERIMENTS / total for name in names]
    sums: dict[bool, float] = defaultdict(float)
    for (_, client), seconds in lab.used.items():
        sums[client in names] += seconds
    unserved = sum(id.startswith("student") for id in lab.waiting)
    missed = sum(id.startswith("guest") for id in lab.waiting)
    busy = 1 - lab.idle / lab.in_order
    return Figures(
        shares, lab.waits, unserved, lab.guests, missed, lab.released, lab.handovers, busy, sums[False] / HOUR,
        sums[True] / HOUR,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="how many different months")
    options = parser.parse_args(arguments)
    print("| month | share of an experiment on a day, of a fair one | waits of students: median, 95 %, longest | "
          "boards for guests: booked, missed, longest wait | boards that changed hands | boards in use while wanted |"
          "\n|---|---|---|---|---|---|")  # fmt: skip
    for seed in range(options.seeds):
        found = simulate(seed, options.days)
        cuts = quantiles(found.waits, n=20)
        print(
            f"| {seed + 1} | {min(found.shares):.2f} to {max(found.shares):.2f} | {cuts[9] / 60:.1f} min, "
            f"{cuts[18] / 60:.1f} min, {max(found.waits) / 60:.1f} min | {len(found.guests)}, {found.missed}, "
            f"{max(found.guests, default=0.0):.0f} s | {found.handovers} | {found.busy:.1%} |"
        )


if __name__ == "__main__":
    main()
