"""What tests have started ends with their process, also when that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icefarm.testing.processes.farm_process import Witness

#: A process of tests with a companion, and processes that lead sessions of their own: one that ends when it is asked
#: to, and one that does not, with a child of its own that nobody asks.  All write to one pipe: each number and the end
#: of its line have to be one write, which `print` does not promise.
TESTS = """
import leftovers, os, signal, subprocess, sys
os.write(1, b"%d\\n" % leftovers.watch(grace=0.3))
stubborn = "trap '' TERM; sleep 1000 & echo $!; wait; sleep 1000"
for command in (["sleep", "1000"], ["sh", "-c", "echo $$; " + stubborn]):
    child = subprocess.Popen(command, start_new_session=True)
    os.write(1, b"%d\\n" % child.pid)
signal.pause()
"""


@contextmanager
def process_of_tests() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """Start such a process; yield it, and the numbers of all: its own, its companion's, and of what it started."""
    command, place = [sys.executable, "-c", TESTS], Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=place) as process:
        assert process.stdout is not None
        try:
            # It does not end by itself, so it is killed also where it has not said who it started.
            yield process, [process.pid, *(int(process.stdout.readline()) for _ in range(5))]
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_a_process_of_tests_started_ends_with_it(how: signal.Signals) -> None:
    with process_of_tests() as (process, pids):
        process.send_signal(how)
        assert Witness(pids).left() == []


def test_what_others_started_stays() -> None:
    with process_of_tests() as (other, of_others):
        with process_of_tests() as (process, pids):
            process.kill()
            assert Witness(pids).left() == []
        assert len(Witness(of_others).left(0.0)) == len(of_others)
        other.kill()
        assert Witness(of_others).left() == []
