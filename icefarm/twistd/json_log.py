"""``--log-format json`` of the services: Twisted's log as one JSON object a line (`icefarm.log_format`)."""

from __future__ import annotations

import sys
import time
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService
from twisted.logger import (
    FileLogObserver,
    FilteringLogObserver,
    ILogObserver,
    LogEvent,
    LogLevel,
    PredicateResult,
    formatEvent,
)
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.logfile import LogFile

from icefarm.log_format import context_of, json_line
from icefarm.twistd.options import Setting, choice

__all__ = ["LOG_FORMAT", "LOG_LEVEL", "event_line", "follows_evaluations", "json_observer", "logged"]

LOG_FORMAT = Setting(
    "log-format",
    "format of the log: text, or json, one object a line",
    "FORMAT",
    "text",
    choice("text", "json"),
)
LOG_LEVEL = Setting(
    "log-level",
    "least level of a log in JSON: debug includes each evaluation of a worker's boards",
    "LEVEL",
    "info",
    choice("debug", "info"),
)
#: Where a daemon of twistd's logs to, unless told otherwise.
_DAEMON_LOG = "twistd.log"


def event_line(event: LogEvent) -> str:
    """Return an event of Twisted's as a line."""
    level, failure = event.get("log_level", LogLevel.info), event.get("log_failure")
    message = formatEvent(event)
    trace = failure.getTraceback() if isinstance(failure, Failure) else None
    if not message and isinstance(failure, Failure):
        message = failure.getErrorMessage()
    moment = float(event.get("log_time", time.time()))
    name = str(event.get("log_namespace") or event.get("log_system") or "-")
    return json_line(moment, str(getattr(level, "name", level)), name, message, context_of(event), trace) + "\n"


@frozen
class _FromLevel:
    """Drops events below a level; Twisted's own predicate drops also those that name no part."""

    least: LogLevel

    def __call__(self, event: LogEvent) -> Any:
        level = event.get("log_level") or LogLevel.info
        return PredicateResult.no if level < self.least else PredicateResult.maybe


def json_observer(file: Any, least: LogLevel = LogLevel.debug) -> ILogObserver:
    """Return an observer that writes such lines to a file, from a level on."""
    writer: Any = FileLogObserver(file, event_line)
    predicate: Any = _FromLevel(least)
    observer: Any = FilteringLogObserver(writer, [predicate])
    return observer


def follows_evaluations(options: Any) -> bool:
    """Tell whether each evaluation is to be logged: text logs, which people read, leave out those without trouble."""
    return options[LOG_FORMAT.name] == "json" and options[LOG_LEVEL.name] == "debug"


class _Logged(MultiService):
    """A service that brings the log of its process along: twistd takes it from the application."""

    def __init__(self, observer: ILogObserver) -> None:
        super().__init__()
        self._observer = observer

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)
        if isinstance(parent, Componentized):
            parent.setComponent(ILogObserver, self._observer)


def logged(service: Any, options: Any) -> Any:
    """Return a service that logs as its option ``log-format`` says."""
    if options[LOG_FORMAT.name] != "json":
        return service
    outer = _Logged(json_observer(_log_file(options.parent or {}), LogLevel.lookupByName(options[LOG_LEVEL.name])))
    service.setServiceParent(outer)
    return outer


def _log_file(twistd: Any) -> Any:
    """Return where twistd would log to."""
    named = twistd.get("logfile")
    if named == "-" or (named is None and twistd.get("nodaemon", True)):
        return sys.stdout
    return LogFile.fromFullPath(named or _DAEMON_LOG)
