"""Farms of many boards for tests and pictures: serials as chips have them, and something of all that can happen."""

from __future__ import annotations

import random

from attrs import frozen
from browser.conftest import Stage

__all__ = ["CLIENTS", "EXPERIMENT", "Crowd", "gather"]

#: Boards of a worker at most.
PER_WORKER = 16
#: Samples of the farm's past.
SAMPLES = 30
#: A client with a short name, and one with a long name.
CLIENTS = ("exp-42", "ada-lovelace-night-run")
#: An experiment of each of them, with a long name.
EXPERIMENT = "counters at 8 kHz over all boards, second night, with the new firmware"
REASON = (
    "CDONE stayed low after 3 attempts to configure the FPGA; the board's power or its cable may be at fault, "
    "see docs/troubleshooting.md"
)


@frozen
class Crowd:
    """A farm, and boards of it to look at."""

    url: str
    token: str
    busy: str
    broken: str
    boards: int


def gather(stage: Stage, boards: int) -> Crowd:
    """Let so many boards come; half of those of two workers are reserved, one is broken and one is offline."""
    chance = random.Random(boards)
    per_worker = min(PER_WORKER, max(2, boards // 2))
    held: list[str] = []
    workers: list[list[str]] = []
    for number in range(boards // per_worker):
        serials = [f"{chance.getrandbits(64):016X}" for _ in range(per_worker)]
        workers.append(serials)
        stage.do("worker", name=f"lab-{number + 1}", serials=serials)
    for client, serials in zip(CLIENTS, workers, strict=False):
        half = serials[: per_worker // 2]
        held += half
        stage.do("client", name=client)
        stage.do("call", client=client, procedure="reserve", fields={"serials": half, "kind": "pulsecount"})
        announced = {"name": EXPERIMENT, "total": 1_000_000}
        stage.do("call", client=client, procedure="experiment_announce", fields=announced)
        results = [(serial, None if n % 5 == 4 else 10_000 + 100 * n) for n in range(5) for serial in half]
        stage.do("measure", worker=f"lab-{CLIENTS.index(client) + 1}", experiment=EXPERIMENT, results=results)
        figures = {"name": EXPERIMENT, "figures": {"best_fitness": 0.75}}
        stage.do("call", client=client, procedure="experiment_log", fields=figures)
    last = workers[-1][-1]
    stage.do("report", worker=f"lab-{len(workers)}", serial=last, status="broken", reason=REASON)
    stage.do("report", worker="lab-1", serial=workers[0][-1], status="offline", reason="not connected")
    stage.do("log", worker="lab-1", level="warn", message="flash retry", serial=held[0])
    stage.do("calibrate", serial=held[0], ppm=1234.5)
    stage.do("calibrate", serial=last, ppm=-98_765.4, suspect=f"offset -98765 ppm at oscillator: {REASON}")
    for rounds in range(2):
        done = [
            {"serial": serial, "kind": "pulsecount", "evaluations": 40 * rounds, "temperature_c": 32.2 + index / 7}
            for index, serial in enumerate(workers[0][: per_worker // 2])
        ]
        stage.do("count", worker="lab-1", readings=done)
    stage.do("client", name="eve")
    wanted = {"serials": held[:1], "kind": "pulsecount", "wait": True, "no_wait": True}
    stage.do("call", client="eve", procedure="reserve", fields=wanted)
    stage.do("sample", amount=SAMPLES)
    return Crowd(stage.url, stage.token, held[0], last, per_worker * len(workers))
