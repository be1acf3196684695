"""Draws an experiment with matplotlib."""

from __future__ import annotations

from typing import Any

from icefarm.client.api.notebook.plots import Curve, Picture
from icefarm.client.api.notebook.tables import needed_package
from icefarm.text.counts import counted

__all__ = ["check_matplotlib", "check_plot_file", "drawn_figure"]

#: Boards in the legend, and figures that have a plot of their own.
MOST_NAMED, MOST_FIGURES = 12, 6
#: Points from which on they are pixels, also in a file of lines: a browser shows no million of circles.
PIXELS_FROM = 5000
#: Inches.
WIDTH, VALUES_HEIGHT, FIGURE_HEIGHT = 9.0, 4.5, 1.8


def _matplotlib() -> Any:
    return needed_package("matplotlib.figure", "'icefarm[plot]'", "matplotlib")


def check_matplotlib() -> None:
    """Raises `InvalidArgument` where matplotlib is not installed."""
    _matplotlib()


def check_plot_file(suffix: str) -> None:
    """Raises `InvalidArgument` without matplotlib, and ValueError where it has no such form of file."""
    figure = _matplotlib().Figure()
    known = figure.canvas.get_supported_filetypes()
    if suffix not in known:
        raise ValueError(f"must end with one of {', '.join('.' + name for name in sorted(known))}")


def drawn_figure(picture: Picture) -> Any:
    """Return a ``matplotlib.figure.Figure``.  Raises `InvalidArgument` without matplotlib."""
    figures = picture.figures[:MOST_FIGURES]
    heights = [VALUES_HEIGHT, *([FIGURE_HEIGHT] * len(figures))]
    figure = _matplotlib().Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    # What comes from outside is no formula in dollars.
    axes = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    axes[0].set_title(picture.title, parse_math=False)
    _draw_values(axes[0], picture)
    for place, line in zip(axes[1:], figures, strict=True):
        place.plot(line.times, line.values, marker=".", color="tab:purple", linewidth=1)
        place.set_ylabel(line.name, parse_math=False)
    left_out = len(picture.figures) - len(figures)
    more = f" ({counted(left_out, 'more figure')} {'is' if left_out == 1 else 'are'} not shown)" if left_out else ""
    axes[-1].set_xlabel(f"{picture.unit} since the beginning{more}")
    for place in axes:
        place.grid(alpha=0.3)
    return figure


def _draw_values(axes: Any, picture: Picture) -> None:
    pixels = picture.points >= PIXELS_FROM
    named = len(picture.boards) <= MOST_NAMED
    for line in picture.boards:
        _draw_points(axes, line, line.name if named else None, pixels)
    best = picture.best
    axes.plot(best.times, best.values, drawstyle="steps-post", color="black", linewidth=1.2, label=best.name)
    axes.set_ylabel("value" if named else f"value ({counted(len(picture.boards), 'board')})")
    legend = axes.legend(loc="best", fontsize="small", markerscale=2)
    for text in legend.get_texts():
        text.set_parse_math(False)


def _draw_points(axes: Any, line: Curve, label: str | None, pixels: bool) -> None:
    # An underscore at the beginning would hide it from the legend.
    shown = None if label is None else f"board {label}"
    axes.plot(
        line.times, line.values, linestyle="", marker=".", markersize=3, alpha=0.6, label=shown, rasterized=pixels
    )
