"""Processes of a farm that can be killed, held up and started again, each by its own number."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, define
from twisted.internet.defer import Deferred
from waiting import until

from icefarm.farm.postgres.server import PrivatePostgres
from icefarm.farm.processes.process import ChildProcess
from icefarm.farm.processes.supervisor import Ended, Part
from icefarm.testing.processes.farm_process import descendants

__all__ = ["RESTART_DELAY", "Victim", "of_postgres", "of_process", "send"]

#: Seconds after which a supervisor starts a part again (`icefarm.farm.processes.supervisor.FIRST_DELAY`).
RESTART_DELAY = 0.5
#: Seconds until it runs again.
RESTART_LIMIT = 10.0
#: Seconds for the end of a process that got SIGKILL.
KILL_LIMIT = 10.0


def send(pid: int, number: signal.Signals) -> None:
    """Signal a process and all that it has started."""
    for one in [pid, *descendants(pid)]:
        with suppress(ProcessLookupError):
            os.kill(one, number)


@define(eq=False)
class Victim:
    """A part of the farm, and what can be done to it."""

    reactor: Any
    name: str
    part: Part
    _pid: Callable[[], int | None]
    paused: bool = False
    #: How it ended when nobody had killed it: there must be none of these.
    deaths: list[str] = Factory(list)
    #: What its reason has where it ends by itself and rightly, and is started again; None: nothing.
    restart_after: str | None = None
    #: How often that was so.
    restarts: int = 0
    _gone: Deferred[str] | None = None
    _restarting: Any = None

    def __attrs_post_init__(self) -> None:
        self.part.on_exit(self._ended)

    def _ended(self, ended: Ended) -> None:
        gone, self._gone = self._gone, None
        if gone is not None:
            gone.callback(ended.reason)
        elif self.restart_after is not None and self.restart_after in ended.reason:
            self.restarts += 1
            self._restarting = self.reactor.callLater(RESTART_DELAY, self._restart)
        else:
            self.deaths.append(ended.reason)

    def _restart(self) -> None:
        self._restarting = None
        starting = Deferred.fromCoroutine(self.part.start())
        starting.addErrback(lambda failure: self.deaths.append(failure.getErrorMessage()))

    @property
    def pid(self) -> int:
        pid = self._pid()
        assert pid is not None, f"{self.name} does not run"
        return pid

    @property
    def runs(self) -> bool:
        return self._pid() is not None

    async def start(self) -> None:
        await self.part.start()

    async def running(self) -> None:
        """Wait until it runs, if it is being started again."""
        await until(lambda: self.runs, f"{self.name} runs", RESTART_LIMIT)

    async def stop(self) -> None:
        """Stop it as its operator would."""
        self.resume()
        restarting, self._restarting = self._restarting, None
        if restarting is not None:
            restarting.cancel()
        await self.part.stop()

    async def kill(self) -> None:
        """SIGKILL; returns when it is gone."""
        await self.running()
        self._gone = gone = Deferred()
        os.kill(self.pid, signal.SIGKILL)
        await gone.addTimeout(KILL_LIMIT, self.reactor)
        self.paused = False

    def pause(self) -> None:
        """SIGSTOP, for it and all that it has started."""
        self.paused = True
        send(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT.  Harmless when it goes on already."""
        if self.paused and self.runs:
            send(self.pid, signal.SIGCONT)
        self.paused = False


def of_process(process: ChildProcess, restart_after: str | None = None) -> Victim:
    """``restart_after``: see `Victim`."""
    return Victim(process.reactor, process.program.name, process, lambda: process.pid, restart_after=restart_after)


def of_postgres(postgres: PrivatePostgres) -> Victim:
    return Victim(postgres.reactor, "PostgreSQL", postgres, lambda: _postmaster(postgres.directory))


def _postmaster(directory: Path) -> int | None:
    """Return the number that a running server keeps in its data directory."""
    try:
        pid = int((directory / "data" / "postmaster.pid").read_text().splitlines()[0])
        os.kill(pid, 0)
    except (FileNotFoundError, IndexError, ValueError, ProcessLookupError):
        return None
    return pid
