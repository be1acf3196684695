"""Runs a farm in this process until a signal stops it, and reports what it does meanwhile."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure

from icefarm.farm.errors import CannotStart
from icefarm.farm.log import RotatedLog
from icefarm.farm.paths import DataDirectory
from icefarm.farm.plan import FarmOptions
from icefarm.farm.up import LocalFarm
from icefarm.system.writing import CannotWrite
from icefarm.twistd.json_log import json_observer

__all__ = ["run"]

Tell = Callable[[str], None]


def run(options: FarmOptions, tell: Tell) -> int:
    """Run the farm until SIGINT, SIGTERM or SIGHUP; returns the exit code.  Call it once in a process."""
    from twisted.internet import reactor as module

    reactor: Any = module
    status = _Status(tell)
    running = _FarmRun(reactor, LocalFarm(reactor, options, status.tell), status)
    reactor.callWhenRunning(running.begin)
    reactor.run()
    if status.failure is not None and not running.ready:
        raise status.failure
    return running.exit_code


class _Status:
    """Prints what the farm does, for as long as the output can be written."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        #: Why the output can no longer be written.
        self.failure: CannotWrite | None = None
        #: Called when that happens.
        self.failed: Callable[[], None] = lambda: None

    def tell(self, line: str) -> None:
        if self.failure is not None:
            return
        try:
            self._tell(line)
        except CannotWrite as error:
            self.failure = error
            self.failed()


class _FarmRun:
    """One run of a farm."""

    _log = Logger()

    def __init__(self, reactor: Any, farm: LocalFarm, status: _Status) -> None:
        self.exit_code = 0
        #: Whether the farm has started.
        self.ready = False
        self._reactor = reactor
        self._farm = farm
        self._tell = status.tell
        self._main: Deferred[None] | None = None
        status.failed = self._unheard

    def begin(self) -> None:
        # After the reactor's own handlers, which would stop it at once.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._asked_to_stop))
        self._main = ensureDeferred(self._run())
        self._main.addBoth(self._finish)

    def _asked_to_stop(self) -> None:
        main, self._main = self._main, None
        if main is None:
            # Second signal: the kernel signals the children when this process ends.
            os._exit(1)
        main.cancel()

    def _unheard(self) -> None:
        """Nothing can be printed: stop a starting farm, since nobody would know its URL; a running one continues."""
        if not self.ready:
            self._reactor.callLater(0, self._asked_to_stop)

    async def _run(self) -> None:
        try:
            started = self._reactor.seconds()
            await self._farm.start()
            self.ready = True
            self._log_to_file()
            self._announce(self._reactor.seconds() - started)
            await Deferred()
        except CancelledError:
            self._tell("stopping")
        except CannotStart as error:
            print(f"icefarm: {error}", file=sys.stderr)
            self.exit_code = 1
        finally:
            await self._farm.stop()

    def _finish(self, result: object) -> None:
        if isinstance(result, Failure):
            self._log.failure("the farm ended", result)
            self.exit_code = 1
        self._reactor.stop()

    def _announce(self, seconds: float) -> None:
        for line in self._farm.complaints:
            self._tell(line)
        public = self._farm.options.public_url
        self._tell(f"ready in {seconds:.1f} s: {public or self._farm.url}")
        if public is not None:
            self._tell(f"for the proxy and for programs on this host: {self._farm.url}")
        self._tell("stop it with Ctrl-C")

    def _log_to_file(self) -> None:
        """Write this process's own log to a file; until now, errors went to the terminal."""
        as_json = self._farm.options.log_format == "json"
        file: Any = RotatedLog(DataDirectory(self._farm.options.data_dir).log("up"), "up" if as_json else None)
        observer: Any = json_observer(file) if as_json else textFileLogObserver(file)
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
