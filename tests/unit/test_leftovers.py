"""What tests have started ends with their process, also when that is killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from leftovers import has_room, left_by_limits

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


def limited(group: Path, most: str, names: tuple[str, str], stat: str) -> None:
    """Write what Linux says of a control group that uses 300 bytes."""
    group.mkdir(parents=True, exist_ok=True)
    (group / names[0]).write_text(f"{most}\n")
    (group / names[1]).write_text("300\n")
    (group / "memory.stat").write_text(stat)


def test_the_memory_of_a_container_is_what_its_limit_leaves(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("0::/a/b\n")
    names, stat = ("memory.max", "memory.current"), "anon 200\ninactive_file 40\nactive_file 60\n"
    assert left_by_limits(own, tmp_path / "none") == float("inf")
    limited(tmp_path / "new/a/b", "max", names, stat)
    assert left_by_limits(own, tmp_path / "new") == float("inf")
    limited(tmp_path / "new/a", "1000", names, stat)
    assert left_by_limits(own, tmp_path / "new") == 1000 - 300 + 100
    limited(tmp_path / "new/a/b", "500", names, "anon 300\n")
    assert left_by_limits(own, tmp_path / "new") == 200


def test_the_limit_is_read_where_linux_has_the_older_control_groups(tmp_path: Path) -> None:
    own = tmp_path / "cgroup"
    own.write_text("9:name=systemd:/\n5:cpu,cpuacct:/a\n4:memory:/outside:1/a\n0::/\n")
    # Inside a container, the names of groups are those outside of it.
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
    limited(tmp_path / "old/memory", "1000", names, "total_inactive_file 40\ninactive_file 7\n")
    assert left_by_limits(own, tmp_path / "old") == 1000 - 300 + 40
