"""Runs a farm in this process until it is told to stop, and says what it does meanwhile."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, ensureDeferred
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from icefarm.farm.errors import CannotStart
from icefarm.farm.paths import DataDirectory
from icefarm.farm.plan import FarmOptions
from icefarm.farm.processes.process import LOG_BYTES, LOG_FILES
from icefarm.farm.up import LocalFarm

__all__ = ["run"]

Tell = Callable[[str], None]


def run(options: FarmOptions, tell: Tell) -> int:
    """Run the farm until SIGINT, SIGTERM or SIGHUP; returns the exit code.  Call it once in a process."""
    from twisted.internet import reactor as module

    reactor: Any = module
    running = _FarmRun(reactor, LocalFarm(reactor, options, tell), tell)
    reactor.callWhenRunning(running.begin)
    reactor.run()
    return running.exit_code


class _FarmRun:
    """One run of a farm."""

    _log = Logger()

    def __init__(self, reactor: Any, farm: LocalFarm, tell: Tell) -> None:
        self.exit_code = 0
        self._reactor = reactor
        self._farm = farm
        self._tell = tell
        self._main: Deferred[None] | None = None

    def begin(self) -> None:
        # After the reactor's own, which would stop it at once.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._asked_to_stop))
        self._main = ensureDeferred(self._run())
        self._main.addBoth(self._finish)

    def _asked_to_stop(self) -> None:
        main, self._main = self._main, None
        if main is None:
            # Asked twice: the kernel signals the children when this process ends.
            os._exit(1)
        main.cancel()

    async def _run(self) -> None:
        try:
            started = self._reactor.seconds()
            await self._farm.start()
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
        self._tell(f"ready in {seconds:.1f} s: {self._farm.url}")
        self._tell("stop it with Ctrl-C")

    def _log_to_file(self) -> None:
        """Keep what this very process logs; until now, faults went to the terminal."""
        file = LogFile.fromFullPath(
            str(DataDirectory(self._farm.options.data_dir).log("up")),
            rotateLength=LOG_BYTES,
            maxRotatedFiles=LOG_FILES,
            defaultMode=0o600,
        )
        observer: Any = textFileLogObserver(file)
        globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)
