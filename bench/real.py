"""What a board's time goes to: boards as slow as real ones, so that the farm itself should not show."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from statistics import mean

from attrs import frozen

from bench.farm import running_farm
from bench.files import CircuitFiles
from icefarm.client import Boards, Farm, Result

__all__ = ["RealFigures", "measure_real"]

#: Evaluations of each board that do not count: the first one cannot overlap with an earlier window.
WARM_UP = 2


@frozen
class RealFigures:
    """Of boards of the speed of real ones."""

    boards: int
    #: Seconds of each window, as asked for.
    window: float
    evaluations: int
    #: Milliseconds from one result of a board to its next, beyond the window: mean over the boards, and the worst one.
    beyond: float
    worst: float
    #: Milliseconds that the FPGA takes to load its configuration, a part of them.
    load: float
    #: Part of the time in which boards measured.
    utilisation: float
    #: Bytes that a board received over USB while it measured, mean.
    received: float


def measure_real(
    boards: int, windows: Sequence[float], circuits: CircuitFiles, seconds: float, say: Callable[[str], None]
) -> Iterator[RealFigures]:
    """Start a farm of so many boards, measure each window for some seconds, stop it."""
    with running_farm(boards, "real", say) as process, Farm(process.url, name="bench") as farm:
        paths = cycle(map(str, circuits.paths))
        for window in windows:
            with farm.reserve(boards, wait=True, timeout=60.0, window=window) as reserved:
                yield _figures(reserved, window, paths, seconds)


def _figures(boards: Boards, window: float, paths: Iterator[str], seconds: float) -> RealFigures:
    arrivals: defaultdict[str, list[float]] = defaultdict(list)
    measured: list[Result] = []
    deadline = time.perf_counter() + seconds + WARM_UP * (window + 0.1)
    results = boards.evaluate(paths)
    for result in results:
        now = time.perf_counter()
        measured.append(result)
        arrivals[result.measurement.serial].append(now)
        if now >= deadline:
            break
    results.close()  # type: ignore[attr-defined]
    cycles = [_cycle(times[WARM_UP:]) for times in arrivals.values()]
    true_window = mean(result.measurement.window_us for result in measured) / 1e6
    return RealFigures(
        len(arrivals),
        window,
        len(measured),
        (mean(cycles) - true_window) * 1000,
        (max(cycles) - true_window) * 1000,
        mean(result.measurement.load_us for result in measured) / 1000,
        true_window / mean(cycles),
        mean(result.measurement.usb_bytes_in_window for result in measured),
    )


def _cycle(times: list[float]) -> float:
    """Return the mean seconds from one result to the next."""
    if len(times) < 2:
        raise ValueError("too few evaluations to tell how long one takes; give more --seconds")
    return (times[-1] - times[0]) / (len(times) - 1)
