"""The dashboard's pure parts, under Node.js' own test runner."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from playwright._impl._driver import compute_driver_executable

pytestmark = pytest.mark.browser

FRONTEND = Path(__file__).parents[2] / "frontend"


def test_the_frontends_own_tests_pass() -> None:
    # Playwright brings a Node.js, so none needs to be on the machine.
    node = str(compute_driver_executable()[0])
    done = subprocess.run([node, "--test"], cwd=FRONTEND, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert "pass" in done.stdout
