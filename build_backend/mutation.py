"""Change the pure modules, one change at a time, and see whether the unit tests notice: ``make mutation``.

mutmut makes the changes and runs the tests that reach each of them (``[tool.mutmut]`` of pyproject.toml says which
modules and tests).  ``build/mutation.md`` lists what no test noticed, by module.  Exits with 1 if fewer than `GOAL` per
cent of the changes were noticed.  Names of changes (``icefarm.selectors.*``) choose some; `mutmut show NAME` shows one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["GOAL", "page", "score", "statuses"]

ROOT = Path(__file__).resolve().parent.parent
MUTANTS, PAGE = ROOT / "mutants", ROOT / "build" / "mutation.md"
#: Per cent of the changes that tests have to notice.
GOAL = 85
#: mutmut's exit codes of a change that was noticed: tests failed, or did not end (by mutmut, by a signal).
_NOTICED = frozenset({1, 3, 24, 36, 37, 152, 255, -24})
_UNNOTICED, _NO_TESTS = frozenset({0}), frozenset({5, 33})


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


def score(found: Mapping[str, str]) -> float:
    """Return how many of the changes were noticed, in per cent."""
    return 100 * sum(status == "noticed" for status in found.values()) / len(found) if found else 0.0


def _module(name: str) -> str:
    """Return the module of a change, which is called MODULE.FUNCTION__mutmut_NUMBER."""
    return name.rpartition(".")[0]


def page(found: Mapping[str, str]) -> str:
    """Return the page of results, in Markdown: the score of each module, and what was not noticed."""
    lines = ["# Changes to pure modules", "", "| module | changes | noticed | % |", "|---|---|---|---|"]
    totals, noticed = Counter(map(_module, found)), Counter(_module(n) for n, s in found.items() if s == "noticed")
    for module in sorted(totals, key=lambda each: noticed[each] / totals[each]):
        share = 100 * noticed[module] / totals[module]
        lines.append(f"| `{module}` | {totals[module]} | {noticed[module]} | {share:.0f} |")
    lines += ["", "## Not noticed", ""]
    lines += [f"- `{name}`: {status}" for name, status in sorted(found.items()) if status != "noticed"]
    return "\n".join(lines) + "\n"


def main(names: Sequence[str]) -> int:
    """Run mutmut, write the page, and return the exit code."""
    command = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "2", *names]
    if subprocess.run(command, cwd=ROOT, check=False).returncode != 0:
        print("mutmut failed", file=sys.stderr)
        return 1
    found = statuses(MUTANTS)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(found))
    share = score(found)
    print(f"{sum(status == 'noticed' for status in found.values())} of {len(found)} changes noticed ({share:.1f} %)")
    return 0 if share >= GOAL else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
