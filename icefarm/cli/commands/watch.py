"""The verb ``watch``: the farm as it changes, drawn on a terminal, else one line for each change."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click
from attrs import Factory, define

from icefarm.cli.connect import Access, with_access
from icefarm.cli.ui import columns
from icefarm.cli.ui.console import Screen
from icefarm.cli.ui.formatting import clean, duration
from icefarm.cli.ui.options import output_option
from icefarm.cli.ui.tables import Rows, drawn
from icefarm.cli.verb import farm_of, opened_screen

if TYPE_CHECKING:
    from icefarm.cli.farm_state import View
    from icefarm.client import Farm
    from icefarm.client.connection.events import Change

__all__ = ["Picture", "follow", "watch"]

#: Seconds between two drawings while nothing changes: remaining times count down.
REDRAW = 1.0
#: Lines of recent events, below the boards.
LAST_LINES = 8


@click.command()
@output_option
@with_access()
def watch(access: Access, output: str) -> None:
    """Show what happens in the farm until Ctrl-C.

    On a terminal it draws the boards and keeps the picture up to date; otherwise, and with "-o json" (JSON Lines) or
    "-o csv", it prints the present records and then one line for each change.
    """
    with opened_screen(without_connection=True) as screen, suppress(KeyboardInterrupt), farm_of(access) as farm:
        if output == "table" and screen.out_is_terminal:
            _draw(farm, screen)
        else:
            follow(farm, screen, output, time.time)


def follow(farm: Farm, screen: Screen, form: str, now: Callable[[], float]) -> None:
    """Print a line for each change, for as long as the farm reports any."""
    from icefarm.cli.farm_state import LINES, View

    view, rows = View(), Rows(LINES, form, aligned=False)
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


def _draw(farm: Farm, screen: Screen) -> None:
    from rich.live import Live

    from icefarm.cli.farm_state import View

    picture = Picture(View(), farm.url)
    live = Live(
        console=screen.console(screen.out),
        auto_refresh=False,
        screen=False,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="crop",
    )
    with screen.live(live):
        for changes in farm.watch(REDRAW):
            for change in changes:
                picture.take(change, time.time())
            live.update(picture.drawn(time.time(), live.console.height), refresh=True)


def _clock_time(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds))


@define
class Picture:
    """The picture: a line about the farm, its boards, the queue, and recent events."""

    view: View
    url: str
    stale_since: float | None = None
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
                f"{_clock_time(line['time'])}  {line['event']} {clean(str(line['key'] or ''))}  {clean(line['change'])}"
                for line in lines
            ]

    def drawn(self, now: float, height: int) -> Any:
        """Return the picture for `rich`; it fits ``height`` lines, and leaves out boards if there are too many."""
        from rich.console import Group
        from rich.text import Text

        waiting = [
            f"waiting: {clean(str(each.get('client')))} for {each.get('amount')}, place {each.get('place')}"
            for each in self.view.queue.values()
        ]
        below = [*waiting, *self.last]
        # Two lines of state, three for the table's frame, one that says how many boards are not shown.
        room = max(1, height - len(below) - 6)
        boards = sorted(self.view.devices.values(), key=lambda record: str(record.get("serial")))
        parts: list[Any] = [self._state(now), drawn(boards[:room], columns.devices(now + self.view.ahead))]
        if len(boards) > room:
            parts.append(Text(f"and {len(boards) - room} more", style="dim"))
        return Group(*parts, *(Text(line, style="dim", no_wrap=True, overflow="ellipsis") for line in below))

    def _state(self, now: float) -> Any:
        from rich.text import Text

        if self.stale_since is not None:
            words = f"not connected for {duration(now - self.stale_since)}, trying again; as of then: "
            return Text(words + self._counts(), style="bold red").append(f"\n{clean(str(self.view.stale))}")
        return Text(f"{self.url}: {self._counts()}" if self.view.known else f"{self.url}: asking", style="bold")

    def _counts(self) -> str:
        counts: dict[str, int] = {}
        for record in self.view.devices.values():
            status = str(record.get("status"))
            counts[status] = counts.get(status, 0) + 1
        boards = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
        online = sum(record.get("status") == "online" for record in self.view.workers.values())
        return f"{online} workers, {len(self.view.devices)} boards" + (f" ({boards})" if boards else "")
