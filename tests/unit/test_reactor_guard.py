"""Tests of tests: one that waits for Twisted, or for a browser, in vain ends at its limit, and none takes signals from
the reactor.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.thorough

TESTS = Path(__file__).parents[1]
#: Seconds for a run of pytest.
LIMIT = 100

HANGING = """
import time
import pytest
import reactor_guard
from pytest_twisted import async_yield_fixture, blockon, ensureDeferred
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater

reactor_guard.GRACE = 0.5
pytestmark = pytest.mark.timeout(0.5)
patient = pytest.mark.timeout(20)
late = Deferred()

@pytest.fixture
def waiting():
    blockon(late)

def test_waits_forever(waiting):
    pass

@pytest.fixture
def mine():
    reactor.callLater(0, late.callback, "late")
    return blockon(deferLater(reactor, 0.1, lambda: "mine"))

@patient
def test_is_not_disturbed_by_a_late_result(mine):
    assert mine == "mine"

def test_sleeps():
    time.sleep(50)

@ensureDeferred
async def test_cleans_up():
    try:
        await Deferred()
    finally:
        await deferLater(reactor, 0.1)
        print("cleaned up")

@ensureDeferred
async def test_goes_on_when_it_is_cancelled():
    while True:
        try:
            await Deferred()
        except CancelledError:
            pass

@async_yield_fixture
async def ending():
    yield
    await Deferred()

def test_ends_in_vain(ending):
    pass

@pytest.fixture(scope="session")
def session():
    yield
    blockon(Deferred())

@patient
@ensureDeferred
async def test_is_fine(session):
    await deferLater(reactor, 0.01)

def test_fails_before_the_session_hangs(session):
    time.sleep(50)
"""

BROWSING = """
import socket
import time
import pytest
from playwright.sync_api import sync_playwright

pytestmark = [pytest.mark.browser, pytest.mark.timeout(0.5, func_only=True)]
patient = pytest.mark.timeout(20)
silent = socket.create_server(("127.0.0.1", 0))
ADDRESS = "http://127.0.0.1:%d" % silent.getsockname()[1]

@pytest.fixture(scope="session")
def playwright():
    with sync_playwright() as started:
        yield started

@pytest.fixture
def requests(playwright):
    made = playwright.request.new_context()
    yield made
    made.dispose()

def work_beyond_the_limit(*_):
    end = time.monotonic() + 0.8
    while time.monotonic() < end:
        pass

@patient
def test_begins(requests):
    pass

async def test_is_a_coroutine_that_nobody_runs():
    pass

def test_waits(requests):
    requests.get(ADDRESS, timeout=1000)

@patient
def test_comes_after_a_wait(requests):
    requests.storage_state()

def test_waits_while_the_loop_works(requests):
    requests._loop.call_later(0.1, work_beyond_the_limit)
    requests.get(ADDRESS, timeout=1000)

@patient
def test_comes_after_work(requests):
    requests.storage_state()

def test_waits_while_a_message_is_read(requests, monkeypatch):
    connection = requests._impl_obj._connection
    real = connection.dispatch
    def dispatch(message):
        work_beyond_the_limit()
        real(message)
    monkeypatch.setattr(connection, "dispatch", dispatch)
    requests.storage_state()

@patient
def test_comes_after_a_message(requests):
    requests.storage_state()
"""

THIEVES = """
import asyncio
import signal
import sys
import pytest
from pytest_twisted import ensureDeferred
from twisted.internet.utils import getProcessValue

pytestmark = pytest.mark.timeout(10)

def add_a_handler():
    async def handled():
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, print)
    asyncio.run(handled())

def test_takes_the_descriptor():
    add_a_handler()

@pytest.fixture
def taken():
    yield
    add_a_handler()

def test_takes_it_at_its_end(taken):
    pass

def test_takes_the_handler():
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)

@ensureDeferred
async def test_hears_of_the_end_of_a_process():
    assert await getProcessValue(sys.executable, ["-c", "pass"]) == 0
