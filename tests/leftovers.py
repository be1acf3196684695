"""Ends what tests have started and could not stop, however their process ends.

A process of tests that is killed stops nothing: pytest-xdist kills its workers ten seconds after Ctrl-C (as at the
limit of a suite), and the farms that they started lead sessions of their own.  So each process of tests has a
companion, ``leftovers.py NAME SECONDS``, that waits for the end of a pipe whose other end only that process has.  Then
it ends all processes whose environment has that name: it asks them first, since a farm stops its database and its
boards, and kills those that are left after so many seconds.

The companion needs the standard library only, and must not be stopped with the tests: it has a session of its own.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

__all__ = ["VARIABLE", "end", "mark", "watch"]

#: The variable that names the process of tests; a farm hands it on to what it starts (those of icefarm it does not).
VARIABLE = "STARTED_BY_TESTS"
#: Seconds for processes to end once they are asked to, and between two looks for new ones.
GRACE, PAUSE = 10.0, 0.1


def mark() -> dict[str, str]:
    """Return the variable alone, for a process that is started with an environment of its own."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def watch(grace: float = GRACE) -> int:
    """Have what this process starts from now on ended after it; return the companion's process id."""
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    name = os.environ[VARIABLE] = f"{os.getpid()}-{time.time_ns()}"
    # Children get no other pipe than those that they are given, so its writing end is this process's alone.
    companion = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, name, str(grace)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment, start_new_session=True,
    )  # fmt: skip
    _companions.append(companion)
    return companion.pid


#: They keep their pipes open.
_companions: list[subprocess.Popen[bytes]] = []


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


def main(name: str, seconds: str) -> None:
    """Wait for the end of the standard input, and end what has this name."""
    select.select([sys.stdin], [], [])
    end(name, float(seconds))


if __name__ == "__main__":
    main(*sys.argv[1:])
