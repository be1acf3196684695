"""The verb ``watch``: the farm as it changes, drawn on a terminal, else one line for each change."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from attrs import Factory, define

from icefarm.cli.connect import SignIn, with_access
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.records import columns
from icefarm.cli.ui.records.formatting import duration
from icefarm.cli.ui.records.tables import Output, Rows, table_lines
from icefarm.cli.ui.terminal.console import Screen
from icefarm.cli.ui.terminal.keys import keys_pressed
from icefarm.cli.verb import farm_of, opened_screen
from icefarm.text.counts import counted
from icefarm.text.one_line import one_line

if TYPE_CHECKING:
    from icefarm.cli.farm_state import View
    from icefarm.client import Farm
    from icefarm.client.connection.events import Change

__all__ = ["FarmPicture", "follow", "watch"]

#: Seconds between two drawings while nothing changes: remaining times count down.
REDRAW = 1.0
#: Seconds until a pressed key shows.
KEY = 0.1
#: Lines of recent events below the boards, and of requests that wait above them.
LAST_LINES = 8
QUEUE_LINES = 5


@click.command()
@output_option
@with_access()
def watch(access: SignIn, output: Output) -> None:
    """Show what happens in the farm until Ctrl-C.

    On a terminal it draws the queue, the boards and recent events, and updates the picture; arrow keys, PgUp
    and PgDn scroll, and q quits. Otherwise, and with "-o json" (JSON Lines) or
    "-o csv", it prints the present records and then one line for each change.
    """
    with opened_screen(without_connection=True) as screen, suppress(KeyboardInterrupt), farm_of(access) as farm:
        if output.is_table and screen.out_is_terminal:
            _draw(farm, screen, access.url)
        else:
            follow(farm, screen, output, time.time)


def follow(farm: Farm, screen: Screen, output: Output, now: Callable[[], float]) -> None:
    """Print a line for each change, for as long as the farm reports any."""
    from icefarm.cli.farm_state import LINES, View

    view, rows = View(), Rows(LINES.chosen(output), output.form)
    screen.write(rows.head())
    for changes in farm.watch():
        for change in changes:
            was_stale = view.stale
            for line in view.apply(change, now()):
                screen.write(rows.row({**line, "at": _clock_time(line["time"])}))
            if view.stale is not None and view.stale != was_stale:
                screen.say(f"not connected, trying again: {view.stale}")
            elif view.stale is None and was_stale is not None:
                screen.say("connected again; what changed meanwhile is above")


def _draw(farm: Farm, screen: Screen, url: str) -> None:
    from rich.live import Live

    from icefarm.cli.farm_state import View

    picture = FarmPicture(View(), url)
    live = Live(
        console=screen.console(screen.out),
        auto_refresh=False,
        screen=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )
    with screen.live(live), keys_pressed() as keys:
        drawn_at = 0.0
        for changes in farm.watch(KEY):
            now = time.time()
            for change in changes:
                picture.take(change, now)
            pressed = keys.pressed()
            for key in pressed:
                picture.scroll(key, live.console.height)
            if "quit" in pressed:
                return
            if changes or pressed or now - drawn_at >= REDRAW:
                live.update(picture.drawn(now, live.console.width, live.console.height), refresh=True)
                drawn_at = now


def _clock_time(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


def _line(text: str) -> Any:
    from rich.text import Text

    return Text(text, style="dim", no_wrap=True, overflow="ellipsis")


@define
class FarmPicture:
    """The picture: a line about the farm, the queue, its boards, and recent events."""

    view: View
    url: str
    stale_since: float | None = None
    #: The first board that is shown.
    first: int = 0
    last: deque[str] = Factory(lambda: deque(maxlen=LAST_LINES))

    def take(self, change: Change, now: float) -> None:
        """Apply a change at ``now``."""
        known = self.view.known
        lines = self.view.apply(change, now)
        if self.view.stale is None:
            self.stale_since = None
        elif self.stale_since is None:
            self.stale_since = now
        if known:  # The first snapshot is not news.
            self.last += [
                one_line(f"{_clock_time(line['time'])}  {line['event']} {line['key'] or ''}  {line['change']}")
                for line in lines
            ]

    def scroll(self, key: str, height: int) -> None:
        """Show other boards, by the name of a key (`icefarm.cli.ui.terminal.keys`)."""
        page = self._room(height)
        steps = {
            "up": -1,
            "down": 1,
            "page up": -page,
            "page down": page,
            "home": -self.first,
            "end": len(self.view.devices),
        }
        self.first = self._within(self.first + steps.get(key, 0), page)

    def drawn(self, now: float, width: int, height: int) -> Any:
        """Return the picture for `rich`: as many boards as fit the terminal, from the first one scrolled to."""
        from rich.console import Group
        from rich.text import Text

        boards = sorted(self.view.devices.values(), key=lambda record: str(record.get("serial")))
        room = self._room(height)
        first = self.first = self._within(self.first, room)
        shown = boards[first : first + room]
        parts = [self._state(now), *map(_line, self._waiting())]
        lines = table_lines(shown, columns.devices(now + self.view.ahead), width, styled=True)
        parts.append(Text.from_ansi("\n".join(lines), no_wrap=True, overflow="ellipsis"))
        if len(boards) > len(shown):
            parts.append(
                _line(f"boards {first + 1} to {first + len(shown)} of {len(boards)}; arrow keys scroll, q quits")
            )
        return Group(*parts, *map(_line, self.last))

    def _room(self, height: int) -> int:
        """Return how many boards fit: beside two lines of state, the table's head, and two lines below it."""
        return max(1, height - len(self._waiting()) - len(self.last) - 6)

    def _within(self, first: int, room: int) -> int:
        return max(0, min(first, len(self.view.devices) - room))

    def _waiting(self) -> list[str]:
        requests = list(self.view.queue.values())
        lines = [
            f"waiting: {one_line(str(each.get('client')))} for {each.get('amount')}, place {each.get('place')}"
            for each in requests[:QUEUE_LINES]
        ]
        more = len(requests) - len(lines)
        return [*lines, f"waiting: {more} more"] if more else lines

    def _state(self, now: float) -> Any:
        from rich.text import Text

        if self.stale_since is not None:
            words = f"not connected for {duration(now - self.stale_since)}, trying again; as of then: "
            return Text(words + self._counts(), style="bold red").append(f"\n{one_line(str(self.view.stale))}")
        return Text(f"{self.url}: {self._counts()}" if self.view.known else f"{self.url}: asking", style="bold")

    def _counts(self) -> str:
        counts: dict[str, int] = {}
        for record in self.view.devices.values():
            status = str(record.get("status"))
            counts[status] = counts.get(status, 0) + 1
        boards = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        online = sum(record.get("status") == "online" for record in self.view.workers.values())
        return f"{counted(online, 'worker')}, {counted(len(self.view.devices), 'board')}" + (
            f" ({boards})" if boards else ""
        )
