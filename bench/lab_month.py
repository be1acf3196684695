"""A month of a lab, by the rules of the queue alone and a clock of its own: who gets how much, and who waits how long.

``python -m bench.lab_month [--days 30] [--seeds 3]`` prints the figures of docs/sharing.md.  Nothing runs but the pure
core of control: `decide`, with what accounts used and with groups of boards that become fewer and more.

Ten boards.  Three experiments run all month, each with ``reserve(8, at_least=2, preemptible=True)``; each crashes every
few days, and begins again.  Thirty students come twice a week, fifteen at a time within half an hour, each for one
board and a quarter to two thirds of an hour.  Boards fail, and are repaired.  All have the same priority.
"""

from __future__ import annotations

import argparse
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from random import Random
from statistics import quantiles
from typing import Any

from attrs import Factory, define, evolve, field, frozen

from icefarm.contract import DeviceRecord, DeviceStatus, ReservationRecord, WorkerRecord
from icefarm.control.scheduling.elastic import GROWS, groups
from icefarm.control.scheduling.fair_queue import QueuedRequest, Verdict, decide
from icefarm.control.scheduling.fair_share import Hold, Ledger, standing
from icefarm.control.scheduling.placement import ReservationRequest

__all__ = ["Figures", "Lab", "simulate"]

HOUR, DAY = 3600.0, 86400.0
KIND = "pulsecount"
BOARDS, EXPERIMENTS, STUDENTS = 10, 3, 30
#: Boards that an experiment would like to have, and keeps.
WANTED, AT_LEAST = 8, 2
#: Seconds between two looks at the queue while nothing happens; control looks every minute.
LOOK = 600.0
#: Seconds until a board that was given back is available: its firmware is written again.
FLASHING = 6.0
#: Days of the week and hours at which a class begins, and students in it.
CLASSES = ((0, 10), (0, 14), (3, 10), (3, 14))
CLASS_SIZE = STUDENTS // 2


@frozen
class Figures:
    """What came of a month."""

    #: For each whole day and experiment: its part of what the experiments used, 1 being a fair one.
    shares: list[float]
    #: Seconds that each request of a student waited, and those that wait still.
    waits: list[float]
    unserved: int
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
        for serial, status in self.status.items():
            if status is DeviceStatus.AVAILABLE and wanted:
                self.in_order += seconds
                self.idle += 0.0 if serial in self.held else seconds
        for record in self.held.values():
            begin = self.now
            while begin < time:
                end = min(time, (begin // DAY + 1) * DAY)
                self.used[int(begin // DAY), record.client] += end - begin
                begin = end
        self.now = time

    # ------------------------------------------------------------------------------------------------- the queue

    def _walk(self) -> None:
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
        stand = standing(self.ledger, [Hold(each.client, each.created_at) for each in active], self.now)
        verdicts = decide(queue, self._devices(), [WORKER], self.now, stand, lenders=lenders, leaving=self.leaving)
        for verdict in verdicts:
            for serial in verdict.asks:
                self._ask(serial)
        served = [verdict for verdict in verdicts if verdict.serials]
        for verdict in served:
            self._serve(verdict)
        return bool(served)

    def _devices(self) -> list[DeviceRecord]:
        return [evolve(DEVICE, serial=serial, status=status, **_held(self.held.get(serial)))
                for serial, status in self.status.items()]  # fmt: skip

    def _ask(self, serial: str) -> None:
        """Have a group give a board up: when what is on its way is done, three windows of a second at most."""
        self.leaving.add(serial)
        self.handovers += 1
        self.at(self.now + self.random.uniform(0.1, 3.0), partial(self.give_back, serial, self.held[serial].id))

    def _serve(self, verdict: Verdict) -> None:
        if verdict.id.startswith(GROWS):
            client, wanted, least = verdict.id.removeprefix(GROWS), WANTED, AT_LEAST
        else:
            queued = self.waiting.pop(verdict.id)
            client = queued.client
            grouped = queued.request.at_least is not None
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
        length = self.random.uniform(15, 40) * 60
        self.at(self.now + length, partial(self.give_back, serial, self.held[serial].id))

    def look(self) -> None:
        """Time passes."""
        self.at(self.now + LOOK, self.look)


WORKER = WorkerRecord("w1", "online", False, "host", "1.0", [KIND], BOARDS, 0.0)
DEVICE = DeviceRecord("", "w1", DeviceStatus.AVAILABLE, None, None, None, None, None, None, None, 0, 0, 0, None, 0.0)


def _held(record: ReservationRecord | None) -> dict[str, Any]:
    return {} if record is None else {"client": record.client, "reservation": record.id, "kind": KIND}


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
    lab.at(0.0, lab.look)
    lab.run(days * DAY)
    return _figures(lab, days)


def _figures(lab: Lab, days: int) -> Figures:
    names = [f"experiment-{number}" for number in range(EXPERIMENTS)]
    shares = []
    for day in range(1, days):
        total = sum(lab.used[day, name] for name in names)
        shares += [lab.used[day, name] * EXPERIMENTS / total for name in names]
    sums: Counter[bool] = Counter()
    for (_, client), seconds in lab.used.items():
        sums[client in names] += seconds
    unserved = sum(not id.startswith("experiment") for id in lab.waiting)
    busy = 1 - lab.idle / lab.in_order
    return Figures(shares, lab.waits, unserved, lab.handovers, busy, sums[False] / HOUR, sums[True] / HOUR)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--days", type=int, default=30)
    parser.add_argument("--seeds", type=int, default=3, help="how many different months")
    options = parser.parse_args(arguments)
    print("| month | share of an experiment on a day, of a fair one | waits of students: median, 95 %, longest | "
          "boards that changed hands | boards in use while wanted |\n|---|---|---|---|---|")  # fmt: skip
    for seed in range(options.seeds):
        found = simulate(seed, options.days)
        cuts = quantiles(found.waits, n=20)
        print(
            f"| {seed + 1} | {min(found.shares):.2f} to {max(found.shares):.2f} | {cuts[9] / 60:.1f} min, "
            f"{cuts[18] / 60:.1f} min, {max(found.waits) / 60:.1f} min | {found.handovers} | {found.busy:.1%} |"
        )


if __name__ == "__main__":
    main()
