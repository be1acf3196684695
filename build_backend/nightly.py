"""Run what takes long, one part after the other, and write one page of results: ``make nightly``.

``python build_backend/nightly.py`` runs every part in the environment that it runs in; names of parts choose some.
Each part has a limit, and a log of its own in ``build/nightly``; one that fails does not keep the others from running.
The page is ``build/nightly/index.md``; ``results.json`` says the same to programs (build_backend/version.py).  What ran
before stays there as long as the commit is the same and nothing in the tree is changed; a part that runs again replaces
its result.  Exits with 1 if a part of this run failed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["PARTS", "Part", "Result", "kept", "page", "parts_named", "run", "run_all"]

ROOT = Path(__file__).resolve().parent.parent
INTO = ROOT / "build" / "nightly"
#: Seconds that a part which has passed its limit gets to end, before it is killed.
GRACE = 20.0


@dataclass(frozen=True)
class Part:
    """A part of the nightly run."""

    name: str
    what: str
    command: tuple[str, ...]
    minutes: float
    #: Finds in the log what the page says beside "passed"; the last match counts, or each.
    figure: str | None = None
    each_match: bool = False
    #: Beside the environment of the run.
    environment: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Result:
    """How a part went."""

    name: str
    what: str
    passed: bool
    #: What it says of itself, or why it failed.
    says: str
    seconds: float
    log: str
    #: When it began: UTC, ISO 8601.
    when: str


#: How each session of nox ended.
_NOX = r"^nox > \* ([^:]+: \w+)"
_PYTEST = r"^=*\s*(\d+ (?:passed|failed|skipped).*?)\s*=*$"
_HYPOTHESIS = r"(\d+ passing, \d+ failing)"


def parts(python: str, seconds: int, minutes: int) -> tuple[Part, ...]:
    """Return all parts: with this Python, fuzzers of so many seconds, and a soak of so many minutes."""
    pytest = (python, "-m", "pytest")
    return (
        Part("dist", "what a release consists of, made twice and checked", ("make", "dist"), 30),
        Part(
            "pythons", "unit and integration tests with each supported Python", ("make", "pythons"), 180, _NOX,
            each_match=True,
        ),
        Part(
            "oldest", "the same with the oldest packages that are allowed", ("make", "oldest"), 60, _PYTEST,
            each_match=True,
        ),
        Part("coverage", "lines and branches that the tests reach", ("make", "coverage"), 90, r"^(\d+ %) of lines"),
        Part(
            "mutation", "changes to pure modules that the tests find", ("make", "mutation", "MUTANTS=--anew"), 180,
            r"^(\d+ of \d+ .*)$",
        ),
        Part(
            "nightly tests", "the previous release beside this one, made-up circuits, a host with systemd",
            (*pytest, "-m", "nightly"), 120, _PYTEST,
        ),
        Part(
            "interleavings", "2,000 histories of a farm in any order",
            (*pytest, "tests/unit/test_control_interleavings.py", "--timeout=0", "--hypothesis-show-statistics"), 60,
            _HYPOTHESIS, environment=(("ICEFARM_INTERLEAVINGS", "2000"),),
        ),
        Part(
            "fuzz", "damaged frames, bitstreams, images", ("make", "fuzz", f"SECONDS={seconds}"), seconds / 60 + 15,
            r"^(\d+ inputs in all, .*)$",
        ),
        Part(
            "fuzz ice40", "the virtual FPGA under a fuzzer",
            ("make", "-C", "firmware", "fuzz_ice40", f"FUZZING=-max_total_time={seconds}"), seconds / 60 + 15,
            r"^Done (\d+ runs in \d+ second)",
        ),
        Part(
            "soak", "random faults, with an account of every evaluation", ("make", "soak", f"MINUTES={minutes}"),
            minutes + 20, r"^(\d+ faults in \d+ s: .*)$",
        ),
    )  # fmt: skip


#: As a release takes them (build_backend/version.py).
PARTS = parts(sys.executable, 600, 60)


def parts_named(names: Sequence[str], every: Sequence[Part]) -> list[Part]:
    """Return those parts, in their order; all of them without names.  Raises ValueError."""
    unknown = sorted(set(names) - {part.name for part in every})
    if unknown:
        raise ValueError(f"there is no part {', '.join(unknown)}; there are {', '.join(part.name for part in every)}")
    return [part for part in every if not names or part.name in names]


def run(part: Part, into: Path) -> Result:
    """Run a part to its end, or to its limit; its output goes to its log."""
    log = into / f"{part.name.replace(' ', '-')}.log"
    when, began = datetime.now(UTC), time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen(
            part.command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env={**os.environ, **dict(part.environment)}, start_new_session=True,
        )  # fmt: skip
        try:
            code: int | None = process.wait(part.minutes * 60)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            _end(process)
    says = _says(part, code, log.read_text(errors="replace"))
    return Result(
        part.name, part.what, code == 0, says, time.monotonic() - began, log.name, when.isoformat(timespec="seconds")
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a part and all that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is None:
            os.killpg(process.pid, how)
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                continue


def _says(part: Part, code: int | None, output: str) -> str:
    found = re.findall(part.figure, output, re.MULTILINE) if part.figure else []
    said = found if part.each_match else found[-1:]
    if code is None:
        said.append(f"no end after {part.minutes:g} minutes")
    elif code != 0:
        said.append(f"exit code {code}: {_last_line(output)}")
    return ", ".join(said)


def _last_line(output: str) -> str:
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no output"


def kept(text: str | None, commit: str) -> list[Result]:
    """Return the results of earlier runs, of their JSON, that hold for a commit: none if it has changes ("+")."""
    if text is None or commit.endswith("+"):
        return []
    try:
        found = json.loads(text)
        return [Result(**each) for each in found["results"]] if found["commit"] == commit else []
    except (ValueError, LookupError, TypeError):
        return []  # Of another version of this program, or cut off: they run again.


def page(results: Sequence[Result], commit: str, left: Sequence[str] = ()) -> str:
    """Return the page of results, in Markdown; ``left`` names parts that did not run, or not yet."""
    failed = [result.name for result in results if not result.passed]
    passed = "all that ran passed" if left else "all passed"
    summary = f"failed: {', '.join(failed)}" if failed else passed
    if left:
        summary += f"; did not run: {', '.join(left)}"
    lines = [
        "# Nightly run",
        "",
        f"Commit `{commit}`: {summary}.",
        "",
        "| part | | result | began (UTC) | minutes | log |",
        "|---|---|---|---|---|---|",
    ]
    for result in results:
        verdict = "passed" if result.passed else "**failed**"
        says = f": {result.says}".replace("|", "\\|") if result.says else ""
        began = f"{datetime.fromisoformat(result.when).astimezone(UTC):%Y-%m-%d %H:%M}"
        link = f"[{result.log}]({result.log})"
        lines.append(
            f"| {result.name} | {result.what} | {verdict}{says} | {began} | {result.seconds / 60:.1f} | {link} |"
        )
    return "\n".join(lines) + "\n"


def _commit() -> str:
    """Return the commit of the tree, with "+" if it has changes that are not committed."""
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    changes = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True)
    return head.strip() + ("+" if changes.stdout.strip() else "")


def _write(into: Path, results: Mapping[str, Result], commit: str) -> None:
    names = [part.name for part in PARTS]
    ordered = [results[name] for name in sorted(results, key=names.index)]
    (into / "index.md").write_text(page(ordered, commit, [name for name in names if name not in results]))
    found = {"commit": commit, "results": [asdict(result) for result in ordered]}
    (into / "results.json").write_text(json.dumps(found, indent=1) + "\n")


def main(arguments: Sequence[str]) -> int:
    """Run the parts that are named, or all; return the exit code.  After SIGTERM the part that runs ends, too."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("names", nargs="*", metavar="PART", help=f"of {', '.join(part.name for part in PARTS)}")
    parser.add_argument("--seconds", type=int, default=600, help="of each fuzzer")
    parser.add_argument("--minutes", type=int, default=60, help="of the soak")
    options = parser.parse_args(arguments)
    try:
        chosen = parts_named(options.names, parts(sys.executable, options.seconds, options.minutes))
    except ValueError as error:
        parser.error(str(error))
    code = run_all(chosen, INTO, _commit)
    print(f"{INTO.relative_to(ROOT)}/index.md")
    return code


def run_all(chosen: Sequence[Part], into: Path, commit_now: Callable[[], str]) -> int:
    """Run parts, and keep their results beside those of earlier runs; return the exit code."""
    into.mkdir(parents=True, exist_ok=True)
    before, commit = into / "results.json", commit_now()
    results = {result.name: result for result in kept(before.read_text() if before.is_file() else None, commit)}
    if results:
        print(f"results of this commit that stay: {', '.join(results)}", flush=True)
    failed = False
    for part in chosen:
        # Its log begins anew.  After each part the page is written: a run that is cut off has one, too.
        results.pop(part.name, None)
        _write(into, results, commit)
        print(f"{part.name}: {part.what}", flush=True)
        results[part.name] = result = run(part, into)
        failed |= not result.passed
        print(f"{part.name}: {'passed' if result.passed else 'FAILED'} {result.says}".rstrip(), flush=True)
        if commit_now() != commit and not commit.endswith("+"):
            print("the tree has changed meanwhile: its results hold for no commit", flush=True)
            commit += "+"
        _write(into, results, commit)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
