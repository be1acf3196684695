"""Change the pure modules, one change at a time, and see whether the unit tests notice: ``make mutation``.

mutmut makes the changes, and `mutation_tries.py` runs the tests that reach each of them (``[tool.mutmut]`` of
pyproject.toml says which modules and tests).  ``build/mutation.md`` has the score of each module, and each change that
no test noticed.  Changes that change nothing are in ``tests/equivalent_changes.toml``, with the reason, and do not
count.  Exits with 1 if fewer than `GOAL` per cent of the others were noticed.

Names of changes (``icefarm.selectors.*``) choose some, and ``--every 10`` one of ten.  ``--quick`` and
``--tests tests/unit/test_selectors.py`` try them with few tests, in a fraction of the time.  As many are tried at once
as there are processors (``--jobs``).  What was tried before counts as well, until ``--anew``; ``--again`` tries what no
test noticed then.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

__all__ = ["GOAL", "Change", "Equivalent", "equivalents", "judged", "page", "score", "statuses"]

ROOT = Path(__file__).resolve().parent.parent
MUTANTS, PAGE = ROOT / "mutants", ROOT / "build" / "mutation.md"
EQUIVALENTS = ROOT / "tests" / "equivalent_changes.toml"
#: Per cent of the changes that tests have to notice.
GOAL = 85
#: mutmut's exit codes of a change that was noticed: tests failed, or did not end (by mutmut, by a signal).
_NOTICED = frozenset({1, 3, 24, 36, 37, 152, 255, -24})
_UNNOTICED, _NO_TESTS = frozenset({0}), frozenset({5, 33})


@dataclass(frozen=True)
class Change:
    """What became of a change that was tried: noticed, unnoticed, no tests, unclear, or equivalent."""

    #: MODULE.FUNCTION__mutmut_NUMBER.
    name: str
    status: str
    #: The lines that it takes away and adds, as in a diff; empty if it was noticed.
    lines: tuple[str, ...] = ()

    @property
    def module(self) -> str:
        return self.name.rpartition(".")[0]

    @property
    def function(self) -> str:
        return self.name.rpartition("__mutmut_")[0]


@dataclass(frozen=True)
class Equivalent:
    """A change that changes nothing that anybody could notice."""

    function: str
    lines: tuple[str, ...]
    why: str

    def is_that(self, change: Change) -> bool:
        """Tell whether a change is this one; numbers of changes differ from version to version of a function."""
        return (self.function, self.lines) == (change.function, change.lines)


def equivalents(text: str) -> list[Equivalent]:
    """Read the changes that change nothing, from TOML."""
    found = tomllib.loads(text)["change"]
    return [Equivalent(each["function"], tuple(each["lines"]), each["why"]) for each in found]


def statuses(directory: Path) -> dict[str, str]:
    """Return what became of each change that was tried: noticed, unnoticed, no tests, or unclear."""
    found: dict[str, str] = {}
    for path in sorted(directory.rglob("*.py.meta")):
        for name, code in json.loads(path.read_text())["exit_code_by_key"].items():
            if code is not None:
                found[name] = _status(code)
    return found


def _status(code: int) -> str:
    if code in _NOTICED:
        return "noticed"
    if code in _UNNOTICED:
        return "unnoticed"
    return "no tests" if code in _NO_TESTS else "unclear"


def judged(changes: Iterable[Change], known: Sequence[Equivalent]) -> list[Change]:
    """Return the changes, with those that are known to change nothing as equivalent."""
    return [
        Change(change.name, "equivalent", change.lines) if any(each.is_that(change) for each in known) else change
        for change in changes
    ]


def score(changes: Iterable[Change]) -> float:
    """Return how many of the changes were noticed, in per cent of those that change something."""
    counted = [change.status == "noticed" for change in changes if change.status != "equivalent"]
    return 100 * sum(counted) / len(counted) if counted else 0.0


def page(changes: Sequence[Change]) -> str:
    """Return the page of results, in Markdown: the score of each module, and what was not noticed."""
    by_module: dict[str, list[Change]] = {}
    for change in changes:
        by_module.setdefault(change.module, []).append(change)
    head = "| module | changes | noticed | equivalent | % |"
    lines = ["# Changes to pure modules", "", head, "|---|---|---|---|---|"]
    for module, own in sorted(by_module.items(), key=lambda item: (score(item[1]), item[0])):
        noticed, equivalent = (sum(change.status == each for change in own) for each in ("noticed", "equivalent"))
        lines.append(f"| `{module}` | {len(own)} | {noticed} | {equivalent} | {score(own):.0f} |")
    lines += ["", "## Not noticed"]
    for change in sorted(changes, key=lambda each: each.name):
        if change.status not in ("noticed", "equivalent"):
            lines += ["", f"`{change.name}`: {change.status}", "```diff", *change.lines, "```"]
    return "\n".join(lines) + "\n"


def _tried() -> list[Change]:
    """Return what was tried so far, with the lines of what was not noticed."""
    return [
        Change(name, status, () if status == "noticed" else _lines(name)) for name, status in statuses(MUTANTS).items()
    ]


def _lines(name: str) -> tuple[str, ...]:
    # mutmut is in the environment of `make mutation` only.
    from mutmut.mutation.diff_apply import get_diff_for_mutant  # type: ignore[import-not-found]

    found = get_diff_for_mutant(name).splitlines()
    return tuple(line for line in found if line[:1] in ("+", "-") and line[:3] not in ("+++", "---"))


def main(arguments: Sequence[str]) -> int:
    """Try the changes, write the page, and return the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "names", nargs="*", metavar="NAME", default=["*"], help="of changes, such as icefarm.selectors.*"
    )
    parser.add_argument("--every", type=int, default=1, help="try one change of so many")
    parser.add_argument("--longest", type=float, default=1.0, help="seconds of a test that takes part")
    processors = len(os.sched_getaffinity(0))
    parser.add_argument("--jobs", type=int, default=processors, help="try so many at once; as many as processors")
    parser.add_argument("--again", action="store_true", help="try only what no test noticed the last time")
    parser.add_argument("--quick", action="store_true", help="with the tests of `make check` alone")
    parser.add_argument(
        "--tests", action="append", default=[], metavar="FILE", help="with these alone; may be repeated"
    )
    parser.add_argument("--anew", action="store_true", help="forget what was tried before")
    options = vars(parser.parse_args(arguments))
    if options.pop("anew"):
        shutil.rmtree(MUTANTS, ignore_errors=True)
    tries = [sys.executable, str(ROOT / "build_backend" / "mutation_tries.py")]
    steps = (([*tries, "make"], ROOT), ([*tries, json.dumps(options)], MUTANTS))
    for command, directory in steps:
        if subprocess.run(command, cwd=directory, check=False).returncode != 0:
            print("changes can't be tried", file=sys.stderr)
            return 1
    changes = judged(_tried(), equivalents(EQUIVALENTS.read_text(encoding="utf-8")))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(changes), encoding="utf-8")
    counted = [change for change in changes if change.status != "equivalent"]
    noticed, share = sum(change.status == "noticed" for change in counted), score(counted)
    print(f"{noticed} of {len(counted)} changes noticed ({share:.1f} %): {PAGE.relative_to(ROOT)}")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
