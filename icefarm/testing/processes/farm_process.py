"""Processes in tests: a farm as its user starts it, its child processes, and a check that none stays behind."""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from attrs import Factory, define, field

from icefarm.farm.paths import DataDirectory

__all__ = ["FarmProcess", "OwnProcess", "Witness", "descendants"]

#: Seconds for a farm to start, and for processes to end.
START_LIMIT = 90.0
END_LIMIT = 30.0
#: Seconds for a process that hangs to say where.
SAYING_LIMIT = 3.0


def descendants(pid: int) -> list[int]:
    """Return the present descendants of a process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name in parentheses may contain anything; the parent is the second word after it.
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
    found = [pid]
    for one in found:
        found.extend(child for child, parent in parents.items() if parent == one)
    return found[1:]


def command_of(pid: int) -> str:
    """Return the command line of a process, empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return ""


class Witness:
    """Watches processes, so that a test can wait for their end although they are not its children."""

    def __init__(self, pids: Iterable[int]) -> None:
        self._descriptors: dict[int, int] = {}
        for pid in pids:
            with suppress(ProcessLookupError):
                self._descriptors[os.pidfd_open(pid)] = pid

    def left(self, limit: float = END_LIMIT) -> list[str]:
        """Wait until all have ended, at most so many seconds; return the command lines of those that have not."""
        poll = select.poll()
        for descriptor in self._descriptors:
            poll.register(descriptor, select.POLLIN)
        waiting = set(self._descriptors)
        deadline = time.monotonic() + limit
        while waiting:
            ended = poll.poll(max(0.0, deadline - time.monotonic()) * 1000)
            if not ended:
                break
            for descriptor, _ in ended:
                poll.unregister(descriptor)
                waiting.discard(descriptor)
        left = [
            f"{self._descriptors[descriptor]}: {command_of(self._descriptors[descriptor])}" for descriptor in waiting
        ]
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors.clear()
        return left


class OwnProcess(subprocess.Popen[str]):
    """A process of a test, for a ``with`` block: where that ends with an error, all that it started is killed.

    Popen alone would wait for its end, although a test that has failed may have done nothing to end it.  One of Python
    says first, on its standard error, what all its threads were doing.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        environment = {**(env or os.environ), "PYTHONFAULTHANDLER": "1"}
        super().__init__(command, text=True, cwd=cwd, env=environment, stdout=stdout, stderr=stderr)

    def __exit__(self, *error: Any) -> None:
        try:
            if error[0] is None:
                super().__exit__(*error)
        finally:
            if self.poll() is None:
                family = descendants(self.pid)
                self.send_signal(signal.SIGABRT)
                with suppress(subprocess.TimeoutExpired):
                    self.wait(SAYING_LIMIT)
                for pid in family:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                self.kill()
            super().__exit__(*error)


@define(eq=False)
class FarmProcess:
    """``icefarm up`` as a process.  Use it in a ``with`` block: at its end it is gone, with all its children.

    No second router stands by unless ``arguments`` has ``--standby``: few tests need it. Its database is a copy of one
    that has the schema (`icefarm.testing.processes.clusters`), unless ``own_database`` is set.
    """

    data_dir: Path
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = Factory(dict)
    #: The Python of another version of icefarm, if it is not that of the tests.
    python: str = sys.executable
    #: It makes its database itself, as at a user's first start.
    own_database: bool = False
    #: Its output until it was ready; its URL.
    lines: list[str] = Factory(list)
    url: str = ""
    _process: subprocess.Popen[str] = field(init=False)
    #: What starts it, unless it is to start as a user's does; the tests of icefarm itself put theirs here.
    popen: ClassVar[type[subprocess.Popen[str]]] = subprocess.Popen

    def _without_calibration(self) -> tuple[str, ...]:
        """Boards that nobody uses do nothing, unless ``arguments`` say otherwise; earlier versions never calibrate."""
        return ("--no-calibration",) if self.python == sys.executable else ()

    def _lay_database(self) -> None:
        if not self.own_database and self.python == sys.executable and "--database" not in self.arguments:
            # Imported here because a lab that has tests of its own need not have what control needs.
            from icefarm.testing.processes.clusters import lay_cluster

            directory = DataDirectory(self.data_dir)
            directory.create()
            lay_cluster(directory.postgres)

    def __enter__(self) -> FarmProcess:
        self._lay_database()
        start = subprocess.Popen if self.own_database else self.popen
        self._process = start(
            [
                self.python,
                "-P",
                "-m",
                "icefarm",
                "up",
                "--data-dir",
                str(self.data_dir),
                "--no-standby",
                *self._without_calibration(),
                *self.arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            # A session of its own: a test's signals to the farm must not reach the tests.
            start_new_session=True,
            env={**os.environ, **self.environment},
        )
        return self

    def __exit__(self, *_: object) -> None:
        witness = Witness([*descendants(self.pid)])
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.communicate(timeout=END_LIMIT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.communicate()
        witness.left()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Read its output until it reports ready.  Raises AssertionError if it ends instead."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            ready = re.match(r"ready in [0-9.]+ s: (\S+)$", line)
            if ready:
                self.url = ready[1]
                return
        raise AssertionError(f"the farm ended with {self._process.wait()}: {self.lines}")

    def next_line(self, pattern: str) -> str:
        """Read on until a line matches, and return it."""
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.lines.append(line.rstrip("\n"))
            if re.search(pattern, line):
                return line
        raise AssertionError(f"no line like {pattern!r}: {self.lines}")

    def processes(self, word: str = "") -> list[int]:
        """Return its descendants with a word in their command line."""
        return [pid for pid in descendants(self.pid) if word in command_of(pid)]

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> tuple[int, list[str]]:
        """Wait for its end; return its exit code and its output since it was ready."""
        rest, _ = self._process.communicate(timeout=START_LIMIT)
        return self._process.returncode, rest.splitlines()
