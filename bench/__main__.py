"""``python -m bench``: measure farms of virtual boards and print the figures beside their goals."""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import sys
import tempfile
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from bench.archiving import measure_archive, measure_rows
from bench.circuits import Mix
from bench.feeding import measure_feed
from bench.files import COUNT, CircuitFiles, write_circuits
from bench.instant import Effort, measure_instant
from bench.many_boards import Shape, many_lines, measure_many, ratio_lines
from bench.real import measure_real
from bench.report import (
    Figures,
    archive_lines,
    comparison_lines,
    feed_lines,
    instant_lines,
    real_lines,
    simulated_lines,
)
from bench.simulated import VARIANTS, measure_simulated, write_variants
from icefarm.cli.ui.terminal.sigint import interrupts_kept
from icefarm.farm.router.config import find_crossbar

BOARDS = (1, 4, 64, 200)
WINDOWS = (0.1, 1.0)
SIMULATING = 64
#: Boards of several workers.
MANY = 1000
#: Different circuits for the archive alone, to which it makes no difference.
FEW = 100


def main() -> int:
    options = _parser().parse_args()
    # What stops on Ctrl-C stops on SIGTERM too: the farm must not stay behind.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="icefarm-bench-") as directory:
        files = options.files or (FEW if options.part in ("archive", "many") else COUNT)
        circuits = write_circuits(Path(directory), options.circuits, files)
        figures = Figures(_conditions(circuits), options.circuits)
        for name, value in figures.conditions.items():
            _say(f"{name}: {value}")
        try:
            with interrupts_kept():
                _measure(figures, options, circuits)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130
    print()
    print(*comparison_lines(figures.compared()), sep="\n")
    if options.json is not None:
        options.json.write_text(json.dumps(figures.as_json(), indent=2) + "\n")
    return 0


def _measure(figures: Figures, options: argparse.Namespace, circuits: CircuitFiles) -> None:
    if options.part in ("instant", "all"):
        for boards in options.boards or BOARDS:
            effort = Effort(options.seconds, options.repeats, options.routers)
            figures.instant.append(measure_instant(boards, circuits, effort, _say))
            print(*instant_lines(figures.instant[-1]), sep="\n", flush=True)
    if options.part in ("simulated", "all"):
        _measure_simulated(figures, options)
    if options.part in ("archive", "all"):
        _measure_archive(figures, options, circuits)
    if options.part == "many":
        _measure_many(figures, options, circuits)
    if options.part in ("real", "all"):
        for each in measure_real(options.real_boards, WINDOWS, circuits, options.real_seconds, _say):
            figures.real.append(each)
            print(*real_lines(each), sep="\n", flush=True)


def _measure_archive(figures: Figures, options: argparse.Namespace, circuits: CircuitFiles) -> None:
    if options.part == "archive" and options.whole:
        figures.archive.append(measure_archive(circuits, options.pairs, options.turn, _say))
        print(*archive_lines(figures.archive[-1]), sep="\n", flush=True)
        return
    with tempfile.TemporaryDirectory(prefix="icefarm-bench-") as directory:
        if options.part == "archive" and options.feed is not None:
            figures.feed.append(measure_feed(Path(directory), options.rate, options.feed, _say))
            print(*feed_lines(figures.feed[-1]), sep="\n", flush=True)
        else:
            found = measure_rows(Path(directory), options.pairs, options.rate, options.row_seconds, _say)
            figures.rows.append(found)
            print(*archive_lines(found), sep="\n", flush=True)


def _measure_many(figures: Figures, options: argparse.Namespace, circuits: CircuitFiles) -> None:
    for boards in options.boards or (MANY,):
        for routers in sorted({1, options.routers}):
            shape = Shape(boards, options.workers, routers)
            figures.many.append(measure_many(shape, circuits.paths, options.idle, _say))
            print(*many_lines(figures.many[-1]), sep="\n", flush=True)
        if options.routers > 1:
            print(*ratio_lines(*figures.many[-2:]), sep="\n", flush=True)


def _measure_simulated(figures: Figures, options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="icefarm-bench-") as directory:
        paths = write_variants(Path(directory), options.variants)
        for boards in options.boards or (SIMULATING,):
            effort = Effort(options.seconds, options.repeats)
            figures.simulated.append(measure_simulated(boards, paths, effort, _say))
            print(*simulated_lines(figures.simulated[-1]), sep="\n", flush=True)


def _say(line: str) -> None:
    print(line, flush=True)


def _conditions(circuits: CircuitFiles) -> dict[str, Any]:
    packages = ("icefarm", "autobahn", "twisted", "cbor2")
    versions = [f"Python {platform.python_version()}", *(f"{name} {version(name)}" for name in packages)]
    versions.append(f"crossbar {_crossbar_version()}")
    return {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}",
        "load before": ", ".join(f"{load:.2f}" for load in os.getloadavg()),
        "software": ", ".join(versions),
        "circuits": circuits.description,
        "client": "the blocking Farm of icefarm.client in this process, given paths of files, default depth",
    }


def _crossbar_version() -> str:
    """Return the version of the router, which may be in an environment of its own."""
    packages = Path(find_crossbar(None)).parent.parent.glob("lib/python*/site-packages")
    found = next(iter(distributions(name="crossbar", path=[str(each) for each in packages])), None)
    return "of unknown version" if found is None else found.version


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench", description=__doc__)
    parser.add_argument(
        "--part",
        choices=("all", "instant", "simulated", "archive", "many", "real"),
        default="all",
        help="what to measure",
    )
    parser.add_argument("--boards", type=int, action="append", help=f"instant boards of a farm; repeatable {BOARDS}")
    parser.add_argument("--routers", type=int, default=1, help="routers of the farms of parts instant and many (1)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each stretch on instant boards (5)")
    parser.add_argument("--repeats", type=int, default=3, help="stretches, of which the median one counts (3)")
    parser.add_argument("--pairs", type=int, default=4, help="of turns with the archive and without it (4)")
    parser.add_argument("--rate", type=float, default=1000.0, help="rows a second that are fed to the archive (1000)")
    parser.add_argument("--row-seconds", type=float, default=20.0, help="of a turn in which rows are fed (20)")
    parser.add_argument(
        "--whole", action="store_true", help="part archive: turns of evaluations, not of rows that are fed"
    )
    parser.add_argument("--turn", type=int, default=5000, help="evaluations of such a turn, in one run (5000)")
    parser.add_argument("--feed", type=float, metavar="S", help="part archive: feed it for so long; does a queue grow?")
    parser.add_argument("--workers", type=int, default=10, help="workers that the boards of part many have (10)")
    parser.add_argument("--idle", type=float, default=20.0, help="seconds for which they do nothing (20)")
    parser.add_argument("--real-boards", type=int, default=16, help="boards of real speed (16)")
    parser.add_argument("--real-seconds", type=float, default=15.0, help="of each window on boards of real speed (15)")
    parser.add_argument("--circuits", type=Mix, choices=list(Mix), default=Mix.MIXED, help="form of circuits (mixed)")
    parser.add_argument(
        "--files", type=int, help=f"different circuits; few of them are remembered ({COUNT}; {FEW} of part archive)"
    )
    parser.add_argument("--variants", type=int, default=VARIANTS, help=f"small circuits to simulate ({VARIANTS})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there as well")
    return parser


if __name__ == "__main__":
    sys.exit(main())
