"""What a fork takes over, so that it is to others what a new process would be."""

from __future__ import annotations

import faulthandler
import io
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from fcntl import F_DUPFD_CLOEXEC, fcntl

from attrs import frozen

__all__ = ["FAULTS", "Identity", "of_interpreter"]

#: What only a new interpreter takes from its environment; where these differ, one has to be started.
OF_INTERPRETERS = ("PYTHON", "LC_", "LANG", "LD_", "MALLOC_", "GLIBC_")
#: It can be had later, too.
FAULTS = "PYTHONFAULTHANDLER"


@frozen
class Identity:
    """All of a process but its code, and what it belongs to."""

    directory: str
    umask: int
    ignores_interrupts: bool
    environment: dict[str, str]
    #: Descriptors: the numbers that they are to have, and those that they have here.
    numbers: list[int]
    files: list[int]

    def assume(self) -> None:
        """Take it over, in a fork."""
        apart = [fcntl(file, F_DUPFD_CLOEXEC, max(self.numbers, default=0) + 1) for file in self.files]
        for number, file in zip(self.numbers, apart, strict=True):
            os.dup2(file, number)
        _close_all_but(self.numbers)
        os.chdir(self.directory)
        os.umask(self.umask)
        for name in set(os.environ).difference(self.environment):
            del os.environ[name]
        os.environ.update({name: value for name, value in self.environment.items() if os.environ.get(name) != value})
        time.tzset()
        signal.signal(signal.SIGINT, signal.SIG_IGN if self.ignores_interrupts else signal.default_int_handler)
        _open_streams()
        if FAULTS in self.environment:
            faulthandler.enable()


def _close_all_but(files: Iterable[int]) -> None:
    for file in {int(name) for name in os.listdir("/proc/self/fd")}.difference(files):
        with suppress(OSError):
            # The directory itself is closed already.
            os.close(file)


def of_interpreter(environment: Mapping[str, str], left_out: Sequence[str] = (FAULTS,)) -> dict[str, str]:
    """Return what an interpreter takes from this environment at its start, but for some of it that can be had later."""
    return {key: value for key, value in environment.items() if key.startswith(OF_INTERPRETERS) and key not in left_out}


def _open_streams() -> None:
    """Open the three streams as a new interpreter does."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        here = getattr(sys, f"__{name}__")
        try:
            unbuffered = number > 0 and bool(os.environ.get("PYTHONUNBUFFERED"))
            raw = open(number, "wb" if number else "rb", 0 if unbuffered else -1, closefd=False)  # noqa: SIM115
        except OSError:
            stream = None  # The caller has closed it.
        else:
            errors = "backslashreplace" if number == 2 else here.errors
            lines = not unbuffered and (raw.isatty() or number == 2)
            stream = io.TextIOWrapper(raw, here.encoding, errors, "\n", lines, write_through=unbuffered)
            stream.mode = "w" if number else "r"
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