"""


def outcomes(text: str, directory: Path) -> tuple[dict[str, list[str]], str]:
    """Run a file of tests, and return the outcomes of each, and the output."""
    (directory / "test_it.py").write_text(text)
    plugins = [f"-pno:{name}" for name in ("cacheprovider", "icefarm", "randomly", "xdist")]
    command = [sys.executable, "-m", "pytest", "-rA", "-p", "reactor_guard", *plugins, "test_it.py"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS), "PYTEST_ADDOPTS": ""}
    done = subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
    )
    found: dict[str, list[str]] = {}
    for outcome, name in re.findall(r"^(PASSED|FAILED|ERROR) test_it\.py::test_(\w+)", done.stdout, re.MULTILINE):
        found.setdefault(name, []).append(outcome)
    return {name: sorted(each) for name, each in found.items()}, done.stdout


def test_a_test_that_hangs_in_a_wait_ends_at_its_limit_and_the_next_one_runs(tmp_path: Path) -> None:
    found, output = outcomes(HANGING, tmp_path)
    assert found == {
        "waits_forever": ["ERROR"],
        "is_not_disturbed_by_a_late_result": ["PASSED"],
        "sleeps": ["FAILED"],
        "cleans_up": ["FAILED"],
        "goes_on_when_it_is_cancelled": ["FAILED"],
        "ends_in_vain": ["ERROR", "PASSED"],
        "is_fine": ["PASSED"],
        "fails_before_the_session_hangs": ["ERROR", "FAILED"],
    }, output
    assert output.count("Failed: Timeout (>0.5s) from pytest-timeout.") >= 7
    assert "cleaned up" in output
    assert re.search(r"^> +time\.sleep\(50\)$", output, re.MULTILINE)
    # Where the coroutine waited.
    assert re.search(r"^> +await Deferred\(\)$", output, re.MULTILINE)


def test_a_test_that_waits_for_a_browser_ends_at_its_limit_and_the_next_ones_have_the_browser(tmp_path: Path) -> None:
    found, output = outcomes(BROWSING, tmp_path)
    tests = ("begins", "waits", "comes_after_a_wait", "waits_while_the_loop_works", "comes_after_work")
    tests += ("waits_while_a_message_is_read", "comes_after_a_message", "is_a_coroutine_that_nobody_runs")
    assert found == {name: ["FAILED" if name.startswith(("waits", "is")) else "PASSED"] for name in tests}, output


def test_a_test_that_takes_signals_from_the_reactor_fails_and_the_next_one_hears_of_its_process(
    tmp_path: Path,
) -> None:
    found, output = outcomes(THIEVES, tmp_path)
    assert found == {
        "takes_the_descriptor": ["FAILED"],
        "takes_it_at_its_end": ["ERROR", "PASSED"],
        "takes_the_handler": ["FAILED"],
        "hears_of_the_end_of_a_process": ["PASSED"],
    }, output
    assert "signal.set_wakeup_fd(-1)" in output


INTERRUPTED = """
import os, signal
import pytest
import reactor_guard
from pytest_twisted import ensureDeferred
from twisted.internet.defer import Deferred

reactor_guard.AFTER_INTERRUPT = {limit}
pytestmark = pytest.mark.timeout({own})

def test_begins():
    pass

@ensureDeferred
async def test_ends():
    os.kill(os.getpid(), signal.{signal})
    {then}

def test_never_begins():
    pass
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(("then", "limit", "outcome"), [("pass", 50.0, "PASSED"), ("await Deferred()", 0.5, "FAILED")])
@pytest.mark.parametrize("own", [60, 0], ids=["a limit", "no limit"])
def test_after_a_signal_the_test_that_runs_ends_and_none_begins(
    tmp_path: Path, name: str, then: str, limit: float, outcome: str, own: float
) -> None:
    found, output = outcomes(INTERRUPTED.format(signal=name, then=then, limit=limit, own=own), tmp_path)
    assert found == {"begins": ["PASSED"], "ends": [outcome]}, output
    assert f"Interrupted: {name}" in output
