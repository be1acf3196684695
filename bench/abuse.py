"""``python -m bench.abuse``: what one account's evaluations lose while another one asks the farm for too much.

The account that is measured evaluates on two instant boards: undisturbed, during a flood of `bench.floods`, and
undisturbed again; the flood is compared with both.  All of it is on this machine, the flood's own process too: a row
says which processes used how much of it, and how busy the machine was with all that runs on it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from attrs import frozen

from bench.accounts import accounts_of, parties
from bench.circuits import Mix
from bench.files import CircuitFiles, write_circuits
from bench.floods import FLOODS
from icefarm.client import Boards, Farm
from icefarm.testing.processes.farm_process import FarmProcess

#: The goals: the part of the undisturbed rate that stays, the longest time without a result, and of an answer.
LEAST_RATE, LONGEST_GAP, LONGEST_ANSWER = 0.7, 0.150, 1.0
#: MiB that all of the farm's processes together may have more of a while after a flood than before it: caches fill.
MOST_KEPT = 32
#: Seconds between questions of the account that is measured.
ASKING = 0.5
#: Control's lines in its log when a heartbeat is late.
LATE = ("its session", "is offline")


@frozen
class Figures:
    """One stretch of evaluations."""

    rate: float
    gap: float
    #: Seconds of the slowest answer of control to the account that is measured.
    answer: float


@frozen
class Disturbed:
    """A stretch with a flood."""

    kind: str
    figures: Figures
    ratio: float
    late: int
    #: MiB by process: before, at the end of the flood, and later.
    memory: tuple[Mapping[str, float], Mapping[str, float], Mapping[str, float]]
    answers: Mapping[str, int]
    #: Parts of a core that processes used during the flood, and how many wanted to run on the machine.
    cores: Mapping[str, float]
    load: float

    @property
    def kept(self) -> float:
        """MiB that the farm has more of than before."""
        before, _, after = self.memory
        return sum(after.values()) - sum(before.values())

    @property
    def good(self) -> bool:
        """Whether it meets the goals."""
        steady = self.ratio >= LEAST_RATE and self.figures.gap <= LONGEST_GAP and not self.late
        return steady and self.kept <= MOST_KEPT

    @property
    def line(self) -> str:
        """Return a row of the table."""
        before, at_end, after = self.memory
        words = [f"{name} {before[name]:.0f}/{at_end.get(name, 0):.0f}/{after.get(name, 0):.0f}" for name in before]
        used = " ".join(f"{name} {part:.2f}" for name, part in self.cores.items())
        return (
            f"{self.kind:15} {self.ratio:5.2f} {self.figures.gap * 1000:7.0f} {self.figures.answer * 1000:8.0f} "
            f"{self.late:5}  {'yes' if self.good else 'NO':4} {', '.join(words)}  {dict(self.answers)}  "
            f"(cores: {used}; load {self.load:.1f})"
        )


def measure(farm: Farm, boards: Boards, circuits: CircuitFiles, seconds: float) -> Figures:
    """Evaluate for some seconds, as fast as the boards go."""
    began = time.monotonic()
    slowest = [0.0]

    def ask() -> None:
        while time.monotonic() - began < seconds:
            asked = time.monotonic()
            farm.available("pulsecount")
            slowest[0] = max(slowest[0], time.monotonic() - asked)
            time.sleep(ASKING)

    asking = threading.Thread(target=ask)
    asking.start()
    endless = itertools.takewhile(lambda _: time.monotonic() - began < seconds, itertools.cycle(circuits.paths))
    gap, last, count = 0.0, time.monotonic(), 0
    for _ in boards.evaluate(endless):
        now = time.monotonic()
        gap, last, count = max(gap, now - last), now, count + 1
    figures = Figures(count / (time.monotonic() - began), gap, slowest[0])
    asking.join()
    return figures


def memory(process: FarmProcess) -> dict[str, float]:
    """Return the resident MiB of the farm's parties that clients reach."""
    members = parties(process.pid)
    found = accounts_of(members).of
    return {name: found[name].rss / 2**20 for name in ("router", "control", "worker", "PostgreSQL") if name in found}


def token_of(data_dir: Path, name: str) -> str:
    """Make an account with a token."""
    command = [sys.executable, "-m", "icefarm", "token", "add", name, "--role", "client", "--data-dir", str(data_dir)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def late_heartbeats(data_dir: Path) -> int:
    """Count control's complaints so far."""
    log = (data_dir / "log" / "control.log").read_text(errors="replace")
    return sum(all(word in line for word in LATE[:1]) or LATE[1] in line for line in log.splitlines())


def main() -> int:
    options = _parser().parse_args()
    with tempfile.TemporaryDirectory(prefix="icefarm-bench-") as directory:
        circuits = write_circuits(Path(directory), Mix.MIXED, 500)
        data_dir = Path(directory, "farm")
        arguments = ("--boards", "2", "--speed", "instant", "--model", "landscape", "--listen", "127.0.0.1:0")
        with FarmProcess(data_dir, (*arguments, "--require-tokens")) as process:
            process.wait_until_ready()
            flooding = token_of(data_dir, "mallory")
            with Farm(process.url, "ada", token=token_of(data_dir, "ada")) as farm:
                boards = farm.reserve(2)
                measure(farm, boards, circuits, 2.0)
                met = [_flooded(kind, process, flooding, farm, boards, circuits, options) for kind in options.kinds]
    return 0 if all(met) else 1


def _flooded(
    kind: str,
    process: FarmProcess,
    token: str,
    farm: Farm,
    boards: Boards,
    circuits: CircuitFiles,
    options: argparse.Namespace,
) -> bool:
    quiet = measure(farm, boards, circuits, options.seconds / 2)
    before, late = memory(process), late_heartbeats(process.data_dir)
    command = [sys.executable, "-m", "bench.floods", kind, process.url, token, str(options.seconds)]
    flood = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    # Its interpreter starts.
    time.sleep(1.5)
    members = {**parties(process.pid), "flood": [flood.pid]}
    used, began = accounts_of(members), time.monotonic()
    figures = measure(farm, boards, circuits, options.seconds - 1.0)
    spent = accounts_of(members).cpu_since(used)
    cores = {name: seconds / (time.monotonic() - began) for name, seconds in spent.items() if seconds > 0}
    at_end, load = memory(process), os.getloadavg()[0]
    output, _ = flood.communicate(timeout=60)
    again = measure(farm, boards, circuits, options.seconds / 2)
    time.sleep(options.rest)
    late = late_heartbeats(process.data_dir) - late
    rate = (quiet.rate + again.rate) / 2
    row = Disturbed(
        kind,
        figures,
        figures.rate / rate,
        late,
        (before, at_end, memory(process)),
        json.loads(output or "{}"),
        cores,
        load,
    )
    if kind == options.kinds[0]:
        print("flood           ratio  gap ms answer ms  late  good MiB before/at the end/later  answers to the flood")
    beside = f"{quiet.rate:.0f}/s and {again.rate:.0f}/s, {max(quiet.gap, again.gap) * 1000:.0f} ms"
    print(f"{row.line}  (undisturbed {beside})", flush=True)
    return row.good


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.abuse", description=__doc__)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each flood (10)")
    parser.add_argument("--rest", type=float, default=60.0, help="seconds until memory is looked at again (60)")
    parser.add_argument("kinds", nargs="*", default=list(FLOODS), help=f"what to do ({', '.join(FLOODS)})")
    return parser


if __name__ == "__main__":
    sys.exit(main())
