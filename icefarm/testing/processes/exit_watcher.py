"""Child processes of a reactor in a thread, which gets no SIGCHLD: pidfds report their ends."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet.abstract import FileDescriptor

__all__ = ["ThreadedProcesses"]


class _End(FileDescriptor):
    """Becomes readable when a process has ended (pidfd_open(2)); then reaps it."""

    def __init__(self, reactor: Any, process: Any) -> None:
        super().__init__(reactor)
        self._process = process
        self._pid = process.pid
        self._descriptor = os.pidfd_open(self._pid)
        self._reaped = False

    def fileno(self) -> int:
        return self._descriptor

    def doRead(self) -> None:
        self.reap()

    def reap(self) -> None:
        """Take the exit status if available; Twisted asks too, when the last pipe is closed."""
        if self._reaped:
            return
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if pid == 0:
            return
        self._reaped = True
        self.stopReading()
        os.close(self._descriptor)
        self._process.processEnded(status)


class ThreadedProcesses:
    """A reactor that detects the ends of the processes that it spawns by pidfds."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def spawnProcess(self, *args: Any, **kwargs: Any) -> Any:
        """Spawn a process (`twisted.internet.interfaces.IReactorProcess`)."""
        process = self._reactor.spawnProcess(*args, **kwargs)
        if process.pid is None:
            # It has already ended, and Twisted has noticed.
            return process
        end = _End(self._reactor, process)
        # A SIGCHLD handler of another reactor would reap it in the wrong thread.
        _forget(process)
        process.reapProcess = end.reap
        end.startReading()
        return process


def _forget(process: Any) -> None:
    from twisted.internet.process import unregisterReapProcessHandler

    unregisterReapProcessHandler(process.pid, process)
