"""The verb ``demo``: a farm of virtual boards, the example circuits on each board, and where each result came from."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from icefarm.farm.errors import CannotStart
from icefarm.farm.router.config import find_crossbar
from icefarm.system.extras import require_control_packages
from icefarm.text.counts import counted

if TYPE_CHECKING:
    from icefarm.client import Result

__all__ = ["demo"]

BOARDS = 4
WINDOW = 1.0  # seconds
#: Part of a count by which it may miss the prediction, and pulses that may fall on the edge of the window.
TOLERANCE, EDGE = 1e-3, 2
#: Seconds for the farm to stop.
STOP_LIMIT = 60.0

#: The example circuits, which are part of icefarm.
CIRCUITS = Path(__file__).resolve().parents[3] / "data" / "circuits"
ROW = "{:<16} {:<17} {:<10} {:>8} {:>9} {:>8}  {:<18} {:>7}  {:<10}"
HEADS = ("circuit", "board", "worker", "pulses", "window", "load", "firmware", "attempt", "bitstream")


@click.command()
@click.option("--boards", type=click.IntRange(1, 64), default=BOARDS, show_default=True, help="Virtual boards.")
def demo(boards: int) -> None:
    """Start a farm of virtual boards, evaluate the example circuits on each, print the results, and stop.

    It takes about 20 seconds. The farm is a real one (what "icefarm up" starts: PostgreSQL, router, control, worker),
    in a temporary directory and on a free port; its boards are as slow as real ones. The exit code is 0 if
    every board counted the pulses that an independent simulation of the circuit predicts.
    """
    require_control_packages("the demo")
    find_crossbar(None)
    began = time.monotonic()
    frequencies = predictions()
    click.echo(f"starting a farm with {boards} virtual boards; the demo takes about 20 s")
    with running_farm(boards) as url:
        right = evaluate(url, boards, frequencies)
    wanted = len(frequencies) * boards
    seconds = time.monotonic() - began
    click.echo(f"\n{right} of {wanted} results as predicted; the farm has stopped; {seconds:.1f} s in all")
    sys.exit(0 if right == wanted else 1)


@contextmanager
def running_farm(boards: int) -> Iterator[str]:
    """Run ``icefarm up`` for the duration of a ``with`` block, which gets the farm's URL."""
    with tempfile.TemporaryDirectory(prefix="icefarm-demo-") as directory:
        command = [
            sys.executable, "-m", "icefarm", "up", "--boards", str(boards), "--data-dir", directory,
            "--listen", "127.0.0.1:0", "--name", "demo",
        ]  # fmt: skip
        farm = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            yield wait_for_url(farm)
        finally:
            if farm.poll() is None:
                farm.send_signal(signal.SIGINT)
            farm.communicate(timeout=STOP_LIMIT)


def wait_for_url(farm: subprocess.Popen[str]) -> str:
    """Pass on what the farm says until it says where it can be reached.  Raises `CannotStart`."""
    assert farm.stdout is not None
    for line in farm.stdout:
        click.echo(f"  {line.rstrip()}")
        ready = re.match(r"ready in .*: (\S+)$", line)
        if ready:
            return ready[1]
    raise CannotStart("the farm of the demo did not start; the lines above say why")


def predictions() -> dict[str, float]:
    """Return the frequency of each example circuit, Hz."""
    lines = (line.split() for line in (CIRCUITS / "frequencies.txt").read_text().splitlines())
    return {words[3]: float(words[2]) for words in lines if words and not words[0].startswith("#")}


def evaluate(url: str, boards: int, frequencies: dict[str, float]) -> int:
    """Evaluate every circuit on every board, print a row for each; return how many were as predicted."""
    from icefarm.client import Farm

    paths = [CIRCUITS / f"{name}.bin" for name in frequencies]
    right = 0
    with Farm(url, name="demo") as farm, farm.reserve(boards, kind="pulsecount", window=WINDOW) as reserved:
        click.echo(f"reserved {counted(len(reserved), 'board')}: {', '.join(reserved.serials)}\n")
        click.echo(ROW.format(*HEADS))
        for result in reserved.evaluate_each(paths):
            print_row(result)
            right += as_predicted(result, frequencies[Path(result.source).stem])
    return right


def print_row(result: Result) -> None:
    """Print where a result came from, or why there is none."""
    name = Path(result.source).stem
    if result.error is not None:
        click.echo(f"{name:<16} {result.serial or '-':<17} {result.error}")
        return
    found = result.measurement
    window, load = f"{found.window_us / 1e6:.4f} s", f"{found.load_us / 1e3:.1f} ms"
    firmware = f"{found.firmware} {found.firmware_version}"
    row = (name, found.serial, found.worker, found.value, window, load, firmware, found.attempt, found.sha256[:10])
    click.echo(ROW.format(*row))


def as_predicted(result: Result, frequency: float) -> bool:
    """Tell whether a board counted what a frequency, Hz, gives in its window."""
    if result.error is not None:
        return False
    expected = frequency * result.measurement.window_us / 1e6
    return abs(result.value - expected) <= expected * TOLERANCE + EDGE
