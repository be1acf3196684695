"""Does a circuit work on one board or on all?  Measure circuits on several boards, and say how far the boards differ.

python examples/across_boards.py http://farm:8080 examples/circuits/square_*.bin --boards 8 --out spread.svg

Each circuit is loaded and measured several times on each board.  For each it prints the spread: the standard deviation
between boards, without the noise of each board, with its 95 % confidence interval.  Where the boards are calibrated it
prints what is left when their offsets are corrected, and what to expect of that.  docs/calibration.md explains it.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from math import sqrt
from pathlib import Path
from typing import Any

from attrs import Factory, define, frozen

from icefarm.calibration.between_boards import BoardSpread, spread_of
from icefarm.calibration.records import Corrected
from icefarm.client import Farm, Result
from icefarm.errors import InvalidArgument


@define
class OnBoards:
    """What boards counted of one circuit, by their serials: each window, and the mean as a perfect board has it."""

    counts: dict[str, Sequence[float]] = Factory(dict)
    corrected: dict[str, Corrected] = Factory(dict)


@frozen
class Row:
    """How far boards differ with one circuit: as measured, and corrected, where all of them are calibrated."""

    measured: BoardSpread
    corrected: BoardSpread | None
    #: How far corrected values would differ by their uncertainty alone, ppm.
    expected_ppm: float | None


def measured(farm: Any, circuits: Sequence[str], boards: int, window: float, repeats: int) -> dict[str, OnBoards]:
    """Measure each circuit on each of some boards."""
    with farm.reserve(boards, window=window) as reserved:
        return by_circuit(reserved.evaluate_each(circuits, options={"repeats": repeats}))


def by_circuit(results: Iterable[Result]) -> dict[str, OnBoards]:
    """Return the values of results; those that failed are named and left out."""
    found: defaultdict[str, OnBoards] = defaultdict(OnBoards)
    for result in results:
        if result.error is not None:
            print(f"{result.source} on {result.serial}: {result.error}")
        elif result.serial is not None:
            circuit = found[str(result.source)]
            circuit.counts[result.serial] = result.value if isinstance(result.value, list) else [result.value]
            if result.corrected is not None:
                circuit.corrected[result.serial] = result.corrected
    return dict(found)


def row_of(values: OnBoards) -> Row:
    """Return how far boards differ.  Raises `InvalidArgument` for fewer than two boards, and for counts of 0."""
    spread = spread_of(values.counts)
    if values.corrected.keys() != values.counts.keys():
        return Row(spread, None, None)
    fixed = values.corrected.values()
    expected = sqrt(sum(each.standard_uncertainty**2 for each in fixed) / len(fixed)) / spread.mean * 1e6
    return Row(spread, spread_of({serial: [each.value] for serial, each in values.corrected.items()}), expected)


def rows_of(values: Mapping[str, OnBoards]) -> dict[str, Row]:
    """Return a row for each circuit; one that has none is named and left out."""
    found = {}
    for circuit, of_boards in sorted(values.items()):
        try:
            found[circuit] = row_of(of_boards)
        except InvalidArgument as error:
            print(f"{circuit}: {error}")
    return found


def table(rows: Mapping[str, Row]) -> str:
    """Return the rows as lines; all spreads are ppm."""
    head = f"{'circuit':20} {'boards':>6} {'mean count':>12} {'spread':>7} {'95 %':>13} {'noise':>6}"
    lines = [f"{head} corrected (expected)"]
    for circuit, row in rows.items():
        each = row.measured
        interval, noise = f"{each.low_ppm:.0f} to {each.high_ppm:.0f}", "-"
        if each.noise_ppm is not None:
            noise = f"{each.noise_ppm:.0f}"
        fixed = "-" if row.corrected is None else f"{row.corrected.between_ppm:.0f} ({row.expected_ppm:.0f})"
        figures = f"{each.boards:6} {each.mean:12.1f} {each.between_ppm:7.0f} {interval:>13} {noise:>6}"
        lines.append(f"{Path(circuit).stem[-20:]:20} {figures} {fixed}")
    return "\n".join(lines)


def plot(values: Mapping[str, OnBoards], rows: Mapping[str, Row], path: Path) -> None:
    """Draw each board's mean deviation of each circuit, and the spread with its interval.  Needs icefarm[plot]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 + 0.4 * len(rows)), layout="constrained")
    boards, spread = figure.subplots(1, 2, sharey=True)
    for place, (circuit, row) in enumerate(rows.items()):
        each = row.measured
        means = [sum(windows) / len(windows) for windows in values[circuit].counts.values()]
        boards.plot([(mean / each.mean - 1) * 1e6 for mean in means], [place] * len(means), "o", alpha=0.6)
        around = [[each.between_ppm - each.low_ppm], [each.high_ppm - each.between_ppm]]
        spread.errorbar([each.between_ppm], [place], xerr=around, fmt="s", capsize=4)
    boards.set_yticks(range(len(rows)), [Path(circuit).stem for circuit in rows])
    boards.set_xlabel("each board, ppm of the mean")
    spread.set_xlabel("spread between boards, ppm, 95 %")
    spread.set_xlim(left=0)
    figure.savefig(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("url", help="the URL of the farm")
    parser.add_argument("circuits", nargs="+", help="bitstreams")
    parser.add_argument("--boards", type=int, default=4)
    parser.add_argument("--window", type=float, default=0.1, help="seconds")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--out", type=Path, help="draw a plot: .svg, .png or .pdf")
    asked = parser.parse_args(arguments)
    with Farm(asked.url) as farm:
        values = measured(farm, asked.circuits, asked.boards, asked.window, asked.repeats)
    rows = rows_of(values)
    print(table(rows))
    if asked.out is not None:
        plot(values, rows, asked.out)


if __name__ == "__main__":
    main()
