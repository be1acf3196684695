"""A child process of the farm: ready when it says so, its output logged, stopped with everything that it started."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrs import Factory, asdict, define, frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from icefarm.farm.errors import CannotStart
from icefarm.farm.log import RotatedLog
from icefarm.farm.processes.child import child_command
from icefarm.farm.processes.privileges import UnprivilegedUser
from icefarm.farm.processes.supervisor import Ended
from icefarm.log_format import json_line
from icefarm.system.command import how_it_ended

__all__ = ["ChildProcess", "Program", "without_reprs"]

#: Seconds that a program may take until it is ready; a router on a slow machine takes half of it.
START_LIMIT = 60.0
#: Seconds that it may take to stop before it is killed with its whole group.
STOP_LIMIT = 10.0
#: Bytes kept of a line without end.
LINE_LIMIT = 65_536
#: An object as Python's default repr prints it, and what may be left around it.
_REPR = re.compile(r"<[^<>]* at 0x[0-9a-fA-F]+[^<>]*>")
_AROUND = " \t:,;.=-()[]'\""


@frozen
class Program:
    """What to run, and how to recognise its state."""

    name: str
    command: tuple[str, ...]
    directory: Path
    log: Path
    environment: Mapping[str, str] = Factory(dict)
    #: A matching line of its output means that it is ready; None: it is ready as soon as it runs.
    ready: re.Pattern[str] | None = None
    #: A matching line is a complaint; its group "text" is what to show.
    complaint: re.Pattern[str] | None = None
    #: Matching lines are not logged.
    omit: re.Pattern[str] | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    #: Why it may exit with code 0, after which it is not restarted; None: it never may.
    leaves: str | None = None
    #: Each line of its log is written as an object (`icefarm.log_format`), since it can't do that itself.
    as_json: bool = False
    #: The user that it runs as; None: the farm's.
    identity: UnprivilegedUser | None = None


@define(eq=False)
class ChildProcess:
    """One program; it can be started again once it has ended."""

    reactor: Any
    program: Program
    #: Gets complaints of the running program, for the user.
    complain: Callable[[str], None]
    start_limit: float = START_LIMIT
    stop_limit: float = STOP_LIMIT
    _on_exit: Callable[[Ended], None] | None = None
    _protocol: _Follower | None = None

    def on_exit(self, callback: Callable[[Ended], None]) -> None:
        """Call ``callback`` whenever the program ends unasked after it was ready."""
        self._on_exit = callback

    @property
    def pid(self) -> int | None:
        """Its process, which leads a group of its own; None while it is not running."""
        return self._protocol.pid if self._protocol is not None and self._protocol.running else None

    async def start(self) -> None:
        """Start it and wait until it is ready.  Raises `CannotStart` with its last output."""
        program = self.program
        self._protocol = protocol = _Follower(program, self.complain, self._exited)
        identity = {} if program.identity is None else asdict(program.identity)
        command = child_command(program.command, death_signal=program.stop_signal, **identity)
        environment = {**program.environment, "PYTHONUNBUFFERED": "1"}
        self.reactor.spawnProcess(protocol, command[0], command, env=environment, path=str(program.directory))
        if program.ready is None:
            protocol.ready.callback(None)
        protocol.ready.addTimeout(self.start_limit, self.reactor)
        try:
            await protocol.ready
        except TimeoutError:
            await self.stop()
            raise CannotStart(
                f"{program.name} was not ready within {self.start_limit:g} s; its log is {program.log}"
            ) from None

    async def stop(self) -> None:
        """Stop it, and wait until it is gone.  Harmless when it is not running."""
        protocol, self._protocol = self._protocol, None
        if protocol is None:
            return
        if protocol.running:
            protocol.signal(self.program.stop_signal)
        protocol.ended.addTimeout(self.stop_limit, self.reactor)
        with suppress(TimeoutError):
            await protocol.ended
            return
        self.complain(f"{self.program.name} did not stop within {self.stop_limit:g} s and is killed")
        protocol.kill_group()
        await protocol.gone

    def _exited(self, protocol: _Follower, ended: Ended) -> None:
        if self._protocol is protocol and protocol.was_ready and self._on_exit is not None:
            self._protocol = None
            self._on_exit(ended)


class _Follower(ProcessProtocol):
    """Follows the program: its lines, and its end."""

    def __init__(
        self, program: Program, complain: Callable[[str], None], exited: Callable[[_Follower, Ended], None]
    ) -> None:
        self.program = program
        #: Fires when it is ready; fails with `CannotStart` when it ends before.
        self.ready: Deferred[None] = Deferred()
        #: Fires at its end, like `gone`, but is never cancelled.
        self.ended: Deferred[None] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.was_ready = False
        self.running = True
        self._complain = complain
        self._exited = exited
        self._partial = {1: b"", 2: b""}
        self._last_line = ""
        self._last_complaint = ""
        self._log = RotatedLog(program.log, program.name if program.as_json else None)
        self.ready.addCallback(self._became_ready)

    def _became_ready(self, _: None) -> None:
        self.was_ready = True

    def connectionMade(self) -> None:
        self.pid: int = self.transport.pid  # type: ignore[union-attr]
        # The farm's parts have no input.
        self.transport.closeStdin()  # type: ignore[union-attr, misc]

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        *lines, rest = (self._partial[childFD] + data).split(b"\n")
        # Its beginning identifies it.
        self._partial[childFD] = rest[:LINE_LIMIT]
        for line in lines:
            self._line(line.decode(errors="replace").rstrip())

    def _line(self, line: str) -> None:
        if self.program.omit is not None and self.program.omit.search(line):
            return
        said = json_line(time.time(), "info", self.program.name, line, {}) if self.program.as_json else line
        self._log.write(f"{said}\n")
        if line.strip():
            self._last_line = line.strip()
        if self.program.ready is not None and not self.ready.called and self.program.ready.search(line):
            self.ready.callback(None)
        complaint = self.program.complaint.search(line) if self.program.complaint else None
        if complaint is not None:
            self._note_complaint(complaint["text"])

    def _note_complaint(self, text: str) -> None:
        words = without_reprs(text)
        if words:
            self._last_complaint = words
            if self.was_ready:
                self._complain(f"{self.program.name}: {words}")

    def processExited(self, _reason: Failure) -> None:
        self.running = False
        # Processes that it started must not stay behind, and would hold its output open.
        self.kill_group()

    def processEnded(self, reason: Failure) -> None:
        for unfinished in self._partial.values():
            if unfinished:
                self._line(unfinished.decode(errors="replace").rstrip())
        self._log.close()
        how = how_it_ended(reason)
        # A signal explains the end by itself; what the program complained of earlier does not.
        killed = getattr(reason.value, "signal", None) is not None
        if not self.ready.called:
            words = "" if killed else self._last_complaint or self._last_line
            said = f": {words}" if words else f" {how}"
            self.ready.errback(CannotStart(f"{self.program.name}{said} (its log: {self.program.log})"))
        if self._last_complaint and not killed:
            how = f"{how}: {self._last_complaint}; its log is {self.program.log}"
        left = reason.check(ProcessDone) is not None and self.program.leaves is not None
        self._exited(self, Ended(self.program.leaves or "", left=True) if left else Ended(how))
        for waiting in (self.ended, self.gone):
            if not waiting.called:
                waiting.callback(None)

    def signal(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill_group(self) -> None:
        """Kill the program and everything that it has started."""
        # It leads its own group (see `icefarm.farm.processes.child`), unless it is so new that it has none yet.
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        if self.running:
            self.signal(signal.SIGKILL)


def without_reprs(text: str) -> str:
    """Return what is left to read of a line of a program's log; empty if that is nothing.

    Objects that a library prints, such as ``<package.module.Class object at 0x7f...>``, tell a user nothing.
    """
    return re.sub(r" {2,}", " ", _REPR.sub("", text)).strip(_AROUND)
