"""Does a circuit work on one board or on all?  Measure circuits on several boards, and say how far the boards differ.

python examples/across_boards.py http://farm:8080 examples/circuits/square_*.bin --boards 8 --out spread.svg

Each circuit is loaded and measured several times on each board.  For each it prints the spread: the standard deviation
between boards, without the noise of each board, with its 95 % confidence interval.  docs/calibration.md explains it.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from icefarm.calibration.between_boards import Spread, spread_of
from icefarm.client import Farm, Result
from icefarm.errors import InvalidArgument

#: What each board counted of each circuit, by its path and the board's serial.
Values = Mapping[str, Mapping[str, Sequence[float]]]


def measured(farm: Any, circuits: Sequence[str], boards: int, window: float, repeats: int) -> Values:
    """Measure each circuit on each of some boards."""
    with farm.reserve(boards, window=window) as reserved:
        return by_circuit(reserved.evaluate_each(circuits, options={"repeats": repeats}))


def by_circuit(results: Iterable[Result]) -> Values:
    """Return the values of results; those that failed are named and left out."""
    found: dict[str, dict[str, list[float]]] = {}
    for result in results:
        if result.error is not None:
            print(f"{result.source} on {result.serial}: {result.error}")
        elif result.serial is not None:
            value = result.value if isinstance(result.value, list) else [result.value]
            found.setdefault(str(result.source), {})[result.serial] = value
    return found


def spreads(values: Values) -> dict[str, Spread]:
    """Return the spread of each circuit; one that has none is named and left out."""
    found = {}
    for circuit, of_boards in sorted(values.items()):
        try:
            found[circuit] = spread_of(of_boards)
        except InvalidArgument as error:
            print(f"{circuit}: {error}")
    return found


def table(found: Mapping[str, Spread]) -> str:
    """Return the spreads as lines."""
    lines = [f"{'circuit':28} {'boards':>6} {'mean count':>12} {'between boards':>15}  95 % interval         noise"]
    for circuit, each in found.items():
        interval = f"{each.low_ppm:.0f} to {each.high_ppm:.0f} ppm"
        noise = "-" if each.noise_ppm is None else f"{each.noise_ppm:.0f} ppm"
        between = f"{each.between_ppm:.0f} ppm"
        name = Path(circuit).stem[-28:]
        lines.append(f"{name:28} {each.boards:6} {each.mean:12.1f} {between:>15}  {interval:20}  {noise}")
    return "\n".join(lines)


def plot(values: Values, found: Mapping[str, Spread], path: Path) -> None:
    """Draw each board's mean deviation of each circuit, and the spread with its interval.  Needs icefarm[plot]."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 1.5 + 0.4 * len(found)), layout="constrained")
    boards, spread = figure.subplots(1, 2, sharey=True)
    for row, (circuit, each) in enumerate(found.items()):
        means = [sum(windows) / len(windows) for windows in values[circuit].values()]
        boards.plot([(mean / each.mean - 1) * 1e6 for mean in means], [row] * len(means), "o", alpha=0.6)
        around = [[each.between_ppm - each.low_ppm], [each.high_ppm - each.between_ppm]]
        spread.errorbar([each.between_ppm], [row], xerr=around, fmt="s", capsize=4)
    boards.set_yticks(range(len(found)), [Path(circuit).stem for circuit in found])
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
    found = spreads(values)
    print(table(found))
    if asked.out is not None:
        plot(values, found, asked.out)


if __name__ == "__main__":
    main()
