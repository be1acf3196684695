"""Run suites of the Makefile, several at a time: ``suites.py MAKE JOBS SUITE...``.

What a suite prints comes as it is printed; where several run at a time, it comes whole when the suite ends.  All suites
run, whichever fails; the last lines say which did, and how long each took.  SIGTERM ends those that run, and what they
printed is shown.  Only the standard library is needed.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Event, Lock
from types import FrameType
from typing import Any

#: One report at a time.
_printing = Lock()
#: Suites that run, and whether they are to end.
_running: set[subprocess.Popen[Any]] = set()
_ending = Event()


@dataclass(frozen=True)
class Ended:
    """A suite that has run."""

    suite: str
    code: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.suite}: {'failed' if self.code else 'passed'} in {self.seconds:.0f} s"


def run(make: str, suite: str, alone: bool) -> Ended:
    """Run one suite, and say how it ended; unless it runs alone, after all that it printed."""
    if _ending.is_set():
        return Ended(suite, signal.SIGTERM, 0.0)
    print(f"{f' {suite} ':=^100}" if alone else f"{suite} begins", flush=True)
    began = time.monotonic()
    # Descriptors stay open: make shares its jobs with the makes below by some of them.
    process = subprocess.Popen(
        [make, "--no-print-directory", suite],
        stdin=subprocess.DEVNULL,
        stdout=None if alone else subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,
    )
    _running.add(process)
    if _ending.is_set():
        process.terminate()
    output, _ = process.communicate()
    _running.discard(process)
    ended = Ended(suite, process.returncode, time.monotonic() - began)
    with _printing:
        print(ended if alone else f"{f' {suite} ':=^100}\n{output}{ended}", flush=True)
    return ended


def _terminate(_: int, __: FrameType | None) -> None:
    """End the suites that run, and begin no other one.  Each make ends what it started."""
    _ending.set()
    for process in [*_running]:
        process.terminate()
    raise KeyboardInterrupt


def run_all(make: str, jobs: int, suites: Sequence[str]) -> list[Ended]:
    """Run all suites, so many at a time, in this order."""
    with ThreadPoolExecutor(jobs) as pool:
        running = [pool.submit(run, make, suite, jobs == 1) for suite in suites]
        try:
            return [future.result() for future in running]
        except KeyboardInterrupt:
            # Those that run have been interrupted, too, and end.
            pool.shutdown(cancel_futures=True)
            raise SystemExit("interrupted") from None


def main() -> None:
    """Run the suites that the command line names."""
    make, jobs, *suites = sys.argv[1:]
    began = time.monotonic()
    signal.signal(signal.SIGTERM, _terminate)
    done = run_all(make, int(jobs), suites)
    print(f"{' all suites ':=^100}")
    for each in sorted(done, key=lambda ended: -ended.seconds):
        print(each)
    print(f"took {time.monotonic() - began:.0f} s")
    failed = [each.suite for each in done if each.code]
    if failed:
        raise SystemExit(f"failed: {' '.join(failed)}")


if __name__ == "__main__":
    main()
