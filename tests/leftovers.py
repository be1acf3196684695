"""Ends what tests have started and could not stop, however their process ends.

A process of tests that is killed stops nothing: pytest-xdist kills its workers ten seconds after Ctrl-C (as at the
limit of a suite), and the farms that they started lead sessions of their own.  So each process of tests has a
companion, ``leftovers.py NAME SECONDS DIRECTORY``, that waits for the end of a pipe whose other end only that process
has.  Then it ends all processes whose environment has that name: it asks them first, since a farm stops its database
and its boards, and kills those that are left after so many seconds.  At last it removes the directory.

The companion needs the standard library only, and must not be stopped with the tests: it has a session of its own.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["VARIABLE", "end", "left_by_limits", "mark", "place", "watch"]

#: The variable that names the process of tests; a farm hands it on to what it starts (those of icefarm it does not).
VARIABLE = "STARTED_BY_TESTS"
#: Seconds for processes to end once they are asked to, and between two looks for new ones.
GRACE, PAUSE = 10.0, 0.1
#: Where a machine keeps files in its memory, and the bytes that have to be free, there and of the memory itself.
MEMORY, ROOM = Path("/dev/shm"), 6 << 30
#: Files of a control group, by the hierarchy that it is in (version 1, by its controllers, or 2): the most bytes, those
#: in use, and in memory.stat those of them that hold files of disks, which Linux lets go first.
_LIMITS = {
    "memory": ("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_inactive_file", "total_active_file")),
    "": ("memory.max", "memory.current", ("inactive_file", "active_file")),
}


def mark() -> dict[str, str]:
    """Return the variable alone, for a process that is started with an environment of its own."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def watch(grace: float = GRACE) -> int:
    """Have what this process starts from now on ended after it; return the companion's process id."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    name = os.environ[VARIABLE] = f"{os.getpid()}-{time.time_ns()}"
    _places.append(Path(tempfile.mkdtemp(prefix="icefarm-", dir=MEMORY if has_room() else None)))
    # Children get no other pipe than those that they are given, so its writing end is this process's alone.
    companion = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, name, str(grace), str(_places[-1])],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    _companions.append(companion)
    return companion.pid


#: They keep their pipes open.
_companions: list[subprocess.Popen[bytes]] = []
_places: list[Path] = []


def place() -> Path:
    """Return the directory of this process, which ends with it; its path is short enough for sockets.

    It is in memory if there is room: a farm's database is 1,400 files, which take a disk longer than a farm its start.
    """
    return _places[-1]


def has_room(memory: Path = MEMORY, room: int = ROOM) -> bool:
    """Tell whether files of tests, programs among them, may be in this machine's memory."""
    try:
        found = os.statvfs(memory)
        free = re.search(r"^MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
        left = left_by_limits()
    except OSError:
        return False
    fits = found.f_bavail * found.f_frsize > room and free is not None and min(int(free[1]) * 1024, left) > room
    return fits and not found.f_flag & os.ST_NOEXEC and os.access(memory, os.W_OK)


def left_by_limits(groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> float:
    """Return the bytes that the limits of this process's control groups, as a container has them, leave it."""
    left = float("inf")
    for line in groups.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for hierarchy in _LIMITS.keys() & set(controllers.split(",")):
            top = root / hierarchy
            group = top / path.strip("/")
            # Each group above it has a limit, too.  Inside a container they may not be there.
            while group.is_relative_to(top):
                left = min(left, _left_in(group, *_LIMITS[hierarchy]))
                group = group.parent
    return left


def _left_in(group: Path, most: str, used: str, of_files: tuple[str, ...]) -> float:
    with suppress(OSError):
        limit = (group / most).read_text().strip()
        if limit != "max":
            stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return int(limit) - int((group / used).read_text()) + sum(int(stat.get(name, 0)) for name in of_files)
    return float("inf")


def end(name: str, grace: float) -> None:
    """End all processes with this name, and those that they start meanwhile."""
    deadline = time.monotonic() + grace
    asked: set[int] = set()
    while found := _found(name):
        how = signal.SIGTERM if time.monotonic() < deadline else signal.SIGKILL
        for pid in found:
            # A farm stops its processes in order; it is asked, and they are not.
            if how == signal.SIGKILL or (pid not in asked and _parent(pid) not in found):
                _signal(pid, name, how)
                asked.add(pid)
        time.sleep(PAUSE)


def _found(name: str) -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit() and _has(int(path.name), name)]


def _has(pid: int, name: str) -> bool:
    try:
        return f"{VARIABLE}={name}".encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False


def _parent(pid: int) -> int:
    # The name in parentheses may contain anything; the parent is the second word after it.
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    return 0


def _signal(pid: int, name: str, how: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        descriptor = os.pidfd_open(pid)
        try:
            # Its number may have become that of another one.
            if _has(pid, name):
                signal.pidfd_send_signal(descriptor, how)
        finally:
            os.close(descriptor)


def main(name: str, seconds: str, directory: str) -> None:
    """Wait for the end of the standard input, end what has this name, and remove the directory."""
    select.select([sys.stdin], [], [])
    end(name, float(seconds))
    shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
