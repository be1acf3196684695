"""``python -m fuzz``: fuzz for some seconds, keep what makes something fail, and say so with exit code 1."""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import active_children
from pathlib import Path
from random import Random

from fuzz.targets import TARGETS, Target

#: The C decoder, built with sanitizers by ``make -C firmware test``; frames that it gets at a time, about a second.
_MUTATE = Path(__file__).resolve().parents[2] / "firmware" / "build" / "mutate"
_FRAMES = 10_000
#: CPU seconds that one input may take at most; the slowest good one takes a hundredth.
_SLOW = 2.0
_BY_NAME = {target.name: target for target in TARGETS}


def fuzz(target: Target, seconds: float, seed: int, findings: Path) -> tuple[int, int]:
    """Return how many inputs were tried, and how many made something fail; those are in ``findings``."""
    tried = failed = 0
    end = time.monotonic() + seconds
    for data in target.inputs(Random(f"{target.name} {seed}")):
        if time.monotonic() > end:
            break
        tried += 1
        began = time.thread_time()
        try:
            target.check(data)
            assert time.thread_time() - began < _SLOW, f"took more than {_SLOW:g} s of CPU time"
        except Exception:
            failed += 1
            findings.mkdir(parents=True, exist_ok=True)
            path = findings / f"{target.name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            traceback.print_exc()
            print(f"{target.name}: {path} makes it fail", file=sys.stderr)
    return tried, failed


def fuzz_named(name: str, seconds: float, seed: int, findings: Path) -> tuple[int, int]:
    """Do what `fuzz` does, in another process: a target has functions, which can't be sent there."""
    return fuzz(_BY_NAME[name], seconds, seed, findings)


def fuzz_firmware(seconds: float, seed: int) -> tuple[int, int]:
    """Give the C core frames, most of them damaged; returns as `fuzz` does."""
    end = time.monotonic() + seconds
    rounds = 0
    while time.monotonic() < end:
        done = subprocess.run([_MUTATE, str(_FRAMES), str(seed + rounds)], capture_output=True, text=True, check=False)
        rounds += 1
        if done.returncode != 0:
            print(f"{_MUTATE} {_FRAMES} {seed + rounds - 1}:\n{done.stdout}{done.stderr}", file=sys.stderr)
            return rounds * _FRAMES, 1
    return rounds * _FRAMES, 0


@contextmanager
def _processes(amount: int) -> Iterator[ProcessPoolExecutor]:
    """Yield processes that end with this one: after Ctrl-C, or SIGTERM, a pool would have them try all that is left."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with ProcessPoolExecutor(amount, initializer=_end_by_signals) as pool:
        try:
            yield pool
        except KeyboardInterrupt:
            for process in active_children():
                process.terminate()
            raise


def _end_by_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it takes; the targets share it (60)")
    parser.add_argument("--jobs", type=int, default=1, help="targets that are tried at a time, in a process each (1)")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"), help="where inputs that fail are kept")
    parser.add_argument("--target", choices=[target.name for target in TARGETS], action="append")
    options = parser.parse_args()
    chosen = [name for name in _BY_NAME if options.target is None or name in options.target]
    firmware = options.target is None and _MUTATE.exists()
    each = options.seconds * options.jobs / (len(chosen) + firmware)
    print(f"seed {options.seed}", flush=True)
    inputs = failures = 0
    with _processes(options.jobs) as pool:
        tasks: dict[str, Future[tuple[int, int]]] = {
            name: pool.submit(fuzz_named, name, each, options.seed, options.findings) for name in chosen
        }
        if firmware:
            tasks["frames of the firmware (C, under sanitizers)"] = pool.submit(fuzz_firmware, each, options.seed)
        for name, task in tasks.items():
            tried, failed = task.result()
            print(f"{name}: {tried} inputs, {failed} of them made it fail", flush=True)
            inputs += tried
            failures += failed
    if options.target is None and not firmware:
        print("frames of the firmware (C): not built; make -C firmware test builds it")
    print(f"{inputs} inputs in all, {failures} of them made something fail")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
