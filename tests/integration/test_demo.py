"""`icefarm demo`, which `make demo` runs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration

#: Seconds for a farm to start, to evaluate, and to stop.
LIMIT = 300
ROWS = 4 * 2


@pytest.mark.timeout(LIMIT)
def test_the_demo_evaluates_each_circuit_on_each_board_and_stops() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "icefarm", "demo", "--boards", "2"],
        capture_output=True, text=True, check=False, timeout=LIMIT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "starting a farm with 2 virtual boards; the demo takes about 20 s"
    assert lines[-1].startswith(f"{ROWS} of {ROWS} results as predicted; the farm has stopped; ")
    (head,) = (number for number, line in enumerate(lines) if line.startswith("circuit "))
    assert len([line for line in lines[head + 1 : -1] if line]) == ROWS


def test_without_a_router_the_demo_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_ROUTER], capture_output=True, text=True, check=False, timeout=LIMIT,
        env={**os.environ, "PATH": ""},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert "run icefarm router install, or pip install 'icefarm[farm]'" in done.stderr


WITHOUT_ROUTER = """
import sysconfig
sysconfig.get_path = lambda *_, **__: "/nowhere/bin"
from icefarm.cli import main
main(["demo"], prog_name="icefarm")
"""
