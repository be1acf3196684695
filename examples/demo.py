"""Start a farm of virtual boards, evaluate the example circuits on each board, print where each result came from, stop.

This is what ``make demo`` runs. The farm is a real one (``icefarm up``: PostgreSQL, router, control, worker) in a
temporary directory, on a free port; its boards take the time that real ones take. The exit code is 0 when every board
counted the pulses that another simulation of the circuit predicts (circuits/frequencies.txt).
"""

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

from icefarm.client import Farm, Result

BOARDS = 4
WINDOW = 1.0  # seconds
#: Part of a count by which it may miss the prediction, and pulses that may fall on the edge of the window.
TOLERANCE, EDGE = 1e-3, 2
#: Seconds for the farm to stop.
STOP_LIMIT = 60.0

CIRCUITS = Path(__file__).resolve().parent / "circuits"
ROW = "{:<16} {:<17} {:<10} {:>8} {:>9} {:>8}  {:<18} {:>7}  {:<10}"


@contextmanager
def running_farm() -> Iterator[str]:
    """Run ``icefarm up`` for the duration of a ``with`` block, which gets the farm's URL."""
    with tempfile.TemporaryDirectory(prefix="icefarm-demo-") as directory:
        command = [
            sys.executable, "-m", "icefarm", "up", "--boards", str(BOARDS), "--data-dir", directory,
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
    """Pass on what the farm says until it says where it can be reached."""
    assert farm.stdout is not None
    for line in farm.stdout:
        print(f"  {line.rstrip()}", flush=True)
        ready = re.match(r"ready in .*: (\S+)$", line)
        if ready:
            return ready[1]
    sys.exit("the farm did not start")


def predictions() -> dict[str, float]:
    """Return the frequency of each example circuit, Hz."""
    lines = (line.split() for line in (CIRCUITS / "frequencies.txt").read_text().splitlines())
    return {words[3]: float(words[2]) for words in lines if words and not words[0].startswith("#")}


def evaluate(url: str, frequencies: dict[str, float]) -> int:
    """Evaluate every circuit on every board, print a row for each; return how many were as predicted."""
    paths = [CIRCUITS / f"{name}.bin" for name in frequencies]
    right = 0
    with Farm(url, name="demo") as farm, farm.reserve(BOARDS, kind="pulsecount", window=WINDOW) as boards:
        print(f"reserved {len(boards)} boards: {', '.join(boards.serials)}\n")
        print(ROW.format("circuit", "board", "worker", "pulses", "window", "load", "firmware", "attempt", "bitstream"))
        for result in boards.evaluate_each(paths):
            print_row(result)
            right += as_predicted(result, frequencies[Path(result.source).stem])
    return right


def print_row(result: Result) -> None:
    name = Path(result.source).stem
    if result.error is not None:
        print(f"{name:<16} {result.serial or '-':<17} {result.error}", flush=True)
        return
    found = result.measurement
    window, load = f"{found.window_us / 1e6:.4f} s", f"{found.load_us / 1e3:.1f} ms"
    firmware = f"{found.firmware} {found.firmware_version}"
    row = (name, found.serial, found.worker, found.value, window, load, firmware, found.attempt, found.sha256[:10])
    print(ROW.format(*row), flush=True)


def as_predicted(result: Result, frequency: float) -> bool:
    if result.error is not None:
        return False
    expected = frequency * result.measurement.window_us / 1e6
    return abs(result.value - expected) <= expected * TOLERANCE + EDGE


def main() -> int:
    began = time.monotonic()
    frequencies = predictions()
    print(f"starting a farm with {BOARDS} virtual boards")
    with running_farm() as url:
        right = evaluate(url, frequencies)
    wanted = len(frequencies) * BOARDS
    print(f"\n{right} of {wanted} results as predicted; the farm has stopped; {time.monotonic() - began:.1f} s in all")
    return 0 if right == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
