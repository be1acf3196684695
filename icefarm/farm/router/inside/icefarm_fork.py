"""What a fork takes over, so that it is to others what a new process would be, and how Twisted comes to fork.

`icefarm_start` uses it in the router's environment, without icefarm, and the tests use it for farms and commands: it
imports the standard library alone, and Twisted once it is asked for that.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl
from typing import Any

__all__ = ["fork_by_twisted", "of_interpreter", "open_streams", "take_environment", "take_files"]

#: What only a new interpreter takes from its environment; where these differ, one has to be started.
_OF_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")

#: Returns the process id of a fork, None if a new process has to be started.  It gets the command, the directory, the
#: environment, and the descriptors: the numbers that they are to have, and those that they have here.
Fork = Callable[[list[str], str, dict[str, str], Mapping[int, int]], int | None]


def of_interpreter(environment: Mapping[str, str], left_out: Sequence[str]) -> dict[str, str]:
    """Return what an interpreter takes from this environment at its start, but for some of it that can be had later."""
    return {
        key: value for key, value in environment.items() if key.startswith(_OF_INTERPRETERS) and key not in left_out
    }


def take_environment(environment: Mapping[str, str]) -> None:
    """Have this environment and no other."""
    # What is the same stays where it is: the place of a process's title is found by that.
    for name in set(os.environ).difference(environment):
        del os.environ[name]
    os.environ.update({name: value for name, value in environment.items() if os.environ.get(name) != value})


def take_files(numbers: Sequence[int], files: Sequence[int]) -> None:
    """Have these descriptors under these numbers, and no others."""
    apart = [fcntl(file, F_DUPFD_CLOEXEC, max(numbers, default=0) + 1) for file in files]
    for number, file in zip(numbers, apart, strict=True):
        os.dup2(file, number)
    for file in {int(name) for name in os.listdir("/proc/self/fd")}.difference(numbers):
        with suppress(OSError):
            # The directory itself is closed already.
            os.close(file)


def open_streams(unbuffered: bool) -> None:
    """Open the three streams as a new interpreter does; ``unbuffered`` is its option ``-u``."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        here = getattr(sys, f"__{name}__")
        at_once = number > 0 and unbuffered
        try:
            raw: Any = open(number, "wb" if number else "rb", 0 if at_once else -1, closefd=False)  # noqa: SIM115
        except OSError:
            stream: Any = None  # The caller has closed it.
        else:
            errors = "backslashreplace" if number == 2 else here.errors
            lines = not at_once and (raw.isatty() or number == 2)
            stream = io.TextIOWrapper(raw, here.encoding, errors, "\n", lines, write_through=at_once)
            stream.mode = "w" if number else "r"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def fork_by_twisted(fork: Fork) -> None:
    """Have Twisted ask this, of all that it starts from now as this process's user."""
    from twisted.internet.process import Process

    kind: Any = Process
    start = kind._fork

    def started(
        process: Any, path: Any, uid: Any, gid: Any, executable: Any, args: Any, environment: Any, **more: Any
    ) -> None:
        pid = None
        if uid is None and gid is None:
            own = os.environ if environment is None else environment
            given = {os.fsdecode(name): os.fsdecode(value) for name, value in own.items()}
            directory = os.fsdecode(path or os.getcwd())
            pid = fork([os.fsdecode(word) for word in args], directory, given, more["fdmap"])
        if pid is None:
            start(process, path, uid, gid, executable, args, environment, **more)
        else:
            process.pid, process.status = pid, -1

    kind._fork = started
