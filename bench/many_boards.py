"""What many boards cost control, PostgreSQL and the router: reserving, returning, a lost router, and nothing at all.

The boards are those of `bench.shelf`: they take no time, so what is measured is the software's part.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import median
from threading import Thread

from attrs import Factory, define, frozen

from bench.accounts import Party, accounts_of, machine_time, pace, parties
from bench.farm import running_farm
from icefarm.client import Farm
from icefarm.errors import IcefarmError
from icefarm.testing.processes.farm_process import FarmProcess

__all__ = ["ManyFigures", "Step", "many_lines", "measure_many"]

#: Seconds for anything to happen, and between looks.
LIMIT, LOOK = 180.0, 0.02
#: Times that all boards are reserved and returned; questions for the free boards; clients that end at once.
ROUNDS, QUESTIONS, CLIENTS = 3, 200, 5


@frozen
class Step:
    """How long something took, and milliseconds of CPU per board, by party."""

    seconds: float
    cpu_ms: Mapping[Party, float]
    #: Cores, of those of the machine, that were busy with something else.
    others: float


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
    #: Seconds from the router's end until it listened, and until every board could be called.
    router: float = 0.0
    whole: float = 0.0
    #: Percent of a core while nothing happens, by party.
    idle: Mapping[Party, float] = Factory(dict)


def measure_many(boards: int, workers: int, circuit: Path, idle: float, say: Callable[[str], None]) -> ManyFigures:
    """Measure a farm of so many boards."""
    figures = ManyFigures(boards, workers, pace())
    with running_farm(0, "instant", say) as process:
        began = time.perf_counter()
        with shelf(process.url, boards, workers) as pid, Farm(process.url, "bench") as farm:
            _wait_for(farm, boards)
            figures.start = time.perf_counter() - began
            members = {**parties(process.pid), "shelf": [pid]}
            clock = _Clock(members, boards)
            for _ in range(ROUNDS):
                _reserve_and_return(farm, boards, figures, clock)
            say("reserved and returned")
            figures.available = [_question(farm) for _ in range(QUESTIONS)]
            _end_together(process.url, boards, figures)
            _wait_for(farm, boards)
            say("ended together")
            figures.idle = clock.idle(idle)
            _lose_router(process, farm, boards, circuit, figures)
    return figures


@contextmanager
def shelf(url: str, boards: int, workers: int) -> Iterator[int]:
    """Run the workers; gives their process."""
    command = [sys.executable, "-m", "bench.shelf", url, str(boards), str(workers)]
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
    """Kill the router while all boards are reserved; the farm is whole again when each of them has evaluated."""
    reserved = farm.reserve(boards)
    began = time.perf_counter()
    for pid in parties(process.pid)["router"]:
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
        f"{figures.boards} boards of {figures.workers} workers; the fixed piece of Python took {figures.pace:.1f} ms",
        f"  all there              {figures.start:7.2f} s",
        *(_step_lines("reserve", figures.reserve)),
        *(_step_lines("end answered", figures.end)),
        *(_step_lines("all free again", figures.back)),
        f"  available() p50, p99   {median(answers):7.1f} ms {answers[len(answers) * 99 // 100]:7.1f} ms",
        f"  {CLIENTS} end at once, answered {max(figures.together, default=0.0):6.2f} s",
        f"  router killed: control answers {figures.router:.2f} s, every board has evaluated {figures.whole:.2f} s",
        f"  idle, % of a core      {_by_party(figures.idle, 1)}",
    ]
    return lines + [f"  ERROR {error}" for error in figures.errors]


def _step_lines(name: str, steps: Sequence[Step]) -> list[str]:
    middle = sorted(steps, key=lambda step: step.seconds)[len(steps) // 2]
    took = ", ".join(f"{step.seconds:.2f}" for step in steps)
    return [
        f"  {name:22} {middle.seconds:7.2f} s ({took}; {middle.others:.1f} cores busy with other work)",
        f"  {'':22} ms of CPU a board: {_by_party(middle.cpu_ms, 2)}",
    ]


def _by_party(used: Mapping[Party, float], digits: int) -> str:
    return ", ".join(f"{party} {amount:.{digits}f}" for party, amount in sorted(used.items()) if amount > 0)
