"""Runs a command to its end and returns what it said."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

__all__ = ["CommandFailed", "run"]


class CommandFailed(Exception):
    """A command could not be run, ended with an error, or took too long; the text is what it said last."""


class _Run(ProcessProtocol):
    def __init__(self, given: bytes) -> None:
        self.given = given
        self.output = b""
        self.ended: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(self.given)  # type: ignore[union-attr, call-arg, misc]
        self.transport.closeStdin()  # type: ignore[union-attr, misc]

    def childDataReceived(self, childFD: int, data: bytes) -> None:  # noqa: ARG002
        self.output += data

    def processEnded(self, reason: Failure) -> None:
        text = self.output.decode(errors="replace").strip()
        if reason.check(ProcessDone):
            self.ended.callback(text)
        else:
            last = text.splitlines()[-1] if text else str(reason.value)
            self.ended.errback(CommandFailed(last))

    def kill(self, pid: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


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

    ``given`` is its input. It is killed after ``limit`` seconds. Raises `CommandFailed`.
    """
    protocol = _Run(given)
    process = reactor.spawnProcess(protocol, command[0], list(command), env=environment, path=directory)
    pid = process.pid
    timer = reactor.callLater(limit, protocol.kill, pid)
    try:
        return await protocol.ended
    finally:
        if timer.active():
            timer.cancel()
        if not protocol.ended.called:
            protocol.kill(pid)
