"""Headless Chromium, and farms to look at with it.  All that is started here is ended here."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from icefarm.dashboard.page import page_files
from icefarm.testing.processes.farm_process import END_LIMIT, START_LIMIT, FarmProcess

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
class Stages:
    """`stage.py` as a process, which starts with the first farm; see there for the commands."""

    #: The farm that is there.
    current: Stage | None = None
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Stages:
        return self

    def __exit__(self, *_: object) -> None:
        self._end(self._process)

    def begin(self, policy: str = "open") -> Stage:
        """Begin an empty farm with this sign-in policy, and end the one that is there."""
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__).with_name("stage.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        self.current = None
        begun = self.do("begin", policy=policy)
        self.current = Stage(self, begun["url"], begun["token"])
        return self.current

    def do(self, name: str, /, **fields: Any) -> Any:
        """Give a command and return its answer.  Raises AssertionError where it fails."""
        process = self._process
        assert process is not None, "the stage has ended"
        try:
            answer = self._answer(process, json.dumps([name, fields]))
        except BaseException:
            # An answer that comes later would be taken for the next one's.
            self._process = None
            process.kill()
            self._end(process)
            raise
        assert "error" not in answer, answer["error"]
        return answer["answer"]

    def _answer(self, process: subprocess.Popen[str], command: str) -> dict[str, Any]:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{command}\n")
        process.stdin.flush()
        # It has answered everything before, so nothing is left in the buffer of its output.
        assert select.select([process.stdout], [], [], START_LIMIT)[0], f"the stage does not answer {command}"
        line = process.stdout.readline()
        assert line, "the stage has ended"
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self, process: subprocess.Popen[str] | None) -> None:
        if process is None:
            return
        try:
            process.communicate(timeout=END_LIMIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


@define(eq=False)
class Stage:
    """A farm that does what a test says."""

    _stages: Stages
    url: str
    token: str

    def do(self, name: str, /, **fields: Any) -> Any:
        """Give a command (`stage.py`) and return its answer.  Raises AssertionError where it fails."""
        assert self._stages.current is self, "another farm has begun since"
        return self._stages.do(name, **fields)


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
def stages() -> Iterator[Stages]:
    """Farms whose boards do what a test says, one after the other."""
    with Stages() as running:
        yield running


@pytest.fixture(scope="module")
def stage(stages: Stages) -> Stage:
    """A farm of this file's tests; each of them uses boards, workers and clients of its own."""
    return stages.begin()


@pytest.fixture(scope="module")
def farm() -> Iterator[FarmProcess]:
    """A whole farm with virtual boards."""
    with tempfile.TemporaryDirectory(prefix="icefarm-") as directory:
        arguments = ("--listen", "127.0.0.1:0", "--speed", "instant", "--boards", "3", "--name", "w1")
        with FarmProcess(Path(directory) / "farm", arguments) as running:
            running.wait_until_ready()
            yield running
