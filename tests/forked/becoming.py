"""What a fork takes over, so that it is to others what a new process would be."""

from __future__ import annotations

import faulthandler
import os
import signal
import time

from attrs import frozen

from icefarm.farm.router.inside.icefarm_fork import open_streams, take_environment, take_files

__all__ = ["FAULTS", "Identity"]

#: What an interpreter takes from its environment, and can be had later, too.
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
        take_files(self.numbers, self.files)
        os.chdir(self.directory)
        os.umask(self.umask)
        take_environment(self.environment)
        time.tzset()
        signal.signal(signal.SIGINT, signal.SIG_IGN if self.ignores_interrupts else signal.default_int_handler)
        open_streams(bool(os.environ.get("PYTHONUNBUFFERED")))
        if FAULTS in self.environment:
            faulthandler.enable()
