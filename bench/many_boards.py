"""What many boards cost control, PostgreSQL and routers: reserving, returning, evaluating, a lost router, and nothing.

The boards are those of `bench.shelf`: they take no time, so what is measured is the software's part.  In the end they
take as long as real ones, to see whether one client keeps them all busy.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from statistics import median
from threading import Thread

from attrs import Factory, define, frozen

from bench.accounts import Party, accounts_of, machine_time, pace, parties
from bench.farm import router_urls, running_farm
from bench.instant import Stretch, run_stretch
from icefarm.client import Farm
from icefarm.errors import IcefarmError
from icefarm.testing.processes.farm_process import FarmProcess
from icefarm.text.counts import counted

__all__ = ["ManyFigures", "Shape", "Step", "many_lines", "measure_many", "ratio_lines", "router_of"]

#: Seconds for anything to happen, and between looks.
LIMIT, LOOK = 180.0, 0.02
#: Times that all boards are reserved and returned; questions for the free boards; clients that end at once.
ROUNDS, QUESTIONS, CLIENTS = 3, 200, 5
#: What an evaluation on a real board takes: a window of 1 s, and 34.8 ms in which its FPGA loads the configuration
#: (docs/performance.md).
REAL_SECONDS = 1.0348
#: Seconds of evaluations on all boards; on those that take as long as real ones, a whole number of evaluations each.
EVALUATING, REAL = 10.0, 20 * REAL_SECONDS


@frozen
class Step:
    """How long something took, and milliseconds of CPU per board, by party."""

    seconds: float
    cpu_ms: Mapping[Party, float]
    #: Cores, of those of the machine, that were busy with something else.
    others: float


@frozen
class Shape:
    """A farm to be measured."""

    boards: int
    workers: int
    routers: int = 1


@define
class ManyFigures:
    """Of one farm."""

    boards: int
    workers: int
    pace: float = 0.0
    #: Until all boards could be reserved, from when their workers' process was started.
    start: float = 0.0
    reserve: list[Step] = Factory(list)
    #: Until `end` was answered, and until all boards could be reserved again.
    end: list[Step] = Factory(list)
    back: list[Step] = Factory(list)
    #: Milliseconds of each question for the free boards.
    available: list[float] = Factory(list)
    #: Seconds until each of the clients that end at once was answered, and what went wrong.
    together: list[float] = Factory(list)
    errors: list[str] = Factory(list)
    #: Evaluations on all boards.
    evaluating: Stretch | None = None
    #: The same on boards that take as long as real ones.
    real: Stretch | None = None
    #: Seconds from the end of a router until control answered, and until every board could be called.
    router: float = 0.0
    whole: float = 0.0
    #: Percent of a core while nothing happens, by party.
    idle: Mapping[Party, float] = Factory(dict)
    routers: int = 1

    def beside_goals(self) -> dict[str, float]:
        """Return what there are goals for, by name (`bench.goals`)."""
        boards = f"{self.boards} boards"
        found = {
            f"reserve all, {boards}": _middle(self.reserve),
            f"all are free again, {boards}": _middle(self.back),
            f"available(), p50, {boards}": median(self.available),
            f"router killed, until each board has evaluated, {boards}": self.whole,
            f"idle control, {boards}": self.idle["control"],
        }
        if self.real is not None:
            found[f"part of real boards' rate, one client, {boards}"] = self.real.rate * REAL_SECONDS / self.boards
            found[f"CPU per evaluation, {boards}, real speed"] = sum(self.real.cpu_ms.values())
        return found


def measure_many(shape: Shape, circuits: Sequence[Path], idle: float, say: Callable[[str], None]) -> ManyFigures:
    """Measure a farm."""
    boards = shape.boards
    figures = ManyFigures(boards, shape.workers, pace(), routers=shape.routers)
    with running_farm(0, "instant", say, routers=shape.routers) as process:
        began, urls = time.perf_counter(), router_urls(process)
        with shelf(urls, boards, shape.workers) as pid, Farm(process.url, "bench") as farm:
            _wait_for(farm, boards)
            figures.start = time.perf_counter() - began
            members = {**_by_router(parties(process.pid)), "shelf": [pid]}
            clock = _Clock(members, boards)
            for _ in range(ROUNDS):
                _reserve_and_return(farm, boards, figures, clock)
            say("reserved and returned")
            figures.available = [_question(farm) for _ in range(QUESTIONS)]
            _end_together(process.url, boards, figures)
            _wait_for(farm, boards)
            say("ended together")
            figures.idle = clock.idle(idle)
            # There are no processes of boards.
            look = partial(accounts_of, {**members, "boards": []})
            with farm.reserve(boards) as reserved:
                figures.evaluating = run_stretch(reserved, cycle(map(str, circuits)), EVALUATING, look, process.url)
                os.kill(pid, signal.SIGUSR1)
                figures.real = run_stretch(reserved, cycle(map(str, circuits)), REAL, look, process.url)
                os.kill(pid, signal.SIGUSR2)
            _wait_for(farm, boards)
            say("evaluated")
            _lose_router(process, farm, boards, circuits[0], figures)
    return figures


def _by_router(members: Mapping[Party, list[int]]) -> dict[Party, list[int]]:
    """Tell the processes of several routers apart: each runs in its node's directory."""
    routers: dict[int, list[int]] = {}
    for pid in members["router"]:
        routers.setdefault(router_of(Path(os.readlink(f"/proc/{pid}/cwd")).name), []).append(pid)
    return {**members, **{_router(number): pids for number, pids in routers.items()}}


