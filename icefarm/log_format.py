"""Log lines as JSON: one flat object a line, the same in services and in programs that use the client.

Only the standard library is imported here: a script that logs to JSON need not load Twisted for it.
"""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

__all__ = ["CONTEXT", "LOG_FORMAT", "JsonFormatter", "context_of", "json_line", "levels_of"]

#: The environment variable that says so to the command line, as to the services.
LOG_FORMAT = "ICEFARM_LOG_FORMAT"
#: What a line is about: its field, and the names that the code has for it.
CONTEXT: Mapping[str, tuple[str, ...]] = {
    "account": ("account",),
    "session": ("session",),
    "reservation": ("reservation",),
    "board": ("board", "serial"),
    "evaluation": ("evaluation", "evaluation_id"),
    "worker": ("worker",),
}
#: Longest message, traceback and other text, in characters.
LONGEST_MESSAGE, LONGEST_TRACEBACK, LONGEST_TEXT = 4000, 16000, 200


def context_of(values: Mapping[str, Any]) -> dict[str, str | int]:
    """Return what an event is about; only plain values, and no others than those of `CONTEXT`."""
    found: dict[str, str | int] = {}
    for field, names in CONTEXT.items():
        value = next((values[name] for name in names if values.get(name) is not None), None)
        if isinstance(value, int) and not isinstance(value, bool):
            found[field] = value
        elif isinstance(value, str) and value:
            found[field] = value[:LONGEST_TEXT]
    return found


def json_line(
    time: float, level: str, logger: str, message: str, context: Mapping[str, str | int], trace: str | None = None
) -> str:
    """Return a line, without its end.  It is ASCII: no text can end it early, or steer a terminal."""
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(time, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": level,
        "logger": logger,
        "message": message[:LONGEST_MESSAGE],
        **context,
    }
    if trace:
        line["traceback"] = trace[-LONGEST_TRACEBACK:]
    return json.dumps(line)


def levels_of(level: int) -> str:
    """Return the name of a level of Python's logging, as the services have it."""
    names = (
        (logging.CRITICAL, "critical"),
        (logging.ERROR, "error"),
        (logging.WARNING, "warn"),
        (logging.INFO, "info"),
    )
    return next((name for least, name in names if level >= least), "debug")


class JsonFormatter(logging.Formatter):
    """Formats the records of Python's logging, such as those of the client, as the services' JSON.

    Fields of ``extra`` with the names of `CONTEXT` are in the line.
    """

    def format(self, record: logging.LogRecord) -> str:
        # The client logs through Twisted, which puts its event into the message.
        event = getattr(record.msg, "event", None)
        values = event if isinstance(event, Mapping) else vars(record)
        trace = "".join(traceback.format_exception(*record.exc_info)) if record.exc_info else None
        message = record.getMessage()
        return json_line(record.created, levels_of(record.levelno), record.name, message, context_of(values), trace)
