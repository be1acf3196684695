"""A plug-in of pytest that tries changes which mutmut has made, each in a fork of the process that has the tests.

mutmut itself starts pytest again for each change, which takes longer than most tests.  The first fork runs every test
and notes which changed functions each reaches (`Reach`); then each change is tried with the tests that reach its
function, the fastest first, until one fails; several at a time.  What became of it stands where mutmut keeps it, beside
the source.

What functions of icefarm have cached (`functools.cache`) is forgotten before: it was made without the change.  Nobody
reads why a test failed, so what takes longer than most tests is left out: the traceback, and hypothesis's search for
the simplest example.
"""

from __future__ import annotations

import fnmatch
import gc
import json
import os
import select
import signal
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import _lru_cache_wrapper, partial
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field, frozen

__all__ = ["NOTICED", "NO_TESTS", "UNNOTICED", "Reach", "Tries"]

#: Exit codes, as mutmut has them.
UNNOTICED, NOTICED, NO_TESTS = 0, 1, 33
#: A change that makes tests this many times slower, in CPU seconds, is noticed; some more seconds are for short ones.
SLOWER, AT_LEAST = 15, 5
#: So are tests that sleep for so many seconds, and don't just get no processor.  They are looked at every so many.
WAITS, LOOK = 10.0, 1.0


@frozen
class Reach:
    """Which tests reach each changed function, by number, and how long each takes."""

    tests: Mapping[str, Sequence[int]]
    seconds: Mapping[int, float]

    def of(self, change: str, longest: float) -> list[int]:
        """Return the tests that reach the function of a change, the fastest first; none that takes longer."""
        found = self.tests.get(change.rpartition("__mutmut_")[0], ())
        return sorted((each for each in found if self.seconds[each] <= longest), key=lambda each: self.seconds[each])

    def limit(self, number: int) -> float:
        """Return the CPU seconds that a test may take, beside those that others have left."""
        return SLOWER * self.seconds[number]


