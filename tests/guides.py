"""The code blocks of the guides, and a reader who carries them out as they stand."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import IO

from attrs import Factory, define, frozen
from forked import programs

from icefarm.farm.postgres.programs import candidates

__all__ = ["PAGES", "POSTGRES_PROGRAMS", "ROOT", "Block", "Reader", "blocks", "sections"]

#: Those of the private PostgreSQL: psql, where the machine has none.
POSTGRES_PROGRAMS = next(candidates())
ROOT = Path(__file__).resolve().parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md")))
#: Pages that are made from the code (docs/_ext), and are there only after the site was built.
MADE = ("docs/http-api.md", "docs/options.md")

#: Seconds for one command, and for what runs on to end when it is told to.
COMMAND_LIMIT = 90
END_LIMIT = 30

_FENCE = re.compile(r"( *)```(\S*)$")
_HEADING = re.compile(r"#+ (.*)")
_FILE = re.compile(r"<!-- (\S+) -->")
#: What does not end by itself, and the line that says that it is there.
_STAYS = {
    "icefarm up": re.compile(r"ready in "),
    "icefarm watch": re.compile(r"."),
    "twistd -n icefarm-worker": re.compile(r"known to control"),
}


@frozen
class Block:
    """A block of code: the heading that it is under, its language, its text, the file that it is to be put into."""

    page: str
    heading: str
    language: str
    text: str
    file: str | None = None

    @property
    def commands(self) -> list[str]:
        """What a reader types: lines behind a prompt, or all of a script; a line that goes on is one with the next."""
        if self.language not in ("console", "sh"):
            return []
        whole = self.text.replace("\\\n", "\\\0").splitlines()
        if self.language == "console":
            whole = [line[2:] for line in whole if line.startswith(("$ ", "# "))]
        return [line.replace("\0", "\n") for line in whole if line.strip() and not line.startswith("#")]


def blocks(page: str) -> Iterator[Block]:
    """Yield the blocks of a page, named as from the root of the repository; ``text`` is no code."""
    heading, file, fence, language, text = "", None, None, "", list[str]()
    for line in (ROOT / page).read_text(encoding="utf-8").splitlines():
        if fence is not None:
            if line.strip() == "```":
                yield Block(page, heading, language, "".join(text), file)
                fence, file = None, None
            else:
                text.append(line.removeprefix(fence) + "\n")
        elif match := _FENCE.fullmatch(line):
            (fence, language), text = match.groups(), []
        elif match := _HEADING.fullmatch(line):
            heading = match[1]
        elif match := _FILE.fullmatch(line):
            file = match[1]


def sections() -> dict[tuple[str, str], list[Block]]:
    """Return all blocks of code, by page and heading."""
    found: dict[tuple[str, str], list[Block]] = {}
    for page in PAGES:
        if page not in MADE:
            for block in blocks(page):
                if block.language not in ("", "text") and not block.language.startswith("{"):
                    found.setdefault((page, block.heading), []).append(block)
    return found


@define(eq=False)
class Reader:
    """Carries out commands in a directory that looks like a clone of the repository, with a home of its own.

    The farm's port is one that is free, and hosts of examples are this one.  What runs on (a farm, a worker) is ended
    by `close`, the newest first.
    """

    directory: Path
    home: Path
    port: int
    #: What the page leaves to its reader: words and what this reader puts in their place.
    replaced: dict[str, str] = Factory(dict)
    variables: dict[str, str] = Factory(dict)
    _running: list[tuple[str, subprocess.Popen[str], list[str]]] = Factory(list)

    def __attrs_post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.home.mkdir(parents=True, exist_ok=True)
        for path in ROOT.iterdir():
            if path.name not in (".git", "build", "fitness.svg"):
                (self.directory / path.name).symlink_to(path)

    @property
    def environment(self) -> dict[str, str]:
        """A shell in which the virtual environment is active, and nothing of icefarm is set but where the farm is."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("ICEFARM_", "XDG_", "PG"))}
        own_programs = [str(programs()), str(Path(sys.executable).parent)]
        path = os.pathsep.join([*own_programs, os.environ["PATH"], str(POSTGRES_PROGRAMS)])
        url = f"http://127.0.0.1:{self.port}"
        own = {"HOME": str(self.home), "PATH": path, "ICEFARM_URL": url, "ICEFARM_CONTROL": url}
        return {**kept, **own, **self.variables}

    def as_here(self, text: str) -> str:
        """Return a text of the page with the port and the hosts that there are here."""
        hosts = {"0.0.0.0": "127.0.0.1", "farm.example": "localhost", "farm:8080": "localhost:8080"}
        for word, here in {**self.replaced, **hosts, "8080": str(self.port)}.items():
            text = text.replace(word, here)
        return text

    def run(self, command: str) -> str:
        """Carry out one command and return what it printed.  Raises AssertionError where it fails."""
        command = self.as_here(command)
        for beginning, ready in _STAYS.items():
            if beginning in command and "--help" not in command:
                self._start(command, beginning, ready)
                return ""
        done = subprocess.run(
            ["bash", "-c", _ONE_COMMAND, "bash", command],
            cwd=self.directory,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done.stdout

    def script(self, text: str) -> str:
        """Run Python, which may await as in a notebook, and return what it printed."""
        path = self.directory / "script.py"
        path.write_text(self.as_here(text), encoding="utf-8")
        return self.run(f"python -c {_quoted(_NOTEBOOK)} script.py")

    def close(self) -> None:
        """End what runs on.  Raises AssertionError where something had failed or does not end well."""
        ends = []
        for command, process, said in reversed(self._running):
            process.send_signal(signal.SIGINT)
            try:
                code = process.wait(END_LIMIT)
            except subprocess.TimeoutExpired:
                process.kill()
                code = process.wait()
            ends.append((command, code, said))
        self._running.clear()
        for command, code, said in ends:
            # twistd shuts down in order, and then ends as the signal would have ended it.
            assert code in (0, -signal.SIGINT), f"{command} ended with {code}: {''.join(said)}"

    def _start(self, command: str, beginning: str, ready: re.Pattern[str]) -> None:
        command = command.removesuffix("&").partition("  #")[0].strip()
        if beginning == "icefarm up" and "--listen" not in command:
            command += f" --listen 127.0.0.1:{self.port}"
        process = subprocess.Popen(
            ["bash", "-c", _STAYING, "bash", command],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # What ends it is sent to it, not to the tests.
            start_new_session=True,
        )
        assert process.stdout is not None
        said: list[str] = []
        self._running.append((command, process, said))
        for line in process.stdout:
            said.append(line)
            if ready.search(line):
                Thread(target=_drain, args=(process.stdout, said), daemon=True).start()
                return
        raise AssertionError(f"{command} ended with {process.wait()}: {''.join(said)}")


def _drain(stream: IO[str], said: list[str]) -> None:
    said.extend(stream)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\"'\"'") + "'"


#: What a command exports is there for the next one.
_ONE_COMMAND = """
[ -f .exported ] && . ./.exported
set -a
eval "$1"; code=$?
export -p > .exported
exit $code
"""
_STAYING = """
[ -f .exported ] && . ./.exported
eval "exec $1"
"""
_NOTEBOOK = """
import ast, asyncio, inspect, pathlib, sys
path = pathlib.Path(sys.argv[1])
code = compile(path.read_text("utf-8"), str(path), "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
result = eval(code, {"__name__": "__main__"})
if inspect.iscoroutine(result): asyncio.run(result)
"""
