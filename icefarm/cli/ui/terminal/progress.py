"""The progress bar of `rich`, with a rate and a remaining time of our own.

Those of `rich` come from the steps of the last seconds; results of several boards arrive in bursts, and theirs jump.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from icefarm.cli.ui.records.formatting import duration

__all__ = ["progress_bar", "rate"]


def rate(task: Task) -> float | None:
    """Return steps a second since the start; None before the first one.

    Results of several boards arrive in bursts, so the time between single ones says little.
    """
    return task.completed / task.elapsed if task.completed and task.elapsed else None


class RateColumn(ProgressColumn):
    """Steps a second."""

    def render(self, task: Task) -> Text:
        speed = rate(task)
        words = "-" if speed is None else f"{speed:.3g}" if speed < 100 else f"{speed:.0f}"
        return Text(f"{words}/s", style="progress.data.speed")


class RemainingColumn(ProgressColumn):
    """The remaining time at that rate."""

    #: Seconds between two estimates: more often would only flicker.
    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        speed, remaining = rate(task), task.remaining
        known = speed is not None and remaining is not None
        words = duration(remaining / speed) if known else "-"  # type: ignore[operator]
        return Text(f"{words} left", style="progress.remaining")


def progress_bar(console: Console) -> Progress:
    """Return a bar that does not redirect the process's streams: data may go to a file meanwhile."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TimeElapsedColumn(),
        RemainingColumn(),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
        refresh_per_second=4,
    )
