"""What every verb that talks to a farm begins with: a console, the client's log on it, and the connection.

Logging has no handler that keeps clear of a progress bar and says warnings in a line each, so there is one here.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from icefarm.cli.connect import Connect, SignIn, connect
from icefarm.cli.ui.records.tables import Output, Record, Shape, rendered, table_lines
from icefarm.cli.ui.terminal.console import Screen
from icefarm.log_format import LOG_FORMAT, JsonFormatter

if TYPE_CHECKING:
    from icefarm.client import Farm

__all__ = ["farm_of", "opened_screen", "room_of", "show"]


class _Words(logging.Handler):
    """Shows warnings of the client's log, without tracebacks; errors that are also raised have their own line."""

    def __init__(self, screen: Screen, debug: bool, without_connection: bool) -> None:
        super().__init__(logging.DEBUG if debug else logging.WARNING)
        self._screen = screen
        self._debug = debug
        self._json = os.environ.get(LOG_FORMAT) == "json"
        if self._json:
            self.setFormatter(JsonFormatter())
        #: The verb itself reports what the connection logs from this level on.
        self._otherwise = logging.WARNING if without_connection else logging.ERROR

    def emit(self, record: logging.LogRecord) -> None:
        if self._json:
            self._screen.log(self.format(record))
        elif self._debug:
            for line in self.format(record).splitlines():
                self._screen.say(line)
        elif not (record.name == "icefarm.client.connection.link" and record.levelno >= self._otherwise):
            self._screen.say(_in_users_zone(record.getMessage()))


def _in_users_zone(text: str) -> str:
    """Write the times of a text, which are in UTC, in the user's zone."""
    if " UTC" not in text:
        return text
    # Imported when there is such a time: a host's zone takes a while to find.
    from icefarm.cli.ui.zone import zone_here
    from icefarm.text.local_time import in_zone

    return in_zone(text, zone_here())


@contextmanager
def opened_screen(*, without_connection: bool = False) -> Iterator[Screen]:
    """Provide the process's console, which also shows the client's log.

    ``without_connection``: the verb itself reports a lost connection.
    """
    screen = Screen.of_process()
    debug = bool(click.get_current_context().find_root().meta.get("icefarm.debug"))
    logger, handler = logging.getLogger("icefarm"), _Words(screen, debug, without_connection)
    before = (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.propagate = False
    if debug:
        logger.setLevel(logging.DEBUG)
    try:
        yield screen
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def farm_of(access: SignIn) -> Farm:
    """Sign in; tests put another function for that into click's object."""
    way: Connect = click.get_current_context().obj or connect
    return way(access)


def room_of(screen: Screen, output: Output) -> int | None:
    """Return the columns that rows which are printed one by one have to fit; None if they go to no terminal."""
    if not screen.out_is_terminal:
        return None
    return screen.width if output.fits else sys.maxsize


def show(screen: Screen, records: Sequence[Record], shape: Shape, output: Output) -> None:
    """Print records; on a terminal as a table of the columns that fit it."""
    chosen = shape.chosen(output)
    if output.is_table and screen.out_is_terminal:
        room = screen.width if output.fits else None
        screen.write("".join(f"{line}\n" for line in table_lines(records, chosen, room, styled=screen.coloured)))
    else:
        screen.write(rendered(records, chosen, output.form))
