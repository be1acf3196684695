"""Pure: no I/O, no clock.  What a plot of an experiment shows: values over time by board, the best so far, figures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any

from attrs import frozen

__all__ = ["BEST", "Curve", "Picture", "picture_of"]

#: Which value is the best: of two, and what the line is called.
BEST = {"max": max, "min": min}
#: Seconds in the units of the axis of time, and from how many of seconds on each is used.
_UNITS = (
    (86400.0, "days", 3 * 86400.0),
    (3600.0, "hours", 3 * 3600.0),
    (60.0, "minutes", 180.0),
    (1.0, "seconds", 0.0),
)


@frozen
class Curve:
    """Points with a name."""

    name: str
    #: In the unit of the picture, since its beginning.
    times: Sequence[float]
    values: Sequence[float]


@frozen
class Picture:
    """All that a plot shows."""

    title: str
    #: The unit of time.
    unit: str
    boards: Sequence[Curve]
    best: Curve
    figures: Sequence[Curve]

    @property
    def points(self) -> int:
        return sum(len(line.times) for line in self.boards)


def picture_of(
    title: str, results: Iterable[Mapping[str, Any]], figures: Iterable[Mapping[str, Any]], best: str = "max"
) -> Picture:
    """Return what to draw of results and reported figures; results without a number are left out."""
    found = [(row["ended_at"], row["serial"], row["number"]) for row in results if row["number"] is not None]
    points = sorted(found)
    reports = sorted((each["time"], each["figures"]) for each in figures)
    times = [point[0] for point in points] + [time for time, _ in reports]
    begin = min(times, default=0.0)
    size, unit = _unit(max(times, default=0.0) - begin)

    def line(name: str, pairs: Iterable[tuple[float, float]]) -> Curve:
        own = list(pairs)
        return Curve(name, [(time - begin) / size for time, _ in own], [value for _, value in own])

    boards: dict[str, list[tuple[float, float]]] = {}
    for time, serial, number in points:
        boards.setdefault(serial, []).append((time, number))
    bests = accumulate((number for _, _, number in points), BEST[best])
    names = sorted({name for _, report in reports for name in report})
    return Picture(
        title,
        unit,
        [line(serial, pairs) for serial, pairs in sorted(boards.items())],
        line(f"best so far ({best})", zip((point[0] for point in points), bests, strict=True)),
        [line(name, ((time, report[name]) for time, report in reports if name in report)) for name in names],
    )


def _unit(length: float) -> tuple[float, str]:
    return next((size, name) for size, name, least in _UNITS if length >= least)
