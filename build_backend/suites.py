"""Run suites of the Makefile, several at a time: ``suites.py MAKE JOBS SUITE...``.

Tests with real parts wait much of their time, and leave it to others.  What a suite prints comes whole, when it ends.
All suites run, whichever fails; the last lines say which did, and how long each took.  Only the standard library is
needed.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass


@dataclass(frozen=True)
class Ended:
    """A suite that has run."""

    suite: str
    code: int
    seconds: float
    output: str

    def __str__(self) -> str:
        return f"{self.suite}: {'failed' if self.code else 'passed'} in {self.seconds:.0f} s"


def run(make: str, suite: str) -> Ended:
    """Run one suite; what it prints is kept."""
    print(f"{suite} begins", flush=True)
    began = time.monotonic()
    # Descriptors stay open: make shares its jobs with the makes below by some of them.
    process = subprocess.Popen(
        [make, "--no-print-directory", suite],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        close_fds=False,
    )
    output, _ = process.communicate()
    return Ended(suite, process.returncode, time.monotonic() - began, output)


def report(ended: Ended) -> None:
    """Print what a suite printed."""
    print(f"{f' {ended.suite} ':=^100}\n{ended.output}{ended}", flush=True)


def run_all(make: str, jobs: int, suites: Sequence[str]) -> list[Ended]:
    """Run all suites, so many at a time, in this order; each is reported when it ends."""
    done = []
    with ThreadPoolExecutor(jobs) as pool:
        running: list[Future[Ended]] = [pool.submit(run, make, suite) for suite in suites]
        try:
            for future in as_completed(running):
                done.append(future.result())
                report(done[-1])
        except KeyboardInterrupt:
            # Those that run have been interrupted, too, and end.
            pool.shutdown(cancel_futures=True)
            for future in running:
                if not future.cancelled() and future.result() not in done:
                    report(future.result())
            raise SystemExit("interrupted") from None
    return done


def main() -> None:
    """Run the suites that the command line names."""
    make, jobs, *suites = sys.argv[1:]
    began = time.monotonic()
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
