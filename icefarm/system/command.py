"""Finds a program, runs it to its end, and returns its output."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["CommandFailed", "find", "how_it_ended", "run"]

#: Where distributions put programs for administrators, which not every PATH includes.
_MORE_PATHS = ("/usr/local/sbin", "/usr/sbin", "/sbin")


def find(name: str) -> str | None:
    """Return where a program is, or None."""
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *_MORE_PATHS)))


class CommandFailed(Exception):
    """A command could not be run, ended with an error, or took too long; the text is its last output."""

    def __init__(self, last: str, said: str = "", *, late: bool = False) -> None:
        """``said``: all of its output.  ``late``: it was killed because it took too long."""
        super().__init__(last)
        self.said = said
        self.late = late


def how_it_ended(reason: Failure) -> str:
    """Return what follows a process's name in a sentence; ``reason`` is what `ProcessProtocol.processEnded` gets."""
    number = getattr(reason.value, "signal", None)
    if number is None:
        return f"exited with code {getattr(reason.value, 'exitCode', None) or 0}"
    return f"was killed by signal {number} ({signal_name(number)})"


def signal_name(number: int) -> str:
    """Return a signal's name; real-time signals, other than the first and the last, have none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIGRTMIN+{number - signal.SIGRTMIN}"


class _Run(ProcessProtocol):
    def __init__(self, given: bytes, limit: float) -> None:
        self._given = given
        self._limit = limit
        self._output = b""
        self._running = True
        self.ended: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self._given)  # type: ignore[union-attr, call-arg, misc]
        self.transport.closeStdin()  # type: ignore[union-attr, misc]

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: ARG002
        self._output += data

    def processEnded(self, reason: Failure) -> None:
        self._running = False
        if self.ended.called:
            return
        text = self._text
        if reason.check(ProcessDone):
            self.ended.callback(text)
        else:
            last = text.splitlines()[-1] if text else f"it {how_it_ended(reason)}"
            self.ended.errback(CommandFailed(last, text))

    def give_up(self, pid: int) -> None:
        """Kill it, and wait no longer: a process that waits for a device may not exit before the device answers."""
        self.kill(pid)
        if not self.ended.called:
            self.ended.errback(CommandFailed(f"it did not end within {self._limit:g} s", self._text, late=True))

    def kill(self, pid: int) -> None:
        if self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def _text(self) -> str:
        return self._output.decode(errors="replace").strip()


async def run(
    reactor: Any,
    command: Sequence[str],
    *,
    limit: float,
    given: bytes = b"",
    environment: Mapping[str, str] | None = None,
    directory: str | None = None,
) -> str:
    """Run a command and return what it wrote to its outputs.

    ``given`` is its input. It is killed after ``limit`` seconds, and when the caller is cancelled. Raises
    `CommandFailed`.
    """
    protocol = _Run(given, limit)
    process = reactor.spawnProcess(protocol, command[0], list(command), env=environment, path=directory)
    pid = process.pid
    timer = reactor.callLater(limit, protocol.give_up, pid)
    try:
        return await protocol.ended
    finally:
        if timer.active():
            timer.cancel()
        protocol.kill(pid)
