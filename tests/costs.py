"""A pytest plugin that says where the time of a suite goes: by file, and whether the suite kept to its budget.

``--suite NAME=SECONDS`` asks for it; the budget is one of CPU time, that of the tests and of all processes that they
start.  Unlike the time that passes, it hardly depends on what else the machine does, such as another suite.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from marks import THOROUGH

#: Files that are printed.
SHOWN = 20
#: What is not a file.
BEFORE = "(start of the tests' processes, and collection)"
_TICKS = os.sysconf("SC_CLK_TCK")
#: Where a process's own time and that of its ended children stand in stat, after its name (proc_pid_stat(5)).
_PARENT, _TIMES = 1, slice(11, 15)


def cpu_seconds(pid: int) -> float:
    """Return the CPU time of a process, of its present descendants, and of those that ended and were waited for."""
    children: dict[int, list[int]] = {}
    spent: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                # The name in parentheses may contain anything.
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                spent[int(entry.name)] = sum(map(int, fields[_TIMES]))
                children.setdefault(int(fields[_PARENT]), []).append(int(entry.name))
    family = [pid]
    for one in family:
        family += children.get(one, [])
    return sum(spent.get(one, 0) for one in family) / _TICKS


class CostsOfFiles:
    """In a process that runs tests: the CPU time of each file, taken when the next file begins."""

    def __init__(self) -> None:
        self.by_file: Counter[str] = Counter()
        #: Thorough tests that -m has passed over.
        self.passed_over = 0
        self._before = 0.0

    @pytest.hookimpl
    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        self.passed_over += sum(each.get_closest_marker(THOROUGH) is not None for each in items)

    @pytest.hookimpl
    def pytest_collection_finish(self) -> None:
        self._add(BEFORE)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        result = yield
        if nextitem is None or nextitem.path != item.path:
            self._add(_file_of(item.nodeid))
        return result

    def _add(self, file: str) -> None:
        now = cpu_seconds(os.getpid())
        # Processes that lost their parent are no descendants any more.
        self.by_file[file] += max(0.0, now - self._before)
        self._before = now

    @pytest.hookimpl
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        output = getattr(session.config, "workeroutput", None)
        if output is not None:
            output["costs"], output["passed over"] = dict(self.by_file), self.passed_over


class Budget:
    """In the process that reports: what the files took, and what the suite may take."""

    def __init__(self, name: str, seconds: float, local: CostsOfFiles | None) -> None:
        self._name = name
        self._seconds = seconds
        self._local = local
        self._begun = time.monotonic()
        self._cpu: Counter[str] = Counter()
        self._passed: Counter[str] = Counter()
        self._tests: Counter[str] = Counter()
        self._passed_over = 0

    @pytest.hookimpl
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        file = _file_of(report.nodeid)
        self._passed[file] += report.duration
        self._tests[file] += report.when == "call"

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        output = getattr(node, "workeroutput", {})
        self._cpu.update(output.get("costs", {}))
        # Each process collects all tests.
        self._passed_over = output.get("passed over", self._passed_over)

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self._local is not None:
            self._cpu.update(self._local.by_file)
            self._passed_over = self._local.passed_over
        terminalreporter.section(f"files of {self._name} that took the most CPU time")
        terminalreporter.write_line("  CPU s  passed s  tests  file")
        for file, cpu in self._cpu.most_common(SHOWN):
            terminalreporter.write_line(f"{cpu:7.1f} {self._passed[file]:9.1f} {self._tests[file]:6}  {file}")
        took, cpu = time.monotonic() - self._begun, self._cpu.total()
        kept = "within" if cpu <= self._seconds else "BEYOND"
        terminalreporter.write_line(
            f"{self._name} took {cpu:.0f} s of CPU time, {kept} its budget of {self._seconds:.0f} s, in {took:.0f} s"
        )
        if self._passed_over:
            terminalreporter.write_line(f"passed over: {self._passed_over} thorough tests, which make test runs")


def _file_of(nodeid: str) -> str:
    return nodeid.partition("::")[0]


def measure(config: pytest.Config) -> None:
    """Measure what ``--suite`` asks for, in a process that runs tests, one that reports, or one that does both."""
    name, _, seconds = config.getoption("--suite").partition("=")
    reports = not hasattr(config, "workerinput")
    runs = not reports or not config.getoption("numprocesses", None)
    local = CostsOfFiles() if runs else None
    if local is not None:
        config.pluginmanager.register(local)
    if reports:
        config.pluginmanager.register(Budget(name, float(seconds), local))