@define(eq=False)
class _Fork:
    """A fork of this process, which runs something silently."""

    pid: int
    #: Readable once it has ended.
    fileno: Callable[[], int]
    _cpu_ticks: int = -1
    _asleep_since: float = 0.0

    @classmethod
    def of(cls, run: Callable[[], int]) -> _Fork:
        pid = os.fork()
        if pid == 0:
            code = NOTICED
            try:
                nothing = os.open(os.devnull, os.O_RDWR)
                for descriptor in (0, 1, 2):
                    os.dup2(nothing, descriptor)
                code = run()
            finally:
                os._exit(code)
        descriptor = os.pidfd_open(pid)
        return cls(pid, lambda: descriptor)

    def end_if_asleep(self, now: float) -> None:
        """Kill it if it has slept for `WAITS` seconds of time ``now``: its tests wait for what doesn't come."""
        # The name in parentheses may contain anything (proc_pid_stat(5)).
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        state, cpu_ticks = fields[0], int(fields[11]) + int(fields[12])
        if state != "S" or cpu_ticks != self._cpu_ticks:
            self._cpu_ticks, self._asleep_since = cpu_ticks, now
        elif now - self._asleep_since >= WAITS:
            self.end()

    def end(self) -> None:
        os.kill(self.pid, signal.SIGKILL)

    def code(self) -> int:
        """Wait until it has ended, and return its exit code, negative if a signal ended it."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        os.close(self.fileno())
        return code


def _forked(runs: Iterable[tuple[str, Callable[[], int]]], at_once: int) -> Iterator[tuple[str, int]]:
    """Run each in a fork, so many at a time; yield its name and exit code once it has ended."""
    left, running = iter(runs), dict[_Fork, str]()
    try:
        while True:
            running.update((_Fork.of(run), name) for name, run in islice(left, at_once - len(running)))
            if not running:
                return
            for fork in select.select(running, [], [], LOOK)[0]:
                yield running.pop(fork), fork.code()
            for fork in running:
                fork.end_if_asleep(time.monotonic())
    finally:
        for fork in running:
            fork.end()
            fork.code()


@define(eq=False)
class Tries:
    """Tries the changes whose names match one of the patterns."""

    directory: Path
    patterns: Sequence[str]
    #: One change of so many is tried, always the same.
    every: int
    #: CPU seconds of a test that takes part.
    longest: float
    #: So many changes are tried at once.
    jobs: int
    #: Only changes are tried that no test noticed the last time.
    again: bool
    #: What is called for the change that is active; mutmut's `set_mutant_under_test`.
    activate: Callable[[str], None]
    #: Functions that were reached since it was last emptied; mutmut fills it.
    reached: set[str]
    _caches: list[_lru_cache_wrapper[Any]] = field(init=False, factory=list)

    @pytest.hookimpl(trylast=True)
    def pytest_configure(self) -> None:
        """Have hypothesis take the same examples each time, and be content with the first that fails."""
        # Imported here because pytest wants to be first.
        from hypothesis import Phase, settings

        phases = (Phase.explicit, Phase.generate)
        settings.register_profile("changes", settings.default, phases=phases, database=None, derandomize=True)
        settings.load_profile("changes")

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> pytest.TestReport | None:
        """Report failures without their traceback."""
        if call.excinfo is None or call.excinfo.errisinstance(pytest.skip.Exception):
            return None
        return pytest.TestReport(item.nodeid, item.location, {}, "failed", None, call.when)

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
        [(_, code)] = _forked([("note", lambda: self._note(session, note))], 1)
        if code != 0:
            raise session.Interrupted("the tests can't be run without any change")
        found = json.loads(note.read_text())
        if found["failed"]:
            raise session.Interrupted(f"without any change, {found['failed']} fails")
        return Reach(found["tests"], {int(number): seconds for number, seconds in found["seconds"].items()})

    def _note(self, session: pytest.Session, note: Path) -> int:
        self.activate("stats")
        tests: dict[str, list[int]] = {}
        seconds: dict[int, float] = {}
        failed = None
        for number, item in enumerate(session.items):
            self._forget()
            self.reached.clear()
            began = _cpu_seconds()
            if any(True for _ in self._run(session, [number])):
                failed = item.nodeid
                break
            seconds[number] = _cpu_seconds() - began
            for function in self.reached:
                tests.setdefault(function, []).append(number)
        note.write_text(json.dumps({"tests": tests, "seconds": seconds, "failed": failed}))
        return 0

    def _forget(self) -> None:
        for cached in self._caches:
            cached.cache_clear()

    def _run(
        self, session: pytest.Session, numbers: Sequence[int], limit: Callable[[int], float] | None = None
    ) -> Iterator[int]:
        """Run tests; yield the numbers of those that fail.  Where they take longer than their limits, the process ends.

        What one test does not take is left for the next ones.
        """
        # Nobody reads what they say.
        session.config.pluginmanager.unregister(name="terminalreporter")
        items = [session.items[number] for number in numbers]
        for number, item, following in zip(numbers, items, [*items[1:], None], strict=True):
            failed = session.testsfailed
            if limit is not None:
                left, _ = signal.getitimer(signal.ITIMER_PROF)
                signal.setitimer(signal.ITIMER_PROF, (left or AT_LEAST) + limit(number))
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.testsfailed > failed:
                yield number

    def _try_file(self, session: pytest.Session, path: Path, reach: Reach) -> None:
        found = json.loads(path.read_text())
        codes = found["exit_code_by_key"]
        chosen = {name: reach.of(name, self.longest) for name, code in codes.items() if self._is_chosen(name, code)}
        codes.update((name, NO_TESTS) for name, numbers in chosen.items() if not numbers)
        runs = (
            (name, partial(self._try, session, name, numbers, reach)) for name, numbers in chosen.items() if numbers
        )
        for name, code in _forked(runs, self.jobs):
            codes[name] = UNNOTICED if code == UNNOTICED else NOTICED
            # Each time, and never in part, since a run may be ended.
            _write(path, found)
        _write(path, found)

    def _is_chosen(self, name: str, before: int | None) -> bool:
        if self.again and before not in (UNNOTICED, NO_TESTS):
            return False
        is_named = any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)
        return is_named and zlib.crc32(name.encode()) % self.every == 0

    def _try(self, session: pytest.Session, name: str, numbers: Sequence[int], reach: Reach) -> int:
        self.activate(name)
        self._forget()
        return NOTICED if any(True for _ in self._run(session, numbers, reach.limit)) else UNNOTICED


def _write(path: Path, value: object) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


def _cpu_seconds() -> float:
    """Return those of this process and of the children that it has waited for."""
    return sum(os.times()[:4])


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


def try_changes(
    names: Sequence[str], every: int, longest: float, jobs: int, *, again: bool, quick: bool, tests: Sequence[str]
) -> int:
    """Try changes in the directory of changed sources, which is the working directory; return pytest's exit code.

    ``tests`` are those that take part; if there are none, all that pyproject.toml names do.  ``jobs`` changes are tried
    at once; with ``again``, only those that no test noticed the last time.
    """
    from mutmut.configuration import config
    from mutmut.mutation.trampoline import set_mutant_under_test
    from mutmut.state import state

    settings = config()
    sys.path.insert(0, os.getcwd())
    tries = Tries(Path.cwd(), names, every, longest, jobs, again, set_mutant_under_test, state()._stats)
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