def router_of(node: str) -> int:
    """Return the number of the router that a node's directory belongs to (`icefarm.farm.paths.RouterPlace`)."""
    further = re.fullmatch(r"router-(\d+)[ab]", node)
    return 1 if further is None else int(further[1])


def _router(number: int) -> Party:
    return "router" if number == 1 else f"router {number}"


@contextmanager
def shelf(urls: Sequence[str], boards: int, workers: int) -> Iterator[int]:
    """Run the workers, at these routers in turn; gives their process."""
    command = [sys.executable, "-m", "bench.shelf", ",".join(urls), str(boards), str(workers), str(REAL_SECONDS)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid
        finally:
            process.kill()


@frozen
class _Clock:
    """Measures steps."""

    members: Mapping[Party, list[int]]
    boards: int

    @contextmanager
    def step(self, to: list[Step]) -> Iterator[None]:
        before, machine, began = accounts_of(self.members), machine_time(), time.perf_counter()
        yield
        took = time.perf_counter() - began
        used = accounts_of(self.members).cpu_since(before)
        others = max(0.0, machine_time() - machine - sum(used.values())) / took
        to.append(Step(took, {party: cpu / self.boards * 1000 for party, cpu in used.items()}, others))

    def idle(self, seconds: float) -> dict[Party, float]:
        before = accounts_of(self.members)
        time.sleep(seconds)
        used = accounts_of(self.members).cpu_since(before)
        return {party: cpu / seconds * 100 for party, cpu in used.items()}


def _reserve_and_return(farm: Farm, boards: int, figures: ManyFigures, clock: _Clock) -> None:
    with clock.step(figures.reserve):
        reserved = farm.reserve(boards)
    with clock.step(figures.back):
        with clock.step(figures.end):
            reserved.end()
        _wait_for(farm, boards)


def _wait_for(farm: Farm, boards: int) -> None:
    """Wait until so many boards are free."""
    deadline = time.monotonic() + LIMIT
    while True:
        with suppress(IcefarmError):
            if len(farm.available()) >= boards:
                return
        if time.monotonic() > deadline:
            raise TimeoutError(f"{boards} boards were not available within {LIMIT:g} s")
        time.sleep(LOOK)


def _question(farm: Farm) -> float:
    began = time.perf_counter()
    farm.available()
    return (time.perf_counter() - began) * 1000


def _end_together(url: str, boards: int, figures: ManyFigures) -> None:
    """Clients that have all boards end them at the same time, and reserve one more each at once."""
    farms = [Farm(url, f"bench-{number}") for number in range(CLIENTS)]
    held = [farm.reserve(boards // CLIENTS) for farm in farms]

    def end(number: int) -> None:
        began = time.perf_counter()
        try:
            held[number].end()
            figures.together.append(time.perf_counter() - began)
            with farms[number].reserve(1, wait=True, timeout=60):
                pass
        except Exception as error:  # Whatever a user would see.
            figures.errors.append(f"{type(error).__name__}: {error}")

    threads = [Thread(target=end, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for farm in farms:
        farm.close()


def _lose_router(process: FarmProcess, farm: Farm, boards: int, circuit: Path, figures: ManyFigures) -> None:
    """Kill the last router while all boards are reserved; the farm is whole again when each of them has evaluated."""
    reserved = farm.reserve(boards)
    routers = _by_router(parties(process.pid))
    last = routers[_router(figures.routers)]
    began = time.perf_counter()
    for pid in last:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    farm.available()
    figures.router = time.perf_counter() - began
    for result in reserved.evaluate_each([circuit]):
        if result.error is not None:
            figures.errors.append(f"{result.serial}: {result.error}")
    figures.whole = time.perf_counter() - began
    reserved.end()


def many_lines(figures: ManyFigures) -> list[str]:
    """Return the figures for people."""
    answers = sorted(figures.available)
    lines = [
        f"{figures.boards} boards of {figures.workers} workers, {counted(figures.routers, 'router')}; "
        f"the fixed piece of Python took {figures.pace:.1f} ms",
        f"  all there              {figures.start:7.2f} s",
        *(_step_lines("reserve", figures.reserve)),
        *(_step_lines("end answered", figures.end)),
        *(_step_lines("all free again", figures.back)),
        f"  available() p50, p99   {median(answers):7.1f} ms {answers[len(answers) * 99 // 100]:7.1f} ms",
        f"  {CLIENTS} end at once, answered {max(figures.together, default=0.0):6.2f} s",
        *_evaluating_lines("evaluations", figures.evaluating),
        *_evaluating_lines(f"the same, {REAL_SECONDS} s each", figures.real),
        f"  a router killed: control answers {figures.router:.2f} s, every board has evaluated {figures.whole:.2f} s",
        f"  idle, % of a core      {_by_party(figures.idle, 1)}",
    ]
    return lines + [f"  ERROR {error}" for error in figures.errors]


def _evaluating_lines(name: str, stretch: Stretch | None) -> list[str]:
    if stretch is None:
        return []
    return [
        f"  {name:22} {stretch.rate:7.0f}/s ({stretch.others:.1f} cores busy with other work)",
        f"  {'':22} ms of CPU an evaluation: {_by_party(stretch.cpu_ms, 3)}",
    ]


def ratio_lines(one: ManyFigures, several: ManyFigures) -> list[str]:
    """Return several routers' figures as multiples of one's, for people."""
    return [
        f"{several.routers} routers / 1 router, {one.boards} boards (1.0: alike)",
        *(f"  {name:52} {_ratio(of(one), of(several))}" for name, of in _COMPARED.items()),
    ]


def _ratio(one: float, several: float) -> str:
    return f"{several / one:6.2f}  ({one:.4g}, {several:.4g})" if one else "     -"


def _busiest(figures: ManyFigures) -> float:
    """Return the milliseconds of CPU per evaluation of the router that does most."""
    spent = {} if figures.evaluating is None else figures.evaluating.cpu_ms
    return max((cpu for party, cpu in spent.items() if party.startswith("router")), default=0.0)


def _all_parties(figures: ManyFigures) -> float:
    return 0.0 if figures.evaluating is None else sum(figures.evaluating.cpu_ms.values())


def _rate(figures: ManyFigures) -> float:
    return 0.0 if figures.evaluating is None else figures.evaluating.rate


def _middle(steps: Sequence[Step]) -> float:
    return median(step.seconds for step in steps)


_COMPARED: Mapping[str, Callable[[ManyFigures], float]] = {
    "evaluations a second": _rate,
    "ms of CPU an evaluation, the busiest router": _busiest,
    "ms of CPU an evaluation, all processes": _all_parties,
    "s to reserve all": lambda figures: _middle(figures.reserve),
    "s until all are free again": lambda figures: _middle(figures.back),
    "s from a router's end until every board is called": lambda figures: figures.whole,
}


def _step_lines(name: str, steps: Sequence[Step]) -> list[str]:
    middle = sorted(steps, key=lambda step: step.seconds)[len(steps) // 2]
    took = ", ".join(f"{step.seconds:.2f}" for step in steps)
    return [
        f"  {name:22} {middle.seconds:7.2f} s ({took}; {middle.others:.1f} cores busy with other work)",
        f"  {'':22} ms of CPU a board: {_by_party(middle.cpu_ms, 2)}",
    ]


def _by_party(used: Mapping[Party, float], digits: int) -> str:
    return ", ".join(f"{party} {amount:.{digits}f}" for party, amount in sorted(used.items()) if amount > 0)
