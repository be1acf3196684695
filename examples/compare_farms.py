"""Compare two farms: measure circuits on the first one, measure that run again on the second one, say what agrees.

python examples/compare_farms.py http://farm-a:8080 http://farm-b:8080 examples/circuits/square_*.bin

The exit code is 0 if all values agree.  docs/runs.md explains the uncertainty.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from icefarm.client import Farm
from icefarm.client.runs.replay import CircuitFolder, Original, replay
from icefarm.runs.agreement import Agreement

#: Seconds for the results of a run to be in the archive.
LIMIT = 60.0


def measured(farm: Farm, circuits: Sequence[str], boards: int, window: float, repeats: int) -> Any:
    """Measure each circuit on each of some boards, and return that as a run that is closed."""
    name = f"compare {time.strftime('%Y-%m-%d %H:%M:%S')}"
    with farm.reserve(boards, window=window) as reserved:
        for _ in reserved.evaluate_each(circuits, options={"repeats": repeats}, experiment=name):
            pass
    deadline = time.monotonic() + LIMIT
    while time.monotonic() < deadline:
        for record in farm.experiment(name).runs():
            if record.state == "closed":
                return farm.archived_run(record.id)
        time.sleep(0.2)
    raise SystemExit(f"the run of experiment {name!r} was not closed within {LIMIT:g} s; is the farm's archive on?")


def table(found: Agreement) -> str:
    """Return what differs, and each value, as lines."""
    lines = [f"{each.what}: {each.first} | {each.second}" for each in found.differences]
    lines += ["", f"{'circuit':28} {'first':>12} {'second':>12} {'difference':>12} {'uncertainty':>12}  agrees"]
    for cell in found.cells:
        figures = (cell.first, cell.second, cell.difference, cell.uncertainty)
        shown = " ".join(f"{'-' if figure is None else format(figure, '.2f'):>12}" for figure in figures)
        lines.append(f"{(cell.circuit or cell.sha256 or '')[-28:]:28} {shown}  {'yes' if cell.agrees else 'NO'}")
    return "\n".join([*lines, "", found.summary])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("first", help="the URL of the first farm")
    parser.add_argument("second", help="the URL of the second farm")
    parser.add_argument("circuits", nargs="+", help="bitstreams")
    parser.add_argument("--boards", type=int, default=1)
    parser.add_argument("--window", type=float, default=0.1, help="seconds")
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args(arguments)
    folders = [CircuitFolder.of(folder) for folder in sorted({Path(path).parent for path in asked.circuits})]
    with Farm(asked.first) as first, Farm(asked.second) as second:
        run = measured(first, asked.circuits, asked.boards, asked.window, asked.repeats)
        print(f"run {run.id} of {first.url}, measured again on {second.url}")
        found = replay(second, Original.of_run(run, *folders))
    print(table(found))
    return 0 if found.agrees else 1


if __name__ == "__main__":
    sys.exit(main())
