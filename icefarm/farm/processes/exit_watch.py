"""Waits for the end of a process that is not a child of ours (pidfd_open(2))."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

__all__ = ["process_ended"]


@implementer(IReadDescriptor)
class _Process:
    """The kernel makes the descriptor readable when the process ends."""

    def __init__(self, reactor: Any, descriptor: int) -> None:
        self._reactor = reactor
        self._descriptor = descriptor
        self.ended: Deferred[None] = Deferred()

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "process"

    def doRead(self) -> None:
        self._reactor.removeReader(self)
        self.ended.callback(None)

    def connectionLost(self, reason: Failure) -> None:
        """Do nothing on a lost connection; the reactor requires this method."""


async def process_ended(reactor: Any, pid: int, limit: float) -> bool:
    """Wait until that process has ended, at most ``limit`` seconds; return whether it has."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    except OSError:
        # A kernel without it (before Linux 5.3): we can't wait, and don't know whether it ended.
        return False
    process = _Process(reactor, descriptor)
    reactor.addReader(process)
    process.ended.addTimeout(limit, reactor)
    try:
        await process.ended
    except TimeoutError:
        return False
    finally:
        reactor.removeReader(process)
        os.close(descriptor)
    return True
