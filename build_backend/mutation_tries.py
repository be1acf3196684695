"""A plug-in of pytest that tries changes which mutmut has made, each in a fork of the process that has the tests.

mutmut itself starts pytest again for each change, which takes longer than most tests.  The first fork runs every test
and notes which changed functions each reaches (`Reach`); then each change is tried with the tests that reach its
function, the fastest first, until one fails.  What became of it stands where mutmut keeps it, beside the source.

What functions of icefarm have cached (`functools.cache`) is forgotten before: it was made without the change.
"""

from __future__ import annotations

import fnmatch
import gc
import json
import os
import resource
import select
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

import pytest
from attrs import Factory, define, field, frozen

__all__ = ["NOTICED", "NO_TESTS", "UNNOTICED", "Reach", "Tries"]

#: Exit codes, as mutmut has them.
UNNOTICED, NOTICED, NO_TESTS = 0, 1, 33
#: A change that makes the tests this many times slower, in CPU seconds, is noticed; and some seconds for short ones.
SLOWER, AT_LEAST = 15, 5
#: The same for what waits: so many seconds for each CPU second, on a machine that has other things to do.
WAITS = 8


@frozen
class Reach:
    """Which tests reach each changed function, by number, and how long each takes."""

    tests: Mapping[str, Sequence[int]]
    seconds: Mapping[int, float]

    def of(self, change: str, longest: float) -> list[int]:
        """Return the tests that reach the function of a change, the fastest first; none that takes longer."""
        found = self.tests.get(change.rpartition("__mutmut_")[0], ())
        return sorted((each for each in found if self.seconds[each] <= longest), key=lambda each: self.seconds[each])

    def limit(self, numbers: Iterable[int]) -> int:
        """Return the CPU seconds that tests may take together."""
        return int(SLOWER * sum(self.seconds[number] for number in numbers)) + AT_LEAST


def _forked(run: Callable[[], int], cpu_seconds: int | None = None) -> int:
    """Run something in a fork of this process, silently; return its exit code, negative if a signal ended it."""
    pid = os.fork()
    if pid == 0:
        code = NOTICED
        try:
            if cpu_seconds is not None:
                resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))
            nothing = os.open(os.devnull, os.O_WRONLY)
            for descriptor in (1, 2):
                os.dup2(nothing, descriptor)
            code = run()
        finally:
            os._exit(code)
    if cpu_seconds is not None:
        _end_after(pid, WAITS * cpu_seconds)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _end_after(pid: int, seconds: float) -> None:
    """Wait for the end of a process, and kill it if that takes longer: it may wait without using the processor."""
    descriptor = os.pidfd_open(pid)
    try:
        if not select.select([descriptor], [], [], seconds)[0]:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)


