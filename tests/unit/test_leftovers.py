"""What tests have started ends with their process, also when that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from leftovers import has_room

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


def test_the_directory_of_a_process_of_tests_goes_with_it() -> None:
    text = "import leftovers; print(leftovers.watch(), leftovers.place()); (leftovers.place() / 'file').touch()"
    place = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, cwd=place, check=True)
    companion, directory = done.stdout.split()
    assert Witness([int(companion)]).left() == []
    assert not Path(directory).exists()


def test_files_are_in_memory_where_there_is_room(tmp_path: Path) -> None:
    assert has_room(tmp_path, 1)
    assert not has_room(tmp_path, 1 << 60)
    assert not has_room(tmp_path / "missing", 1)
