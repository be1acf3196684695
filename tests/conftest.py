"""For all tests."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import _pytest.unittest
import leftovers
import pytest
from marks import WITH_PROCESSES, misplaced

from icefarm.system.open_files import allow_open_files

try:
    from hypothesis import settings
except ImportError:
    pass  # A lab that runs tests/acceptance need not have it.
else:
    # No example has a time limit: on a busy machine any of them may take long.  Each test has one.
    settings.register_profile("by hand", deadline=None)
    # Continuous integration asks whether a change is right, with the same examples each time.  Runs by hand find new
    # examples, where a person can look at them.
    settings.register_profile("ci", derandomize=True, deadline=None)
    settings.load_profile("ci" if os.environ.get("CI") else "by hand")
    # `make check`: where a test does not say how many examples it takes, a tenth of hypothesis's hundred.
    settings.register_profile("quick", settings.default, max_examples=10)

TESTS = Path(__file__).parent
#: Files that may be open.
MOST_FILES = 16_384
# Farms get copies of a database that is made once (icefarm/testing/processes/clusters.py).
os.environ.setdefault("ICEFARM_TEST_CLUSTERS", str(TESTS.parent / "build" / "tests" / "clusters"))

# A farm of 200 boards in this process has more files open than many systems allow it at first, which is 1,024.
allow_open_files(MOST_FILES)

# A shell that starts a test run in the background has it ignore Ctrl-C, and every process that a test starts inherits
# that: those that a test interrupts would never notice.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("icefarm")
    group.addoption("--suite", metavar="NAME=SECONDS", help="say where the time of a suite goes, and its budget")
    group.addoption("--share", metavar="NUMBER/SHARES", help="run one share of the test files: 1/2 is the first of two")


# For each test, pytest reads Twisted's version from the metadata of its package: a tenth of the unit tests' CPU time.
if hasattr(_pytest.unittest, "_get_twisted_version"):
    _pytest.unittest._get_twisted_version = cache(_pytest.unittest._get_twisted_version)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--suite") is not None:
        import costs

        costs.measure(config)
    if config.getoption("--share") is not None:
        import shares

        places = [config.invocation_params.dir / each for each in config.args]
        config.pluginmanager.register(shares.Share.parse(config.getoption("--share"), places))
    if config.pluginmanager.hasplugin("xdist") and config.getoption("dist") == "loadfile":
        import scheduling

        config.pluginmanager.register(scheduling)
    # A lab that runs tests/acceptance need not have these either.
    if config.pluginmanager.hasplugin("timeout") and config.pluginmanager.hasplugin("twisted"):
        import reactor_guard

        config.pluginmanager.register(reactor_guard)

    if config.pluginmanager.hasplugin("dsession"):
        # A process that hands tests out to others ends as by Ctrl-C: it says what has failed so far.
        signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Iterator[None]:
    """Have Python look for garbage only in what tests make.

    Modules and the tests themselves are many objects and no garbage; it would go through them again and again.  What a
    test makes is mostly freed at once: every 10,000 objects, not every 700, are soon enough for the rest.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(10_000)
        gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every test is in a suite of the Makefile, and leaves no process.

    Raises UsageError where a test is in no suite, or in that of others.
    """
    if any(WITH_PROCESSES & {mark.name for mark in item.iter_markers()} for item in items):
        leftovers.watch()
        # Imported here because a lab that runs tests/acceptance need not have what control needs.
        import forked

        forked.farms()
    for item in items:
        directory = item.path.relative_to(TESTS).parts[0]
        wrong = misplaced(directory, {mark.name for mark in item.iter_markers()})
        if wrong is not None:
            raise pytest.UsageError(f"{item.nodeid} {wrong}")