@define(eq=False)
class Tries:
    """Tries the changes whose names match one of the patterns, each in turn."""

    directory: Path
    patterns: Sequence[str]
    #: One change of so many is tried, always the same.
    every: int
    #: CPU seconds of a test that takes part.
    longest: float
    #: What is called for the change that is active; mutmut's `set_mutant_under_test`.
    activate: Callable[[str], None]
    #: Functions that were reached since it was last emptied; mutmut fills it.
    reached: set[str]
    tried: dict[str, int] = Factory(dict)
    _caches: list[_lru_cache_wrapper[Any]] = field(init=False, factory=list)

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        if session.testsfailed:
            raise session.Interrupted("the tests can't be collected")
        self._caches = _caches()
        gc.collect()
        gc.freeze()
        reach = self._reach(session)
        for path in sorted(self.directory.rglob("*.py.meta")):
            self._try_file(session, path, reach)
        return True

    def _reach(self, session: pytest.Session) -> Reach:
        note = self.directory / "reach.json"
        if _forked(lambda: self._note(session, note)) != 0:
            raise session.Interrupted("the tests fail without any change")
        found = json.loads(note.read_text())
        return Reach(found["tests"], {int(number): seconds for number, seconds in found["seconds"].items()})

    def _note(self, session: pytest.Session, note: Path) -> int:
        self.activate("stats")
        tests: dict[str, list[int]] = {}
        seconds: dict[int, float] = {}
        for number in range(len(session.items)):
            self._forget()
            self.reached.clear()
            began = time.process_time()
            for _ in self._run(session, [number]):
                return NOTICED
            seconds[number] = time.process_time() - began
            for function in self.reached:
                tests.setdefault(function, []).append(number)
        note.write_text(json.dumps({"tests": tests, "seconds": seconds}))
        return 0

    def _forget(self) -> None:
        for cached in self._caches:
            cached.cache_clear()

    def _run(self, session: pytest.Session, numbers: Sequence[int]) -> Iterator[int]:
        """Run tests; yield the numbers of those that fail."""
        # Nobody reads what they say.
        session.config.pluginmanager.unregister(name="terminalreporter")
        items = [session.items[number] for number in numbers]
        for number, item, following in zip(numbers, items, [*items[1:], None], strict=True):
            failed = session.testsfailed
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed > failed:
                yield number

    def _try_file(self, session: pytest.Session, path: Path, reach: Reach) -> None:
        found = json.loads(path.read_text())
        codes = found["exit_code_by_key"]
        for name in codes:
            if self._is_chosen(name):
                codes[name] = self.tried[name] = self._try(session, name, reach)
        path.write_text(json.dumps(found))

    def _is_chosen(self, name: str) -> bool:
        is_named = any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)
        return is_named and zlib.crc32(name.encode()) % self.every == 0

    def _try(self, session: pytest.Session, name: str, reach: Reach) -> int:
        numbers = reach.of(name, self.longest)
        if not numbers:
            return NO_TESTS

        def run() -> int:
            self.activate(name)
            self._forget()
            return NOTICED if any(True for _ in self._run(session, numbers)) else UNNOTICED

        return UNNOTICED if _forked(run, reach.limit(numbers)) == UNNOTICED else NOTICED


def _caches() -> list[_lru_cache_wrapper[Any]]:
    """Return the functions of icefarm that keep what they return."""
    # tests/conftest.py has frozen what was made while the tests were collected, and so hidden it.
    gc.unfreeze()
    found = (each for each in gc.get_objects() if isinstance(each, _lru_cache_wrapper))
    return [each for each in found if str(getattr(each, "__module__", "")).startswith("icefarm.")]


def make_changes() -> None:
    """Let mutmut write the changed sources, and copy what tests read, into the directory "mutants"."""
    from mutmut import __main__ as mutmut

    mutmut.set_mutant_under_test("mutant_generation")
    os.makedirs("mutants", exist_ok=True)
    mutmut.copy_src_dir()
    mutmut.copy_also_copy_files()
    mutmut.create_mutants(1)


#: pytest's arguments for the tests of `make check`: without those that are thorough, and with few examples.
QUICK = ("-m", "not thorough", "--hypothesis-profile", "quick")


def try_changes(names: Sequence[str], every: int, longest: float, *, quick: bool, tests: Sequence[str]) -> int:
    """Try changes in the directory of changed sources, which is the working directory; return pytest's exit code.

    ``tests`` are those that take part; if there are none, all that pyproject.toml names do.
    """
    from mutmut.configuration import config
    from mutmut.mutation.trampoline import set_mutant_under_test
    from mutmut.state import state

    settings = config()
    sys.path.insert(0, os.getcwd())
    tries = Tries(Path.cwd(), names, every, longest, set_mutant_under_test, state()._stats)
    arguments = [*settings.pytest_add_cli_args, *(QUICK if quick else ())]
    arguments += tests or settings.pytest_add_cli_args_test_selection
    code = pytest.main(["-q", "--rootdir=.", *arguments], plugins=[tries])
    # It says that no test ran: all ran in forks.
    return 0 if code == pytest.ExitCode.NO_TESTS_COLLECTED else int(code)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make"]:
            make_changes()
        case [options]:
            sys.exit(try_changes(**json.loads(options)))
