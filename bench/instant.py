"""What the software costs: boards that take no time, so that all there is to measure is the farm itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from statistics import median

from attrs import field, frozen

from bench.accounts import Account, Accounts, Party, accounts_of, machine_time, pace, parties
from bench.bare_router import RouterLimit, lone_call, measure_router
from bench.farm import running_farm
from bench.files import CircuitFiles
from bench.wire import traffic_to
from icefarm.client import Boards, Farm, Result

__all__ = ["Effort", "InstantFigures", "Stretch", "measure_instant", "run_stretch"]

#: Seconds of evaluations before each stretch that counts: connections, caches and buffers are warm then.
WARM_UP = 1.0
#: Evaluations, one after the other, whose latency is measured, after some that are not; between so many of them as many
#: calls are made, so that both meet the same machine.
SINGLE = 300
SINGLE_WARM_UP = 30
SINGLE_TURN = 10
#: Circuits that are evaluated twice.
KNOWN = 200
#: Times that boards are reserved.
RESERVATIONS = 5
#: Seconds for boards that were given back to be available again.
RETURN_LIMIT = 60.0


@frozen
class Effort:
    """How much is measured."""

    #: Seconds of each stretch of evaluations.
    seconds: float = 5.0
    #: Stretches, of which the one with the median rate counts.
    repeats: int = 3
    #: Routers of the farm; bytes between client and router are those of the first one.
    routers: int = 1


@frozen
class Stretch:
    """Evaluations on all boards at once, as many as they take, for some seconds."""

    seconds: float
    evaluations: int
    #: Milliseconds of CPU per evaluation, by party.
    cpu_ms: Mapping[Party, float]
    #: Bytes per evaluation between client and router, and what the boards' process read, their USB ports mostly.
    sent: float
    received: float
    usb: float
    #: Cores, of those of the machine, that were busy with something else.
    others: float
    #: How fast the machine was just before; see `bench.accounts.pace`.
    pace: float

    @property
    def rate(self) -> float:
        """Evaluations a second."""
        return self.evaluations / self.seconds

    @property
    def cpu_without_boards(self) -> float:
        """Milliseconds of CPU per evaluation of all parties but the simulation of the boards."""
        return sum(value for party, value in self.cpu_ms.items() if party != "boards")


@frozen
class InstantFigures:
    """Of one farm."""

    boards: int
    #: Seconds, each time.
    ready: Sequence[float]
    #: Milliseconds of single evaluations, on one board, sorted.
    latency: Sequence[float]
    stretches: Sequence[Stretch]
    #: What each party holds after all that.
    accounts: Mapping[Party, Account]
    #: Bytes per evaluation between client and router of circuits that the worker has had before.
    known: float = 0.0
    #: What the router alone passes on, in the same run; and milliseconds of calls that are alone, sorted.
    router: Sequence[RouterLimit] = ()
    lone_calls: Sequence[float] = ()
    stretch: Stretch = field(init=False)

    @stretch.default
    def _median_stretch(self) -> Stretch:
        return sorted(self.stretches, key=lambda stretch: stretch.rate)[len(self.stretches) // 2]

    @property
    def median_ready(self) -> float:
        return median(self.ready)

    def latency_at(self, part: float) -> float:
        """Return the latency, ms, that this part of the evaluations does not exceed."""
        return self.latency[min(len(self.latency) - 1, int(part * len(self.latency)))]

    @property
    def lone_call(self) -> float:
        """The median of a call that is alone, ms."""
        return median(self.lone_calls)

    @property
    def latency_in_calls(self) -> float:
        """The median latency in calls that are alone: a ratio that holds on any machine."""
        return self.latency_at(0.5) / self.lone_call


def measure_instant(boards: int, circuits: CircuitFiles, effort: Effort, say: Callable[[str], None]) -> InstantFigures:
    """Start a farm of so many boards, measure it, stop it.  Raises the error of an evaluation that fails."""
    with (
        running_farm(boards, "instant", say, routers=effort.routers) as process,
        Farm(process.url, name="bench") as farm,
    ):
        members = parties(process.pid)
        ready = [_time_to_reserve(farm, boards) for _ in range(RESERVATIONS)]
        paths = cycle(map(str, circuits.paths))
        with farm.reserve(1) as one:
            latency, lone_calls = _latencies(farm, one, paths)
            known = _bytes_when_known(one, list(map(str, circuits.paths[:KNOWN])), process.url)
        _wait_for(farm, boards)
        with farm.reserve(boards) as all_boards:
            stretches = [
                run_stretch(all_boards, paths, effort.seconds, lambda: accounts_of(members), process.url)
                for _ in range(effort.repeats)
            ]
            router = measure_router(farm, all_boards)
        accounts = accounts_of(parties(process.pid)).of
        return InstantFigures(boards, ready, latency, stretches, accounts, known, router, lone_calls)


def _time_to_reserve(farm: Farm, boards: int) -> float:
    began = time.perf_counter()
    reserved = farm.reserve(boards)
    took = time.perf_counter() - began
    reserved.end()
    _wait_for(farm, boards)
    return took


def _wait_for(farm: Farm, boards: int) -> None:
    """Wait until so many boards are available."""
    deadline = time.monotonic() + RETURN_LIMIT
    for _ in farm.watch(0.05):
        if len(farm.available()) >= boards:
            return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{boards} boards were not available again after {RETURN_LIMIT:g} s")


def _latencies(farm: Farm, board: Boards, paths: Iterator[str]) -> tuple[list[float], list[float]]:
    """Return how long single evaluations take, and calls over the bare router, in ms, sorted."""
    taken: list[float] = []
    calls: list[float] = []
    while len(taken) < SINGLE_WARM_UP + SINGLE:
        taken += [_latency(board, next(paths)) for _ in range(SINGLE_TURN)]
        calls += [lone_call(farm, board) for _ in range(SINGLE_TURN)]
    return sorted(taken[SINGLE_WARM_UP:]), sorted(calls[SINGLE_WARM_UP:])


def _latency(board: Boards, path: str) -> float:
    began = time.perf_counter()
    for result in board.evaluate([path]):
        _check(result)
    return (time.perf_counter() - began) * 1000


def _bytes_when_known(board: Boards, paths: Sequence[str], url: str) -> float:
    """Return the bytes per evaluation of circuits that were evaluated just before."""
    for result in board.evaluate(paths):
        _check(result)
    before = traffic_to(url)
    for result in board.evaluate(paths):
        _check(result)
    now = traffic_to(url)
    return (now.sent + now.received - before.sent - before.received) / len(paths)


def run_stretch(
    boards: Boards, paths: Iterator[str], seconds: float, look: Callable[[], Accounts], url: str
) -> Stretch:
    """Evaluate for so long, after the warm-up, or until all paths are taken."""
    speed = pace()
    results = boards.evaluate(paths)
    _take(results, WARM_UP)
    before, traffic, machine, began = look(), traffic_to(url), machine_time(), time.perf_counter()
    count = _take(results, seconds)
    took, now, after = time.perf_counter() - began, traffic_to(url), look()
    used = after.cpu_since(before)
    others = machine_time() - machine - sum(used.values())
    results.close()  # type: ignore[attr-defined]
    return Stretch(
        took,
        count,
        {party: cpu / count * 1000 for party, cpu in used.items()},
        (now.sent - traffic.sent) / count,
        (now.received - traffic.received) / count,
        (after.of["boards"].read - before.of["boards"].read) / count,
        max(0.0, others / took),
        speed,
    )


def _take(results: Iterator[Result], seconds: float) -> int:
    """Take results for so long, and return how many."""
    deadline = time.perf_counter() + seconds
    count = 0
    for result in results:
        _check(result)
        count += 1
        if time.perf_counter() >= deadline:
            break
    return count


def _check(result: Result) -> None:
    if result.error is not None:
        raise result.error
