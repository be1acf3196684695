"""What it costs to start: CPU time of short commands, as a ratio to ``import click`` in the same run.

``python -m bench.startup [--farm URL]``; with a farm, also the verbs that ask one.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

__all__ = ["main"]

#: How often each command runs.
TIMES = 7
ICEFARM = str(Path(sys.executable).with_name("icefarm"))


def _python(statement: str) -> list[str]:
    return [sys.executable, "-c", statement]


def cpu_seconds(command: Sequence[str]) -> float:
    """Return the median of user and system time that a command takes."""
    taken = []
    for _ in range(TIMES):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)
    return median(taken)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--farm", metavar="URL")
    farm = parser.parse_args(arguments).farm
    base = cpu_seconds(_python("import click"))
    print(f"{base * 1e3:6.0f} ms   1.0  import click")
    commands = {
        "icefarm --help": [ICEFARM, "--help"],
        "icefarm evaluate --help": [ICEFARM, "evaluate", "--help"],
        "from icefarm.client import Farm": _python("from icefarm.client import Farm"),
    }
    if farm is not None:
        verbs = ("devices", "workers", "reservations", "queue")
        commands |= {f"icefarm {verb}": [ICEFARM, verb, "--url", farm] for verb in verbs}
        commands["make a Farm, and ask it"] = _python(
            f"from icefarm.client import Farm\nwith Farm({farm!r}) as farm: farm.snapshot()"
        )
    for name, command in commands.items():
        seconds = cpu_seconds(command)
        print(f"{seconds * 1e3:6.0f} ms  {seconds / base:4.1f}  {name}")


if __name__ == "__main__":
    main()
