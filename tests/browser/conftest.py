"""Headless Chromium, and farms to look at with it.  All that is started here is ended here."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from icefarm.dashboard.page import page_files
from icefarm.testing.processes.farm_process import END_LIMIT, FarmProcess

#: The first one has no windows, and takes a third of the time that the others take for a page.
_NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
#: Milliseconds for what the page shows "at once"; the machine may be busy with other things.
PATIENCE = 10_000


expect.set_options(timeout=PATIENCE)


def find_chromium() -> str:
    """Return the path of a Chromium: CHROMIUM, or what is on PATH."""
    chosen = os.environ.get("CHROMIUM")
    found = chosen or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        pytest.fail(
            "the browser tests need Chromium: apt-get install chromium-headless-shell (or chromium), "
            "or name one with CHROMIUM=PATH"
        )
    return found


@define(eq=False)
class StageProcess:
    """`stage.py` as a process; see there for the commands."""

    policy: str = "open"
    url: str = ""
    token: str = ""
    _process: subprocess.Popen[str] = field(init=False)

    def __enter__(self) -> StageProcess:
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("stage.py")), self.policy],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        begun = self._read()
        self.url, self.token = begun["url"], begun["token"]
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._process.communicate(timeout=END_LIMIT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def do(self, name: str, /, **fields: Any) -> Any:
        """Give a command and return its answer.  Raises AssertionError where it fails."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, fields]) + "\n")
        self._process.stdin.flush()
        answer = self._read()
        assert "error" not in answer, answer["error"]
        return answer["answer"]

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the stage ended"
        answer: dict[str, Any] = json.loads(line)
        return answer


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not page_files():
        pytest.fail("the dashboard is not built: install icefarm again without ICEFARM_DASHBOARD=skip")
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, as whom CI runs in a container of its own.
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=find_chromium(), args=arguments)
        yield started
        started.close()


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1280, "height": 800}, timezone_id="Asia/Kolkata")
    made.set_default_timeout(PATIENCE)
    yield made
    made.close()


@pytest.fixture
def page(context: BrowserContext) -> Iterator[Page]:
    """An empty page; a test during which the page meets an error of its own fails."""
    made = context.new_page()
    errors: list[str] = []
    made.on("pageerror", lambda error: errors.append(str(error)))
    made.on("console", lambda message: errors.append(message.text) if "Content Security" in message.text else None)
    yield made
    assert errors == []


@pytest.fixture(scope="session")
def stage() -> Iterator[StageProcess]:
    """A farm whose boards do what a test says; each test uses boards, workers and clients of its own."""
    with StageProcess() as running:
        yield running


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmProcess]:
    """A whole farm with virtual boards."""
    with tempfile.TemporaryDirectory(prefix="icefarm-") as directory:
        arguments = ("--listen", "127.0.0.1:0", "--speed", "instant", "--boards", "3", "--name", "w1")
        with FarmProcess(Path(directory) / "farm", arguments) as running:
            running.wait_until_ready()
            yield running
